//! Apps without containers from the Compose file to the device: built, pushed, preloaded and taken back.

use crate::common::{Bench, Said, forge, program};
use crate::kept::{Kept, until};
use std::fmt::Write as _;

/// A device with a microcontroller, whose program notes what it is asked.
fn board() -> Bench {
    let bench = Bench::new();
    let mcu = format!(
        "#!/bin/sh\necho \"$1 $SUREFOOT_APP $(cat \"$SUREFOOT_APP_TREE/fw\")\" >>{0}/calls\n\
         grep -q bad \"$SUREFOOT_APP_TREE/fw\" && [ \"$1\" = \"$(cat {0}/fails 2>/dev/null)\" ] && exit 3\n\
         [ \"$1\" = start ] && cp \"$SUREFOOT_APP_TREE/fw\" \"{0}/flash-$SUREFOOT_APP\"\nexit 0\n",
        bench.path("")
    );
    program(bench.path("mcu"), mcu.as_bytes());
    settings(&bench, &format!("\n[apps.commands]\nmcu = \"{}\"\n", bench.path("mcu")));
    bench
}

fn settings(bench: &Bench, more: &str) {
    let file = bench.path("DEV/surefoot.toml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str(more);
    std::fs::write(file, text).unwrap();
}

/// Lays a Compose file and its files; its path.
fn compose(bench: &Bench, app: &str, firmware: &str, more: &str) -> String {
    let folder = bench.path(&format!("src-{app}"));
    std::fs::create_dir_all(format!("{folder}/files")).unwrap();
    std::fs::write(format!("{folder}/files/fw"), firmware).unwrap();
    let file = format!("{folder}/compose.yaml");
    let text = format!(
        "name: {app}\nx-surefoot:\n  kind: command\n  program: mcu\n  tree: files\n  timeout: 30s\n  deadline: 30s\n  soak: 0s\n{more}"
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn build(bench: &Bench, app: &str, version: &str, firmware: &str, more: &str) -> String {
    let file = compose(bench, app, firmware, more);
    let (key, out) =
        (bench.path("KEYS/release.key"), bench.path(&format!("{app}-{version}.surefoot")));
    let words = ["build", "--app", app, "--compose", &file, "--product", "demo", "--compatible"];
    let more = ["demo-board", "--version", version, "--key", &key, "-o", &out];
    forge(&[&words[..], &more[..]].concat()).ok();
    out
}

fn flash(bench: &Bench, app: &str) -> String {
    std::fs::read_to_string(bench.path(&format!("flash-{app}"))).unwrap_or_default()
}

fn calls(bench: &Bench) -> String {
    std::fs::read_to_string(bench.path("calls")).unwrap_or_default()
}

#[test]
fn a_developer_pushes_firmware_under_hold_and_the_end_of_the_hold_brings_back_what_ran() {
    let bench = board();
    let real = env!("CARGO_BIN_EXE_surefoot");
    // What connects: the last word is the command of the device.
    let ssh = format!(
        "#!/bin/sh\nshift $(($# - 1))\nset -- $1\nshift\nexec {real} --config {} \"$@\"\n",
        bench.path("DEV/surefoot.toml")
    );
    program(bench.path("wire"), ssh.as_bytes());
    let first = build(&bench, "mcu", "1.0.0", "v1", "");
    bench.surefoot(&["apps", "install", &first]).ok();
    assert_eq!(flash(&bench, "mcu"), "v1");
    let keys = bench.path("KEYS");
    let made = forge(&["keygen", "--out", &keys, "--develop", "mcu", "--json"]).ok().json();
    let trust = bench.path("DEV/trust.toml");
    let mut text = std::fs::read_to_string(&trust).unwrap();
    write!(text, "\n{}", made["entry"].as_str().unwrap()).unwrap();
    std::fs::write(&trust, text).unwrap();
    let push = |firmware: &str| -> Said {
        let file = compose(&bench, "mcu", firmware, "");
        let (key, wire) = (bench.path("KEYS/develop-mcu.key"), bench.path("wire"));
        forge(&["apps", "push", "desk", &file, "--key", &key, "--ssh", &wire])
    };
    let said = push("dev 1");
    assert_ne!(said.code, 0);
    assert!(said.err.contains("NOT_HELD"), "{}", said.err);
    assert_eq!(flash(&bench, "mcu"), "v1");
    bench.surefoot(&["hold", "--reason", "on my desk"]).ok();
    for firmware in ["dev 2", "dev 3"] {
        push(firmware).ok();
        assert_eq!(flash(&bench, "mcu"), firmware);
    }
    let status = bench.surefoot(&["apps", "status", "--json"]).ok().json();
    assert_eq!(status["apps"][0]["development"], true);
    bench.surefoot(&["unhold"]).ok();
    assert_eq!(flash(&bench, "mcu"), "v1");
    let status = bench.surefoot(&["apps", "status", "--json"]).ok().json();
    assert_eq!(status["apps"][0]["version"], "1.0.0");
    assert_eq!(status["apps"][0].get("development"), None);
}

#[test]
fn preloads_come_up_once_at_the_first_start_and_a_bad_one_holds_up_none() {
    let bench = board();
    let folder = bench.path("preload");
    std::fs::create_dir(&folder).unwrap();
    let text = std::fs::read_to_string(bench.path("DEV/surefoot.toml")).unwrap();
    let text = text
        .replace("[apps.commands]", &format!("[apps]\npreload = \"{folder}\"\n[apps.commands]"));
    std::fs::write(bench.path("DEV/surefoot.toml"), text).unwrap();
    std::fs::write(bench.path("fails"), "prepare").unwrap();
    let lay = |name: &str, app: &str, firmware: &str, more: &str| {
        let bundle = build(&bench, app, "1.0.0", firmware, more);
        std::fs::copy(bundle, format!("{folder}/{name}.surefoot")).unwrap();
    };
    // By name the one that requires stands before the one that provides.
    lay("1", "top-app", "top", "  requires: [base]\n");
    lay("2", "bad-app", "bad", "");
    lay("3", "base-app", "base", "  provides: [base]\n");
    std::fs::write(format!("{folder}/4.surefoot"), "no artifact").unwrap();
    // A release of a system waits there for a person.
    std::fs::copy(bench.release("2.0.0"), format!("{folder}/5.surefoot")).unwrap();
    let kept = Kept::start(&bench);
    until("both are flashed", || {
        flash(&bench, "top-app") == "top" && flash(&bench, "base-app") == "base"
    });
    until("the change has ended", || {
        let status = bench.surefoot(&["apps", "status", "--json"]).ok().json();
        status["apps"].as_array().unwrap().len() == 2 && status.get("change").is_none()
    });
    until("the bad one was tried", || calls(&bench).contains("prepare bad-app bad"));
    bench.surefoot(&["apps", "remove", "top-app"]).ok();
    drop(kept);
    let before = calls(&bench);
    let _kept = Kept::start(&bench);
    until("the daemon looks after what is there", || {
        bench.surefoot(&["apps", "status", "--json"]).ok().json()["apps"][0]["state"] == "running"
    });
    let again = calls(&bench)[before.len()..].to_owned();
    assert!(!again.contains("top-app") && !again.contains("bad-app"), "{again}");
    assert_eq!(bench.status()["state"], "idle");
}
