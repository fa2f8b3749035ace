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
