//! How a trial ends when nobody decides it: orderly reboots, a deadline, and what they must not do.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{self, Bench};

/// Puts a line into the device's configuration.
fn configure(bench: &Bench, text: &str) {
    let config = bench.path("DEV/surefoot.toml");
    let old = String::from_utf8(common::read(&config)).unwrap();
    std::fs::write(&config, format!("{old}\n[trial]\n{text}\n")).unwrap();
}

/// The clock of the device: this boot has been up for so long.
fn up_for(bench: &Bench, seconds: u64) {
    std::fs::write(bench.path("DEV/run/uptime"), format!("{seconds}\n")).unwrap();
}

#[test]
fn an_orderly_reboot_of_a_trial_is_no_failed_boot_three_times() {
    for counter in ["uboot", "script"] {
        let bench = Bench::with(&["--counter", counter]);
        bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
        for given in 1..=3 {
            assert_eq!(bench.reboot(&[]), "b");
            assert_eq!(bench.status()["trial"]["bootcount"], 1, "{counter}, reboot {given}");
            let said = bench.surefoot(&["shutdown"]).ok();
            assert!(said.out.contains(&format!("given back, {given} of 3")), "{}", said.out);
            assert_eq!(bench.status()["trial"]["clean_reboots_left"], 3 - given);
            // Asked twice in one boot, as init systems do: one boot, one try.
            let before = bench.firm_ground();
            bench.surefoot(&["shutdown"]).ok();
            assert!(bench.firm_ground() == before);
        }
        for boot in 1..=3 {
            assert_eq!(bench.reboot(&[]), "b");
            assert_eq!(bench.status()["trial"]["bootcount"], boot, "{counter}");
            assert_eq!(bench.status()["trial"]["tries_left"], 3 - boot, "{counter}");
            let said = bench.surefoot(&["shutdown"]).ok();
            assert!(said.out.contains("counts"), "{}", said.out);
        }
        assert_eq!(bench.reboot(&[]), "a", "{counter}: a trial without an end");
        assert_eq!(bench.status()["last"]["reason"], "BOOT_FAILED");
        // The next transaction has its own three.
        bench.surefoot(&["install", &bench.release("2.1.0")]).ok();
        assert_eq!(bench.reboot(&[]), "b");
        assert!(bench.surefoot(&["shutdown"]).ok().out.contains("given back, 1 of 3"));
    }
}

/// kexec, soft-reboot: the try was given back, and U-Boot never saw the boot that follows. 0 tries then
/// do not mean that nobody counts.
#[test]
fn a_boot_that_u_boot_never_saw_does_not_send_a_good_release_home() {
    let bench = Bench::new();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    for _ in 0..3 {
        bench.surefoot(&["shutdown"]).ok();
        assert_eq!(bench.status()["trial"]["bootcount"], 0);
        // Another boot of the same slot, with no bootloader between.
        let file = bench.path("DEV/run/booted");
        let before = std::fs::metadata(&file).unwrap().modified().unwrap();
        let later = before + std::time::Duration::from_millis(10);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        assert_eq!(bench.status()["state"], "trying");
    }
    bench.surefoot(&["commit"]).ok();
    assert_eq!(bench.status()["state"], "updated");
    assert_eq!(bench.reboot(&[]), "b");
}

#[test]
fn an_integrator_may_count_orderly_reboots_too() {
    let bench = Bench::new();
    configure(&bench, "clean_reboots = 0");
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    for _ in 0..3 {
        assert_eq!(bench.reboot(&[]), "b");
        assert!(bench.surefoot(&["shutdown"]).ok().out.contains("counts"));
    }
    assert_eq!(bench.reboot(&[]), "a");
}

#[test]
fn the_deadline_is_summed_over_the_boots_of_a_trial() {
    let bench = Bench::new();
    configure(&bench, "deadline = \"10m\"");
    let slow = bench.release("2.0.0");
    bench.surefoot(&["install", &slow]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    up_for(&bench, 400);
    assert_eq!(bench.status()["trial"]["seconds_left"], 200);
    bench.surefoot(&["shutdown"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    up_for(&bench, 199);
    let line = bench.surefoot(&["status"]).ok().out;
    assert!(line.contains("boot 1 of 3, 1 second left to decide it"), "{line}");
    bench.surefoot(&["switch"]).refused(77, "TRIAL_PENDING");
    assert_eq!(bench.status()["state"], "trying");
    up_for(&bench, 200);
    let said = bench.surefoot(&["commit"]).refused(77, "DEADLINE_PASSED");
    assert!(said.err.contains("not decided within 10 minutes"), "{}", said.err);
    assert_eq!(bench.reboot(&[]), "a");
    assert_eq!(bench.status()["last"]["reason"], "DEADLINE_PASSED");
    bench.surefoot(&["install", &slow]).refused(65, "ROLLED_BACK_BEFORE");
}

#[test]
fn whatever_is_asked_after_the_deadline_the_device_goes_back() {
    let bench = Bench::new();
    let next = bench.release("3.0.0");
    let forced = ["commit", "--force", "--reason", "I like it"];
    for (n, verb) in [&["switch"][..], &["rollback"], &["install", &next], &["shutdown"], &forced]
        .iter()
        .enumerate()
    {
        bench.surefoot(&["install", &bench.release(&format!("2.{n}.0"))]).ok();
        assert_eq!(bench.reboot(&[]), "b");
        up_for(&bench, 3_600);
        bench.surefoot(verb);
        assert_eq!(bench.reboot(&[]), "a", "{verb:?}");
        assert_eq!(bench.status()["last"]["reason"], "DEADLINE_PASSED", "{verb:?}");
    }
}

#[test]
fn shutdown_writes_nothing_where_no_trial_is_to_be_decided() {
    let bench = Bench::new();
    let unchanged = |state: &str| {
        assert_eq!(bench.status()["state"], state);
        let all = || {
            let state = std::fs::read_dir(bench.path("DEV/state")).unwrap();
            let mut files: Vec<_> = state.map(|f| f.unwrap().path()).collect();
            files.sort();
            files.push(bench.path("DEV/disk.img").into());
            let read = |path: &std::path::PathBuf| common::read(path.to_str().unwrap());
            files.iter().map(|f| (f.clone(), read(f))).collect::<Vec<_>>()
        };
        let before = all();
        bench.surefoot(&["shutdown"]).ok();
        assert!(all() == before, "{state}");
    };
    unchanged("idle");
    bench.surefoot(&["install", &bench.release("2.0.0"), "--stage"]).ok();
    unchanged("staged");
    bench.surefoot(&["switch"]).ok();
    unchanged("switching");
    bench.reboot(&["--fail"]);
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    unchanged("switching"); // the verdict stands: no try is given back
    assert_eq!(bench.reboot(&[]), "a");
    unchanged("rolled-back"); // nobody has written that down yet, nor does this
    bench.update_to("2.1.0");
    unchanged("updated");
}
