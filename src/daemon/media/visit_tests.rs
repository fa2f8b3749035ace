//! A desk that answers as it is told.

use super::*;
use crate::device::Judgement;
use crate::event::{Nowhere, Phase};
use crate::model::Digest;
use serde_json::{Value, json};
use std::sync::Mutex;

struct Told {
    states: Mutex<Vec<&'static str>>,
    last: Value,
    /// For each artifact: how often busy, and then what.
    installs: Mutex<Vec<Vec<Option<ReasonCode>>>>,
    asked: Mutex<Vec<String>>,
}

fn digest(n: usize) -> Digest {
    Digest([u8::try_from(n).unwrap(); 32])
}

fn told(installs: &[&[Option<ReasonCode>]], last: Value) -> Told {
    let installs = installs.iter().map(|l| l.to_vec()).collect();
    Told { states: Mutex::default(), last, installs: Mutex::new(installs), asked: Mutex::default() }
}

fn number(goods: Goods) -> usize {
    match goods {
        Goods::File(path) => path.to_str().unwrap().parse().unwrap(),
        Goods::Stick(..) => panic!("these are files"),
    }
}

impl Desk for Told {
    fn status(&self) -> Result<Status> {
        let state = self.states.lock().unwrap().pop().unwrap_or("idle");
        let status = json!({
            "v": 1, "summary": "", "state": state, "booted": "a", "degraded": false,
            "product": "p", "compatible": "c", "slots": {}, "rollback": "armed", "floor": 0,
            "trial": null, "next": { "action": "none", "text": "" }, "last": self.last,
            "drill": null, "hold": null,
        });
        Ok(serde_json::from_value(status).unwrap())
    }

    fn glance(&self, goods: Goods, _: &dyn Sink) -> Result<Judgement> {
        let number = number(goods);
        let plan = json!({
            "version": format!("{number}.0"), "release_counter": number, "payload": 0,
            "image": 1, "carried": 1, "stored": 1, "chunks": 1, "slot": 1,
        });
        let judgement = json!({
            "v": 1, "plan": plan, "slot": "b", "running": "0", "artifact": digest(number),
        });
        Ok(serde_json::from_value(judgement).unwrap())
    }

    fn install(&self, goods: Goods, by: &str, _: bool, _: &dyn Sink) -> Result<Installed> {
        let number = number(goods);
        self.asked.lock().unwrap().push(format!("{by} {number}"));
        match self.installs.lock().unwrap()[number].remove(0) {
            Some(code) => Err(Failure::new(code, "told so")),
            None => Ok(serde_json::from_value(json!({
                "v": 1, "state": "switching", "slot": "b", "version": "", "next": "reboot",
                "text": "armed",
            }))
            .unwrap()),
        }
    }

    fn decides(&self) -> bool {
        true
    }
}

struct Shelved(usize);

impl Shelf for Shelved {
    fn offers(&self) -> Vec<(String, u64)> {
        (0..self.0).map(|n| (n.to_string(), 1)).collect()
    }
    fn take(&self, number: usize) -> Result<Goods> {
        Ok(Goods::File(number.to_string().into()))
    }
}

fn go(desk: &Told, by_hand: bool) -> (Ending, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let board = Board::new(folder.path().join("status"), "x");
    let count = desk.installs.lock().unwrap().len();
    let visit = visit(desk, &Shelved(count), "stick", by_hand, &board, &Nowhere);
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
    assert_eq!((ending.shown, asked), (Shown::Done, vec!["stick 2".into(), "stick 1".into()]));
    for (code, shown) in [
        (ReasonCode::SourceLost, Shown::Lost),
        (ReasonCode::ReadBack, Shown::Refused),
        (ReasonCode::TrialPending, Shown::Waiting),
    ] {
        let (ending, asked) = go(&told(&[&[None], &[Some(code)]], none()), true);
        assert_eq!((ending.shown, ending.code), (shown, Some(code)));
        assert_eq!(asked, ["stick 1"], "{code}: one attempt");
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
        assert_eq!(asked, ["stick 0", "stick 0"], "{code}");
        assert!(desk.states.lock().unwrap().is_empty(), "it did not look twice");
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
