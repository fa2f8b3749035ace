//! Bad input: each ends with its own reason code, one printable line, the documented exit status,
//! firm ground untouched, and the next good artifact installs.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{self, Bench, SLOT, image};

/// What is offered is refused with `reason`, changes nothing, and the good one installs after.
fn refuses(bench: &Bench, artifact: &str, code: i32, reason: &str) {
    let before = bench.firm_ground();
    bench.surefoot(&["install", artifact]).refused(code, reason);
    assert!(bench.firm_ground() == before, "{reason}: firm ground changed");
}

fn still_updates(bench: &Bench) {
    bench.update_to("8.0.0");
    assert_eq!(bench.status()["state"], "updated");
}

fn changed(bench: &Bench, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = common::read(&bench.release("2.0.0"));
    change(&mut bytes);
    let path = bench.path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn damaged_files() {
    let bench = Bench::new();
    let len = common::read(&bench.release("2.0.0")).len();
    for (name, cut) in
        [("empty", 0), ("head", 31), ("body", 300), ("last", len - 1), ("half", len / 2)]
    {
        let artifact = changed(&bench, name, |b| b.truncate(cut));
        refuses(&bench, &artifact, 65, "TRUNCATED");
    }
    refuses(&bench, &changed(&bench, "tail", |b| b.push(0)), 65, "TRAILING_BYTES");
    refuses(&bench, &changed(&bench, "end", |b| *b.last_mut().unwrap() ^= 1), 65, "CHUNK_CORRUPT");
    refuses(&bench, &changed(&bench, "signed", |b| b[200] ^= 1), 65, "SIGNATURE_INVALID");
    refuses(&bench, &changed(&bench, "newer", |b| b[8] = 4), 65, "UPDATER_TOO_OLD");
    for (name, magic) in [
        ("zip", b"PK\x03\x04".as_slice()),
        ("elf", b"\x7fELF"),
        ("png", b"\x89PNG\r\n\x1a\n"),
        ("raucb", b"hsqs"),
    ] {
        let artifact = changed(&bench, name, |b| b[..magic.len()].copy_from_slice(magic));
        refuses(&bench, &artifact, 65, "NOT_AN_ARTIFACT");
    }
    still_updates(&bench);
}

#[test]
fn any_flipped_bit_is_refused_and_so_is_any_cut() {
    let bench = Bench::new();
    let good = common::read(&bench.artifact("small", 5, 64 << 10, &["--version", "2.0.0"]));
    let before = bench.firm_ground();
    let path = bench.path("flipped");
    let head = 1200.min(good.len());
    let places = (0..head).step_by(37).chain((head..good.len()).step_by(good.len() / 40));
    for (at, bit) in places.zip((0..8).cycle()) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, &bytes).unwrap();
        let said = bench.surefoot(&["install", &path]);
        assert_eq!(said.code, 65, "bit {bit} of byte {at}: {}", said.err);
        std::fs::write(&path, &good[..at]).unwrap();
        bench.surefoot(&["install", &path]).refused(65, "TRUNCATED");
    }
    assert!(bench.firm_ground() == before);
    bench.surefoot(&["install", &bench.path("small.surefoot")]).ok();
}

#[test]
fn keys_and_trust() {
    let bench = Bench::new();
    let good = bench.release("2.0.0");
    common::forge(&["keygen", "--out", &bench.path("OTHER")]).ok();
    let stranger = bench.artifact(
        "stranger",
        3,
        1 << 20,
        &["--version", "2.0.0", "--key", &bench.path("OTHER/release.key")],
    );
    refuses(&bench, &stranger, 65, "SIGNATURE_UNTRUSTED");
    let unsigned = bench.artifact("unsigned", 3, 1 << 20, &["--version", "2.0.0", "--unsigned"]);
    refuses(&bench, &unsigned, 65, "SIGNATURE_MISSING");
    let root = bench.path("KEYS/root.key");
    common::forge(&["sign", &unsigned, "--key", &root]); // a key of another role, if forge does it at all
    assert!([65].contains(&bench.surefoot(&["install", &unsigned]).code));
    let trust = bench.path("DEV/trust.toml");
    let kept = common::read(&trust);
    std::fs::write(&trust, "").unwrap();
    refuses(&bench, &good, 78, "TRUST_MISSING");
    std::fs::remove_file(&trust).unwrap();
    refuses(&bench, &good, 78, "TRUST_MISSING");
    std::fs::write(&trust, "format = 1\nkeys = 5\n").unwrap();
    refuses(&bench, &good, 78, "TRUST_INVALID");
    std::fs::write(&trust, kept).unwrap();
    still_updates(&bench);
}

#[test]
fn another_product_another_board_another_size() {
    let bench = Bench::new();
    let of = |name: &str, len, words: &[&str]| bench.artifact(name, 4, len, words);
    refuses(
        &bench,
        &of("product", 1 << 20, &["--version", "2.0.0", "--product", "other"]),
        65,
        "WRONG_PRODUCT",
    );
    refuses(
        &bench,
        &of("board", 1 << 20, &["--version", "2.0.0", "--compatible", "demo-boar"]),
        65,
        "INCOMPATIBLE",
    );
    refuses(
        &bench,
        &of("hardware", 1 << 20, &["--version", "2.0.0", "--hardware", "rev9"]),
        65,
        "NO_PAYLOAD",
    );
    let room = SLOT - (1 << 20);
    refuses(&bench, &of("big", room + 4096, &["--version", "2.0.0"]), 65, "TOO_BIG");
    let fits = of("fits", room, &["--version", "2.0.0"]);
    bench.surefoot(&["install", &fits]).ok();
    bench.reboot(&[]);
    bench.surefoot(&["commit"]).ok();
    assert!(bench.slot_bytes("b")[..room] == image(4, room)[..]);
}

#[test]
fn names_that_lead_nowhere() {
    let bench = Bench::new();
    refuses(&bench, &bench.path("nothing"), 66, "NO_SUCH_FILE");
    bench.surefoot(&["verify", "nothing-here"]).refused(66, "NO_SUCH_FILE");
    assert_eq!(bench.surefoot(&["frobnicate"]).code, 64);
    assert_eq!(bench.surefoot(&["install"]).code, 64);
    let said = bench.surefoot(&["wait", "elsewhere"]);
    assert!(said.code == 64 && said.err.contains("elsewhere"), "{}{}", said.out, said.err);
    assert_eq!(bench.surefoot(&["commit", "--force"]).code, 64, "--force needs a reason");
    let no = common::run(
        env!("CARGO_BIN_EXE_surefoot"),
        &["--config", "/nowhere.toml", "status"],
        &[],
        b"",
    );
    no.refused(78, "CONFIG_MISSING");
    // Standard input that is closed, or ends too early.
    bench.surefoot_with(&["install", "-"], &[], b"").refused(69, "SOURCE_LOST");
    let half = common::read(&bench.release("2.0.0"));
    let before = bench.firm_ground();
    bench.surefoot_with(&["install", "-"], &[], &half[..half.len() / 2]).refused(69, "SOURCE_LOST");
    assert!(bench.firm_ground() == before);
    assert_eq!(bench.status()["slots"]["b"]["bootable"], false, "a torn slot says so");
    assert_eq!(bench.reboot(&[]), "a");
    still_updates(&bench);
}

#[test]
fn partition_tables() {
    let bench = Bench::new();
    let good = bench.release("2.0.0");
    let disk = common::read(&bench.path("DEV/disk.img"));
    let sector = |n: usize| disk[n * 512..(n + 1) * 512].to_vec();
    // Primary header torn: the backup serves. Both torn: nothing is touched.
    bench.patch_disk(512, &[0; 512]);
    let said = bench.surefoot(&["doctor"]);
    assert!(said.code == 0 && said.out.contains("warn"), "{}{}", said.out, said.err);
    bench.surefoot(&["install", &good, "--stage"]).ok();
    let last = disk.len() / 512 - 1;
    bench.patch_disk(last * 512, &[0; 512]);
    bench.surefoot(&["install", &good]).refused(74, "TABLE_UNREADABLE");
    assert_eq!(bench.surefoot(&["doctor"]).code, 74);
    bench.patch_disk(512, &sector(1));
    bench.patch_disk(last * 512, &sector(last));
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(common::read(&config)).unwrap();
    std::fs::write(&config, text.replace("\"rootfs-b\"", "\"rootfs-c\"")).unwrap();
    bench.surefoot(&["install", &good]).refused(78, "SLOT_MISSING");
    std::fs::write(&config, text).unwrap();
    still_updates(&bench);
}

#[test]
fn environments() {
    let bench = Bench::new();
    let good = bench.release("2.0.0");
    let disk = common::read(&bench.path("DEV/disk.img"));
    for dead in [[true, false], [false, true], [true, true]] {
        for (copy, dead) in dead.into_iter().enumerate() {
            let at = (4 + 4 * copy) << 20;
            bench.patch_disk(at, &disk[at..at + 0x4000]);
            if dead {
                bench.patch_disk(at + 100, b"\xff\xff\xff");
            }
        }
        match dead {
            // One dead copy is repaired by the way, never a reason to refuse.
            [true, true] => refuses(&bench, &good, 78, "ENV_UNREADABLE"),
            _ => {
                bench.surefoot(&["install", &good, "--stage"]).ok();
                assert_eq!(bench.status()["rollback"], "armed");
                bench.surefoot(&["rollback"]).ok();
            }
        }
    }
    for at in [4 << 20, 8 << 20] {
        bench.patch_disk(at, &disk[at..at + 0x4000]);
    }
    still_updates(&bench);
}

#[test]
fn a_board_that_could_not_come_back_is_not_armed() {
    let bench = Bench::new();
    let good = bench.release("2.0.0");
    for missing in ["bootlimit", "altbootcmd", "surefoot_counter"] {
        let kept = common::read(&bench.path("DEV/disk.img"));
        let config = bench.path("DEV/fw_env.config");
        let done = std::process::Command::new("fw_setenv")
            .args(["-c", &config, missing])
            .current_dir(bench.path("DEV"))
            .status();
        assert!(done.expect("fw_setenv: install libubootenv-tool").success());
        refuses(&bench, &good, 77, "ROLLBACK_OFF");
        let said = bench.surefoot(&["doctor", "--json"]);
        assert_eq!(said.code, 77);
        assert_eq!(said.json()["rollback"], "off");
        assert!(said.out.contains(missing), "{missing}: {}", said.out);
        std::fs::write(bench.path("DEV/disk.img"), kept).unwrap();
    }
    still_updates(&bench);
}

#[test]
fn state_and_configuration() {
    let bench = Bench::new();
    let good = bench.release("2.0.0");
    std::fs::remove_dir_all(bench.path("DEV/state")).unwrap();
    std::fs::write(bench.path("DEV/state"), b"a file, no folder").unwrap();
    refuses(&bench, &good, 78, "STATE_NOT_DURABLE");
    bench.surefoot(&["status"]).ok();
    std::fs::remove_file(bench.path("DEV/state")).unwrap();
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(common::read(&config)).unwrap();
    std::fs::write(&config, format!("{text}\n[weather]\nrain = 1\n")).unwrap();
    let said = bench.surefoot(&["config", "check"]);
    assert!(said.code == 78 && said.out.contains("weather"), "{}{}", said.out, said.err);
    let said = bench.surefoot(&["status"]).ok();
    assert!(said.err.contains("weather"), "unknown keys are told: {}", said.err);
    std::fs::write(&config, text.replace("\"demo\"", "5")).unwrap();
    let said = bench.surefoot(&["status"]).refused(78, "CONFIG_INVALID");
    assert!(said.err.contains("surefoot.toml:"), "names the line: {}", said.err);
    // Files that it names and that are not there: each with the line that names it.
    let hook = "[[hook]]\nname = \"gate\"\nat = \"before-install\"\ncommand = [\"./gate\"]";
    let lines = text.trim_end().lines().count();
    std::fs::write(&config, format!("{}\n{hook}\n", text.trim_end())).unwrap();
    std::fs::rename(bench.path("DEV/trust.toml"), bench.path("away")).unwrap();
    let said = bench.surefoot(&["config", "check"]).ok();
    let gate = format!("surefoot.toml:{}: hook.gate: ", lines + 1);
    assert!(said.out.contains(&gate) && said.out.contains("/gate is not there"), "{}", said.out);
    assert!(said.out.contains("trust.file: "), "{}", said.out);
    std::fs::rename(bench.path("away"), bench.path("DEV/trust.toml")).unwrap();
    std::fs::write(&config, text).unwrap();
    let said = bench.surefoot(&["config", "check"]).ok();
    assert_eq!(said.out, "The configuration is sound.\n");
    std::fs::write(bench.path("DEV/run/booted"), "c\n").unwrap();
    bench.surefoot(&["install", &good]).refused(78, "BOOTED_UNKNOWN");
    std::fs::write(bench.path("DEV/run/booted"), "a\n").unwrap();
    still_updates(&bench);
}

/// The program with so much address space (KiB); its exit status, `None` after a signal, and what it
/// said.
fn within(kib: u64, words: &[&str]) -> (Option<i32>, String) {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -v \"$1\" && shift && exec \"$@\"", "sh", &kib.to_string()]);
    // glibc reserves 64 MiB of addresses for a further thread, or none, as it comes: what is tried is the same each time without.
    shell.env("MALLOC_ARENA_MAX", "1");
    let output = shell.arg(env!("CARGO_BIN_EXE_surefoot")).args(words).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn too_little_memory_is_refused_with_a_code_and_what_was_begun_goes_on() {
    let bench = Bench::new();
    let (good, config) = (bench.release("2.0.0"), bench.path("DEV/surefoot.toml"));
    // What the program takes before it does anything.
    let starts = |kib: &u64| within(*kib, &["--version"]).0 == Some(0);
    let least = (4_000..400_000).step_by(1_000).find(starts).unwrap();
    let before = bench.firm_ground();
    let (mut refused, mut done) = (0, 0);
    for more in (6..=80).step_by(12) {
        let install = ["--config", &config, "install", "--stage", "--reinstall", &good];
        let (status, said) = within(least + more * 1_000, &install);
        match status {
            Some(0) => done += 1,
            Some(74) => {
                assert!(said.contains("[NO_MEMORY]"), "{more} MB more: {said}");
                refused += 1;
            }
            other => panic!("{more} MB more: {other:?}, {said}"),
        }
        assert!(bench.firm_ground() == before);
    }
    assert!(refused > 0 && done > 0, "{refused} refused, {done} done");
    still_updates(&bench);
}
