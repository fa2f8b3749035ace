//! Devices that come home by themselves: from a drill, with a certificate, and with a full disk.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common;
use crate::common::Bench;
use crate::common::skip;
use crate::common::tmpfs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Two releases that were installed: 2.0.0 in slot b, 2.1.0 runs in slot a.
fn updated_twice() -> Bench {
    let bench = Bench::new();
    for version in ["2.0.0", "2.1.0"] {
        bench.surefoot(&["install", &bench.release(version)]).ok();
        bench.reboot(&[]);
        bench.surefoot(&["commit"]).ok();
    }
    bench
}

/// Lets the daemon look after the device until `seen`, then kills it.
fn daemon_until(bench: &Bench, seen: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .args(["--config", &bench.path("DEV/surefoot.toml"), "daemon"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        let status = bench.status();
        if seen(&status) || start.elapsed() > Duration::from_secs(300) {
            break status;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(seen(&status), "{status:#}");
    status
}

#[test]
fn a_drill_comes_home_and_the_release_is_still_welcome() {
    let bench = updated_twice();
    let said = bench.surefoot(&["drill"]).ok();
    assert!(said.out.contains("A drill: 2.0.0 in slot b"), "{}", said.out);
    assert_eq!(bench.reboot(&[]), "b");
    assert_eq!(bench.status()["next"]["action"], "decide");
    // The other system's daemon judges it, and its verdict is given; it counts once it is in the environment.
    let status = daemon_until(&bench, |s| s["next"]["action"] == "reboot");
    assert_eq!(status["state"], "switching");
    assert_eq!(status["booted"], "b");
    assert_eq!(bench.reboot(&[]), "a");
    let status = daemon_until(&bench, |s| !s["drill"].is_null());
    assert_eq!(status["drill"]["kind"], "unhealthy");
    assert!(status["drill"]["seconds"].as_u64().unwrap() < 60, "{status:#}");
    assert_eq!(status["last"]["reason"], "HEALTH_FAILED");
    assert!(
        bench.surefoot(&["status"]).ok().out.contains("rollback proven on this board, unhealthy")
    );
    // Nobody was to blame: the same system is returned to as before.
    bench.surefoot(&["rollback"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    assert_eq!(bench.status()["state"], "updated");
}

#[test]
fn a_drill_that_nobody_came_back_from_blames_no_release_later_either() {
    let bench = updated_twice();
    bench.surefoot(&["drill", "panic"]).ok();
    (0..4).for_each(|_| drop(bench.reboot(&[])));
    daemon_until(&bench, |s| !s["drill"].is_null());
    // Another one is begun and abandoned: the journal speaks of that now, the environment does not.
    bench.surefoot(&["install", &bench.release("3.0.0"), "--stage"]).ok();
    bench.surefoot(&["rollback"]).ok();
    bench.surefoot(&["install", &bench.release("2.0.0"), "--allow-older"]).ok();
}

#[test]
fn a_person_cannot_commit_a_drill_by_its_checks() {
    let bench = updated_twice();
    bench.surefoot(&["drill", "unhealthy"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert_eq!(bench.reboot(&[]), "a");
}

#[test]
fn a_drill_needs_an_installed_release_and_quiet() {
    let bench = Bench::new();
    bench.surefoot(&["drill"]).refused(77, "DRILL_UNSAFE");
    let said = bench.surefoot(&["drill", "earthquake"]);
    assert_eq!(said.code, 64, "{}", said.err);
    assert!(said.err.contains("earthquake") && said.err.contains("unhealthy, hang, panic"));
    let bench = updated_twice();
    bench.surefoot(&["install", &bench.release("3.0.0"), "--stage"]).ok();
    bench.surefoot(&["drill"]).refused(77, "DRILL_UNSAFE");
    assert_eq!(bench.status()["state"], "staged");
}

#[test]
fn a_full_data_partition_sends_the_new_system_home_and_is_named() {
    let bench = Bench::new();
    let Some(_small) = tmpfs::at(&bench.path("DEV/state"), "16m") else {
        return skip::skipped("a full data partition: mounting a tmpfs needs root");
    };
    daemon_until(&bench, |_| common::exists(&bench.path("DEV/state/reserve.7")));
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    let _full = std::fs::write(bench.path("DEV/state/filler"), vec![1; 20 << 20]);
    let left = std::fs::write(bench.path("DEV/state/one-more"), vec![1; 8 << 10]);
    assert!(left.is_err(), "the disk is not full");
    let said = bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert!(said.err.contains("can-update-again") && said.err.contains("No space"), "{}", said.err);
    assert_eq!(bench.reboot(&[]), "a");
    let last = daemon_until(&bench, |s| s["state"] == "rolled-back")["last"].clone();
    assert_eq!(last["reason"], "HEALTH_FAILED", "{last:#}");
    assert!(last["detail"].as_str().unwrap().contains("No space"), "{last:#}");
}

#[test]
fn a_system_that_cannot_write_its_decision_down_reboots_as_a_failed_boot() {
    let bench = Bench::new();
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(common::read(&config)).unwrap();
    std::fs::write(&config, format!("{text}\n[health]\ndeadline = \"1s\"\n")).unwrap();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    std::fs::remove_dir_all(bench.path("DEV/state")).unwrap();
    std::fs::write(bench.path("DEV/state"), b"a file, no folder").unwrap();
    let told = std::cell::RefCell::new(String::new());
    daemon_until(&bench, |status| {
        told.borrow_mut().push_str(&bench.surefoot(&["events"]).out);
        status["state"] == "trying" && told.borrow().contains("this boot of its trial has failed")
    });
    // Outside a trial nothing is worth a reboot.
    assert_eq!(bench.reboot(&[]), "b");
    assert_eq!(bench.reboot(&[]), "b");
    assert_eq!(bench.reboot(&[]), "a");
    told.borrow_mut().clear();
    let since = std::cell::Cell::new(None);
    daemon_until(&bench, |_| {
        told.borrow_mut().push_str(&bench.surefoot(&["events"]).out);
        if told.borrow().contains("STATE_NOT_DURABLE") {
            since.set(since.get().or_else(|| Some(Instant::now())));
        }
        since.get().is_some_and(|t| t.elapsed() > Duration::from_secs(3))
    });
    assert!(told.borrow().contains("STATE_NOT_DURABLE"), "{}", told.borrow());
    assert!(!told.borrow().contains("this boot"), "{}", told.borrow());
}

#[test]
fn a_drill_that_never_comes_up_is_certified_by_the_counter() {
    let bench = updated_twice();
    bench.surefoot(&["drill", "hang"]).ok();
    let boots: Vec<_> = (0..4).map(|_| bench.reboot(&[])).collect();
    assert_eq!(boots, ["b", "b", "b", "a"]);
    let status = daemon_until(&bench, |s| !s["drill"].is_null());
    assert_eq!(
        (&status["drill"]["kind"], &status["drill"]["reason"]),
        (&"hang".into(), &"BOOT_FAILED".into())
    );
    // It may be drilled again, and returned to.
    bench.surefoot(&["drill", "panic"]).ok();
    bench.surefoot(&["rollback"]).ok();
    bench.surefoot(&["rollback"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
}
