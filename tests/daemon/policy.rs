//! What an update does that nobody asked for: it waits for a word, for a window, for a hold.

use crate::kept::{Kept, configure, quick, until};

/// As a stick does: the artifact is sent, and nobody has asked for it by name.
fn arrives(daemon: &Kept, artifact: &str) -> serde_json::Value {
    let socket = daemon.folder.join("control.sock").to_str().unwrap().to_owned();
    let target = "http://surefoot/v1/install?by=stick&automatic=1";
    let words = ["-sS", "--unix-socket", &socket, "-T", artifact, target];
    crate::common::run("curl", &words, &[], b"").ok().json()
}

/// It waits for these, in order of name. For a moment it may also wait for its own work to end.
fn waits_for(daemon: &Kept, expected: &[&str]) {
    until("it waits for nothing else", || {
        let why = daemon.surefoot(&["why", "--json"]).ok().json();
        let waits = why["waits"].as_array().unwrap();
        let mut found: Vec<_> = waits.iter().map(|w| w["what"].as_str().unwrap()).collect();
        found.sort_unstable();
        found == expected
    });
}

fn told(daemon: &Kept, what: &str) -> bool {
    daemon.surefoot(&["events"]).ok().out.contains(what)
}

#[test]
fn with_confirm_it_is_written_and_waits_for_a_word() {
    let bench = quick();
    configure(&bench, "[update]\nconfirm = true\nreboot = \"asked\"\n");
    let daemon = Kept::start(&bench);
    let answer = arrives(&daemon, &bench.release("2.0.0"));
    assert_eq!(answer["state"], "staged", "{answer:#}");
    waits_for(&daemon, &["confirm"]);
    daemon.surefoot(&["confirm"]).ok();
    assert_eq!(daemon.status()["state"], "switching");
    drop(daemon);
    assert_eq!(bench.reboot(&[]), "b");
    let daemon = Kept::start(&bench);
    daemon.until_state("updated");
    let history = daemon.surefoot(&["history"]).ok().out;
    assert!(history.contains("by stick"), "{history}");
}

#[test]
fn a_closed_window_and_a_file_hold_the_reboot_back_and_not_the_writing() {
    let bench = quick();
    // Open for a minute a week, which is not now.
    let other = (surefoot::sys::clock::unix_seconds() / 86_400 + 4 + 3) % 7;
    let day = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][usize::try_from(other).unwrap()];
    let busy = bench.path("DEV/busy");
    let window = format!("windows = [\"{day} 03:00-03:01\"]\nzone = \"utc\"\nfiles = [\"{busy}\"]");
    configure(&bench, &format!("[update]\nreboot = \"window\"\n\n[inhibit]\n{window}\n"));
    std::fs::write(&busy, b"").unwrap();
    let daemon = Kept::start(&bench);
    let answer = arrives(&daemon, &bench.release("2.0.0"));
    assert_eq!(answer["state"], "switching", "{answer:#}");
    waits_for(&daemon, &["file", "window"]);
    until("it tells what it waits for", || told(&daemon, "waiting"));
    assert!(!told(&daemon, "rebooting"));
    // What a person asks for waits for neither.
    daemon.surefoot(&["install", &bench.release("2.0.0"), "--reboot"]).ok();
    until("it reboots", || told(&daemon, "rebooting"));
}

#[test]
fn a_hold_counts_until_the_last_moment_before_the_reboot() {
    let bench = quick();
    let (asked, go) = (bench.path("asked"), bench.path("go"));
    let script = format!("touch {asked}; while [ ! -e {go} ]; do sleep 0.05; done");
    let hook = "[[hook]]\nname = \"slow\"\nat = \"before-reboot\"\ntimeout = \"30m\"";
    let command = format!("command = [\"/bin/sh\", \"-c\", {script:?}]");
    configure(&bench, &format!("{hook}\n{command}\n"));
    let daemon = Kept::start(&bench);
    assert_eq!(arrives(&daemon, &bench.release("2.0.0"))["state"], "switching");
    until("its programs are asked", || crate::common::exists(&asked));
    daemon.surefoot(&["hold", "--reason", "a demonstration"]).ok();
    std::fs::write(go, b"").unwrap();
    until("it tells what it waits for", || told(&daemon, "waiting: "));
    assert!(!told(&daemon, "rebooting"), "{}", daemon.log());
    daemon.surefoot(&["unhold"]).ok();
    until("it reboots", || told(&daemon, "rebooting"));
}

#[test]
fn what_comes_by_itself_takes_no_place_of_what_a_person_has_asked_for() {
    let bench = quick();
    bench.update_to("2.0.0");
    let daemon = Kept::start(&bench);
    daemon.surefoot(&["rollback"]).ok();
    let before = bench.slot_bytes("a");
    let answer = arrives(&daemon, &bench.release("3.0.0"));
    assert_eq!(answer["error"]["code"], "INHIBITED", "{answer:#}");
    assert!(bench.slot_bytes("a") == before, "the way back is written over");
    assert_eq!(daemon.status()["state"], "switching");
    // Of two that come by themselves neither takes the place of one that is not older.
    daemon.surefoot(&["rollback"]).ok();
    assert_eq!(arrives(&daemon, &bench.release("3.0.0"))["state"], "switching");
    let twin = bench.artifact("twin", 77, 1 << 20, &["--version", "3.0.0"]);
    assert_eq!(arrives(&daemon, &twin)["error"]["code"], "VERSION_OLDER");
}

#[test]
fn what_came_by_itself_and_was_taken_back_does_not_come_by_itself_again() {
    let bench = quick();
    configure(&bench, "[update]\nconfirm = true\n");
    let daemon = Kept::start(&bench);
    let artifact = bench.release("2.0.0");
    assert_eq!(arrives(&daemon, &artifact)["state"], "staged");
    daemon.surefoot(&["rollback"]).ok();
    assert_eq!(arrives(&daemon, &artifact)["error"]["code"], "CANCELLED");
    daemon.surefoot(&["install", &artifact]).ok();
    assert_eq!(daemon.status()["state"], "switching");
}

#[test]
fn nothing_leaves_by_itself_a_system_that_still_has_time_to_become_good() {
    let bench = quick();
    std::fs::write(bench.path("DEV/run/uptime"), "0\n").unwrap();
    std::fs::write(bench.path("DEV/run/unhealthy"), "").unwrap();
    let daemon = Kept::hurried(&bench);
    arrives(&daemon, &bench.release("2.0.0"));
    until("it tells what it waits for", || {
        told(&daemon, "the check self-test fails, and this system has")
    });
    assert!(!told(&daemon, "rebooting"));
    std::fs::write(bench.path("DEV/run/uptime"), "900\n").unwrap();
    until("it reboots", || told(&daemon, "rebooting"));
}

#[test]
fn an_older_one_that_comes_by_itself_replaces_nothing_that_waits() {
    let bench = quick();
    configure(&bench, "[update]\nconfirm = true\n");
    let daemon = Kept::start(&bench);
    assert_eq!(arrives(&daemon, &bench.release("5.0.0"))["state"], "staged");
    let answer = arrives(&daemon, &bench.release("4.0.0"));
    assert_eq!(answer["error"]["code"], "VERSION_OLDER", "{answer:#}");
    assert_eq!(arrives(&daemon, &bench.release("6.0.0"))["state"], "staged");
    // A person may, and what he has asked for stays as he asked for it.
    daemon.surefoot(&["install", &bench.release("4.0.0")]).ok();
    assert_eq!(arrives(&daemon, &bench.release("4.0.0"))["state"], "switching");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(!told(&daemon, "rebooting"), "he wanted to be asked");
}

#[test]
fn nothing_is_begun_by_itself_on_a_hold_and_a_persons_word_goes_over_it() {
    let bench = quick();
    let daemon = Kept::start(&bench);
    std::fs::write(daemon.folder.join("hold"), b"").unwrap();
    let before = bench.firm_ground();
    let answer = arrives(&daemon, &bench.release("2.0.0"));
    assert_eq!(answer["error"]["code"], "HELD", "{answer:#}");
    assert!(bench.firm_ground() == before);
    waits_for(&daemon, &["hold"]);
    assert!(daemon.surefoot(&["status"]).ok().out.contains("surefoot/hold: the file is there"));
    daemon.surefoot(&["install", &bench.release("2.0.0"), "--hold-ok"]).ok();
    assert_eq!(daemon.status()["state"], "switching");
}

#[test]
fn who_orders_a_reboot_and_does_not_wait_for_the_answer_gets_it_all_the_same() {
    use std::io::Write;
    let bench = quick();
    let daemon = Kept::start(&bench);
    let artifact = crate::common::read(&bench.release("2.0.0"));
    let mut order = daemon.connect("control.sock");
    let head = "POST /v1/install?progress=1&reboot=now HTTP/1.1\r\nContent-Length:";
    write!(order, "{head} {}\r\n\r\n", artifact.len()).unwrap();
    order.write_all(&artifact).unwrap();
    drop(order);
    until("it reboots", || told(&daemon, "rebooting: 2.0.0 in slot b is tried"));
}
