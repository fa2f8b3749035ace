//! Which comes next: a stick, the inbox and a person bring several, and one of them was cancelled.

use crate::cancel::{bring, with_inbox};
use crate::common::kept::until;
use crate::common::under_way::{UnderWay, halfway, is_cancelled, large, roomy, until_stopped};
use crate::common::{Bench, exists};
use crate::kept::{Kept, configure};
use crate::media::{Medium, Shape};
use std::process::{Child, Command, Stdio};
use surefoot::sys::power::STOP_VARIABLE;

/// `surefoot stick`, started. Killed when dropped.
struct PutIn(Child);

impl PutIn {
    fn start(bench: &Bench, stick: &Medium, environment: &[(&str, &str)]) -> PutIn {
        let config = bench.path("DEV/surefoot.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_surefoot"));
        command.args(["--config", &config, "stick", stick.text()]).env_remove("SUREFOOT_CONFIG");
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::null());
        PutIn(command.spawn().unwrap())
    }
}

impl Drop for PutIn {
    fn drop(&mut self) {
        // Ended already, perhaps.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn stick_with(bench: &Bench, artifact: &str) -> Medium {
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 32, 40);
    stick.put(artifact, "x.surefoot");
    stick
}

#[test]
fn what_the_inbox_makes_way_for_is_not_an_older_file_that_waits_there() {
    let bench = roomy();
    let (daemon, inbox) = with_inbox(&bench);
    let begun = |version: &str| exists(&bench.path(&format!("begun.{version}")));
    let stick = stick_with(&bench, &large(&bench, "2.0.0"));
    let _put_in = PutIn::start(&bench, &stick, &[]);
    until("the stick's has begun", || begun("2.0.0"));
    bring(&bench, &inbox, &large(&bench, "1.5.0"), "a");
    let waits = bench.path("DEV/run/surefoot/inbox.status");
    until("the older one waits", || {
        std::fs::read_to_string(&waits).is_ok_and(|text| text.contains("BUSY"))
    });
    bring(&bench, &inbox, &large(&bench, "3.0.0"), "b");
    // The older one may be on its way just then, and makes way as well.
    until("the newer one has begun", || begun("3.0.0"));
    std::fs::write(bench.path("go"), b"").unwrap();
    daemon.until_armed(&bench);
    assert_eq!(daemon.status()["slots"]["b"]["version"], "3.0.0");
}

#[test]
fn a_cancelled_file_in_the_inbox_stands_in_the_way_of_no_older_one() {
    let bench = roomy();
    let (daemon, inbox) = with_inbox(&bench);
    let begun = |version: &str| exists(&bench.path(&format!("begun.{version}")));
    bring(&bench, &inbox, &large(&bench, "3.0.0"), "cancelled");
    until("it has begun", || begun("3.0.0"));
    daemon.surefoot(&["cancel"]).ok();
    bring(&bench, &inbox, &large(&bench, "2.5.0"), "a");
    until("the next one has begun", || begun("2.5.0"));
    // The cancelled one does not count as newer, whatever else comes.
    bring(&bench, &inbox, &large(&bench, "2.0.0"), "b");
    std::fs::write(bench.path("go"), b"").unwrap();
    daemon.until_armed(&bench);
    assert_eq!(daemon.status()["slots"]["b"]["version"], "2.5.0");
    let events = daemon.surefoot(&["events"]).ok().out;
    assert!(!events.contains("makes way"), "{events}");
    assert!(exists(&format!("{inbox}/cancelled.surefoot")));
}

#[test]
fn a_stick_goes_on_where_what_took_its_place_is_refused() {
    let bench = roomy();
    let script = format!(
        "touch {0}.$SUREFOOT_VERSION; while [ ! -e {1} ]; do sleep 0.05; done; [ $SUREFOOT_VERSION != 3.0.0 ]",
        bench.path("begun"),
        bench.path("go")
    );
    configure(
        &bench,
        &format!(
            "[[hook]]\nname = \"10-slow\"\nat = \"before-install\"\ntimeout = \"30m\"\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\n"
        ),
    );
    let daemon = Kept::start(&bench);
    let stick = stick_with(&bench, &large(&bench, "2.0.0"));
    let _put_in = PutIn::start(&bench, &stick, &[]);
    until("the stick's has begun", || exists(&bench.path("begun.2.0.0")));
    let person = UnderWay::start(&bench, &large(&bench, "3.0.0"));
    until("the person's has begun", || exists(&bench.path("begun.3.0.0")));
    std::fs::write(bench.path("go"), b"").unwrap();
    assert_eq!(person.ended().reason(), Some("HOOK_VETO"));
    daemon.until_armed(&bench);
    assert_eq!(daemon.status()["slots"]["b"]["version"], "2.0.0");
}

#[test]
fn what_a_stick_has_begun_anew_goes_on_after_a_power_cut() {
    let bench = roomy();
    let artifact = large(&bench, "2.0.0");
    let install = halfway(&bench, &artifact);
    bench.surefoot(&["cancel"]).ok();
    install.ended().refused(75, "CANCELLED");
    is_cancelled(&bench);
    let stick = stick_with(&bench, &artifact);
    // A stick that nobody has put in again begins nothing anew.
    assert_eq!(bench.surefoot(&["stick", stick.text()]).code, 75);
    bench.surefoot(&["stick", "--gone", stick.text()]).ok();
    let put_in = PutIn::start(&bench, &stick, &[(STOP_VARIABLE, "1000000")]);
    until_stopped(put_in.0.id());
    drop(put_in);
    assert_eq!(bench.status()["state"], "installing");
    // What is known of this boot alone is gone after it.
    std::fs::remove_file(bench.path("DEV/run/surefoot/stick.out")).unwrap();
    bench.surefoot(&["stick", stick.text()]).ok();
    assert_eq!(bench.status()["state"], "switching");
}
