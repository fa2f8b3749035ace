//! A defect of the program is an end like that of the power: the init system starts the daemon again, and it
//! goes on with what it finds. In every profile: the hook that ends the process comes before any unwinding.

use crate::common::under_way::{UnderWay, fed, kept_and_installs, large, roomy};
use crate::common::{Bench, run};
use crate::kept::{Kept, configure};
use surefoot::sys::power::DEFECT_VARIABLE;

/// Starts a daemon that has a defect where a hold is kept, which a request does while others wait.
fn fragile(bench: &Bench) -> Kept {
    Kept::with(bench, &bench.path("DEV/surefoot.toml"), &[(DEFECT_VARIABLE, "hold.json")])
}

/// Asks for that, and waits for the end of the daemon; what systemd would see of it.
fn falls(daemon: Kept) {
    let client = daemon.surefoot(&["hold", "--reason", "a cable is loose"]);
    let client = client.refused(69, "DAEMON_SILENT");
    assert!(client.err.contains("next: See `surefoot status`"), "{}", client.err);
    let log = daemon.log();
    let told: Vec<_> = log.lines().filter(|l| l.contains("INTERNAL")).collect();
    assert_eq!(told.len(), 1, "{log}");
    let line = "surefoot: INTERNAL: stopped at a defect of its own at src/sys/power/plug.rs:";
    assert!(told[0].starts_with(line) && told[0].ends_with(": on purpose"), "{}", told[0]);
    assert_eq!(daemon.ended(), Some(70));
}

#[test]
fn a_defect_in_a_request_leaves_a_trial_as_it_was() {
    let bench = Bench::new();
    configure(&bench, "[health]\nstable = \"20m\"\ndeadline = \"30m\"\n");
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    let daemon = fragile(&bench);
    daemon.until_state("trying");
    let firm = bench.firm_ground();
    falls(daemon);
    assert!(bench.firm_ground() == firm);
    let daemon = Kept::start(&bench);
    assert_eq!(daemon.status()["state"], "trying");
    // The same again, without the defect; and a person decides.
    daemon.surefoot(&["hold", "--reason", "a cable is loose"]).ok();
    daemon.surefoot(&["commit", "--force", "--reason", "seen with my own eyes"]).ok();
    assert_eq!(daemon.status()["state"], "updated");
}

#[test]
fn a_defect_in_a_request_leaves_an_installation_to_go_on() {
    let bench = roomy();
    let artifact = large(&bench, "2.0.0");
    let daemon = fragile(&bench);
    let client = fed(&bench, &artifact, UnderWay::start(&bench, "-"));
    falls(daemon);
    assert_eq!(client.ended().reason(), Some("DAEMON_SILENT"));
    let daemon = Kept::start(&bench);
    assert_eq!(daemon.status()["state"], "installing");
    drop(daemon);
    kept_and_installs(&bench, &artifact);
}

#[test]
fn a_daemon_with_a_defect_in_an_installation_goes_on_with_it_after_its_restart() {
    let bench = roomy();
    let artifact = large(&bench, "2.0.0");
    // Its own files are small: after so many bytes it is a worker that writes the slot.
    let defect = [(DEFECT_VARIABLE, "4000000")];
    let daemon = Kept::with(&bench, &bench.path("DEV/surefoot.toml"), &defect);
    daemon.surefoot(&["install", &artifact]).refused(69, "DAEMON_SILENT");
    assert_eq!(daemon.ended(), Some(70));
    let daemon = Kept::start(&bench);
    daemon.until_armed(&bench);
    drop(daemon);
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["verify", "b"]).ok();
}

#[test]
fn an_installation_by_hand_that_meets_a_defect_ends_in_one_line_and_goes_on() {
    let bench = roomy();
    let artifact = large(&bench, "2.0.0");
    let config = bench.path("DEV/surefoot.toml");
    let words = ["--config", config.as_str(), "install", &artifact];
    let said = run(env!("CARGO_BIN_EXE_surefoot"), &words, &[(DEFECT_VARIABLE, "4000000")], b"");
    assert_eq!((said.code, said.out.as_str()), (70, ""), "{}", said.err);
    assert_eq!(said.err.matches("INTERNAL: stopped at a defect").count(), 1, "{}", said.err);
    assert!(!said.err.contains("RUST_BACKTRACE"), "{}", said.err);
    kept_and_installs(&bench, &artifact);
}
