//! In place of whatever a daemon opens when it starts, and beside what it takes from the inbox,
//! stands something else: it answers or ends with a named error, and never waits for what stands
//! there.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::Bench;
use crate::hostile_files::{copy, plant};
use crate::kept::{Kept, until};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

const WHAT: [&str; 8] = ["fifo", "folder", "zero", "socket", "sparse", "link", "empty", "secret"];

/// As [`plant`], with two more.
fn stands(path: &str, what: &str, victim: &str) {
    match what {
        "empty" => {
            let _ = std::fs::remove_file(path);
            std::fs::write(path, "").unwrap();
        }
        // Root may read it; that is said elsewhere of an ordinary user.
        "secret" => {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
            std::fs::set_permissions(path, mode).unwrap();
        }
        what => plant(path, what, victim),
    }
}

/// What lies in a folder, by name.
fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    let files = entries.filter(|e| !e.file_type().unwrap().is_dir());
    files.map(|e| e.file_name().into_string().unwrap()).collect()
}

/// Starts the daemon until it answers, or has ended by itself: its status and its words then.
fn started(bench: &Bench) -> Option<(i32, String)> {
    let log = bench.path("start.log");
    let file = || std::fs::File::options().create(true).append(true).open(&log).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .args(["--config", &bench.path("DEV/surefoot.toml"), "daemon"])
        .stdin(Stdio::null())
        .stdout(file())
        .stderr(file())
        .spawn()
        .unwrap();
    let mut ended = None;
    let socket = bench.path("DEV/run/surefoot/status.sock");
    let answers = || {
        let mut stream = UnixStream::connect(&socket).ok()?;
        stream.write_all(b"GET /v1/status HTTP/1.1\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok().filter(|n| *n > 0)
    };
    until("it answers or ends", || {
        ended = child.try_wait().unwrap();
        ended.is_some() || answers().is_some()
    });
    let _ = child.kill();
    child.wait().unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    ended.map(|status| (status.code().unwrap_or(-1), said))
}

#[test]
fn a_daemon_starts_or_says_why_whatever_stands_in_place_of_its_files() {
    let bench = Bench::new();
    bench.update_to("2.0.0");
    let daemon = Kept::start(&bench);
    daemon.surefoot(&["hold", "--reason", "x"]).ok();
    daemon.surefoot(&["install", &bench.release("3.0.0"), "--hold-ok", "--stage"]).ok();
    drop(daemon);
    let victim = bench.path("victim");
    std::fs::write(&victim, "kept").unwrap();
    let (device, before) = (bench.path("DEV"), bench.path("before"));
    copy(&device, &before);
    // Not the disk, which is long and which nothing here changes.
    let again = || {
        for name in ["state", "run", "surefoot.toml", "trust.toml", "fw_env.config"] {
            let (from, to) = (format!("{before}/{name}"), format!("{device}/{name}"));
            let _ = std::fs::remove_dir_all(&to);
            let _ = std::fs::remove_file(&to);
            copy(&from, &to);
        }
    };
    let run = bench.path("DEV/run/surefoot");
    assert!(names(&run).len() >= 2 && names(&bench.path("DEV/state")).len() >= 6);
    for what in WHAT {
        // All of them at once: each must be passed to come to the next.
        for folder in [bench.path("DEV/state"), run.clone()] {
            for name in names(&folder) {
                stands(&format!("{folder}/{name}"), what, &victim);
            }
            for name in ["drill.json", "decided", "hold", "stick.status", "floor.0", "running"] {
                let path = format!("{folder}/{name}");
                if !Path::new(&path).exists() && what != "secret" {
                    stands(&path, what, &victim);
                }
            }
            if let Some((code, said)) = started(&bench) {
                assert!(![0, 70, 101, -1].contains(&code), "{folder} {what}: {code} {said}");
                assert!(said.contains('['), "{folder} {what}: without a code: {said}");
            }
            assert_eq!(std::fs::read(&victim).unwrap(), b"kept", "{folder} {what}");
            again();
        }
        // What the owner and the bootloader have written.
        // (Without a configuration it stays for half a minute, so that no init system gives it up.)
        for name in ["trust.toml", "fw_env.config", "run/booted"] {
            if ["fifo", "folder", "zero", "sparse"].contains(&what) {
                stands(&bench.path(&format!("DEV/{name}")), what, &victim);
                if let Some((code, said)) = started(&bench) {
                    assert!(said.contains('['), "{name} {what}: without a code: {code} {said}");
                }
                again();
            }
        }
    }
    assert_eq!(started(&bench), None, "the device is well again");
}

#[test]
fn what_else_lies_in_the_inbox_and_the_outbox_keeps_no_artifact_from_being_installed() {
    let bench = Bench::new();
    let (inbox, outbox) = (bench.path("DEV/state/inbox"), bench.path("DEV/state/outbox"));
    let victim = bench.path("victim");
    std::fs::write(&victim, "kept").unwrap();
    for folder in [&inbox, &outbox] {
        std::fs::create_dir_all(folder).unwrap();
        for what in WHAT.iter().filter(|what| **what != "secret") {
            let end = if *folder == outbox { "txt" } else { "surefoot" };
            stands(&format!("{folder}/{what}.{end}"), what, &victim);
        }
    }
    // One that grows while it is looked at.
    let growing = format!("{inbox}/growing.surefoot");
    let mut file = std::fs::File::create(&growing).unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let pause = std::time::Duration::from_millis(5);
        // At most 16 MiB, if nobody stops it.
        for _ in 0..4_096 {
            if stopped.recv_timeout(pause) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                break;
            }
            file.write_all(&[7; 4_096]).unwrap();
        }
    });
    let coming = bench.path("DEV/state/coming");
    std::fs::copy(bench.release("2.0.0"), &coming).unwrap();
    std::fs::rename(&coming, format!("{inbox}/good.surefoot")).unwrap();
    let daemon = Kept::hurried(&bench);
    daemon.until_armed(&bench);
    drop(stop);
    writer.join().unwrap();
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    drop(daemon);
    assert_eq!(std::fs::read(&victim).unwrap(), b"kept");
    assert_eq!(bench.reboot(&[]), "b");
}
