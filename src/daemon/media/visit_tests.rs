//! A desk that answers as it is told.

use super::*;
use crate::device::World;
use crate::event::Nowhere;
use crate::model::{Digest, Result};
use crate::request::{Request, Response};
use crate::source::{ByteStream, Source};
use serde_json::{Value, json};
use std::io::{Cursor, Read};
use std::sync::Mutex;

struct Told {
    states: Mutex<Vec<&'static str>>,
    last: Value,
    /// For each artifact: how often busy, and then what.
    installs: Mutex<Vec<Vec<Option<ReasonCode>>>>,
    asked: Mutex<Vec<String>>,
    /// Whether it begins to write, and which ones a person has cancelled before.
    writes: bool,
    cancelled: &'static [usize],
}

fn digest(n: usize) -> Digest {
    Digest([u8::try_from(n).unwrap(); 32])
}

fn told(installs: &[&[Option<ReasonCode>]], last: Value) -> Told {
    let installs = installs.iter().map(|l| l.to_vec()).collect();
    Told {
        states: Mutex::default(),
        last,
        installs: Mutex::new(installs),
        asked: Mutex::default(),
        writes: false,
        cancelled: &[],
    }
}

fn number(source: Option<Source>) -> usize {
    let Some(Source::Stream(mut stream)) = source else { panic!("these are streams") };
    let mut number = String::new();
    stream.read_to_string(&mut number).unwrap();
    number.parse().unwrap()
}

impl Client for Told {
    fn send(&self, request: Request, source: Option<Source>, sink: &dyn Sink) -> Result<Response> {
        let answer = match request {
            Request::Status => self.status(),
            Request::Judge { head: true } => self.glance(number(source)),
            Request::Install { automatic: true, retry_cancelled, .. } => {
                return self.install(number(source), retry_cancelled, sink);
            }
            other => panic!("{other:?}"),
        };
        Ok(answer)
    }

    fn alone(&self) -> Option<&World> {
        None
    }
}

impl Told {
    fn status(&self) -> Response {
        let state = self.states.lock().unwrap().pop().unwrap_or("idle");
        let status = json!({
            "v": 1, "summary": "", "state": state, "booted": "a", "degraded": false,
            "product": "p", "compatible": "c", "slots": {}, "rollback": "armed", "floor": 0,
            "trial": null, "next": { "action": "none", "text": "" }, "last": self.last,
            "drill": null, "hold": null,
        });
        Response::Status(serde_json::from_value(status).unwrap())
    }

    fn glance(&self, number: usize) -> Response {
        let plan = json!({
            "version": format!("{number}.0"), "release_counter": number, "parts": [],
            "image": 1, "carried": 1, "stored": 1, "chunks": 1, "slot": 1,
        });
        let judgement = json!({
            "v": 1, "plan": plan, "slot": "b", "running": "0", "artifact": digest(number),
            "cancelled": self.cancelled.contains(&number),
        });
        Response::Judgement(serde_json::from_value(judgement).unwrap())
    }

    fn install(&self, number: usize, anew: bool, sink: &dyn Sink) -> Result<Response> {
        let anew = if anew && !self.cancelled.is_empty() { " anew" } else { "" };
        self.asked.lock().unwrap().push(format!("{number}{anew}"));
        if self.writes {
            sink.emit(&Event::PhaseStarted { phase: Phase::Write, total: 1 });
        }
        match self.installs.lock().unwrap()[number].remove(0) {
            Some(code) => Err(Failure::new(code, "told so")),
            None => Ok(Response::Installed(
                serde_json::from_value(json!({
                    "v": 1, "state": "switching", "slot": "b", "version": "", "next": "reboot",
                    "text": "armed",
                }))
                .unwrap(),
            )),
        }
    }
}

/// How many, and whether more comes while something is waited for.
struct Shelved(usize, bool);

impl Shelf for Shelved {
    fn offers(&self) -> Vec<(String, u64)> {
        (0..self.0).map(|n| (n.to_string(), 1)).collect()
    }
    fn take(&self, number: usize) -> Result<Source> {
        Ok(Source::Stream(ByteStream::new(Cursor::new(number.to_string()))))
    }
    fn is_outdated(&self, within: Duration) -> bool {
        self.1 && !within.is_zero()
    }
}

fn go(desk: &Told, by_hand: bool) -> (Ending, Vec<String>) {
    gone(desk, "stick", by_hand, false)
}

fn gone(desk: &Told, by: &str, by_hand: bool, more: bool) -> (Ending, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let board = Board::new(folder.path().join("status"), "x");
    let count = desk.installs.lock().unwrap().len();
    let visit = visit(desk, &Shelved(count, more), by, by_hand, &board, &Nowhere);
    (visit.ending, desk.asked.lock().unwrap().clone())
}

fn none() -> Value {
    json!({ "outcome": null, "reason": null, "detail": null, "from": null, "to": null,
            "slot": null, "at": null })
}

#[test]
fn a_bad_artifact_makes_room_for_the_next_and_nothing_else_does() {
    let corrupt = [Some(ReasonCode::ChunkCorrupt)];
    let (ending, asked) = go(&told(&[&[None], &[None], &corrupt], none()), true);
    assert_eq!((ending.shown, asked), (Shown::Done, vec!["2".into(), "1".into()]));
    for (code, shown) in [
        (ReasonCode::SourceLost, Shown::Lost),
        (ReasonCode::ReadBack, Shown::Refused),
        (ReasonCode::TrialPending, Shown::Waiting),
    ] {
        let (ending, asked) = go(&told(&[&[None], &[Some(code)]], none()), true);
        assert_eq!((ending.shown, ending.code), (shown, Some(code)));
        assert_eq!(asked, ["1"], "{code}: one attempt");
    }
}

#[test]
fn another_update_is_waited_for_and_so_is_a_trial() {
    for code in
        [ReasonCode::Busy, ReasonCode::Inhibited, ReasonCode::HookLater, ReasonCode::DaemonSilent]
    {
        let busy = [Some(code), None];
        let desk = told(&[&busy], none());
        desk.states.lock().unwrap().extend(["idle", "trying"]);
        let (ending, asked) = go(&desk, true);
        assert_eq!(ending.shown, Shown::Done);
        assert_eq!(asked, ["0", "0"], "{code}");
        assert!(desk.states.lock().unwrap().is_empty(), "it did not look twice");
    }
}

#[test]
fn what_comes_while_something_is_waited_for_is_chosen_among_anew() {
    let busy = [Some(ReasonCode::Busy), None];
    let desk = told(&[&busy], none());
    let (ending, asked) = gone(&desk, "inbox", true, true);
    assert_eq!((ending.shown, ending.code), (Shown::Waiting, Some(ReasonCode::Busy)));
    assert_eq!(asked, ["0"], "the old choice is not tried again");
    let desk = told(&[&[None]], none());
    desk.states.lock().unwrap().push("trying");
    let (ending, asked) = gone(&desk, "inbox", true, true);
    assert_eq!((ending.shown, ending.code), (Shown::Waiting, Some(ReasonCode::TrialPending)));
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn a_stick_that_made_way_goes_on_and_the_inbox_chooses_anew() {
    let made_way = [Some(ReasonCode::Superseded), None];
    let (ending, asked) = go(&told(&[&made_way], none()), true);
    assert_eq!((ending.shown, asked), (Shown::Done, vec!["0".into(), "0".into()]));
    let (ending, asked) = gone(&told(&[&made_way], none()), "inbox", true, false);
    assert_eq!((ending.shown, asked), (Shown::Waiting, vec!["0".into()]));
}

#[test]
fn what_a_person_has_cancelled_stands_in_nobodys_way() {
    let desk = || Told { cancelled: &[1], ..told(&[&[None], &[None]], none()) };
    for (by, by_hand) in [("inbox", true), ("inbox", false), ("stick", false)] {
        let (ending, asked) = gone(&desk(), by, by_hand, false);
        assert_eq!((ending.shown, asked), (Shown::Done, vec!["0".to_owned()]));
    }
    assert_eq!(go(&desk(), true).1, ["1 anew"], "put in once more by a person");
    let alone = Told { cancelled: &[0], ..told(&[&[None]], none()) };
    let (ending, asked) = gone(&alone, "inbox", true, false);
    assert_eq!((ending.shown, ending.code), (Shown::Cancelled, Some(ReasonCode::Cancelled)));
    assert!(asked.is_empty(), "{asked:?}");
    let refused = |code| Judged {
        name: "x".to_owned(),
        len: 1,
        verdict: Verdict::Refused { code, detail: String::new() },
    };
    let bad = [ReasonCode::Cancelled, ReasonCode::SignatureInvalid].map(refused);
    assert_eq!(nothing_fits(&bad).code, Some(ReasonCode::SignatureInvalid), "it is told of");
}

#[test]
fn put_in_once_more_it_is_begun_anew_until_it_has_begun() {
    for code in
        [ReasonCode::Busy, ReasonCode::Inhibited, ReasonCode::HookLater, ReasonCode::DaemonSilent]
    {
        let later = [Some(code), None];
        let desk = Told { cancelled: &[0], ..told(&[&later], none()) };
        assert_eq!(go(&desk, true).1, ["0 anew", "0 anew"], "{code}");
        let desk = Told { cancelled: &[0], writes: true, ..told(&[&later], none()) };
        assert_eq!(go(&desk, true).1, ["0 anew", "0"], "{code}: cancelled meanwhile");
    }
}

#[test]
fn only_a_person_has_installed_again_what_did_not_stay() {
    let ended = |outcome: &str, reason: &str, artifact: usize| {
        let mut last = none();
        last["outcome"] = outcome.into();
        last["reason"] = reason.into();
        last["artifact"] = json!(digest(artifact));
        last
    };
    let tries = |last: Value, by_hand: bool| {
        let (ending, asked) = go(&told(&[&[None]], last), by_hand);
        (ending.shown == Shown::Done) && !asked.is_empty()
    };
    let bad = ended("failed", "TRIAL_NOT_STARTED", 0);
    assert!(!tries(bad.clone(), false), "and so on at every boot");
    assert!(tries(bad, true));
    assert!(!tries(ended("rolled-back", "REQUESTED", 0), false));
    assert!(tries(ended("failed", "SOURCE_LOST", 0), false), "that one goes on");
    assert!(tries(ended("failed", "TRIAL_NOT_STARTED", 7), false), "that was another one");
    assert!(tries(ended("updated", "UNKNOWN", 0), false));
    assert!(tries(none(), false));
}

#[test]
fn progress_never_goes_back() {
    let steps = [
        (Phase::Verify, 0),
        (Phase::Verify, 50),
        (Phase::Verify, 100),
        (Phase::Write, 0),
        (Phase::Write, 100),
        (Phase::Finish, 0),
        (Phase::Finish, 100),
    ];
    let shown: Vec<_> = steps.map(|(phase, done)| phase.of_the_whole(done, 100)).to_vec();
    assert!(shown.is_sorted() && shown.last() == Some(&100), "{shown:?}");
    assert_eq!(Phase::Write.of_the_whole(5, 0), 25, "a total that nobody knows");
}
