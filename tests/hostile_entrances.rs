//! Hostile text through the entrances that need more than a file or a word (hostile_text.rs has
//! those): the control socket, a signed manifest, a stick, the inbox, the bootloader's environment,
//! the kernel's log, pstore, the network, other programs' files. It is looked for in everything that
//! a person or a program reads.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that cannot set itself up has failed"
)]

use crate::artifact::stranger;
use crate::common::{self, Bench};
use crate::hostile_text::{EVIL, clean, clean_everywhere, clean_said, clean_value};
use crate::kept::{Kept, configure, until};
use crate::media::{Medium, Shape, tool};
use std::io::{BufRead, BufReader, Read, Write};

/// As a parameter of a request.
fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02x}")).collect()
}

/// As a string of JSON or TOML.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f")
}

/// An answer of the daemon, or its log.
fn clean_answer(place: &str, text: &str) {
    clean(place, &text.replace("\r\n", "\n"));
    let body = text.split_once("\r\n\r\n").map_or(text, |(_, body)| body);
    for value in body.lines().filter_map(|line| serde_json::from_str(line).ok()) {
        clean_value(place, &value);
    }
}

#[test]
fn what_a_request_says_is_printable_wherever_it_is_told() {
    let bench = Bench::new();
    configure(&bench, "[metrics]\nfile = \"run/metrics.prom\"\n");
    bench.update_to("2.0.0");
    bench.surefoot(&["install", &bench.release("3.0.0")]).ok();
    bench.reboot(&[]);
    let daemon = Kept::start(&bench);
    let mut follower = daemon.connect("status.sock");
    follower.write_all(b"GET /v1/events?follow=1 HTTP/1.1\r\n\r\n").unwrap();
    let evil = percent(EVIL);
    let long = percent(&EVIL.repeat(40));
    for target in [
        format!("/v1/hold?seconds=600&reason={evil}&by={evil}"),
        format!("/v1/hold?reason={long}&by={evil}&progress=1"),
        format!("/v1/drill?kind={evil}&by={evil}"),
        format!("/v1/commit?force={evil}"),
        format!("/v1/rollback?retry_rolled_back={evil}"),
        format!("/v1/install?reboot={evil}"),
        format!("/v1/cancel?reason={evil}&by={evil}"),
        format!("/v1/unhold?by={evil}"),
        format!("/v1/{evil}"),
        format!("/v1/hold?{evil}={evil}"),
        format!("/v1/rollback?reason={evil}&by={evil}&progress=1"),
    ] {
        let head = format!("POST {target} HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
        clean_answer(&target, &daemon.raw("control.sock", head.as_bytes()));
    }
    for target in [
        format!("/v1/verify?slot={evil}"),
        format!("/v1/events?after={evil}"),
        format!("/v1/status?{evil}"),
        "/v1/status".to_owned(),
        "/v1/why".to_owned(),
        "/v1/history".to_owned(),
        "/v1/events".to_owned(),
        "/v1/doctor".to_owned(),
        "/v1/report".to_owned(),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\n\r\n");
        clean_answer(&target, &daemon.raw("status.sock", head.as_bytes()));
    }
    clean_said("events", &daemon.surefoot(&["events"]));
    clean_said("events --json", &daemon.surefoot(&["events", "--json"]));
    // The system on trial is left by now, and this is the last thing that a follower hears of.
    daemon.ask("control.sock", "POST", "/v1/hold?reason=the-end");
    let mut told = String::new();
    for line in BufReader::new(&follower).lines().map_while(Result::ok) {
        told += &format!("{line}\n");
        if line.contains("the-end") {
            break;
        }
    }
    assert!(told.contains("owned"), "the reason was told: {told}");
    clean_answer("followed", &told);
    let metrics = bench.path("DEV/run/metrics.prom");
    until("metrics", || common::exists(&metrics));
    clean("metrics", &String::from_utf8(common::read(&metrics)).unwrap());
    clean_answer("the log", &daemon.log());
    drop(daemon);
    bench.reboot(&[]);
    clean_everywhere(&bench, "after requests");
}

/// A release whose manifest says so, signed by a key that the device trusts.
fn signed(change: impl Fn(String) -> String) -> Vec<u8> {
    let mut image = common::image(9, 64 << 10);
    image.truncate(16 << 10);
    let mut parts = stranger::with(vec![stranger::raw(&image)]);
    parts.body = change(parts.body.replace("release_counter = 5", "release_counter = 9000000"));
    parts.bytes()
}

#[test]
fn what_a_signed_manifest_says_is_refused_or_printable() {
    let bench = Bench::new();
    let keys = [(1, "root", ""), (2, "release", "")];
    let trust = bench.path("DEV/trust.toml");
    std::fs::write(&trust, stranger::trust_text(1, &keys, "")).unwrap();
    let path = bench.path("x.surefoot");
    let evil = quoted(EVIL);
    let look = |place: &str| {
        for words in [
            &["verify", path.as_str()][..],
            &["install", "--dry-run", &path],
            &["install", "--dry-run", "--json", &path],
        ] {
            clean_said(&format!("{place}, {words:?}"), &bench.surefoot(words));
        }
        for words in [
            &["inspect", path.as_str()][..],
            &["inspect", "--json", &path],
            &["verify", &path, "--trust", &trust],
        ] {
            clean_said(&format!("{place}, forge {words:?}"), &common::forge(words));
        }
    };
    let before = bench.firm_ground();
    for (name, old, new) in [
        ("product", "'demo'", evil.as_str()),
        ("compatible", "'demo-board'", &evil),
        ("version", "'1.0.0'", &evil),
        ("updater", "'0.1.0'", &evil),
        ("kind", "'rootfs'", &evil),
        ("a key", "product =", &format!("{evil} = 1\nproduct =")),
        ("a table", "[requires]", &format!("[{evil}]\n[requires]")),
        ("hardware", "required = true", &format!("required = true\nhardware = [{evil}]")),
    ] {
        std::fs::write(&path, signed(|body| body.replacen(old, new, 1))).unwrap();
        look(name);
        let said = bench.surefoot(&["install", &path]);
        assert_eq!(said.code, 65, "{name}: {}{}", said.out, said.err);
        clean_said(name, &said);
    }
    assert!(bench.firm_ground() == before);
    let told = format!(
        "notes = {evil}\n[provenance]\nsource_revision = {evil}\nbuild_id = {evil}\n[hints]\n{evil} = {evil}\n[requires]"
    );
    std::fs::write(&path, signed(|body| body.replacen("[requires]", &told, 1))).unwrap();
    look("text for people");
    let said = bench.surefoot(&["install", &path]).ok();
    clean_said("install", &said);
    bench.reboot(&[]);
    clean_everywhere(&bench, "such a release on trial");
    clean_said("commit", &bench.surefoot(&["commit"]).ok());
    clean_everywhere(&bench, "such a release");
}

#[test]
fn names_on_a_stick_and_in_the_inbox_are_told_as_printable_text() {
    let bench = Bench::new();
    let (good, junk) = (bench.release("2.0.0"), bench.path("junk"));
    std::fs::write(&junk, EVIL).unwrap();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Gpt, 16, 20);
    for (n, name) in
        ["\u{202e}evil", "\u{200b}\u{feff}hidden", "\u{2028}Running fine", "\u{7f}\u{9b}31m"]
            .iter()
            .enumerate()
    {
        stick.put(&junk, &format!("{name}{n}.surefoot"));
        stick.put(&junk, &format!("{name}{n}.surefoot.part"));
    }
    stick.put(&good, "\u{202e}good\u{2066}.surefoot");
    // What no tool writes: control characters in a short name and in the volume's label.
    let mut entry = *b"\x1b]0;RUNSURE                     ";
    entry[11] = 0x20;
    entry[12..].fill(0);
    let mut label = *b"\x1b[31mLABEL                      ";
    label[11] = 0x08;
    label[12..].fill(0);
    stick.add_entries(&[entry, label]);
    for words in [&["stick", "--json", stick.text()][..], &["stick", stick.text()]] {
        clean_said(&format!("{words:?}"), &bench.surefoot(words));
    }
    clean("the report", &stick.report());
    clean_value("the report", &stick.json());
    for name in ["stick.status", "surefoot/stick.status"] {
        let text = std::fs::read_to_string(bench.path(&format!("DEV/run/{name}")));
        clean("the status file", &text.unwrap_or_default());
    }
    clean_everywhere(&bench, "after a stick");

    let (inbox, outbox) = (bench.path("DEV/state/inbox"), bench.path("DEV/state/outbox"));
    std::fs::create_dir_all(&inbox).unwrap();
    for name in [format!("{}.surefoot", EVIL.replace('/', "")), "\u{202e}x.surefoot".to_owned()] {
        std::fs::write(format!("{inbox}/{name}"), EVIL).unwrap();
    }
    let daemon = Kept::hurried(&bench);
    let reports = || std::fs::read_dir(&outbox).map_or(0, Iterator::count);
    until("the inbox is served", || {
        reports() > 0 && std::fs::read_dir(&inbox).unwrap().count() == 0
    });
    clean_said("events", &daemon.surefoot(&["events", "--json"]));
    clean_answer("the log", &daemon.log());
    drop(daemon);
    for report in std::fs::read_dir(&outbox).unwrap() {
        let path = report.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
        clean("a report", &text);
        if let Ok(value) = serde_json::from_str(&text) {
            clean_value("a report", &value);
        }
    }
    clean_everywhere(&bench, "after the inbox");
}

/// The black box, until it has what the kernel said; then the power goes.
fn record(bench: &Bench) {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .args(["--config", &bench.path("DEV/surefoot.toml"), "blackbox"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let start = std::time::Instant::now();
    let folder = bench.path("DEV/state/blackbox");
    let is_there = || {
        let boots = surefoot::blackbox::read(folder.as_ref());
        boots.iter().any(|b| b.lines.iter().any(|l| l.text.contains("owned")))
    };
    while !is_there() && start.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let found = is_there();
    let _ = child.kill();
    child.wait().unwrap();
    assert!(found, "the kernel's words are not kept");
}

#[test]
fn what_the_bootloader_and_the_kernel_say_is_told_as_printable_text() {
    let bench = Bench::new();
    // The boot script and altbootcmd repeat what stands there, on the console too.
    let evil: String = EVIL.chars().filter(|c| *c != '\0').collect();
    for name in ["bootlimit", "bootcount", "altbootcmd", "bootcmd", "surefoot_txn", "surefoot_slot"]
    {
        let good = [4 << 20, 8 << 20].map(|at| bench.disk_bytes(at, 0x4000));
        for (at, copy) in [4 << 20, 8 << 20].iter().zip(&good) {
            let end = copy[5..].windows(2).position(|two| two == [0, 0]).unwrap() + 5;
            let kept = copy[5..end]
                .split(|b| *b == 0)
                .filter(|v| !v.starts_with(format!("{name}=").as_bytes()));
            let mut changed = kept.collect::<Vec<_>>().join(&0);
            changed.extend(format!("\0{name}=echo {evil}\0{evil}=1").as_bytes());
            let mut copy = copy[..5].to_vec();
            copy.extend(changed);
            copy.resize(0x4000, 0);
            let sum = crc32fast::hash(&copy[5..]);
            copy[..4].copy_from_slice(&sum.to_le_bytes());
            bench.patch_disk(*at, &copy);
        }
        for words in [
            &["status"][..],
            &["doctor"],
            &["doctor", "--json"],
            &["report"],
            &["report", "--json"],
        ] {
            clean_said(&format!("{name}, {words:?}"), &bench.surefoot(words));
        }
        if name != "bootcmd" {
            clean_said(name, &bench.sim(&["reboot"]));
        }
        for (at, copy) in [4 << 20, 8 << 20].iter().zip(&good) {
            bench.patch_disk(*at, copy);
        }
    }
    std::fs::write(bench.path("DEV/run/booted"), "a\n").unwrap();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    let escaped: String = EVIL.bytes().map(|b| format!("\\x{b:02x}")).collect();
    let kernel = format!(
        "6,1,1000,-;{evil}\n0,2,2000,-;Kernel panic - not syncing: {escaped}{}\n SUBSYSTEM={escaped}\n",
        evil.replace('\n', " ")
    );
    std::fs::create_dir_all(bench.path("DEV/run/pstore")).unwrap();
    let oops = format!("Panic#1 Part1\n<0>[    1.0] Kernel panic - not syncing: {evil}\n{evil}");
    for n in 0..3 {
        bench.reboot(&[]);
        std::fs::write(bench.path("DEV/run/kmsg"), &kernel).unwrap();
        std::fs::write(bench.path(&format!("DEV/run/pstore/dmesg-efi-{n}")), &oops).unwrap();
        if n == 0 {
            record(&bench);
            clean_everywhere(&bench, "on trial");
        }
    }
    bench.reboot(&[]);
    clean_everywhere(&bench, "after a panic");
    let told =
        bench.surefoot(&["status", "--json"]).out + &bench.surefoot(&["report", "--json"]).out;
    assert!(told.contains("owned"), "nothing of it was told: {told}");
}

#[test]
fn names_of_partitions_are_told_as_printable_text() {
    let bench = Bench::new();
    let disk = bench.path("DEV/disk.img");
    let name = |number: u32, name: &str| {
        let change = format!("{number}:{}", name.chars().take(36).collect::<String>());
        tool("sgdisk", &["-c", &change, &disk]);
    };
    let listed = tool("sgdisk", &["-p", &disk]);
    let number = |of: &str| -> u32 {
        let line = listed.lines().find(|line| line.ends_with(of)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    name(number("boot"), EVIL);
    clean_everywhere(&bench, "a partition of that name");
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    // Also of a slot: then there is none, and what is there instead is told.
    name(number("rootfs-b"), EVIL);
    clean_everywhere(&bench, "a slot of that name");
    let said = bench.surefoot(&["install", &bench.release("3.0.0")]);
    assert_eq!(said.reason(), Some("SLOT_MISSING"), "{}", said.err);
    clean_said("install", &said);
}

#[test]
fn what_the_network_and_other_programs_say_is_told_as_printable_text() {
    let bench = Bench::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in server.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]);
            let line = EVIL.replace('\n', " ");
            let _ = write!(stream, "HTTP/1.1 500 {line}\r\n{line}: {line}\r\n\r\n{EVIL}");
        }
    });
    std::fs::write(bench.path("DEV/busy"), EVIL).unwrap();
    configure(
        &bench,
        &format!(
            "[inhibit]\nfiles = [\"busy\"]\n\
             [[health.check]]\nname = \"web\"\nhttp = \"http://{place}/\"\ntimeout = \"5s\"\n\
             [[hook]]\nname = \"speaks\"\nat = \"after-install\"\ncommand = [\"/bin/cat\", {:?}]\n\
             [[hook]]\nname = \"refuses\"\nat = \"before-reboot\"\ncommand = [\"/bin/sh\", \"-c\", \"cat {} >&2; exit 1\"]\n",
            bench.path("DEV/busy"),
            bench.path("DEV/busy"),
        ),
    );
    let daemon = Kept::start(&bench);
    clean_said("install", &daemon.surefoot(&["install", &bench.release("2.0.0")]).ok());
    for words in [
        &["why"][..],
        &["why", "--json"],
        &["doctor", "--json"],
        &["events"],
        &["events", "--json"],
        &["report"],
    ] {
        clean_said(&format!("{words:?}"), &daemon.surefoot(words));
    }
    clean_answer("the log", &daemon.log());
    drop(daemon);
    bench.reboot(&[]);
    clean_said("commit", &bench.surefoot(&["commit"]));
    clean_everywhere(&bench, "a check over the network");
    bench.reboot(&[]);
    clean_everywhere(&bench, "after it");
}

#[test]
fn names_in_configuration_folders_are_told_as_printable_text() {
    let dir = tempfile::tempdir().unwrap();
    for folder in
        ["etc/surefoot", "etc/surefoot/surefoot.toml.d", "etc/surefoot.d", "etc/surefoot/conf.d"]
    {
        let at = dir.path().join(folder);
        std::fs::create_dir_all(&at).unwrap();
        for end in [".toml", ".conf", ".toml.bak"] {
            let name = format!("{}{end}", EVIL.replace('/', ""));
            std::fs::write(at.join(name), format!("{EVIL}\n[x]\n{} = 1", quoted(EVIL))).unwrap();
        }
        std::fs::write(at.join("50-good.toml"), format!("{} = 1\n", quoted(EVIL))).unwrap();
    }
    let place = surefoot::config::Where::Folders(dir.path().to_owned());
    let told = match surefoot::config::examine(&place) {
        Err(failure) => vec![failure.to_string()],
        Ok(found) => {
            let wrong = found.mistakes.iter().map(ToString::to_string);
            wrong.chain(found.ignored).collect()
        }
    };
    assert!(told.iter().any(|text| text.contains("owned")), "{told:?}");
    for text in told {
        assert!(!text.contains('\n'), "{text:?}");
        clean("configuration folders", &text);
    }
}
