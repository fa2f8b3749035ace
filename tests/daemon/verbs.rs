//! Every word goes through the daemon while it runs, and works without it.

use crate::common::{Bench, run};
use crate::kept::{Kept, quick, until};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

fn said(config: &str, words: &[&str], input: &[u8]) -> crate::common::Said {
    let mut all = vec!["--config", config];
    all.extend(words);
    run(env!("CARGO_BIN_EXE_surefoot"), &all, &[], input)
}

/// A day with an updater: what each word answered, without what differs between two days.
fn day(bench: &Bench, config: &str, reboot: &mut dyn FnMut()) -> Vec<String> {
    let (one, two) = (bench.release("2.0.0"), bench.release("2.1.0"));
    let mut answers = Vec::new();
    let bytes = crate::common::read(&two);
    let mut say = |words: &[&str]| {
        let input = if words == ["verify", "-"] { &bytes[..] } else { b"" };
        let said = said(config, words, input);
        let first = said.out.lines().next().unwrap_or("").to_owned();
        let reason = said.reason().map(str::to_owned).unwrap_or_default();
        answers.push(format!("{} -> {} {reason} {first}", words[0], said.code));
        said
    };
    say(&["status"]);
    say(&["why"]);
    say(&["history"]);
    say(&["verify", "a"]);
    say(&["verify", &two]);
    say(&["verify", "-"]);
    say(&["install", &one, "--dry-run"]);
    say(&["commit"]);
    say(&["rollback"]);
    say(&["hold", "--reason", "a cable is loose"]);
    say(&["install", &one]);
    say(&["install", &one, "--hold-ok", "--stage"]);
    say(&["status"]);
    say(&["why"]);
    say(&["confirm"]);
    say(&["unhold"]);
    say(&["rollback", "--reason", "another one first"]);
    say(&["install", &two]);
    say(&["wait", "switching", "--timeout", "5s"]);
    say(&["verify", "b"]);
    reboot();
    say(&["install", &one]);
    say(&["switch"]);
    say(&["commit", "--force", "--reason", "seen with my own eyes"]);
    say(&["status"]);
    say(&["history"]);
    say(&["install", &two]);
    let json = say(&["status", "--json"]).json();
    assert_eq!(
        (&json["state"], &json["slots"]["b"]["version"]),
        (&"updated".into(), &"2.1.0".into())
    );
    let history = say(&["history", "--json"]).json();
    assert_eq!(history["history"][1]["work"]["order"]["by"], "root", "{history}");
    answers
}

#[test]
fn every_word_goes_through_the_daemon_and_works_without_it() {
    let bench = Bench::new();
    let config = bench.path("DEV/surefoot.toml");
    let alone = day(&bench, &config, &mut || assert_eq!(bench.reboot(&[]), "b"));

    let bench = Bench::new();
    let thin = Kept::thin(&bench);
    said(&thin, &["status"], b"").refused(78, "DISK_MISSING");
    let mut daemon = Some(Kept::start(&bench));
    let together = day(&bench, &thin, &mut || {
        daemon.take().unwrap().kill();
        assert_eq!(bench.reboot(&[]), "b");
        daemon = Some(Kept::start(&bench));
    });
    for (with, without) in together.iter().zip(&alone) {
        // What is said of time differs from day to day.
        let plain = |text: &str| text.split(" committed ").next().unwrap().to_owned();
        let dated = with.starts_with("history -> 0  20");
        assert!(dated || plain(with) == plain(without), "{with}\nwithout the daemon:\n{without}");
    }
    assert_eq!(together.len(), alone.len());
}

#[test]
fn an_artifact_comes_as_a_file_or_through_standard_input_or_as_a_body() {
    for way in ["file", "stdin", "pipe", "body", "chunks"] {
        let bench = Bench::new();
        let thin = Kept::thin(&bench);
        let daemon = Kept::start(&bench);
        let artifact = bench.release("2.0.0");
        let bytes = crate::common::read(&artifact);
        match way {
            "file" => drop(said(&thin, &["install", &artifact], b"").ok()),
            "stdin" => {
                let file = std::fs::File::open(&artifact).unwrap();
                let done = Command::new(env!("CARGO_BIN_EXE_surefoot"))
                    .args(["--config", &thin, "install", "-"])
                    .stdin(file)
                    .output();
                assert!(done.unwrap().status.success());
            }
            "pipe" => drop(said(&thin, &["install", "-"], &bytes).ok()),
            _ => {
                let mut stream = daemon.connect("control.sock");
                let how = match way {
                    "body" => format!("Content-Length: {}", bytes.len()),
                    _ => "Transfer-Encoding: chunked".to_owned(),
                };
                write!(stream, "PUT /v1/install HTTP/1.1\r\n{how}\r\n\r\n").unwrap();
                for part in bytes.chunks(100_000) {
                    if way == "chunks" {
                        write!(stream, "{:x}\r\n", part.len()).unwrap();
                    }
                    stream.write_all(part).unwrap();
                    if way == "chunks" {
                        stream.write_all(b"\r\n").unwrap();
                    }
                }
                if way == "chunks" {
                    stream.write_all(b"0\r\n\r\n").unwrap();
                }
                let text = std::io::read_to_string(stream).unwrap();
                let (status, document) = crate::kept::answer(&text);
                assert_eq!((status, &document["state"]), (200, &"switching".into()), "{text}");
            }
        }
        assert_eq!(daemon.status()["state"], "switching", "{way}");
        assert_eq!(daemon.status()["slots"]["b"]["version"], "2.0.0", "{way}");
        drop(daemon);
        assert_eq!(bench.reboot(&[]), "b", "{way}");
        bench.surefoot(&["verify", "b"]).ok();
    }
}

#[test]
fn events_are_told_as_they_happen_and_kept_for_those_who_come_late() {
    let bench = quick();
    let daemon = Kept::start(&bench);
    let mut follower = Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .args(["--config", &Kept::thin(&bench), "events", "--follow", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|l| serde_json::from_str::<serde_json::Value>(&l.unwrap()).unwrap());
    let mut next = |name: &str| lines.find(|l| l["event"] == name).unwrap();
    let started = next("started");
    assert_eq!((&started["v"], &started["number"]), (&1.into(), &1.into()));
    next("state");
    daemon.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(next("phase-started")["phase"], "verify");
    assert_eq!(next("armed")["slot"], "b");
    // The keeper looks beside the installation, and may tell of it late.
    let last = std::iter::repeat_with(|| next("state")).find(|l| l["state"] != "installing");
    let last = last.unwrap();
    assert_eq!(last["state"], "switching");
    let number = last["number"].as_u64().unwrap();
    daemon.surefoot(&["hold"]).ok();
    let held = next("hold");
    assert_eq!(held["held"], true);
    assert!(held["number"].as_u64() > Some(number), "{held}");
    // Who comes late says what he has seen.
    let late = daemon.surefoot(&["events", "--after", &number.to_string(), "--json"]).ok();
    assert!(late.out.lines().next().is_some_and(|l| l.contains("hold")), "{}", late.out);
    let all = daemon.surefoot(&["events"]).ok();
    assert!(all.out.contains("Automatic updates are stopped by root"), "{}", all.out);
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn who_stops_following_leaves_no_trace() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let threads = || std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().count();
    let before = threads();
    // Three times as many as may follow at a time, and nothing happens meanwhile.
    for _ in 0..24 {
        let mut stream = daemon.connect("status.sock");
        stream.write_all(b"GET /v1/events?follow=1 HTTP/1.1\r\n\r\n").unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(stream);
        while !line.contains("\"started\"") {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "it was turned away");
        }
        drop(reader);
        until("its thread is gone", || threads() == before);
    }
}

#[test]
fn who_only_stopped_talking_is_told_on() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let mut stream = daemon.connect("status.sock");
    stream.write_all(b"GET /v1/events?follow=1 HTTP/1.1\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    daemon.surefoot(&["hold"]).ok();
    let held = BufReader::new(stream).lines().map(|l| l.unwrap()).any(|l| l.contains("\"hold\""));
    assert!(held);
}

#[test]
fn wait_sees_what_the_daemon_decides() {
    let bench = quick();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    bench.reboot(&[]);
    let thin = Kept::thin(&bench);
    let _daemon = Kept::start(&bench);
    assert_eq!(said(&thin, &["wait", "updated", "--timeout", "30s"], b"").ok().out, "updated\n");
    said(&thin, &["wait", "trying", "--timeout", "1s"], b"").refused(77, "TIMEOUT");
}

#[test]
fn a_rollback_to_what_came_back_by_itself_takes_the_word_for_it_over_the_socket_too() {
    let bench = Bench::new();
    bench.update_to("1.1.0");
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&["--fail"]), "a");
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert_eq!(bench.reboot(&[]), "b");
    let daemon = Kept::start(&bench);
    let ask = |words: &str| daemon.ask("control.sock", "POST", &format!("/v1/rollback{words}"));
    let environment = || [4 << 20, 8 << 20].map(|at| bench.disk_bytes(at, 0x4000));
    let before = environment();
    for words in ["", "?retry_rolled_back=0"] {
        let (_, said) = ask(words);
        assert_eq!(said["error"]["code"], "ROLLED_BACK_BEFORE", "{words}: {said:#}");
    }
    assert_eq!(ask("?retry_rolled_back=perhaps").1["error"]["code"], "USAGE");
    assert!(environment() == before, "the environment is changed");
    let (status, said) = ask("?retry_rolled_back=1");
    assert_eq!((status, &said["state"]), (200, &"switching".into()), "{said:#}");
}
