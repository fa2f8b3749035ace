//! In place of a file that a program reads stands something else: no program waits for it, reads it
//! without an end or writes through it, and each says what stands there.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{Bench, Said};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Only ends what hangs.
const HANGS: Duration = Duration::from_secs(120);

const WHAT: [&str; 6] = ["fifo", "folder", "zero", "socket", "sparse", "link"];

/// Puts something into the place of a file.
pub(crate) fn plant(path: &str, what: &str, victim: &str) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_dir_all(path);
    match what {
        "fifo" => {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }
        "folder" => std::fs::create_dir(path).unwrap(),
        "zero" => symlink("/dev/zero", path).unwrap(),
        "socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        "sparse" => std::fs::File::create(path).unwrap().set_len(1 << 30).unwrap(),
        "link" => symlink(victim, path).unwrap(),
        other => panic!("{other}"),
    }
}

fn ended(mut child: Child, words: &[&str]) -> Said {
    let mut pipes = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let told = std::thread::spawn(move || {
        let mut text = (String::new(), String::new());
        pipes.0.read_to_string(&mut text.0).unwrap();
        pipes.1.read_to_string(&mut text.1).unwrap();
        text
    });
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let (out, err) = told.join().unwrap();
            return Said { code: status.code().unwrap_or(-1), out, err };
        }
        if begun.elapsed() > HANGS {
            child.kill().unwrap();
            panic!("{words:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As [`Bench::surefoot`], with an end.
fn surefoot(bench: &Bench, words: &[&str]) -> Said {
    let child = Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .args(["--config", &bench.path("DEV/surefoot.toml")])
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    ended(child.unwrap(), words)
}

const VERBS: [&[&str]; 6] =
    [&["status"], &["doctor"], &["history"], &["why"], &["config", "check"], &["report"]];

#[test]
fn nothing_in_place_of_a_state_file_makes_a_program_wait_or_write_elsewhere() {
    let bench = Bench::new();
    bench.update_to("2.0.0");
    let victim = bench.path("victim");
    std::fs::write(&victim, "kept").unwrap();
    let state = bench.path("DEV/state");
    let before = bench.path("before");
    copy(&state, &before);
    let names = [
        "journal.0",
        "journal.0.new",
        "journal.1.new",
        "committed.0",
        "floor.1",
        "floor.0.new",
        "hold.json",
        "history.jsonl",
        "hooks.json",
        "postmortem.json",
        "baseline.json",
        "lock",
    ];
    for name in names {
        for what in WHAT {
            let path = format!("{state}/{name}");
            plant(&path, what, &victim);
            for verb in VERBS {
                let said = surefoot(&bench, verb);
                assert!(said.code >= 0 && said.code != 70, "{name} {what} {verb:?}: {}", said.err);
            }
            let said = surefoot(&bench, &["hold", "--reason", "x"]);
            assert!(said.code != 70, "{name} {what}: {}", said.err);
            assert_eq!(std::fs::read(&victim).unwrap(), b"kept", "{name} {what}");
            std::fs::remove_dir_all(&state).unwrap();
            copy(&before, &state);
        }
    }
    bench.update_to("3.0.0");
}

pub(crate) fn copy(from: &str, to: &str) {
    assert!(Command::new("cp").args(["-a", from, to]).status().unwrap().success());
}

#[test]
fn a_journal_that_is_none_is_replaced_by_the_next_one() {
    for what in ["fifo", "zero", "socket", "sparse", "link"] {
        let bench = Bench::new();
        bench.update_to("2.0.0");
        let victim = bench.path("victim");
        std::fs::write(&victim, "kept").unwrap();
        for name in ["journal.0", "journal.1", "history.jsonl", "journal.0.new", "journal.1.new"] {
            plant(&bench.path(&format!("DEV/state/{name}")), what, &victim);
        }
        let artifact = bench.release("3.0.0");
        surefoot(&bench, &["install", &artifact]).ok();
        bench.reboot(&[]);
        surefoot(&bench, &["commit"]).ok();
        assert_eq!(std::fs::read(&victim).unwrap(), b"kept", "{what}");
        let history = surefoot(&bench, &["history"]).ok();
        assert!(history.out.contains("3.0.0"), "{what}: {}", history.out);
        for name in ["journal.0", "journal.1", "history.jsonl"] {
            let kind = std::fs::symlink_metadata(bench.path(&format!("DEV/state/{name}"))).unwrap();
            // Only one generation has been written again so far.
            assert!(kind.is_file() || name.starts_with("journal"), "{what} {name}");
        }
    }
}

#[test]
fn whatever_stands_for_a_foreign_file_is_named_with_its_code() {
    let bench = Bench::new();
    let artifact = bench.release("2.0.0");
    let cases: [(&str, &[&str], &str); 4] = [
        ("surefoot.toml", &["status"], "CONFIG_INVALID"),
        ("trust.toml", &["install", &artifact], "TRUST_INVALID"),
        ("fw_env.config", &["status"], "ENV_CONFIG"),
        ("run/booted", &["install", &artifact], "BOOTED_UNKNOWN"),
    ];
    for (name, verb, code) in cases {
        let path = bench.path(&format!("DEV/{name}"));
        let good = std::fs::read(&path).unwrap();
        for what in ["fifo", "folder", "zero", "socket", "sparse"] {
            plant(&path, what, "");
            let said = surefoot(&bench, verb);
            assert_eq!(said.reason(), Some(code), "{name} {what}: {}", said.err);
            assert!(said.err.contains(Path::new(name).file_name().unwrap().to_str().unwrap()));
            for verb in VERBS {
                let said = surefoot(&bench, verb);
                assert!(said.code >= 0 && said.code != 70, "{name} {what} {verb:?}: {}", said.err);
            }
        }
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, &good).unwrap();
        // A link leads to a foreign file, as in `/etc` on many read-only roots.
        if !name.starts_with("run/") {
            let elsewhere = bench.path(&format!("DEV/{name}.elsewhere"));
            std::fs::rename(&path, &elsewhere).unwrap();
            symlink(&elsewhere, &path).unwrap();
            surefoot(&bench, &["status"]).ok();
        }
    }
    symlink(&artifact, bench.path("latest.surefoot")).unwrap();
    surefoot(&bench, &["install", &bench.path("latest.surefoot")]).ok();
}

#[test]
fn a_limit_on_the_length_of_files_is_no_space_and_no_silent_end() {
    let bench = Bench::new();
    let artifact = bench.release("2.0.0");
    let limited = |program: &str, words: &str| {
        let line = format!("ulimit -f 100; exec {program} {words}");
        let child = Command::new("sh")
            .args(["-c", &line])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        ended(child.unwrap(), &[&line])
    };
    let config = bench.path("DEV/surefoot.toml");
    let words = format!("--config {config} install {artifact}");
    let said = limited(env!("CARGO_BIN_EXE_surefoot"), &words);
    assert_eq!(said.reason(), Some("NO_SPACE"), "{} {}", said.code, said.err);
    let build = format!(
        "build --raw --rootfs {} --product demo --compatible demo-board --version 3.0.0 --key {} -o {}",
        bench.path("v2.0.0.img"),
        bench.path("KEYS/release.key"),
        bench.path("limited.surefoot")
    );
    let said = limited(env!("CARGO_BIN_EXE_surefoot-forge"), &build);
    assert!(said.code > 0 && said.err.contains("[NO_SPACE]"), "{} {}", said.code, said.err);
    let new = format!("new {} --slot-size 4M", bench.path("LIMITED"));
    let said = limited(env!("CARGO_BIN_EXE_surefoot-sim"), &new);
    assert!(said.code > 0 && said.err.contains("[NO_SPACE]"), "{} {}", said.code, said.err);
}
