//! The daemon ends a trial by itself, well or not.

use crate::common::Bench;
use crate::kept::{Kept, configure, quick};

fn on_trial(bench: &Bench, words: &[&str]) {
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(words), "b");
}

#[test]
fn a_healthy_system_is_committed_by_the_daemon_alone() {
    let bench = quick();
    on_trial(&bench, &[]);
    let daemon = Kept::start(&bench);
    daemon.until_state("updated");
    let events = daemon.surefoot(&["events", "--json"]).ok().out;
    assert!(events.contains("\"event\":\"committed\",\"slot\":\"b\""), "{events}");
    assert!(events.contains("\"check\",\"name\":\"self-test\",\"passed\":true"), "{events}");
    drop(daemon);
    assert_eq!(bench.reboot(&[]), "b");
    assert_eq!(bench.status()["trial"], serde_json::Value::Null);
}

#[test]
fn an_unhealthy_one_is_left_at_its_deadline_and_the_old_one_says_why() {
    let bench = quick();
    on_trial(&bench, &["--fail"]);
    let daemon = Kept::start(&bench);
    assert_eq!(daemon.status()["state"], "trying", "not before its time");
    daemon.until_left();
    crate::kept::until("it reboots", || daemon.log().contains("rebooting: "));
    let events = daemon.surefoot(&["events"]).ok().out;
    assert!(events.contains("check self-test fails"), "{events}");
    assert!(events.contains("back to slot a: HEALTH_FAILED"), "{events}");
    assert!(events.contains("rebooting: the previous system is armed again"), "{events}");
    drop(daemon);
    assert_eq!(bench.reboot(&[]), "a");
    let daemon = Kept::start(&bench);
    daemon.until_state("rolled-back");
    assert_eq!(daemon.status()["last"]["reason"], "HEALTH_FAILED");
    let history = daemon.surefoot(&["history"]).ok().out;
    assert!(history.contains("rolled back") && history.contains("by root"), "{history}");
}

#[test]
fn a_trial_that_nobody_checks_is_left_to_a_person_until_its_deadline() {
    let bench = Bench::new();
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(crate::common::read(&config)).unwrap();
    std::fs::write(&config, text.split("[[health.check]]").next().unwrap()).unwrap();
    configure(&bench, "[trial]\ndeadline = \"1h\"\n[health]\nstable = 0\n");
    on_trial(&bench, &[]);
    let daemon = Kept::start(&bench);
    crate::kept::until("it says so", || daemon.log().contains("A person must decide."));
    assert_eq!(daemon.status()["state"], "trying");
    drop(daemon);
    std::fs::write(bench.path("DEV/run/uptime"), "3600\n").unwrap();
    let daemon = Kept::start(&bench);
    daemon.until_left();
    drop(daemon);
    assert_eq!(bench.reboot(&[]), "a");
    assert_eq!(bench.status()["last"]["reason"], "DEADLINE_PASSED");
}

#[test]
fn an_order_to_reboot_is_the_daemons_and_is_given_after_the_answer() {
    let bench = quick();
    let daemon = Kept::start(&bench);
    let said = daemon.surefoot(&["install", &bench.release("2.0.0"), "--reboot"]).ok();
    assert!(said.out.contains("2.0.0"), "{}", said.out);
    crate::kept::until("it reboots", || {
        daemon.log().contains("rebooting: 2.0.0 in slot b is tried")
    });
    assert_eq!(daemon.status()["state"], "switching", "an image has no power to switch");
}

#[test]
fn a_hold_stops_what_is_automatic_and_nothing_else() {
    let bench = quick();
    let daemon = Kept::start(&bench);
    let artifact = bench.release("2.0.0");
    daemon.surefoot(&["hold", "--until", "2d", "--reason", "the driver"]).ok();
    let status = daemon.surefoot(&["status"]).ok().out;
    assert!(status.contains("hold     Automatic updates are stopped by root until"), "{status}");
    assert_eq!(daemon.status()["hold"]["reason"], "the driver");
    daemon.surefoot(&["install", &artifact]).refused(77, "HELD");
    let why = daemon.surefoot(&["why"]).ok().out;
    assert!(why.contains("stopped by root"), "{why}");
    daemon.kill();
    // It outlives the daemon, and a reboot.
    bench.reboot(&[]);
    let daemon = Kept::start(&bench);
    daemon.surefoot(&["install", &artifact]).refused(77, "HELD");
    daemon.surefoot(&["install", &artifact, "--hold-ok"]).ok();
    drop(daemon);
    bench.reboot(&[]);
    let daemon = Kept::start(&bench);
    daemon.until_state("updated"); // a trial is decided all the same
    daemon.surefoot(&["unhold"]).ok();
    assert_eq!(daemon.status()["hold"], serde_json::Value::Null);
    // A file in the daemon's folder holds too, and no word of ours lets it go.
    std::fs::write(bench.path("DEV/run/surefoot/hold"), "").unwrap();
    daemon.surefoot(&["unhold"]).refused(77, "HELD");
    std::fs::remove_file(bench.path("DEV/run/surefoot/hold")).unwrap();
    daemon.surefoot(&["unhold"]).ok();
    // And so does the configuration of a developer's device.
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(crate::common::read(&config)).unwrap();
    std::fs::write(&config, text.replacen("[device]\n", "[device]\nhold = true\n", 1)).unwrap();
    assert_eq!(daemon.status()["hold"]["by"], "configuration");
    daemon.surefoot(&["unhold"]).refused(77, "HELD");
    daemon.surefoot(&["install", &bench.release("2.1.0")]).refused(77, "HELD");
    daemon.surefoot(&["install", &bench.release("2.1.0"), "--hold-ok"]).ok();
}

#[test]
fn what_fails_in_a_system_that_was_just_switched_on_excuses_nothing() {
    for (up, state) in [("1\n", "rolled-back"), ("900\n", "updated")] {
        let bench = quick();
        std::fs::write(bench.path("DEV/run/uptime"), up).unwrap();
        std::fs::write(bench.path("DEV/run/unhealthy"), "").unwrap();
        on_trial(&bench, &["--fail"]);
        let daemon = Kept::start(&bench);
        match state {
            "updated" => {
                daemon.until_state(state);
                let history = daemon.surefoot(&["history"]).ok().out;
                assert!(history.contains("self-test"), "{history}");
            }
            _ => daemon.until_left(),
        }
    }
}

#[test]
fn a_program_that_asks_to_wait_with_the_commit_is_asked_again_and_nothing_is_rebooted() {
    let bench = quick();
    let answer = bench.path("DEV/answer");
    let hook =
        format!("command = [\"/bin/sh\", \"-c\", \"echo x >>{answer}s; exit $(cat {answer})\"]");
    configure(&bench, &format!("\n[[hook]]\nname = \"robot\"\nat = \"before-commit\"\n{hook}\n"));
    std::fs::write(&answer, "75").unwrap();
    on_trial(&bench, &[]);
    let daemon = Kept::hurried(&bench);
    let asked = || std::fs::read(format!("{answer}s")).unwrap_or_default().len() / 2;
    crate::kept::until("it asks twice", || asked() >= 2);
    assert_eq!(daemon.status()["state"], "trying");
    assert!(!daemon.log().contains("can decide nothing"), "{}", daemon.log());
    std::fs::write(&answer, "0").unwrap();
    daemon.until_state("updated");
}
