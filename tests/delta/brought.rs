//! Deltas on every other way to a device: the daemon's socket, a stream, the inbox, a stick.

use super::install::{Place, last};
use crate::common::{Bench, read, run};
use crate::kept::{Kept, configure, until};
use crate::media::{Medium, Shape};
use std::path::Path;

/// The device runs 1.0.2 now, byte for byte.
fn is_updated(bench: &Bench) {
    let slot = bench.reboot(&[]);
    assert_eq!(bench.status()["slots"][&slot]["version"], "1.0.2");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["verify"]).ok();
}

#[test]
fn the_daemon_installs_a_delta_and_falls_back_to_the_file_beside_it() {
    let place = Place::new();
    let bench = &place.bench;
    let daemon = Kept::start(bench);
    // Who asks has nothing but the daemon.
    let thin = Kept::thin(bench);
    let ask = |words: &[&str], input: &[u8]| {
        let all = [&["--config", &thin, "install", "--json"], words].concat();
        run(env!("CARGO_BIN_EXE_surefoot"), &all, &[], input)
    };
    assert_eq!(last(&ask(&[&place.delta, "--dry-run"], b"").ok())["via"], "delta");
    let answer = last(&ask(&[&place.delta], b"").ok());
    assert_eq!(answer["via"], "delta", "{answer}");
    bench.surefoot(&["rollback"]).ok();
    // As `push` sends it: a stream.
    let answer = last(&ask(&["-"], &read(&place.delta)).ok());
    assert_eq!(answer["via"], "delta", "{answer}");
    drop(daemon);
    is_updated(bench);
    // Now another release runs than it is made from.
    let daemon = Kept::start(bench);
    for (words, input) in [([place.delta.as_str()], &b""[..]), (["-"], &read(&place.delta))] {
        let said = ask(&words, input).refused(65, "DELTA_BASE");
        assert!(said.err.contains("1.0.1") && said.err.contains("full artifact"), "{}", said.err);
    }
    place.beside();
    let said = ask(&[&place.delta, "--reinstall"], b"").ok();
    assert!(format!("{}{}", said.out, said.err).contains("takes its place"), "{}", said.err);
    assert_eq!(last(&said)["via"], "full", "{}", said.out);
    drop(daemon);
}

/// A daemon with an inbox, and what brings files into it.
struct Inbox<'a> {
    bench: &'a Bench,
    folder: String,
    daemon: Kept,
}

impl<'a> Inbox<'a> {
    fn new(bench: &'a Bench) -> Inbox<'a> {
        let folder = bench.path("DEV/inbox");
        std::fs::create_dir(&folder).unwrap();
        configure(bench, &format!("[inbox]\nfolder = {folder:?}\n"));
        Inbox { bench, folder, daemon: Kept::start(bench) }
    }

    fn bring(&self, file: &str) {
        let coming = self.bench.path("DEV/coming");
        std::fs::copy(file, &coming).unwrap();
        std::fs::rename(coming, self.place(file)).unwrap();
    }

    fn place(&self, file: &str) -> String {
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        format!("{}/{name}", self.folder)
    }

    /// The last report for people.
    fn report(&self) -> String {
        let outbox = self.bench.path("DEV/state/outbox");
        let names = std::fs::read_dir(&outbox).unwrap().map(|e| e.unwrap().path());
        let texts = names.filter(|path| path.extension().is_some_and(|end| end == "txt"));
        std::fs::read_to_string(texts.max().unwrap()).unwrap()
    }

    fn until_empty(&self) {
        until("it is taken away", || std::fs::read_dir(&self.folder).unwrap().count() == 0);
    }
}

#[test]
fn a_delta_in_the_inbox_is_installed_and_one_that_does_not_fit_is_reported() {
    let place = Place::new();
    let bench = &place.bench;
    let inbox = Inbox::new(bench);
    inbox.bring(&place.delta);
    inbox.until_empty();
    assert!(inbox.report().contains("1.0.2 is in slot"), "{}", inbox.report());
    drop(inbox.daemon);
    is_updated(bench);
    let inbox = Inbox { daemon: Kept::start(bench), folder: inbox.folder, bench };
    inbox.bring(&place.delta);
    inbox.until_empty();
    let report = inbox.report();
    assert!(report.contains("Code: DELTA_BASE") && report.contains("from 1.0.1"), "{report}");
}

#[test]
fn in_the_inbox_the_full_artifact_takes_the_place_of_a_delta_that_does_not_help() {
    // Another release runs than it is made from.
    let place = Place::factory();
    let inbox = Inbox::new(&place.bench);
    // The one that comes first waits for nothing: the full one is enough.
    inbox.bring(&place.full);
    until("it is armed", || place.bench.status()["state"] == "switching");
    inbox.bring(&place.delta);
    inbox.until_empty();
    drop(inbox.daemon);
    is_updated(&place.bench);
    // The slot has changed, which is seen while it is written.
    let place = Place::new();
    place.change(700_000);
    let folder = place.bench.path("DEV/inbox");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&place.full, format!("{folder}/to.surefoot")).unwrap();
    std::fs::copy(&place.delta, format!("{folder}/to.from-1.0.1.delta.surefoot")).unwrap();
    configure(&place.bench, &format!("[inbox]\nfolder = {folder:?}\n"));
    let daemon = Kept::start(&place.bench);
    let inbox = Inbox { bench: &place.bench, folder, daemon };
    inbox.until_empty();
    assert!(inbox.daemon.log().contains("takes its place"), "{}", inbox.daemon.log());
    assert!(inbox.report().contains("1.0.2 is in slot"), "{}", inbox.report());
    drop(inbox.daemon);
    is_updated(&place.bench);
}

fn stick(bench: &Bench) -> Medium {
    Medium::new(bench.dir.path(), "s.img", Shape::Primary, 32, 40)
}

#[test]
fn a_delta_on_a_stick_is_installed_and_one_that_does_not_fit_is_reported() {
    let place = Place::new();
    let bench = &place.bench;
    let stick = stick(bench);
    stick.put(&place.delta, "to.from-1.0.1.delta.surefoot");
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    assert!(said.out.contains("1.0.2 is in slot"), "{}", said.out);
    is_updated(bench);
    let said = bench.surefoot(&["stick", stick.text()]);
    assert_eq!(said.code, 65, "{}{}", said.out, said.err);
    let report = stick.report();
    assert!(report.contains("DELTA_BASE") && report.contains("from 1.0.1"), "{report}");
}

#[test]
fn on_a_stick_the_full_artifact_takes_the_place_of_a_delta_that_does_not_help() {
    for changed in [false, true] {
        let place = if changed { Place::new() } else { Place::factory() };
        if changed {
            place.change(700_000);
        }
        let stick = stick(&place.bench);
        stick.put(&place.delta, "to.from-1.0.1.delta.surefoot");
        stick.put(&place.full, "to.surefoot");
        let said = place.bench.surefoot(&["stick", stick.text()]).ok();
        assert!(said.out.contains("to.surefoot: 1.0.2 is in slot"), "{changed}: {}", said.out);
        assert!(stick.report().contains("DELTA_BASE"), "{changed}: {}", stick.report());
        is_updated(&place.bench);
    }
}
