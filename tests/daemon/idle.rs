//! A daemon with nothing to do does nothing.

use crate::common::Bench;
use crate::kept::{Kept, until};
use std::time::Duration;

/// Wake-ups of all threads so far.
fn switches(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: std::fs::DirEntry| -> u64 {
        let text = std::fs::read_to_string(task.path().join("status")).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    };
    tasks.map(|t| of(t.unwrap())).sum()
}

fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn nothing_wakes_it_and_it_stays_small() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    daemon.surefoot(&["status"]).ok();
    let mut follower = daemon.connect("status.sock");
    std::io::Write::write_all(&mut follower, b"GET /v1/events?follow=1 HTTP/1.1\r\n\r\n").unwrap();
    // It has answered when it comes to rest.
    let rests = || {
        let before = switches(daemon.pid());
        std::thread::sleep(Duration::from_millis(500));
        switches(daemon.pid()) == before
    };
    until("it rests", rests);
    let before = switches(daemon.pid());
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(switches(daemon.pid()), before, "something ticks");
    // The program with its symbols; tests/idle holds the one that ships to 6 MiB.
    let kib = resident(daemon.pid());
    assert!(kib < 16 * 1024, "{kib} KiB");
}
