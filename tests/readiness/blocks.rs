//! Each precondition made false, by itself.

use super::{all_refuse, none_tells};
use crate::common::{self, Bench, skip, tmpfs};
use crate::kept::{Kept, configure};
use crate::media::{Medium, Shape};
use std::process::Command;

/// Makes one precondition false on a sound device.
type Ruin = fn(&Bench);

fn env(bench: &Bench, words: &[&str]) {
    let config = bench.path("DEV/fw_env.config");
    let mut set = Command::new("fw_setenv");
    let done = set.args(["-c", &config]).args(words).current_dir(bench.path("DEV")).status();
    assert!(done.expect("fw_setenv: install libubootenv-tool").success());
}

/// Fills the environment but for so many bytes.
fn fill(bench: &Bench, spare: usize) {
    let disk = common::read(&bench.path("DEV/disk.img"));
    let copies = [4 << 20, 8 << 20].map(|at: usize| &disk[at..at + 0x4000]);
    let newer = if copies[0][4] >= copies[1][4] { copies[0] } else { copies[1] };
    let used = newer[5..].windows(2).position(|w| w == [0, 0]).unwrap() + 2;
    let value = "x".repeat(0x4000 - 5 - used - "filler=".len() - 1 - spare);
    env(bench, &["filler", &value]);
}

fn edit(bench: &Bench, from: &str, to: &str) {
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(common::read(&config)).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&config, text.replace(from, to)).unwrap();
}

fn script(bench: &Bench, name: &str, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let path = bench.path(&format!("DEV/{name}"));
    common::program(&path, text.as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

const CHECK: &str = "[[health.check]]\nname = \"app\"\n";

/// What needs neither root nor a mount: status, code, and how it is made false.
const TABLE: &[(&str, i32, &str, Ruin)] = &[
    ("which slot runs is not known", 78, "BOOTED_UNKNOWN", |b| {
        std::fs::write(b.path("DEV/run/booted"), "c\n").unwrap();
    }),
    ("bootlimit is missing", 77, "ROLLBACK_OFF", |b| env(b, &["bootlimit"])),
    ("the way back is missing", 77, "ROLLBACK_OFF", |b| env(b, &["altbootcmd"])),
    ("the counter is missing", 77, "ROLLBACK_OFF", |b| env(b, &["surefoot_counter"])),
    ("both copies are dead", 78, "ENV_UNREADABLE", |b| {
        [4 << 20, 8 << 20].into_iter().for_each(|at| b.patch_disk(at, &[0xa5; 0x4000]));
    }),
    ("the environment is nearly full", 74, "ENV_FULL", |b| fill(b, 20)),
    ("fw_env.config is not there", 78, "ENV_CONFIG", |b| {
        std::fs::remove_file(b.path("DEV/fw_env.config")).unwrap();
    }),
    ("there is no trust file", 78, "TRUST_MISSING", |b| {
        std::fs::remove_file(b.path("DEV/trust.toml")).unwrap();
    }),
    ("the trust file is damaged", 78, "TRUST_INVALID", |b| {
        std::fs::write(b.path("DEV/trust.toml"), "x").unwrap();
    }),
    ("a slot is missing", 78, "SLOT_MISSING", |b| edit(b, "rootfs-b", "rootfs-c")),
    ("the disk is not there", 78, "DISK_MISSING", |b| edit(b, "disk.img", "gone.img")),
    ("the hardware revision cannot be read", 78, "HARDWARE_UNKNOWN", |b| {
        edit(b, "[device]", "[device]\nhardware = { file = \"gone\" }");
    }),
    ("the state folder is a file", 78, "STATE_NOT_DURABLE", |b| {
        std::fs::remove_dir_all(b.path("DEV/state")).unwrap();
        std::fs::write(b.path("DEV/state"), "x").unwrap();
    }),
    ("the journal's place is a folder", 78, "STATE_NOT_DURABLE", |b| {
        std::fs::create_dir_all(b.path("DEV/state/journal.0")).unwrap();
    }),
    ("the first place of what was committed is a folder", 78, "STATE_NOT_DURABLE", |b| {
        std::fs::create_dir_all(b.path("DEV/state/committed.0")).unwrap();
    }),
    ("the floor's second place is a folder", 78, "STATE_NOT_DURABLE", |b| {
        std::fs::create_dir_all(b.path("DEV/state/floor.1")).unwrap();
    }),
    ("the place of what is begun is a folder", 78, "STATE_NOT_DURABLE", |b| {
        std::fs::create_dir_all(b.path("DEV/state/begun.json")).unwrap();
    }),
    ("what every trial writes is a folder", 78, "STATE_NOT_DURABLE", |b| {
        std::fs::create_dir_all(b.path("DEV/state/can-update-again")).unwrap();
    }),
    ("a check's program is not there", 78, "CHECK_CANNOT_RUN", |b| {
        configure(b, &format!("{CHECK}command = [\"./gone.sh\"]\n"));
    }),
    ("a check's program is in no folder of PATH", 78, "CHECK_CANNOT_RUN", |b| {
        configure(b, &format!("{CHECK}command = [\"no-such-program-here\"]\n"));
    }),
    ("a check's program is not executable", 78, "CHECK_CANNOT_RUN", |b| {
        script(b, "app.sh", "#!/bin/sh\n", 0o644);
        configure(b, &format!("{CHECK}command = [\"./app.sh\"]\n"));
    }),
    ("a check's interpreter is not there", 78, "CHECK_CANNOT_RUN", |b| {
        script(b, "app.sh", "#!/nowhere/python3\n", 0o755);
        configure(b, &format!("{CHECK}command = [\"./app.sh\"]\n"));
    }),
    ("a check looks for room in a folder that is not there", 78, "CHECK_CANNOT_RUN", |b| {
        configure(b, &format!("{CHECK}space = {{ path = \"/nowhere/at\", free = \"1M\" }}\n"));
    }),
    ("a hook's program is not there", 77, "HOOK_VETO", |b| {
        let hook = "[[hook]]\nname = \"ask\"\nat = \"before-reboot\"\ncommand = [\"./gone.sh\"]\n";
        configure(b, hook);
    }),
    ("no trial is as long as it must be stable", 78, "TIMES_CONFLICT", |b| {
        configure(b, "[health]\nstable = \"2h\"\n");
    }),
    ("a trial ends before it can be stable", 78, "TIMES_CONFLICT", |b| {
        configure(b, "[trial]\ndeadline = \"20s\"\n");
    }),
];

#[test]
fn one_precondition_that_is_false_has_the_same_code_in_all_five() {
    let sound = Bench::new();
    none_tells(&sound, &sound.release("2.0.0"));
    for (what, status, code, ruin) in TABLE {
        eprintln!("{what}");
        let bench = Bench::new();
        let artifact = bench.release("2.0.0");
        ruin(&bench);
        let before = common::read(&bench.path("DEV/disk.img"));
        all_refuse(&|words| bench.surefoot(words), &artifact, *status, code);
        assert!(common::read(&bench.path("DEV/disk.img")) == before, "{what}: the disk is changed");
    }
}

#[test]
fn an_environment_in_which_an_update_may_begin_has_room_for_its_end() {
    let bench = Bench::new();
    let disk = common::read(&bench.path("DEV/disk.img"));
    let doctor = |spare: usize| {
        std::fs::write(bench.path("DEV/disk.img"), &disk).unwrap();
        fill(&bench, spare);
        bench.surefoot(&["doctor"])
    };
    let (mut full, mut roomy) = (0, 400);
    while roomy - full > 1 {
        let middle = usize::midpoint(full, roomy);
        match doctor(middle).code {
            0 => roomy = middle,
            _ => full = middle,
        }
    }
    doctor(full).refused(74, "ENV_FULL");
    doctor(roomy).ok();
    configure(&bench, "[[health.check]]\nname = \"app\"\nfile = \"app\"\n");
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["shutdown"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert_eq!(bench.reboot(&[]), "a");
    assert_eq!(bench.status()["last"]["reason"], "HEALTH_FAILED");
}

#[test]
fn config_check_names_the_line_of_times_that_no_release_could_stay_with() {
    let bench = Bench::new();
    configure(&bench, "[health]\nstable = \"2h\"\n");
    let text = String::from_utf8(common::read(&bench.path("DEV/surefoot.toml"))).unwrap();
    let line = text.lines().position(|l| l.starts_with("stable")).unwrap() + 1;
    let said = bench.surefoot(&["config", "check"]);
    assert_eq!(said.code, 78, "{}{}", said.out, said.err);
    let place = format!("surefoot.toml:{line}: health.stable: ");
    assert!(said.out.contains(&place) && said.out.contains("[TIMES_CONFLICT]"), "{}", said.out);
    // The default is the other half: the line that is written is named.
    let bench = Bench::new();
    configure(&bench, "[trial]\ndeadline = \"20s\"\n");
    let said = bench.surefoot(&["config", "check"]);
    assert!(said.code == 78 && said.out.contains(": trial.deadline: "), "{}{}", said.out, said.err);
    // Less than was meant is told, and is sound.
    let bench = Bench::new();
    configure(&bench, "[trial]\ndeadline = \"5m\"\n");
    let said = bench.surefoot(&["config", "check"]).ok();
    assert!(said.out.contains("Warning: ") && said.out.contains("is sound"), "{}", said.out);
    assert_eq!(bench.surefoot(&["config", "check", "--json"]).ok().json()["sound"], true);
}

#[test]
fn an_image_that_no_bootloader_reads_is_refused_before_the_other_slot_is_lost() {
    let bench = Bench::new();
    bench.update_to("1.1.0");
    // Zeros where the superblock stands: the chunk is stored and signed like any other.
    let image = bench.path("blank.img");
    let mut bytes = common::image(7, 1 << 20);
    bytes[..4096].fill(0);
    std::fs::write(&image, &bytes).unwrap();
    let (artifact, key) = (bench.path("blank.surefoot"), bench.path("KEYS/release.key"));
    let about = ["--product", "demo", "--compatible", "demo-board", "--version", "2.0.0"];
    let build = ["build", "--rootfs", &image, "--raw", "-o", &artifact, "--key", &key];
    common::forge(&[&build[..], &about].concat()).ok();
    let before = bench.slot_bytes("a");
    for words in
        [&["verify", &artifact][..], &["install", &artifact, "--dry-run"], &["install", &artifact]]
    {
        bench.surefoot(words).refused(65, "NOT_BOOTABLE");
        assert!(bench.slot_bytes("a") == before, "{words:?}: the slot is changed");
    }
    // A stream is looked at once it is written: nothing is armed.
    bench
        .surefoot_with(&["install", "-"], &[], &common::read(&artifact))
        .refused(65, "NOT_BOOTABLE");
    assert_ne!(bench.status()["state"], "switching");
    assert_eq!(bench.reboot(&[]), "b");
    // And such a slot is armed by nothing else.
    bench.surefoot(&["install", &bench.release("2.1.0"), "--stage"]).ok();
    bench.patch_disk(bench.slot_offset("a"), &[0; 4096]);
    bench.surefoot(&["switch"]).refused(65, "NOT_BOOTABLE");
    assert_eq!(bench.reboot(&[]), "b");
}

/// The rows of the table that a test asks for by their first words.
fn row(what: &str) -> &'static (&'static str, i32, &'static str, Ruin) {
    TABLE.iter().find(|row| row.0 == what).expect("a row of the table")
}

#[test]
fn the_daemon_says_the_same_codes() {
    for what in [
        "bootlimit is missing",
        "the environment is nearly full",
        "the trust file is damaged",
        "a check's program is not there",
    ] {
        let (what, status, code, ruin) = row(what);
        let bench = Bench::new();
        let artifact = bench.release("2.0.0");
        ruin(&bench);
        let daemon = Kept::start(&bench);
        let before = bench.firm_ground();
        all_refuse(&|words| daemon.surefoot(words), &artifact, *status, code);
        assert!(bench.firm_ground() == before, "{what}: something is changed");
    }
}

#[test]
fn the_stick_says_the_same_codes() {
    for what in ["the way back is missing", "a check's program is not there"] {
        let (what, status, code, ruin) = row(what);
        let bench = Bench::new();
        let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 32, 40);
        stick.put(&bench.release("2.0.0"), "x.surefoot");
        ruin(&bench);
        let said = bench.surefoot(&["stick", stick.text()]);
        assert_eq!(said.code, *status, "{what}: {}{}", said.out, said.err);
        assert_eq!(stick.json()["result"]["code"], *code, "{what}");
        assert!(stick.report().contains(&format!("Code: {code}\n")), "{what}: {}", stick.report());
    }
}

#[test]
fn checks_that_ask_systemd_can_never_run_on_a_machine_without_it() {
    for check in ["unit = [\"a.service\"]\n", "steady = [\"*\"]\n"] {
        let bench = Bench::new();
        let artifact = bench.release("2.0.0");
        configure(&bench, &format!("{CHECK}{check}"));
        match surefoot::sys::host::has_systemd() {
            true => skip::skipped("a unit check without systemd: systemd runs this machine"),
            false => {
                all_refuse(&|words| bench.surefoot(words), &artifact, 78, "CHECK_CANNOT_RUN");
            }
        }
    }
}

#[test]
fn without_a_daemon_too_an_unhealthy_system_leaves_a_full_state_folder() {
    let bench = Bench::new();
    let Some(_small) = tmpfs::at(&bench.path("DEV/state"), "16m") else {
        return skip::skipped("a full data partition: mounting a tmpfs needs root");
    };
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&["--fail"]), "b");
    let _full = std::fs::write(bench.path("DEV/state/filler"), vec![1; 20 << 20]);
    let left = std::fs::write(bench.path("DEV/state/one-more"), vec![1; 8 << 10]);
    assert!(left.is_err(), "the disk is not full");
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert_eq!(bench.reboot(&[]), "a");
    let status = bench.status();
    assert_eq!(
        (&status["state"], &status["last"]["reason"]),
        (&"rolled-back".into(), &"HEALTH_FAILED".into())
    );
}
