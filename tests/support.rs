//! What a person in trouble asks: `doctor` and `report`.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{self, Bench};
use serde_json::Value;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

fn report(bench: &Bench) -> Value {
    bench.surefoot(&["report", "--json"]).ok().json()
}

fn configure(bench: &Bench, text: &str) {
    let config = bench.path("DEV/surefoot.toml");
    let old = String::from_utf8(common::read(&config)).unwrap();
    std::fs::write(&config, format!("{old}\n{text}\n")).unwrap();
}

/// Both copies.
fn ruin_table(bench: &Bench) {
    let len = std::fs::metadata(bench.path("DEV/disk.img")).unwrap().len();
    for at in [0, usize::try_from(len).unwrap() - (1 << 20)] {
        bench.patch_disk(at, &vec![0xff; 1 << 20]);
    }
}

#[test]
fn a_report_tells_everything_and_no_secret() {
    let bench = Bench::new();
    configure(&bench, "[weather]\napi_key = \"sesame-1\"\nurl = \"http://u:sesame-2@host/x\"\n");
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    bench.reboot(&["--fail"]);
    bench.surefoot(&["commit"]);
    bench.reboot(&[]);
    std::fs::write(bench.path("DEV/state/hooks.json"), "[{\"name\":\"x\",\"token\":\"sesame-3\"}]")
        .unwrap();
    let all = report(&bench);
    assert_eq!(all["status"]["state"], "rolled-back");
    assert_eq!(all["postmortem"]["cause"]["kind"], "check");
    assert_eq!(all["history"][0]["reason"], "HEALTH_FAILED");
    assert_eq!(all["doctor"]["rollback"], "armed");
    assert_eq!(all["bootloader"]["variables"]["surefoot_slot"], "a");
    assert_eq!(all["partitions"]["table"].as_array().unwrap().len(), 4);
    assert_eq!(all["config"]["merged"]["device"]["product"], "demo");
    assert_eq!(all["config"]["merged"]["weather"]["api_key"], "(not told)");
    assert_eq!(all["hooks"][0]["name"], "x");
    assert!(all["files"]["files"]["postmortem.json"].as_u64().is_some());
    let text = bench.surefoot(&["report"]).ok().out;
    for part in ["== status ==", "self-test", "surefoot_slot  a", "(not told)@host"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for (name, starts) in [("r.json", "{"), ("r.txt", "Report of surefoot")] {
        let file = bench.path(name);
        assert_eq!(bench.surefoot(&["report", "-o", &file]).ok().out, "");
        let text = String::from_utf8(common::read(&file)).unwrap();
        assert!(text.starts_with(starts) && !text.contains("sesame"), "{text}");
    }
    bench.surefoot(&["report", "-o", "/nowhere/r.json"]).refused(74, "IO");
}

#[test]
fn a_report_of_a_broken_device_says_what_it_can() {
    let ruin = |what: &str, bench: &Bench| match what {
        "environment" => {
            bench.patch_disk(4 << 20, &[0xff; 0x4000]);
            bench.patch_disk(8 << 20, &[0xff; 0x4000]);
        }
        "table" => ruin_table(bench),
        "disk" => std::fs::remove_file(bench.path("DEV/disk.img")).unwrap(),
        "state" => {
            std::fs::remove_dir_all(bench.path("DEV/state")).unwrap();
            std::fs::write(bench.path("DEV/state"), "a file").unwrap();
        }
        "slots" => configure(bench, "[slots]\na = [\"nowhere\"]\nb = [\"nobody\"]"),
        "config" => std::fs::write(bench.path("DEV/surefoot.toml"), "\u{1}garbage").unwrap(),
        _ => std::fs::write(bench.path("DEV/run/booted"), "z\n").unwrap(),
    };
    for what in ["environment", "table", "disk", "state", "slots", "config", "booted"] {
        let bench = Bench::new();
        ruin(what, &bench);
        let all = report(&bench);
        assert!(all["kernel"]["release"].is_string(), "{what}");
        let failed = |name: &str| all[name]["error"]["code"].is_string();
        let blocked = all["doctor"]["findings"]
            .as_array()
            .is_some_and(|f| f.iter().any(|f| f["level"] == "blocking"));
        assert!(failed("config") || blocked, "{what}: {all:#}");
        assert_eq!(failed("partitions"), ["table", "disk"].contains(&what), "{what}");
        let text = bench.surefoot(&["report"]).ok().out;
        assert!(text.contains("== kernel =="), "{what}: {text}");
        let said = bench.surefoot(&["doctor"]);
        assert!(![0, 70].contains(&said.code), "{what}: {} {}", said.code, said.out);
    }
}

#[test]
fn the_doctor_has_a_remedy_for_everything_and_only_what_blocks_is_a_failure() {
    let bench = Bench::new();
    let found = |words: &[&str]| bench.surefoot(words).ok().json()["findings"].clone();
    let findings = found(&["doctor", "--json"]);
    let level = |findings: &Value, topic: &str| -> Vec<String> {
        let all = findings.as_array().unwrap().iter().filter(|f| f["topic"] == topic);
        all.map(|f| f["level"].as_str().unwrap().to_owned()).collect()
    };
    for topic in ["partitions", "booted", "environment", "rollback", "trust", "state", "space"] {
        assert_eq!(level(&findings, topic), ["good"], "{topic}: {findings:#}");
    }
    assert_eq!(level(&findings, "drill"), ["notice"]);
    for finding in findings.as_array().unwrap() {
        let remedy = finding["remedy"].as_str().unwrap();
        assert_eq!(finding["level"] == "good", remedy.is_empty(), "{finding}");
    }
    let file = bench.path("DEV/state/drill.json");
    std::fs::write(&file, r#"{"v":1,"kind":"hang","seconds":94,"at":1800000000}"#).unwrap();
    let said = bench.surefoot(&["doctor"]).ok().out;
    assert!(said.contains("rollback proven on this board, hang: 94 s"), "{said}");
    for garbage in [&b"\xff\0"[..], b"{}", &[b'['; 100_000]] {
        std::fs::write(&file, garbage).unwrap();
        assert_eq!(level(&found(&["doctor", "--json"]), "drill"), ["notice"]);
    }
}

struct Daemon(Child);

impl Daemon {
    fn start(bench: &Bench) -> Daemon {
        let child = Command::new(env!("CARGO_BIN_EXE_surefoot"))
            .args(["--config", &bench.path("DEV/surefoot.toml"), "daemon"])
            .spawn()
            .unwrap();
        let due = Instant::now() + Duration::from_secs(300);
        while !common::exists(&bench.path("DEV/run/surefoot/control.sock")) {
            assert!(Instant::now() < due, "no daemon");
            std::thread::sleep(Duration::from_millis(20));
        }
        Daemon(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_daemon_reports_what_it_has_told_and_answers_when_nothing_else_can() {
    let bench = Bench::new();
    let _daemon = Daemon::start(&bench);
    let due = Instant::now() + Duration::from_secs(300);
    let told = loop {
        let told = report(&bench)["events"].clone();
        if told.as_array().is_some_and(|e| e.iter().any(|e| e["event"] == "started")) {
            break told;
        }
        assert!(Instant::now() < due, "{told}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(told[0]["number"], 1);
    ruin_table(&bench);
    assert_eq!(report(&bench)["status"]["error"]["code"], "TABLE_UNREADABLE");
    // It is asked by whoever is not root; here by its own words.
    let socket = bench.path("DEV/run/surefoot/status.sock");
    let call = surefoot::control::Call {
        method: "GET",
        target: "/v1/doctor",
        body: "",
        handed: None,
        patience: None,
    };
    let answered = surefoot::control::call(socket.as_ref(), &call).unwrap();
    assert_eq!(answered.status, 200);
    let diagnosis: Value = serde_json::from_str(&answered.lines.rest().unwrap()).unwrap();
    assert_eq!(diagnosis["findings"][0]["code"], "TABLE_UNREADABLE");
}
