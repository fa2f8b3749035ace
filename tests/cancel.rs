//! A running installation can be stopped by whoever may, whoever runs it, and goes on where it
//! stopped. With the real programs; what is installed comes through a pipe that waits, so that
//! nothing depends on how quick this machine is.

use crate::common;
use crate::common::under_way::{
    UnderWay, fed, halfway, is_cancelled, kept_and_installs, large as artifact, roomy as bench,
    signal, until_stopped,
};
use crate::common::{Bench, Said, run};
use crate::kept;
use crate::kept::{Kept, until};

const LEN: usize = 12 << 20;

/// An installation through a pipe that writes, and waits for more.
fn begun(bench: &Bench, artifact: &str) -> UnderWay {
    fed(bench, artifact, UnderWay::start(bench, "-"))
}

#[test]
fn cancel_ends_an_installation_of_another_process_and_it_can_be_gone_on_with() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let install = halfway(&bench, &artifact);
    let status = bench.status();
    assert_eq!(status["state"], "installing");
    let running = &status["running"];
    assert_eq!((&running["verb"], &running["by"]), (&"install".into(), &"root".into()));
    assert!(running["percent"].as_u64() >= Some(25), "{running}");
    assert_eq!(running["pid"], install.id(), "{running}");
    assert!(bench.surefoot(&["status"]).ok().out.contains("2.0.0 is being installed"));
    let said = bench.surefoot(&["cancel", "--reason", "the wrong one"]).ok();
    assert!(said.out.starts_with("The installation of 2.0.0 is cancelled."), "{}", said.out);
    let told = install.ended().refused(75, "CANCELLED");
    assert!(told.err.contains("the wrong one (by root)"), "{}", told.err);
    is_cancelled(&bench);
    assert_eq!(bench.reboot(&[]), "a");
    kept_and_installs(&bench, &artifact);
}

#[test]
fn who_is_in_the_way_is_named() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let other = bench.artifact("3.0.0", 9, LEN, &["--version", "3.0.0"]);
    let install = halfway(&bench, &artifact);
    let busy = bench.surefoot(&["install", &other, "--json"]).refused(75, "BUSY");
    let name = format!("`surefoot install` of 2.0.0 by root (process {})", install.id());
    assert!(busy.err.contains(&name), "{}", busy.err);
    let owner = &busy.json()["error"]["owner"];
    assert_eq!((&owner["verb"], &owner["pid"]), (&"install".into(), &install.id().into()));
    // A person's installation is stopped by neither a newer release nor a hold.
    bench.surefoot(&["hold"]).ok();
    assert_eq!(bench.status()["state"], "installing");
    // A name that a killed process has left is not believed.
    install.kill();
    assert!(common::exists(&bench.path("DEV/run/surefoot/work")));
    let status = bench.status();
    assert!(status["running"].is_null(), "{status}");
    assert_eq!(status["next"]["action"], "resume");
    let text = bench.surefoot(&["cancel"]).ok().out;
    assert!(text.starts_with("The installation of 2.0.0 is cancelled."), "{text}");
    bench.surefoot(&["unhold"]).ok();
    is_cancelled(&bench);
    kept_and_installs(&bench, &artifact);
}

#[test]
fn a_signal_stops_it_in_good_order_and_the_same_command_goes_on() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let install = halfway(&bench, &artifact);
    signal(install.id(), "-TERM");
    until("it ends", || bench.status()["running"].is_null());
    install.ended().refused(69, "INTERRUPTED");
    let status = bench.status();
    assert_eq!(
        (&status["state"], &status["last"]["outcome"]),
        (&"installing".into(), &serde_json::Value::Null)
    );
    kept_and_installs(&bench, &artifact);
}

#[test]
fn a_request_that_is_older_than_the_installation_stops_nothing() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    halfway(&bench, &artifact).kill();
    let old = r#"{"work":"1-1","code":"CANCELLED","text":"an old word"}"#;
    std::fs::write(bench.path("DEV/run/surefoot/stop"), old).unwrap();
    kept_and_installs(&bench, &artifact);
}

#[test]
fn cancel_disarms_what_is_armed_abandons_what_is_staged_and_names_rollback_in_a_trial() {
    let bench = Bench::new();
    let nothing = bench.surefoot(&["cancel", "--json"]).ok().json();
    assert_eq!(
        (&nothing["cancelled"], &nothing["text"]),
        (&false.into(), &"Nothing is being installed.".into())
    );
    let artifact = bench.release("2.0.0");
    bench.surefoot(&["install", &artifact, "--stage"]).ok();
    assert!(bench.surefoot(&["cancel"]).ok().out.contains("2.0.0 is no longer staged"));
    is_cancelled(&bench);
    bench.surefoot(&["install", &artifact]).ok();
    assert!(bench.surefoot(&["cancel"]).ok().out.contains("2.0.0 is disarmed"));
    is_cancelled(&bench);
    assert_eq!(bench.reboot(&[]), "a", "it was disarmed");
    bench.surefoot(&["install", &artifact]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    let trial: Said = bench.surefoot(&["cancel"]).refused(77, "TRIAL_PENDING");
    assert!(trial.err.contains("surefoot rollback"), "{}", trial.err);
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["cancel"]).ok();
    assert_eq!(bench.status()["state"], "updated");
}

#[test]
fn rollback_stops_an_installation_and_does_not_arm_the_other_slot() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let install = halfway(&bench, &artifact);
    bench.surefoot(&["rollback"]).ok();
    install.ended().refused(75, "CANCELLED");
    assert_eq!(bench.reboot(&[]), "a");
    is_cancelled(&bench);
}

#[test]
fn a_hook_is_ended_with_the_installation_that_it_holds_up() {
    let bench = bench();
    let (begun, told) = (bench.path("begun"), bench.path("told"));
    let script = format!(
        "trap 'echo bye >{told}; exit 1' TERM; touch {begun}; while :; do sleep 0.05; done"
    );
    let hook = format!(
        "\n[[hook]]\nname = \"10-slow\"\nat = \"before-install\"\ntimeout = \"30m\"\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\n"
    );
    kept::configure(&bench, &hook);
    let artifact = artifact(&bench, "2.0.0");
    let install = UnderWay::start(&bench, &artifact);
    until("the hook runs", || common::exists(&begun));
    bench.surefoot(&["cancel"]).ok();
    install.ended().refused(75, "CANCELLED");
    assert_eq!(common::read(&told), b"bye\n", "it was asked to end");
    is_cancelled(&bench);
}

#[test]
fn the_daemon_is_reached_too_and_begins_no_cancelled_artifact_of_the_inbox_again() {
    let bench = bench();
    std::fs::create_dir(bench.path("DEV/inbox")).unwrap();
    let inbox = bench.path("DEV/inbox");
    kept::configure(
        &bench,
        &format!(
            "[inbox]\nfolder = {inbox:?}\n\n[[hook]]\nname = \"10-slow\"\nat = \"before-install\"\ntimeout = \"30m\"\ncommand = [\"/bin/sh\", \"-c\", \"touch {0}; while [ ! -e {0}.on ]; do sleep 0.05; done\"]\n",
            bench.path("begun")
        ),
    );
    let artifact = artifact(&bench, "2.0.0");
    let daemon = Kept::start(&bench);
    std::fs::copy(&artifact, bench.path("x")).unwrap();
    std::fs::rename(bench.path("x"), format!("{inbox}/x.surefoot")).unwrap();
    until("it has begun", || common::exists(&bench.path("begun")));
    assert_eq!(daemon.status()["running"]["automatic"], true);
    daemon.surefoot(&["cancel"]).ok();
    until("it is told", || daemon.log().contains("is cancelled"));
    assert_eq!(daemon.status()["last"]["outcome"], "cancelled");
    std::fs::remove_file(bench.path("begun")).unwrap();
    // Also after another start, where everything is looked at anew.
    drop(daemon);
    let daemon = Kept::start(&bench);
    until("it is refused", || daemon.log().matches("a person cancelled 2.0.0").count() >= 1);
    assert!(!common::exists(&bench.path("begun")), "it was begun again");
    assert!(common::exists(&format!("{inbox}/x.surefoot")));
    // A person may.
    std::fs::write(bench.path("begun.on"), b"").unwrap();
    daemon.surefoot(&["install", &artifact]).ok();
    assert_eq!(daemon.status()["state"], "switching");
}

#[test]
fn a_daemon_whose_power_was_cut_goes_on_by_itself_with_the_file_that_it_had_begun() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let config = bench.path("DEV/surefoot.toml");
    // Its own files are small: after so many bytes it is writing the slot.
    let stop = [(surefoot::sys::power::STOP_VARIABLE, "4000000")];
    let daemon = Kept::with(&bench, &config, &stop);
    let client = UnderWay::start(&bench, &artifact);
    until_stopped(daemon.pid());
    drop(daemon);
    let client = client.ended();
    assert_eq!(client.reason(), Some("DAEMON_SILENT"), "{}", client.err);
    assert_eq!(bench.status()["state"], "installing");
    assert_eq!(bench.status()["slots"]["b"]["bootable"], false);
    let daemon = Kept::start(&bench);
    daemon.until_armed(&bench);
    drop(daemon);
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["verify", "b"]).ok();
}

#[test]
fn what_was_ended_before_its_turn_is_not_gone_on_with() {
    for verb in ["cancel", "rollback"] {
        let bench = bench();
        let artifact = artifact(&bench, "2.0.0");
        UnderWay::stopped(&bench, &artifact, 4_000_000).kill();
        // The one that goes on waits for its turn in this line.
        let folder = bench.path("DEV/run/surefoot");
        std::fs::create_dir_all(&folder).unwrap();
        let line = surefoot::sys::lock::FileLock::take(
            std::path::Path::new(&format!("{folder}/next")),
            std::time::Duration::ZERO,
        );
        let daemon = Kept::start(&bench);
        daemon.surefoot(&[verb]).ok();
        drop(line);
        until("nothing runs", || daemon.status()["running"].is_null());
        std::thread::sleep(std::time::Duration::from_secs(1));
        let status = daemon.status();
        assert!(status["running"].is_null() && status["trial"].is_null(), "{verb}: {status:#}");
        assert_eq!(
            status["last"]["reason"],
            if verb == "cancel" { "CANCELLED" } else { "REQUESTED" }
        );
        // A person's word begins it again.
        daemon.surefoot(&["install", &artifact]).ok();
        assert_eq!(daemon.status()["state"], "switching");
    }
}

#[test]
fn a_rollback_of_what_has_not_said_yet_what_it_brings_is_told_as_done() {
    let bench = bench();
    let mut install = UnderWay::start(&bench, "-");
    until("it runs", || bench.status()["running"]["verb"] == "install");
    let said = bench.surefoot(&["rollback", "--reason", "x"]).ok().out;
    assert!(said.contains("stopped before it was known"), "{said}");
    install.feed(b"");
    install.ended().refused(75, "CANCELLED");
}

#[test]
fn a_daemon_that_cannot_go_on_says_what_is_needed() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    halfway(&bench, &artifact).kill();
    let daemon = Kept::start(&bench);
    until("it says so", || daemon.log().contains("send the same artifact again"));
    daemon.surefoot(&["install", &artifact]).ok();
    assert_eq!(daemon.status()["state"], "switching");
}

#[test]
fn a_daemon_that_is_told_to_end_stops_an_installation_in_good_order() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let mut daemon = Kept::start(&bench);
    let install = begun(&bench, &artifact);
    signal(daemon.pid(), "-TERM");
    until("it is gone", || !daemon.runs());
    install.ended().refused(69, "INTERRUPTED");
    let status = bench.status();
    assert_eq!(
        (&status["state"], &status["running"]),
        (&"installing".into(), &serde_json::Value::Null)
    );
    bench.surefoot(&["install", &artifact]).ok();
    assert_eq!(bench.reboot(&[]), "b");
}

/// A daemon with an inbox, whose hook waits for the file `go` beside the device.
pub(crate) fn with_inbox(bench: &Bench) -> (Kept, String) {
    let inbox = bench.path("DEV/inbox");
    std::fs::create_dir(&inbox).unwrap();
    let script = format!(
        "touch {0}.$SUREFOOT_VERSION; while [ ! -e {1} ]; do sleep 0.05; done",
        bench.path("begun"),
        bench.path("go")
    );
    let hook = "[[hook]]\nname = \"10-slow\"\nat = \"before-install\"\ntimeout = \"30m\"";
    let command = format!("command = [\"/bin/sh\", \"-c\", {script:?}]");
    kept::configure(bench, &format!("[inbox]\nfolder = {inbox:?}\n\n{hook}\n{command}\n"));
    (Kept::start(bench), inbox)
}

pub(crate) fn bring(bench: &Bench, inbox: &str, artifact: &str, name: &str) {
    std::fs::copy(artifact, bench.path("coming")).unwrap();
    std::fs::rename(bench.path("coming"), format!("{inbox}/{name}.surefoot")).unwrap();
}

#[test]
fn a_hold_stops_an_automatic_installation_and_its_end_lets_it_go_on() {
    let bench = bench();
    let (daemon, inbox) = with_inbox(&bench);
    bring(&bench, &inbox, &artifact(&bench, "2.0.0"), "x");
    until("it has begun", || daemon.status()["running"]["automatic"] == true);
    daemon.surefoot(&["hold", "--reason", "a demonstration"]).ok();
    let status = daemon.status();
    assert!(status["running"].is_null() && status["last"]["outcome"].is_null(), "{status}");
    std::fs::write(bench.path("go"), b"").unwrap();
    daemon.surefoot(&["unhold"]).ok();
    daemon.until_state("switching");
}

#[test]
fn a_newer_release_takes_the_place_of_an_automatic_installation() {
    for by_a_person in [true, false] {
        let bench = bench();
        let (daemon, inbox) = with_inbox(&bench);
        let newer = bench.artifact("3.0.0", 9, LEN, &["--version", "3.0.0"]);
        bring(&bench, &inbox, &artifact(&bench, "2.0.0"), "x");
        until("it has begun", || common::exists(&bench.path("begun.2.0.0")));
        let client = by_a_person.then(|| UnderWay::start(&bench, &newer));
        if client.is_none() {
            bring(&bench, &inbox, &newer, "y");
        }
        until("the newer one has begun", || common::exists(&bench.path("begun.3.0.0")));
        std::fs::write(bench.path("go"), b"").unwrap();
        daemon.until_armed(&bench);
        client.into_iter().for_each(|client| drop(client.ended().ok()));
        let status = daemon.status();
        assert_eq!(status["slots"]["b"]["version"], "3.0.0", "{by_a_person}");
        // And what runs is the factory's system as it was, though there is a history now.
        assert_eq!(status["slots"]["a"]["identity"], "factory", "{status:#}");
        assert!(!daemon.log().contains("unknown release"), "{}", daemon.log());
        // It did not fail: it made way, and that is told.
        let last = &status["last"];
        assert_eq!(
            (&last["outcome"], &last["reason"], &last["to"]),
            (&"superseded".into(), &"SUPERSEDED".into(), &"2.0.0".into()),
            "{status:#}"
        );
        let events = daemon.surefoot(&["events"]).ok().out;
        assert!(events.contains("2.0.0 makes way: 3.0.0 takes its place"), "{events}");
        assert!(!events.contains("failed"), "{events}");
        let text = daemon.surefoot(&["status"]).ok().out;
        assert!(text.contains("another release took the place of 2.0.0"), "{text}");
        drop(daemon);
        assert_eq!(bench.reboot(&[]), "b");
        bench.surefoot(&["commit"]).ok();
        let history = bench.surefoot(&["history", "--json"]).ok().json();
        let told = |n: usize| history["history"][n]["outcome"].clone();
        assert_eq!([told(0), told(1)], ["superseded", "updated"], "{history:#}");
        let history = bench.surefoot(&["history"]).ok().out;
        assert!(history.contains("superseded") && !history.contains("failed"), "{history}");
    }
}

#[test]
fn anybody_sees_an_installation_that_runs() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let install = begun(&bench, &artifact);
    // Whoever may not look at the disk is in the same place as one that has none.
    let thin = Kept::thin(&bench);
    let status =
        run(env!("CARGO_BIN_EXE_surefoot"), &["--config", &thin, "status", "--json"], &[], b"");
    let status = status.ok().json();
    assert_eq!(
        (&status["state"], &status["running"]["version"]),
        (&"installing".into(), &"2.0.0".into())
    );
    assert!(status["running"]["percent"].is_number() && status["running"]["since"].is_number());
    let mode = std::fs::metadata(bench.path("DEV/run/surefoot/work")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o644);
    install.kill();
    let said = run(env!("CARGO_BIN_EXE_surefoot"), &["--config", &thin, "status"], &[], b"");
    said.refused(78, "DISK_MISSING");
}
