//! Whatever ends an installation, or the one who cancels it: a key, a closed terminal, a kill. What is
//! told afterwards is true, nothing stays locked, and the next installation goes on.

use crate::common::under_way::{
    UnderWay, fed, halfway, is_cancelled, kept_and_installs, large as artifact, roomy as bench,
    signal,
};
use crate::common::{self, Bench, run};
use crate::kept::{configure, until};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

/// Ended in the middle and not cancelled: the same command goes on.
fn goes_on(bench: &Bench, artifact: &str) {
    let status = bench.status();
    assert!(status["running"].is_null(), "{status:#}");
    let told = (&status["state"], &status["next"]["action"], &status["last"]["outcome"]);
    assert_eq!(told, (&"installing".into(), &"resume".into(), &serde_json::Value::Null));
    assert_eq!(bench.reboot(&[]), "a");
    kept_and_installs(bench, artifact);
}

#[test]
fn a_key_and_a_closed_terminal_stop_it_in_good_order_as_sigterm_does() {
    for name in ["-INT", "-HUP"] {
        let bench = bench();
        let artifact = artifact(&bench, "2.0.0");
        let mut install = fed(&bench, &artifact, UnderWay::heeding(&bench, "-"));
        install.until_written(5 << 20);
        signal(install.id(), name);
        until("it ends", || bench.status()["running"].is_null());
        let said = install.ended().refused(69, "INTERRUPTED");
        assert!(said.err.contains(&format!("SIG{}", &name[1..])), "{}", said.err);
        goes_on(&bench, &artifact);
    }
}

/// `surefoot install` in a terminal of its own, fed by a pipe that stays open.
fn in_a_terminal(bench: &Bench, artifact: &str) -> (Child, std::fs::File) {
    let fifo = bench.path("fifo");
    run("mkfifo", &[&fifo], &[], b"").ok();
    let (program, config) = (env!("CARGO_BIN_EXE_surefoot"), bench.path("DEV/surefoot.toml"));
    let line =
        format!("exec env --default-signal=INT,HUP {program} --config {config} install - <{fifo}");
    let child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let bytes = common::read(artifact);
    let mut pipe = std::fs::File::options().write(true).open(&fifo).unwrap();
    pipe.write_all(&bytes[..bytes.len() * 3 / 4]).unwrap();
    until("it writes", || bench.status()["running"]["phase"] == "write");
    (child, pipe)
}

#[test]
fn ctrl_c_in_a_terminal_stops_it_in_good_order() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let (mut terminal, _pipe) = in_a_terminal(&bench, &artifact);
    terminal.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let mut said = String::new();
    terminal.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(terminal.wait().unwrap().code(), Some(69), "{said}");
    assert!(said.contains("SIGINT") && said.contains("[INTERRUPTED]"), "{said}");
    goes_on(&bench, &artifact);
}

#[test]
fn a_terminal_that_is_closed_stops_it_in_good_order() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let (mut terminal, _pipe) = in_a_terminal(&bench, &artifact);
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    until("it ends", || bench.status()["running"].is_null());
    goes_on(&bench, &artifact);
}

#[test]
fn an_installer_that_is_killed_at_any_point_leaves_nothing_busy() {
    for written in [0, 1 << 20, 6 << 20] {
        let bench = bench();
        let artifact = artifact(&bench, "2.0.0");
        let mut install = fed(&bench, &artifact, UnderWay::start(&bench, "-"));
        install.until_written(written);
        install.kill();
        let status = bench.status();
        assert!(status["running"].is_null() && status["state"] == "installing", "{status:#}");
        bench.surefoot(&["why"]).ok();
        bench.surefoot(&["install", &artifact]).ok();
        assert_eq!(bench.reboot(&[]), "b");
        bench.surefoot(&["verify", "b"]).ok();
    }
    // While a program of the integrator is asked: nothing has begun.
    let bench = bench();
    let (begun, go) = (bench.path("begun"), bench.path("go"));
    let script = format!("touch {begun}; while [ ! -e {go} ]; do sleep 0.05; done");
    let command = format!("command = [\"/bin/sh\", \"-c\", {script:?}]");
    configure(&bench, &format!("[[hook]]\nname = \"ask\"\nat = \"before-install\"\n{command}\n"));
    let artifact = artifact(&bench, "2.0.0");
    let install = UnderWay::start(&bench, &artifact);
    until("it asks", || common::exists(&begun));
    install.kill();
    std::fs::write(&go, "").unwrap();
    let status = bench.status();
    assert!(status["running"].is_null() && status["state"] == "idle", "{status:#}");
    bench.surefoot(&["install", &artifact]).ok();
    assert_eq!(bench.reboot(&[]), "b");
}

#[test]
fn a_canceller_that_is_killed_at_any_point_leaves_nothing_busy() {
    let mut asked = [0, 0];
    for cut in 0.. {
        let bench = bench();
        let artifact = artifact(&bench, "2.0.0");
        let install = halfway(&bench, &artifact);
        let plug = cut.to_string();
        let cancel = bench.surefoot_with(&["cancel"], &[("SUREFOOT_SIM_CUT", &plug)], b"");
        if cancel.code != 0 && !bench.status()["running"].is_null() {
            // It was killed before it had asked for anything.
            asked[0] += 1;
            bench.surefoot(&["cancel"]).ok();
        } else {
            asked[1] += 1;
        }
        until("it ends", || bench.status()["running"].is_null());
        install.ended().refused(75, "CANCELLED");
        is_cancelled(&bench);
        kept_and_installs(&bench, &artifact);
        if cancel.code == 0 {
            break;
        }
        assert!(cut < 40, "it never ended");
    }
    assert!(asked[1] > 0, "{asked:?}");
}

/// `surefoot cancel` of an installation that stands still: it has asked, and waits.
fn waiting_cancel(bench: &Bench, install: &UnderWay) -> Child {
    signal(install.id(), "-STOP");
    let cancel = Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .args(["--config", &bench.path("DEV/surefoot.toml"), "cancel"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("it has asked", || common::exists(&bench.path("DEV/run/surefoot/stop")));
    cancel
}

#[test]
fn what_a_killed_canceller_has_asked_for_is_done_all_the_same() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let install = halfway(&bench, &artifact);
    let mut cancel = waiting_cancel(&bench, &install);
    cancel.kill().unwrap();
    cancel.wait().unwrap();
    signal(install.id(), "-CONT");
    until("it ends", || bench.status()["running"].is_null());
    install.ended().refused(75, "CANCELLED");
    is_cancelled(&bench);
    kept_and_installs(&bench, &artifact);
}

#[test]
fn an_installer_that_is_killed_while_it_is_cancelled_is_cancelled() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0");
    let install = halfway(&bench, &artifact);
    let mut cancel = waiting_cancel(&bench, &install);
    install.kill();
    assert!(cancel.wait().unwrap().success());
    is_cancelled(&bench);
    kept_and_installs(&bench, &artifact);
}

#[test]
fn what_waits_or_is_armed_and_makes_way_is_told_as_superseded_too() {
    for how in [&["--stage"][..], &[]] {
        let bench = Bench::new();
        let first = bench.release("2.0.0");
        bench.surefoot(&[&["install", first.as_str()], how].concat()).ok();
        bench.surefoot(&["install", &bench.release("3.0.0")]).ok();
        let last = bench.status()["last"].clone();
        assert_eq!(
            (&last["outcome"], &last["to"], &last["detail"]),
            (&"superseded".into(), &"2.0.0".into(), &"3.0.0 takes its place".into()),
            "{last:#}"
        );
        // Nothing is held against what made way, and another end does not make it forgotten.
        bench.surefoot(&["rollback"]).ok();
        bench.surefoot(&["install", &first]).ok();
        let history = bench.surefoot(&["history"]).ok().out;
        assert_eq!(history.matches("superseded").count(), 1, "{history}");
    }
}
