//! Text from outside, through every entrance: no control character, and none that turns or hides
//! text, reaches anything that a person or a program reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{self, Bench, Said};
use serde_json::Value;

/// An escape sequence, a bell, a line that looks like ours, DEL, C1, text that runs backwards, and
/// what has no width.
pub(crate) const EVIL: &str =
    "\u{1b}]0;owned\u{7}\r\nRunning fine\u{7f}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}";

/// Whether a character does something else on a terminal than be seen.
pub(crate) fn is_evil(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

pub(crate) fn clean(place: &str, text: &str) {
    let found = text.lines().find(|l| l.chars().any(is_evil) || l.starts_with("Running fine"));
    assert_eq!(found, None, "{place}");
}

pub(crate) fn clean_value(place: &str, value: &Value) {
    match value {
        // Text of several lines stays that: JSON says where it ends.
        Value::String(text) => assert!(!text.chars().any(is_evil), "{place}: {text:?}"),
        Value::Array(items) => items.iter().for_each(|item| clean_value(place, item)),
        Value::Object(map) => map.iter().for_each(|(name, value)| {
            clean(place, name);
            clean_value(place, value);
        }),
        _ => {}
    }
}

pub(crate) fn clean_said(place: &str, said: &Said) {
    clean(place, &said.out);
    clean(place, &said.err);
    assert_ne!(said.code, 70, "{place}: {}", said.err);
    if let Ok(value) = serde_json::from_str(&said.out) {
        clean_value(place, &value);
    }
}

/// Everything that can be asked.
pub(crate) fn clean_everywhere(bench: &Bench, place: &str) {
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["history"],
        &["history", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["why"],
        &["why", "--json"],
        &["report"],
        &["report", "--json"],
        &["config", "check"],
        &["config", "show", "--origin"],
    ] {
        let said = bench.surefoot(words);
        clean_said(&format!("{place}, {words:?}"), &said);
    }
}

/// What is kept of a reason is short.
fn kept_is_short(bench: &Bench) {
    for name in ["journal.0", "journal.1", "history.jsonl", "postmortem.json", "hold.json"] {
        let bytes = std::fs::read(bench.path(&format!("DEV/state/{name}"))).unwrap_or_default();
        assert!(bytes.len() < 10_000, "{name} has {} bytes", bytes.len());
    }
}

fn trial(bench: &Bench, version: &str) {
    let artifact = bench.release(version);
    bench.surefoot(&["install", &artifact]).ok();
    bench.reboot(&[]);
}

#[test]
fn a_reason_of_any_length_and_content_ends_and_is_one_printable_line() {
    let bench = Bench::new();
    for (n, reason) in [EVIL.to_owned(), "x".repeat(65_200), EVIL.repeat(1_000)].iter().enumerate()
    {
        trial(&bench, &format!("{}.0.0", n + 2));
        let said = bench.surefoot(&["rollback", "--reason", reason]);
        clean_said("rollback", &said);
        assert_eq!(said.code, 0, "{}", said.err);
        bench.reboot(&[]);
        clean_everywhere(&bench, "after a rollback");
        clean_said("hold", &bench.surefoot(&["hold", "--reason", reason]));
        clean_everywhere(&bench, "held");
        kept_is_short(&bench);
        clean_said("unhold", &bench.surefoot(&["unhold"]));
    }
    trial(&bench, "9.0.0");
    clean_said("commit", &bench.surefoot(&["commit", "--force", "--reason", EVIL]));
    clean_everywhere(&bench, "after a commit");
}

#[test]
fn what_checks_print_and_what_settings_are_called_is_shown_as_printable_text() {
    let bench = Bench::new();
    let script = bench.path("DEV/health.sh");
    std::fs::write(&script, format!("#!/bin/sh\nprintf '%s' '{EVIL}'\nexit 1\n")).unwrap();
    trial(&bench, "2.0.0");
    clean_said("commit", &bench.surefoot(&["commit"]));
    clean_everywhere(&bench, "a failing check");
    bench.reboot(&[]);
    clean_everywhere(&bench, "after a failing check");
    let config = bench.path("DEV/surefoot.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let quoted = serde_json::to_string(EVIL).unwrap().replace('\u{7f}', "\\u007f");
    for text in [
        format!("{quoted} = 1\n{good}"),
        format!("{good}\n[{quoted}]\n{quoted} = {quoted}\n"),
        format!("{good}\n[[health.check]]\nname = {quoted}\ncommand = [{quoted}]\n"),
        format!("{good}\n[[hook]]\nname = {quoted}\nat = {quoted}\ncommand = [{quoted}]\n"),
        format!("{good}\n# {EVIL}\n"),
        format!("{EVIL}{good}"),
        good.replace("trust.toml", EVIL),
    ] {
        std::fs::write(&config, text).unwrap();
        clean_everywhere(&bench, "a hostile configuration");
    }
}

#[test]
fn tampered_state_files_are_shown_as_printable_text() {
    let bench = Bench::new();
    trial(&bench, "2.0.0");
    bench.surefoot(&["rollback", "--reason", "because"]).ok();
    bench.reboot(&[]);
    bench.surefoot(&["hold", "--reason", "because"]).ok();
    let quoted = serde_json::to_string(EVIL).unwrap();
    let quoted = quoted.trim_matches('"');
    for name in ["history.jsonl", "hold.json", "postmortem.json", "hooks.json", "baseline.json"] {
        let path = bench.path(&format!("DEV/state/{name}"));
        let good = std::fs::read_to_string(&path).unwrap_or_default();
        for text in [
            good.replace("because", quoted),
            good.replace("because", &quoted.repeat(2_000)),
            format!(
                "{{\"v\":1,\"runs\":[{{\"time\":1,\"moment\":\"after-install\",\"name\":\"{quoted}\",\"answer\":\"go\",\"ended\":\"{quoted}\",\"seconds\":1,\"output\":\"{quoted}\"}}]}}"
            ),
            EVIL.to_owned(),
        ] {
            std::fs::write(&path, text).unwrap();
            // What reads them; the mutations (tests/hostile_mutants) try the other verbs.
            for words in [&["status"][..], &["history"], &["why"], &["report", "--json"]] {
                clean_said(&format!("{name}, {words:?}"), &bench.surefoot(words));
            }
        }
        std::fs::write(&path, good).unwrap();
    }
}

#[test]
fn a_journal_that_already_holds_an_endless_reason_locks_nobody_out() {
    let bench = Bench::new();
    trial(&bench, "2.0.0");
    bench.surefoot(&["rollback", "--reason", "because"]).ok();
    // As 0.1.0 could leave it: the checksum is right.
    for n in [0, 1] {
        let path = bench.path(&format!("DEV/state/journal.{n}"));
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, body) = text.split_once('\n').unwrap();
        let body = body.replace("because", &"x".repeat(65_200));
        let words: Vec<&str> = head.split(' ').collect();
        let crc = crc32fast::hash(format!("{}\n{body}", words[2]).as_bytes());
        let text = format!("{} {} {} {crc:08x}\n{body}", words[0], words[1], words[2]);
        std::fs::write(&path, text).unwrap();
    }
    bench.reboot(&[]);
    clean_everywhere(&bench, "an endless reason");
    assert_eq!(bench.status()["state"], "rolled-back");
    bench.update_to("3.0.0");
}

#[test]
fn words_on_the_command_line_and_file_names_are_told_as_printable_text() {
    let bench = Bench::new();
    let named = bench.path(EVIL);
    for words in [
        &["install", EVIL][..],
        &["verify", EVIL],
        &["stick", EVIL],
        &["wait", "--for", EVIL],
        &[EVIL],
        &["status", EVIL],
        &["report", "-o", &named],
        &["drill", EVIL],
        &["push", EVIL, "x"],
    ] {
        clean_said(&format!("{words:?}"), &bench.surefoot(words));
    }
    for words in [
        &["inspect", EVIL][..],
        &["keygen", "--out", &named],
        &["verify", EVIL, "--trust", EVIL],
        &["build", "--rootfs", EVIL, "-o", EVIL],
        &[EVIL],
    ] {
        let said = common::run(env!("CARGO_BIN_EXE_surefoot-forge"), words, &[], b"");
        clean_said(&format!("forge {words:?}"), &said);
    }
    for words in [&["reboot", EVIL][..], &["new", "--trust", EVIL, &named], &[EVIL]] {
        let said = common::run(env!("CARGO_BIN_EXE_surefoot-sim"), words, &[], b"");
        clean_said(&format!("sim {words:?}"), &said);
    }
    let stick = bench.path("bad.img");
    std::fs::write(&stick, [7; 4_096]).unwrap();
    let said = bench.surefoot(&["stick", &stick]);
    assert!(said.code != 0 && said.reason().is_some(), "{} {}", said.code, said.err);
}

#[test]
fn a_word_or_a_path_that_is_no_text_is_told_and_ends_nothing() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    let folder = bench.dir.path().join(OsStr::from_bytes(b"D\xff\x1b[31m"));
    std::fs::rename(bench.path("DEV"), &folder).unwrap();
    let artifact = folder.join(OsStr::from_bytes(b"x\xff.surefoot"));
    std::fs::copy(bench.release("2.0.0"), &artifact).unwrap();
    let config = folder.join("surefoot.toml");
    let said = |program: &str, words: &[&OsStr]| {
        let done = std::process::Command::new(program)
            .args(words)
            .env("SUREFOOT_CONFIG", &config)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = done.status.code().unwrap_or(-1);
        let said = Said { code, out: text(&done.stdout), err: text(&done.stderr) };
        clean_said(&format!("{program} {words:?}"), &said);
        assert!(code != 101 && !said.err.contains("panicked"), "{words:?}: {}", said.err);
        said
    };
    let odd = OsStr::from_bytes(b"\xff\xfe");
    for program in [
        env!("CARGO_BIN_EXE_surefoot"),
        env!("CARGO_BIN_EXE_surefoot-forge"),
        env!("CARGO_BIN_EXE_surefoot-sim"),
    ] {
        assert_eq!(said(program, &[odd]).code, 64, "{program}");
    }
    let surefoot = env!("CARGO_BIN_EXE_surefoot");
    for words in ["status", "doctor", "why", "report", "config check", "config show --origin"] {
        for json in [&[][..], &["--json"]] {
            let words: Vec<OsString> =
                words.split(' ').chain(json.iter().copied()).map(Into::into).collect();
            if !words.contains(&"show".into()) || json.is_empty() {
                let words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
                assert_eq!(said(surefoot, &words).code, 0, "{words:?}");
            }
        }
    }
    for verb in ["install", "verify", "stick", "report", "push"] {
        let code = said(surefoot, &[OsStr::new(verb), odd]).code;
        assert!(matches!(code, 64 | 66), "{verb}: {code}");
    }
    // A name that is text leads to one that is none, which is not written down.
    let named = bench.path("named.surefoot");
    std::os::unix::fs::symlink(&artifact, &named).unwrap();
    let installed = said(surefoot, &[OsStr::new("install"), OsStr::new(&named)]);
    assert_eq!(installed.code, 0, "{}", installed.err);
    said(env!("CARGO_BIN_EXE_surefoot-forge"), &[OsStr::new("inspect"), artifact.as_os_str()]);
    said(env!("CARGO_BIN_EXE_surefoot-sim"), &[OsStr::new("reboot"), folder.as_os_str()]);
}
