//! Where hostile and unlucky environments lead.

use super::{Env, way_back::findings};
use crate::boot::{Finding, Grade, overall};

const SHIPPED: [&str; 2] = [
    include_str!("../../../uboot-scripts/factory-env-uboot.txt"),
    include_str!("../../../uboot-scripts/factory-env-script.txt"),
];

fn factory(text: &str) -> Env {
    let mut env = Env::from_text(text).unwrap();
    for (name, value) in
        [("kernel_addr_r", "0x1000000"), ("ramdisk_addr_r", "2000000"), ("scriptaddr", "0x1000")]
    {
        env.set(name, value).unwrap();
    }
    env
}

fn with(pairs: &[(&str, &str)]) -> Vec<Finding> {
    let mut env = factory(SHIPPED[0]);
    for (name, value) in pairs {
        match value.is_empty() {
            true => env.remove(name),
            false => env.set(name, value).unwrap(),
        }
    }
    findings(&env)
}

#[test]
fn the_shipped_way_back_is_proved_for_both_counters_and_from_both_slots() {
    for text in SHIPPED {
        for slot in ["a", "b"] {
            let mut env = factory(text);
            env.set("surefoot_slot", slot).unwrap();
            env.set("surefoot_good", slot).unwrap();
            assert_eq!(findings(&env), [], "{slot}");
            // In the middle of a trial too, and with its boots used up.
            env.set("upgrade_available", "1").unwrap();
            env.set("bootcount", "4").unwrap();
            assert_eq!(findings(&env), [], "{slot}");
        }
        // The whole script in a variable, as surefoot.env brings it.
        let mut env = factory(text);
        let own = include_str!("../../../uboot-scripts/surefoot.env");
        let script = own.lines().find_map(|l| l.strip_prefix("surefoot_boot=")).unwrap();
        env.set("surefoot_boot", script).unwrap();
        assert_eq!(findings(&env), []);
    }
}

/// Presence is no effect: each of these is an `altbootcmd` that is set, and leads nowhere.
#[test]
fn a_way_back_that_does_not_lead_home_is_off_and_its_step_is_named() {
    let home = "setenv surefoot_slot ${surefoot_good}; setenv upgrade_available 0; setenv bootcount 0; setenv surefoot_fallback ${surefoot_txn}; ";
    let and = |rest: &str| format!("{home}{rest}");
    for (way_back, said) in [
        ("run distro_bootcmd".to_owned(), "run distro_bootcmd"),
        ("run bootcmd".to_owned(), "no `saveenv` is"),
        ("boot".to_owned(), "no `saveenv` is"),
        ("reset".to_owned(), "resets the board before"),
        ("poweroff".to_owned(), "switches the board off"),
        ("true".to_owned(), "stores nothing"),
        ("x".to_owned(), "stores nothing"),
        ("echo surefoot_slot upgrade_available saveenv; run bootcmd".to_owned(), "stores nothing"),
        ("run altbootcmd".to_owned(), "run each other"),
        ("while true; do true; done".to_owned(), "too many commands"),
        ("if true; then".to_owned(), "cannot be followed"),
        ("bootm ${kernel_addr_r}".to_owned(), "starts a kernel by itself"),
        (and("bootm 1000"), "starts a kernel by itself"),
        (and("run bootcmd"), "no `saveenv` is"),
        (and("reset"), "resets the board before"),
        (format!("saveenv; {home} run bootcmd"), "`saveenv` comes before"),
        (and("saveenv"), "without `run bootcmd`"),
        ("setenv surefoot_slot a; setenv upgrade_available 0; saveenv; run bootcmd".into(), "slot b"),
        (
            "setenv surefoot_slot ${surefoot_slot}; setenv upgrade_available 0; saveenv; run bootcmd".into(),
            "stores surefoot_slot=",
        ),
        ("setenv surefoot_slot ${surefoot_good}; saveenv; run bootcmd".into(), "trial goes on"),
        (
            "setenv surefoot_slot ${surefoot_good}; setenv upgrade_available 2; saveenv; run bootcmd".into(),
            "upgrade_available=2",
        ),
        (and("if mmc dev 0; then saveenv; fi; run bootcmd"), "no `saveenv` is"),
        (and("saveenv && false && run bootcmd"), "without `run bootcmd`"),
        (and("env default -a; saveenv; run bootcmd"), "changes the environment"),
        (and("saveenv; env default -a; saveenv; run bootcmd"), "changes the environment"),
        ("part uuid mmc 0:1 surefoot_slot; saveenv; run bootcmd".to_owned(), "sets `surefoot_slot`"),
        (and("saveenv; echo $(x); run bootcmd"), "cannot be followed"),
    ] {
        let found = with(&[("altbootcmd", &way_back)]);
        assert_eq!(overall(&found), Grade::Off, "{way_back}: {found:?}");
        assert!(found.iter().any(|f| f.reason.contains(said)), "{way_back}: {found:?}");
        assert!(found[0].remedy.contains("altbootcmd"), "{found:?}");
    }
    assert_eq!(overall(&with(&[("altbootcmd", "")])), Grade::Off);
}

#[test]
fn a_board_may_have_a_way_back_of_its_own() {
    let home = "setenv surefoot_slot ${surefoot_good}; setenv upgrade_available 0; setenv bootcount 0; setenv surefoot_fallback ${surefoot_txn}; saveenv; ";
    let shipped = factory(SHIPPED[0]).get("altbootcmd").unwrap().into_owned();
    for way_back in [
        format!("{home} run bootcmd"),
        format!("{home} boot"),
        // What is stored boots the good slot at the next start.
        format!("{home} reset"),
        format!("led red on; if gpio input 5; then echo pressed; fi; {home} run bootcmd"),
        format!(
            "if test ${{bootcount}} -gt ${{bootlimit}} || test x${{sf_nested}} = x1; then {home} fi; run bootcmd"
        ),
        format!("env set surefoot_x 1; {home} env save; run bootcmd"),
        format!("setenv try 'run way'; setenv way \"{}\"; run try", "echo; run real"),
    ] {
        let pairs = [("altbootcmd", way_back.as_str()), ("real", shipped.as_str())];
        assert_eq!(with(&pairs), [], "{way_back}");
    }
    // A command that is not known may be anything: told, and not refused.
    let found = with(&[("altbootcmd", &format!("acme_beep 3; {home} run bootcmd"))]);
    assert_eq!((overall(&found), found.len()), (Grade::Weak, 1), "{found:?}");
    assert!(found[0].reason.contains("acme_beep"), "{found:?}");
    let nameless = home.replace("surefoot_fallback", "other");
    let found = with(&[("altbootcmd", &format!("{nameless} run bootcmd"))]);
    assert_eq!(overall(&found), Grade::Weak, "{found:?}");
}

#[test]
fn a_bootcmd_that_never_comes_to_the_boot_script_is_off() {
    for (pairs, level, said) in [
        (vec![("bootcmd", "")], Grade::Off, "`bootcmd` is not set"),
        (vec![("bootcmd", "run distro_bootcmd")], Grade::Off, "run distro_bootcmd"),
        (vec![("bootcmd", "true")], Grade::Off, "does not lead to the boot script"),
        (vec![("bootcmd", "reset")], Grade::Off, "resets"),
        (vec![("bootcmd", "booti 1000 - 2000")], Grade::Off, "kernel by itself"),
        (vec![("surefoot_boot", "")], Grade::Off, "run surefoot_boot"),
        (vec![("scriptaddr", "")], Grade::Off, "load mmc 0:1 boot.scr"),
        (vec![("scriptaddr", "x")], Grade::Off, "load mmc 0:1 x boot.scr"),
        (vec![("bootdelay", "-1")], Grade::Off, "`bootdelay`"),
        (vec![("bootcmd", "acme $(x)")], Grade::Weak, "cannot be followed"),
        (vec![("kernel_addr_r", "")], Grade::Off, "`kernel_addr_r` is not set"),
        (vec![("kernel_addr_r", "0x8000000z")], Grade::Off, "no load address"),
        (vec![("ramdisk_addr_r", "")], Grade::Weak, "`ramdisk_addr_r`"),
        (vec![("ramdisk_addr_r", ""), ("surefoot_initrd", "/i")], Grade::Off, "`ramdisk_addr_r`"),
        (vec![("surefoot_fdt", "/d")], Grade::Off, "`fdt_addr_r`"),
    ] {
        let found = with(&pairs);
        assert_eq!(overall(&found), level, "{pairs:?}: {found:?}");
        assert!(found[0].reason.contains(said), "{pairs:?}: {found:?}");
    }
    for pairs in [
        vec![("bootdelay", "-2")],
        vec![("bootcmd", "bootflow scan -lb")],
        vec![("bootcmd", "load mmc 0:1 ${scriptaddr} x; source ${scriptaddr}")],
        // Only in the shell's own variables, as a board may do that shares its disk with another.
        vec![("kernel_addr_r", ""), ("bootcmd", "kernel_addr_r=80000; run surefoot_boot")],
        vec![
            ("boot_targets", "mmc1 mmc0"),
            ("bootcmd_mmc0", "devnum=0; run mmc_boot"),
            (
                "mmc_boot",
                "if mmc dev ${devnum}; then part list mmc ${devnum} -bootable parts; for p in ${parts}; do if test -e mmc ${devnum}:${p} boot.scr; then load mmc 0:${p} ${scriptaddr} boot.scr; source ${scriptaddr}; fi; done; fi",
            ),
            ("bootcmd", "for t in ${boot_targets}; do run bootcmd_${t}; done"),
        ],
    ] {
        assert_eq!(with(&pairs), [], "{pairs:?}");
    }
}

/// A device asks this at each look: whatever stands there, it answers, and soon.
#[test]
fn no_environment_keeps_the_question_from_being_answered() {
    let loops = "for i in 1 2 3 4 5 6 7 8 9; do ".repeat(20) + "mmc dev 0; " + &"done; ".repeat(20);
    for script in [
        "if ".repeat(4_000),
        loops,
        "setenv a x; while mmc dev 0; do setenv a ${a}${a}; done".to_owned(),
        "run altbootcmd || run bootcmd || run altbootcmd".to_owned(),
        "\u{1b}[2J".to_owned(),
    ] {
        for name in ["altbootcmd", "bootcmd"] {
            let found = with(&[(name, &script)]);
            assert_ne!(overall(&found), Grade::Armed, "{script}");
        }
    }
}
