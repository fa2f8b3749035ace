//! "Rollback armed" is said only where the steps of the stored environment lead home; what is said
//! otherwise names the step.

use crate::common::Bench;
use std::process::Command;

/// Sets a variable as an integrator does, or removes it; returns what stood there.
fn set(bench: &Bench, name: &str, value: Option<&str>) -> Option<String> {
    let config = bench.path("DEV/fw_env.config");
    let tool = |program: &str, words: &[&str]| {
        let mut all = Command::new(program);
        all.args(["-c", &config]).args(words).current_dir(bench.path("DEV"));
        all.output().expect("install libubootenv-tool")
    };
    let before = tool("fw_printenv", &["-n", name]);
    let words: Vec<&str> = std::iter::once(name).chain(value).collect();
    assert!(tool("fw_setenv", &words).status.success());
    let text = String::from_utf8_lossy(&before.stdout).trim_end_matches('\n').to_owned();
    before.status.success().then_some(text)
}

#[test]
fn nothing_is_armed_where_no_step_leads_home_and_the_step_is_named() {
    let bench = Bench::new();
    let good = bench.release("2.0.0");
    for (name, value, said) in [
        ("altbootcmd", "run distro_bootcmd", "`run distro_bootcmd` fails"),
        ("altbootcmd", "run bootcmd", "it stores nothing"),
        ("altbootcmd", "reset", "resets the board"),
        ("altbootcmd", "true", "it stores nothing"),
        ("altbootcmd", "x", "it stores nothing"),
        ("altbootcmd", "", "`altbootcmd` is not set"),
        ("bootlimit", "03", "bootlimit"),
        ("bootlimit", "3x", "bootlimit"),
        ("bootlimit", "3 ", "bootlimit"),
        ("bootlimit", " 3", "bootlimit"),
        ("bootlimit", "+3", "bootlimit"),
        ("bootlimit", "0", "bootlimit"),
        ("bootlimit", "10", "bootlimit"),
        ("bootlimit", "4294967299", "bootlimit"),
        ("surefoot_counter", "uboot ", "surefoot_counter"),
        ("kernel_addr_r", "", "`kernel_addr_r` is not set"),
        ("scriptaddr", "", "boot.scr"),
        ("bootcmd", "", "`bootcmd` is not set"),
    ] {
        let before = set(&bench, name, Some(value).filter(|v| !v.is_empty()));
        let refused = bench.surefoot(&["install", &good]);
        assert_eq!(refused.reason(), Some("ROLLBACK_OFF"), "{name}={value}");
        assert!(refused.err.contains(said), "{name}={value}: {}", refused.err);
        let doctor = bench.surefoot(&["doctor", "--json"]);
        assert_eq!(
            (doctor.code, &doctor.json()["rollback"]),
            (77, &"off".into()),
            "{name}={value}"
        );
        assert!(doctor.out.contains(said), "{name}={value}: {}", doctor.out);
        set(&bench, name, before.as_deref());
    }
    bench.surefoot(&["install", &good]).ok();
}

#[test]
fn a_board_that_stops_at_its_prompt_names_the_step_that_failed() {
    let bench = Bench::new();
    let good = bench.release("2.0.0");
    bench.surefoot(&["install", &good]).ok();
    let stopped = |name: &str, value: Option<&str>, said: &str| {
        let before = set(&bench, name, value);
        let told = bench.sim(&["reboot", "--json"]);
        assert_eq!(told.code, 74, "{name}");
        let step = told.json()["stopped"].to_string();
        assert!(step.contains(said) && told.err.contains("failed"), "{name}: {step}: {}", told.err);
        set(&bench, name, before.as_deref());
    };
    stopped("scriptaddr", None, "is a load address not set?");
    stopped("kernel_addr_r", None, "is a load address not set?");
    stopped("kernel_addr_r", Some("nowhere"), "no load address");
    stopped("bootcmd", Some("run distro_bootcmd"), "run distro_bootcmd");
}

/// The boot script is a file on the disk, and a file may hold anything.
#[test]
fn a_hostile_boot_script_neither_overflows_the_simulator_nor_keeps_it_for_ever() {
    let bench = Bench::new();
    let nested = "for i in 1 2 3 4 5 6 7 8 9; do ".repeat(12) + "true; " + &"done; ".repeat(12);
    for script in [
        "if ".repeat(5_000),
        nested,
        "setenv a x; while true; do setenv a ${a}${a}; done".to_owned(),
        "setenv x \"run x; run x\"; run x".to_owned(),
    ] {
        let before = set(&bench, "bootcmd", Some(&script));
        let told = bench.sim(&["reboot"]);
        assert!([74, 78].contains(&told.code), "{}: {}", told.code, told.err);
        set(&bench, "bootcmd", before.as_deref());
    }
    assert_eq!(bench.reboot(&[]), "a");
}

/// A healthy environment that `fw_env.config` describes wrong: to write over it would destroy it.
#[test]
fn a_wrong_fw_env_config_is_called_so_with_the_lines_that_are_right() {
    let bench = Bench::on_disk();
    let good = bench.release("2.0.0");
    let config = bench.path("DEV/fw_env.config");
    let right = std::fs::read_to_string(&config).unwrap();
    let (first, second) = ("`disk.img 0x400000 0x4000`", "`disk.img 0x800000 0x4000`");
    for (text, lines) in [
        ("disk.img 0x400000 0x8000\ndisk.img 0x800000 0x8000\n", &[first, second][..]),
        ("disk.img 0x400000 0x2000\ndisk.img 0x800000 0x2000\n", &[first, second]),
        ("disk.img 0x400000 0x4000\n", &[first, second]),
        ("disk.img 0x800000 0x4000\n", &[first, second]),
        ("disk.img 0x400000 0x4000\ndisk.img 0x810000 0x4000\n", &[first, second]),
        ("disk.img 0x100000 0x4000\ndisk.img 0x800000 0x4000\n", &[first, second]),
        ("disk.img 0x410000 0x4000\ndisk.img 0x810000 0x4000\n", &[first]),
        ("disk.img 0xb00000 0x10000\n", &[first, second]),
        ("elsewhere.img 0x400000 0x4000\n", &["elsewhere.img"]),
        ("uboot.env 0 0x4000\n", &["uboot.env", "does not exist"]),
        ("uboot.env 0 0x4000\nuboot-redund.env 0 0x4000\n", &["uboot.env", "does not exist"]),
        ("/dev/nothing 0x400000 0x4000\n", &["/dev/nothing"]),
        ("nowhere/uboot.env 0 0x4000\n", &["nowhere/uboot.env"]),
    ] {
        std::fs::write(&config, text).unwrap();
        let before = bench.firm_ground();
        let refused = bench.surefoot(&["install", &good]).refused(78, "ENV_CONFIG");
        let doctor = bench.surefoot(&["doctor"]);
        assert_eq!(doctor.code, 78, "{text}: {}", doctor.out);
        for line in lines {
            assert!(doctor.out.contains(line), "{text}: {}", doctor.out);
        }
        for said in [&doctor.out, &refused.err] {
            assert!(!said.contains("mkenvimage"), "{text}: {said}");
        }
        assert!(bench.firm_ground() == before, "{text}");
    }
    std::fs::write(&config, right).unwrap();
    bench.surefoot(&["install", &good]).ok();
}

#[test]
fn two_dead_copies_are_both_named_in_the_status() {
    let bench = Bench::new();
    for at in [4 << 20, 8 << 20] {
        bench.patch_disk(at + 100, b"\xff\xff\xff");
    }
    let said = bench.surefoot(&["status"]).ok();
    for word in ["ENV_UNREADABLE", "byte 4194304", "byte 8388608", "checksum wrong"] {
        assert!(said.out.contains(word), "{}", said.out);
    }
    assert!(!said.out.contains("kernel could not be loaded"), "{}", said.out);
    let status = bench.status();
    assert_eq!(
        (&status["degraded"], &status["environment"]["code"]),
        (&false.into(), &"ENV_UNREADABLE".into())
    );
    let refused = bench.surefoot(&["install", &bench.release("2.0.0")]);
    let refused = refused.refused(78, "ENV_UNREADABLE");
    assert!(refused.err.contains("copy 1") && refused.err.contains("copy 2"), "{}", refused.err);
}
