//! What a daemon finds that nobody would choose: it stays, answers, and costs nothing.

use crate::common::Bench;
use crate::kept::{Kept, configure};
use std::time::Duration;

/// CPU time of a process so far (proc(5), `stat`).
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 on every Linux that matters here.
    Duration::from_millis(ticks * 10)
}

fn stays_calm(daemon: &mut Kept) {
    let before = cpu(daemon.pid());
    std::thread::sleep(Duration::from_secs(3));
    assert!(daemon.runs());
    let spent = cpu(daemon.pid()) - before;
    assert!(spent < Duration::from_millis(200), "{spent:?} of CPU in three seconds");
}

/// An error document with this code, from a request that cannot be answered.
fn refuses(daemon: &Kept, target: &str, status: u16, code: &str) {
    let (found, document) = daemon.ask("status.sock", "GET", target);
    assert_eq!((found, &document["error"]["code"]), (status, &code.into()), "{document}");
    assert!(document["error"]["next"].as_str().unwrap().len() > 10, "{document}");
}

fn doctor_stops(daemon: &Kept, code: &str) {
    let (status, document) = daemon.ask("status.sock", "GET", "/v1/doctor");
    assert_eq!(status, 200, "{document}");
    let findings = document["findings"].as_array().unwrap();
    let blocks = findings.iter().any(|f| f["level"] == "blocking" && f["code"] == code);
    assert!(blocks, "{code}: {document}");
    let said = daemon.surefoot(&["doctor"]);
    assert!(said.code != 0 && said.out.contains("STOP"), "{}{}", said.code, said.out);
}

#[test]
fn a_slot_that_is_missing_is_named() {
    let bench = Bench::new();
    configure(&bench, "");
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(crate::common::read(&config)).unwrap();
    std::fs::write(&config, text.replace("[\"rootfs-b\"]", "[\"rootfs-c\"]")).unwrap();
    let mut daemon = Kept::start(&bench);
    refuses(&daemon, "/v1/status", 500, "SLOT_MISSING");
    refuses(&daemon, "/v1/why", 500, "SLOT_MISSING");
    doctor_stops(&daemon, "SLOT_MISSING");
    daemon.surefoot(&["status"]).refused(78, "SLOT_MISSING");
    daemon.surefoot(&["install", &bench.release("2.0.0")]).refused(78, "SLOT_MISSING");
    stays_calm(&mut daemon);
    // Mended, it goes on by itself: no restart, no word.
    std::fs::write(&config, text).unwrap();
    crate::kept::until("it sees", || daemon.log().contains("idle: Running"));
    assert_eq!(daemon.status()["state"], "idle");
}

#[test]
fn garbage_in_both_copies_of_the_environment_is_told_and_nothing_is_written() {
    let bench = Bench::new();
    for at in [4 << 20, 8 << 20] {
        bench.patch_disk(at, &[0xA5; 0x4000]);
    }
    let before = bench.firm_ground();
    let mut daemon = Kept::start(&bench);
    let status = daemon.status();
    assert_eq!(
        (&status["state"], &status["rollback"]),
        (&"idle".into(), &"off".into()),
        "{status}"
    );
    doctor_stops(&daemon, "ENV_UNREADABLE");
    daemon.surefoot(&["install", &bench.release("2.0.0")]).refused(78, "ENV_UNREADABLE");
    stays_calm(&mut daemon);
    assert!(bench.firm_ground() == before);
}

#[test]
fn a_state_folder_that_cannot_be_written_stops_updates_and_not_the_daemon() {
    let bench = Bench::new();
    std::fs::remove_dir(bench.path("DEV/state")).unwrap();
    std::fs::write(bench.path("DEV/state"), "this is no folder").unwrap();
    let mut daemon = Kept::start(&bench);
    assert_eq!(daemon.status()["state"], "idle");
    doctor_stops(&daemon, "STATE_NOT_DURABLE");
    daemon.surefoot(&["install", &bench.release("2.0.0")]).refused(78, "STATE_NOT_DURABLE");
    daemon.surefoot(&["hold"]).refused(78, "STATE_NOT_DURABLE");
    assert_eq!(daemon.ask("control.sock", "POST", "/v1/hold").0, 500);
    stays_calm(&mut daemon);
}

#[test]
fn a_trial_with_a_read_only_state_folder_is_decided_when_its_tries_are_used_up() {
    // What cannot be written down cannot be committed; the boot script has the last word.
    let bench = crate::kept::quick();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    std::fs::remove_dir_all(bench.path("DEV/state")).unwrap();
    std::fs::write(bench.path("DEV/state"), "this is no folder").unwrap();
    let mut daemon = Kept::start(&bench);
    assert_eq!(daemon.status()["state"], "trying");
    stays_calm(&mut daemon);
    doctor_stops(&daemon, "STATE_NOT_DURABLE");
    assert_eq!(daemon.status()["state"], "trying");
    drop(daemon);
    for _ in 0..2 {
        assert_eq!(bench.reboot(&[]), "b");
    }
    assert_eq!(bench.reboot(&[]), "a");
}

#[test]
fn a_configuration_that_breaks_while_it_runs_is_told_with_file_and_line() {
    let bench = Bench::new();
    let mut daemon = Kept::start(&bench);
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(crate::common::read(&config)).unwrap();
    std::fs::write(&config, format!("{text}\n[trial]\ndeadline = true\n")).unwrap();
    refuses(&daemon, "/v1/status", 500, "CONFIG_INVALID");
    let (_, document) = daemon.ask("status.sock", "GET", "/v1/status");
    assert!(document["error"]["detail"].as_str().unwrap().contains("surefoot.toml:"), "{document}");
    stays_calm(&mut daemon);
    std::fs::write(&config, text).unwrap();
    assert_eq!(daemon.status()["state"], "idle");
}

#[test]
fn a_second_daemon_gives_way_to_the_first() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    bench.surefoot(&["daemon"]).refused(75, "BUSY");
    assert_eq!(daemon.status()["state"], "idle");
}
