//! What people and programs are told: all of it, in whole names, and no alarm where there is none.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{self, Bench, skip};
use std::os::unix::fs::PermissionsExt;

fn configure(bench: &Bench, more: &str) {
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(common::read(&config)).unwrap();
    std::fs::write(&config, text + more).unwrap();
}

fn program(bench: &Bench, name: &str, script: &str) {
    let text = format!("#!/bin/sh\n{script}\n");
    common::program(bench.path(&format!("DEV/{name}")), text.as_bytes());
}

fn shell_check(name: &str, script: &str) -> String {
    let words = serde_json::to_string(&["/bin/sh", "-c", script]).unwrap();
    format!("\n[[health.check]]\nname = \"{name}\"\ncommand = {words}\n")
}

fn on_trial(bench: &Bench, version: &str) {
    bench.surefoot(&["install", &bench.release(version)]).ok();
    bench.reboot(&[]);
}

#[test]
fn every_failing_check_is_told_everywhere_with_its_whole_name() {
    let bench = Bench::new();
    program(&bench, "told.sh", "cat >told.json; echo \"$SUREFOOT_FAILING\" >told.txt");
    let hook = "\n[[hook]]\nname = \"tell\"\nat = \"after-rollback\"\ncommand = [\"./told.sh\"]\n";
    configure(&bench, hook);
    on_trial(&bench, "2.0.0");
    configure(&bench, &shell_check("web: front", "echo answered 503; exit 4"));
    configure(&bench, &shell_check("db", "echo no table; exit 1"));
    let both = ["web: front: exit status 4: answered 503", "db: exit status 1: no table"];
    let all = |text: &str| both.iter().all(|b| text.contains(b));
    let said = bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert!(all(&said.err), "{}", said.err);
    bench.reboot(&[]);
    let status = bench.status();
    let names = |list: &serde_json::Value| -> Vec<String> {
        let name = |f: &serde_json::Value| f["name"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names(&status["last"]["failing"]), ["web: front", "db"], "{status:#}");
    assert_eq!(status["postmortem"]["check"], "web: front");
    assert_eq!(status["postmortem"]["checks"], serde_json::json!(["web: front", "db"]));
    for words in [&["status"][..], &["history"], &["report"], &["status", "--json"]] {
        let said = bench.surefoot(words).ok().out;
        assert!(all(&said), "{words:?}: {said}");
    }
    let history = bench.surefoot(&["history", "--json"]).ok().json();
    assert_eq!(names(&history["history"][0]["failing"]), ["web: front", "db"], "{history:#}");
    let report = bench.surefoot(&["report", "--json"]).ok().json();
    assert_eq!(names(&report["postmortem"]["failing"]), ["web: front", "db"]);
    bench.surefoot(&["switch"]);
    let told = std::fs::read_to_string(bench.path("DEV/told.txt")).unwrap();
    assert_eq!(told, "web: front\ndb\n");
    let told: serde_json::Value =
        serde_json::from_slice(&common::read(&bench.path("DEV/told.json"))).unwrap();
    assert_eq!(names(&told["failing"]), ["web: front", "db"]);
    assert_eq!(told["reason"], "HEALTH_FAILED");
}

#[test]
fn the_last_line_of_a_check_or_hook_that_prints_much_is_told() {
    let bench = Bench::new();
    let much = "i=0; while [ $i -lt 4000 ]; do echo \"line $i of much\"; i=$((i+1)); done";
    program(&bench, "much.sh", &format!("{much}; echo the disk is full; exit 1"));
    let hook = "\n[[hook]]\nname = \"much\"\nat = \"before-install\"\ncommand = [\"./much.sh\"]\n";
    let config = common::read(&bench.path("DEV/surefoot.toml"));
    configure(&bench, hook);
    let said = bench.surefoot(&["install", &bench.release("2.0.0")]).refused(77, "HOOK_VETO");
    assert!(said.err.contains("exit status 1: the disk is full"), "{}", said.err);
    let report = bench.surefoot(&["report", "--json"]).ok().json();
    let output = report["hooks"]["runs"][0]["output"].as_str().unwrap();
    assert!(output.starts_with("line 0 of much\n") && output.ends_with("\nthe disk is full\n"));
    assert!(output.contains(" bytes are left out]\n") && output.len() < 17_000);
    std::fs::write(bench.path("DEV/surefoot.toml"), config).unwrap();
    on_trial(&bench, "2.0.0");
    configure(&bench, &shell_check("app", &format!("{much}; echo the port is taken; exit 2")));
    let said = bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert!(said.err.contains("app: exit status 2: the port is taken;"), "{}", said.err);
}

#[test]
fn more_failing_checks_than_anybody_reads_are_counted() {
    let bench = Bench::new();
    on_trial(&bench, "2.0.0");
    for n in 0..12 {
        configure(&bench, &shell_check(&format!("c{n}"), "exit 1"));
    }
    let said = bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert!(said.err.contains("c7: exit status 1; and 4 more"), "{}", said.err);
    bench.reboot(&[]);
    let last = bench.status()["last"].clone();
    assert_eq!((last["failing"].as_array().unwrap().len(), &last["failing_more"]), (8, &4.into()));
}

#[test]
fn a_drill_is_no_alarm_and_the_doctor_knows_at_once() {
    let bench = Bench::new();
    bench.update_to("2.0.0");
    bench.update_to("2.1.0");
    bench.surefoot(&["drill"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert_eq!(bench.reboot(&[]), "a");
    // Nobody has written anything since the reboot.
    let doctor = bench.surefoot(&["doctor"]).ok().out;
    assert!(doctor.contains("rollback proven on this board, unhealthy"), "{doctor}");
    let status = bench.status();
    assert_eq!(
        (&status["state"], &status["last"]["drill"]),
        (&"updated".into(), &"unhealthy".into())
    );
    assert!(status["postmortem"].is_null(), "{status:#}");
    let summary = status["summary"].as_str().unwrap();
    assert!(summary.contains("The drill ended: unhealthy, home after"), "{summary}");
    assert!(summary.ends_with("; rollback proven."), "{summary}");
    for words in ["status", "history"] {
        let said = bench.surefoot(&[words]).ok().out;
        let alarming = ["rolled back", "HEALTH_FAILED", "failed"].iter().any(|w| said.contains(w));
        assert!(!alarming, "{words}: {said}");
    }
    let history = bench.surefoot(&["history", "--json"]).ok().json();
    assert_eq!(history["history"][2]["work"]["order"]["drill"], "unhealthy", "{history:#}");
}

/// The program as an ordinary user, from a place that he can reach.
fn as_nobody(bench: &Bench, words: &[&str]) -> common::Said {
    let (program, config) = (bench.path("surefoot"), bench.path("DEV/surefoot.toml"));
    if !common::exists(&program) {
        common::program(&program, &common::read(env!("CARGO_BIN_EXE_surefoot")));
    }
    let who = ["--reuid=65534", "--regid=65534", "--clear-groups", &program, "--config", &config];
    common::run("setpriv", &[&who[..], words].concat(), &[], b"")
}

fn mode(path: &str, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The folders above what he asks about.
fn open_the_way(bench: &Bench) {
    mode(bench.dir.path().to_str().unwrap(), 0o755);
    for folder in ["DEV", "DEV/run", "DEV/run/surefoot"].map(|f| bench.path(f)) {
        if common::exists(&folder) {
            mode(&folder, 0o755);
        }
    }
}

#[test]
fn an_ordinary_user_is_told_who_may_ask_and_nothing_that_is_not_known() {
    if !nix::unistd::geteuid().is_root() {
        return skip::skipped("an ordinary user's questions: not root");
    }
    let bench = Bench::new();
    bench.update_to("2.0.0");
    let artifact = bench.release("3.0.0");
    open_the_way(&bench);
    let hidden = [
        ("surefoot.toml", 0o600),
        ("disk.img", 0o600),
        ("fw_env.config", 0o600),
        ("trust.toml", 0o600),
        ("state", 0o700),
        ("state/journal.0", 0o600),
        ("run/booted", 0o600),
    ];
    for (name, _) in hidden {
        let path = bench.path(&format!("DEV/{name}"));
        mode(&path, if std::path::Path::new(&path).is_dir() { 0o755 } else { 0o644 });
    }
    for name in ["journal.1", "history.jsonl", "floor.0", "floor.1"] {
        let path = bench.path(&format!("DEV/state/{name}"));
        if common::exists(&path) {
            mode(&path, 0o644);
        }
    }
    assert_eq!(as_nobody(&bench, &["status"]).code, 0, "with the rights there is an answer");
    let questions: [&[&str]; 7] = [
        &["status"],
        &["doctor"],
        &["why"],
        &["history"],
        &["report"],
        &["verify", "b"],
        &["verify", &artifact],
    ];
    for (name, closed) in hidden {
        let path = bench.path(&format!("DEV/{name}"));
        let open = std::fs::metadata(&path).unwrap().permissions();
        mode(&path, closed);
        for words in questions {
            let said = as_nobody(&bench, words).refused(77, "NOT_ALLOWED");
            assert!(
                said.err.contains("sudo") && said.err.contains("surefoot-status"),
                "{}",
                said.err
            );
            for guess in ["Rollback", "surefoot.slot", "factory", "idle", "lost"] {
                let all = format!("{}{}", said.out, said.err);
                assert!(!all.contains(guess), "{name}, {words:?}: {all}");
            }
        }
        std::fs::set_permissions(&path, open).unwrap();
    }
    // Reading is not writing.
    let said = as_nobody(&bench, &["install", &artifact]).refused(77, "NOT_ALLOWED");
    assert!(said.err.contains("may not write to"), "{}", said.err);
    mode(&artifact, 0o600);
    as_nobody(&bench, &["verify", &artifact]).refused(77, "NOT_ALLOWED");
}

/// The daemon of a device, until it is dropped.
struct Daemon(std::process::Child);

impl Daemon {
    fn start(bench: &Bench) -> Daemon {
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_surefoot"))
            .args(["--config", &bench.path("DEV/surefoot.toml"), "daemon"])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Daemon(child);
        let socket = bench.path("DEV/run/surefoot/control.sock");
        let start = std::time::Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(start.elapsed() < std::time::Duration::from_secs(300), "it does not answer");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_member_of_the_group_has_the_full_answer_from_the_daemon() {
    if !nix::unistd::geteuid().is_root() {
        return skip::skipped("a reader of the status socket: not root");
    }
    let bench = Bench::new();
    bench.update_to("2.0.0");
    let _daemon = Daemon::start(&bench);
    open_the_way(&bench);
    mode(&bench.path("DEV/surefoot.toml"), 0o644);
    mode(&bench.path("DEV/disk.img"), 0o600);
    for words in
        [&["status"][..], &["doctor"], &["why"], &["history"], &["report"], &["verify", "b"]]
    {
        let said = as_nobody(&bench, words).refused(77, "NOT_ALLOWED");
        assert!(said.err.contains("sudo"), "{words:?}: {}", said.err);
    }
    let socket = bench.path("DEV/run/surefoot/status.sock");
    std::os::unix::fs::chown(&socket, None, Some(65_534)).unwrap();
    for words in [&["status"][..], &["doctor"], &["why"], &["history"], &["verify", "b"]] {
        // Room and time go on.
        let calm = |said: common::Said| -> Vec<String> {
            let lines = said.ok().out.lines().map(str::to_owned).collect::<Vec<_>>().into_iter();
            lines.filter(|l| !l.contains(" space ") && !l.contains(" clock ")).collect()
        };
        let (he, root) = (calm(as_nobody(&bench, words)), calm(bench.surefoot(words)));
        assert_eq!(he, root, "{words:?}");
    }
    as_nobody(&bench, &["report"]).ok();
}

fn waits(bench: &Bench, what: &str) -> Vec<serde_json::Value> {
    let why = bench.surefoot(&["why", "--json"]).ok().json();
    let all = why["waits"].as_array().unwrap().clone();
    all.into_iter().filter(|w| w["what"] == what).collect()
}

#[test]
fn why_knows_the_hook_that_said_later_the_failing_checks_and_the_nearer_deadline() {
    let bench = Bench::new();
    program(&bench, "later.sh", "[ ! -e ripe ] || exit 0; echo the robot is moving; exit 75");
    let hook = |at: &str| {
        format!("\n[[hook]]\nname = \"line\"\nat = \"{at}\"\ncommand = [\"./later.sh\"]\n")
    };
    let config = common::read(&bench.path("DEV/surefoot.toml"));
    configure(&bench, &hook("before-reboot"));
    let artifact = bench.release("2.0.0");
    bench.surefoot(&["install", &artifact, "--reboot"]).refused(75, "HOOK_LATER");
    let told = waits(&bench, "hook")[0]["text"].as_str().unwrap().to_owned();
    assert!(told.starts_with("hook line at before-reboot said later"), "{told}");
    assert!(told.contains("the robot is moving; it is asked again within a minute"), "{told}");
    assert_eq!(bench.reboot(&[]), "b");
    assert_eq!(waits(&bench, "hook").len(), 0, "that step is over");

    std::fs::write(bench.path("DEV/surefoot.toml"), config).unwrap();
    configure(&bench, &hook("before-commit"));
    bench.surefoot(&["commit"]).refused(75, "HOOK_LATER");
    let told = waits(&bench, "hook")[0]["text"].as_str().unwrap().to_owned();
    assert!(told.contains("at before-commit said later") && told.contains("15 seconds"), "{told}");
    assert_eq!(waits(&bench, "check").len(), 0);
    configure(&bench, &shell_check("web: front", "exit 4"));
    configure(&bench, &shell_check("db", "exit 5"));
    let failing = waits(&bench, "check");
    let texts: Vec<_> = failing.iter().map(|w| w["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["web: front: exit status 4", "db: exit status 5"]);

    for (health, nearer, most) in
        [("5m", "[health] deadline", 300), ("3h", "[trial] deadline", 3600)]
    {
        configure(&bench, &format!("\n[health]\ndeadline = \"{health}\"\n"));
        let trial = waits(&bench, "trial").remove(0);
        assert!(trial["text"].as_str().unwrap().contains(nearer), "{trial}");
        let left = trial["seconds"].as_u64().unwrap();
        assert!(left <= most && left > most - 240, "{left} of {most}");
        let status = bench.status()["trial"].clone();
        assert_eq!(status["deadline"], nearer);
        assert!(status["seconds_left"].as_u64().unwrap() <= most, "{status}");
        let text = String::from_utf8(common::read(&bench.path("DEV/surefoot.toml"))).unwrap();
        let text = text.replace(&format!("\n[health]\ndeadline = \"{health}\"\n"), "");
        std::fs::write(bench.path("DEV/surefoot.toml"), text).unwrap();
    }
}

#[test]
fn why_knows_the_next_window_before_anything_waits_for_it() {
    let bench = Bench::new();
    let hour =
        surefoot::sys::clock::utc(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs());
    let hour: u32 = hour[11..13].parse().unwrap();
    // Two to three hours ahead.
    let (from, to) = ((hour + 3) % 24, (hour + 4) % 24);
    configure(
        &bench,
        &format!("\n[inhibit]\nzone = \"utc\"\nwindows = [\"{from:02}:00-{to:02}:00\"]\n"),
    );
    let window = waits(&bench, "window").remove(0);
    let seconds = window["seconds"].as_u64().unwrap();
    assert!((2 * 3_600 - 60..=3 * 3_600).contains(&seconds), "{window}");
}

#[test]
fn a_slot_that_could_not_boot_is_given_up_for_that_and_not_for_a_pulled_plug() {
    let bench = Bench::new();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    // The file system's head is lost after it was read back.
    bench.patch_disk(bench.slot_offset("b"), &vec![0; 128 << 10]);
    let mut boots = 0;
    while bench.reboot(&[]) != "a" {
        boots += 1;
        assert!(boots < 9, "it never comes home");
    }
    let status = bench.status();
    let text = status["postmortem"]["text"].as_str().unwrap();
    assert!(text.contains("no file system") && text.contains("never started"), "{text}");
    assert!(!text.contains("plug") && !text.contains("tries"), "{text}");
}

#[test]
fn a_system_that_came_up_and_then_ended_is_not_told_as_one_that_never_started() {
    let bench = Bench::new();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&["--fail=hang"]), "b");
    assert_eq!(bench.reboot(&[]), "b");
    // Its updater runs in its second boot, and writes down that it does.
    bench.surefoot(&["switch"]).refused(77, "TRIAL_PENDING");
    assert_eq!(bench.reboot(&["--fail=hang"]), "b");
    assert_eq!(bench.reboot(&[]), "a");
    let text = bench.status()["postmortem"]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("its updater ran in boot 2 of 3, and no black box tells"), "{text}");
    assert!(!text.contains("plug") && !text.contains("tries"), "{text}");
    let last = bench.surefoot(&["history", "--json"]).ok().json()["history"][0].clone();
    assert_eq!(last["came_up"], 2, "{last:#}");
}
