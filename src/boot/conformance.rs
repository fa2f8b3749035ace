//! What every `BootControl` must do, run on each of them.

use super::{
    BootChange, BootControl, BootFacts, Description, Finding, GIVE_BACK_MAX, Grade, Loader, overall,
};
use crate::model::{CopyClaim, Digest, EnvClaims, ReasonCode, Result, SlotId, Txn};
use std::sync::Arc;

/// A board on the bench: an implementation, and hands on its inside.
pub(super) struct Bench {
    /// The implementation, as a factory leaves it: slot a, no trial, bootlimit 3, armed.
    pub(super) control: Box<dyn BootControl>,
    /// Copies written so far.
    pub(super) writes: Box<dyn Fn() -> u64>,
    /// What the bootloader does at each boot of a trial: bootcount + 1, in one write.
    pub(super) count: Box<dyn Fn()>,
    /// Destroys a copy.
    pub(super) kill: Box<dyn Fn(usize)>,
    /// Does what it is given, loses power at a write of it, and gives power back. The place is how
    /// many writes pass and how many bytes of the next one land; false if what was done ended first.
    pub(super) cut: Box<Cut>,
}

pub(super) type Cut = dyn Fn((u64, usize), &dyn Fn(&dyn BootControl)) -> bool;

/// The bench keeps the implementation too.
impl<T: BootControl> BootControl for Arc<T> {
    fn look(&self) -> Result<BootFacts> {
        self.as_ref().look()
    }
    fn write(&self, change: &BootChange) -> Result<()> {
        self.as_ref().write(change)
    }
    fn settle(&self, booted: SlotId) -> Result<()> {
        self.as_ref().settle(booted)
    }
    fn rehearse(&self, booted: SlotId) -> Result<()> {
        self.as_ref().rehearse(booted)
    }
    fn findings(&self, facts: &BootFacts) -> Vec<Finding> {
        self.as_ref().findings(facts)
    }
    fn variable(&self, name: &str) -> Option<String> {
        self.as_ref().variable(name)
    }
    fn describe(&self) -> Result<Description> {
        self.as_ref().describe()
    }
}

fn txn(n: u32) -> Txn {
    Txn::new(&Digest::of(b"release"), n)
}

fn arm(n: u32) -> BootChange {
    BootChange::Arm { slot: SlotId::B, good: SlotId::A, txn: txn(n) }
}

impl Bench {
    fn look(&self) -> BootFacts {
        self.control.look().unwrap()
    }

    /// Makes a change and says how many writes it took.
    fn write(&self, change: &BootChange) -> u64 {
        let before = (self.writes)();
        self.control.write(change).unwrap();
        (self.writes)() - before
    }

    fn refused(&self, change: &BootChange, code: ReasonCode) {
        let (before, look) = ((self.writes)(), self.look());
        let failure = self.control.write(change).unwrap_err();
        assert_eq!(failure.code(), code, "{change:?}: {failure}");
        assert_eq!((self.writes)(), before);
        assert_eq!(self.look(), look, "a refusal changes nothing");
    }

    /// Destroys the copy that does not count.
    fn kill_stale(&self) {
        let stale = self.look().copies.iter().position(|copy| !copy.chosen);
        (self.kill)(stale.unwrap());
    }

    fn settled_on(&self, slot: SlotId) -> bool {
        self.look().claims.all_settled_on(slot)
    }
}

/// Runs everything; `make` gives a fresh board each time.
pub(super) fn suite(make: &dyn Fn() -> Bench) {
    good_update(&make());
    given_up_by_the_updater(&make());
    disarmed(&make());
    tries_given_back(&make());
    senseless_changes(&make());
    settling(make);
    dead_copies(make);
    rehearsals(make);
    power_cuts(make);
}

fn good_update(b: &Bench) {
    let facts = b.look();
    facts.can_fall_back().unwrap();
    facts.writable().unwrap();
    assert!(b.control.findings(&facts).iter().all(|f| f.level != Grade::Off), "{facts:?}");
    let told = b.control.describe().unwrap();
    assert_eq!(told.copies, facts.copies);
    assert!(told.name.parse::<Loader>().is_ok_and(|loader| loader.name() == told.name));
    assert!(facts.readable() && facts.copies.len() == 2 && !facts.trial);
    assert_eq!(facts.slot, Some(SlotId::A));
    assert!(b.settled_on(SlotId::A));
    assert_eq!(b.write(&arm(1)), 1);
    let facts = b.look();
    assert!(facts.trial);
    assert_eq!(facts.slot, Some(SlotId::B));
    assert_eq!(facts.good, Some(SlotId::A));
    assert_eq!(facts.txn, Some(txn(1)));
    assert_eq!(facts.bootcount, Some(0));
    assert_eq!(b.write(&arm(1)), 0, "armed already");
    (b.count)();
    assert_eq!(b.look().bootcount, Some(1));
    let commit = BootChange::Commit { slot: SlotId::B, txn: txn(1) };
    assert_eq!(b.write(&commit), 1);
    assert_eq!(b.write(&commit), 0, "a healthy boot writes nothing");
    let facts = b.look();
    assert!(!facts.trial);
    assert_eq!((facts.slot, facts.bootcount), (Some(SlotId::B), Some(0)));
    assert!(!b.settled_on(SlotId::B), "the older copy still has the trial");
    b.control.settle(SlotId::B).unwrap();
    assert!(b.settled_on(SlotId::B));
    assert_eq!(b.write(&BootChange::Point { slot: SlotId::B }), 0);
}

fn given_up_by_the_updater(b: &Bench) {
    b.write(&arm(1));
    (b.count)();
    let back = BootChange::FallBack { to: SlotId::A, txn: txn(1) };
    assert_eq!(b.write(&back), 1);
    assert_eq!(b.write(&back), 0);
    let facts = b.look();
    assert_eq!(facts.fallback, Some(txn(1)));
    assert_eq!((facts.slot, facts.trial, facts.bootcount), (Some(SlotId::A), false, Some(0)));
    assert_eq!(b.write(&arm(2)), 1);
    let facts = b.look();
    assert_eq!((facts.fallback, facts.clean), (None, 0), "arming clears the report");
}

fn disarmed(b: &Bench) {
    b.write(&arm(1));
    assert_eq!(b.write(&BootChange::Disarm { booted: SlotId::A }), 1);
    assert_eq!(b.write(&BootChange::Disarm { booted: SlotId::A }), 0);
    let facts = b.look();
    assert_eq!((facts.slot, facts.trial), (Some(SlotId::A), false));
    assert_eq!(facts.txn, Some(txn(1)), "who armed stays known");
}

fn tries_given_back(b: &Bench) {
    b.write(&arm(1));
    b.refused(&BootChange::GiveBack, ReasonCode::NotTrying);
    for given in 1..=GIVE_BACK_MAX {
        (b.count)();
        assert_eq!(b.write(&BootChange::GiveBack), 1);
        let facts = b.look();
        assert_eq!((facts.bootcount, facts.clean), (Some(0), given));
        assert!(facts.trial);
    }
    (b.count)();
    b.refused(&BootChange::GiveBack, ReasonCode::NotTrying);
    b.write(&BootChange::Disarm { booted: SlotId::A });
    b.write(&arm(2));
    assert_eq!(b.look().clean, 0);
}

fn senseless_changes(b: &Bench) {
    let commit = |slot, n| BootChange::Commit { slot, txn: txn(n) };
    let back = |n| BootChange::FallBack { to: SlotId::A, txn: txn(n) };
    b.refused(&BootChange::GiveBack, ReasonCode::NotTrying);
    b.refused(&commit(SlotId::A, 1), ReasonCode::NotTrying);
    b.refused(&commit(SlotId::B, 1), ReasonCode::WrongSlot);
    b.refused(&back(1), ReasonCode::NotTrying);
    let reversed = BootChange::Arm { slot: SlotId::A, good: SlotId::B, txn: txn(1) };
    b.refused(&reversed, ReasonCode::WrongSlot);
    b.write(&arm(1));
    b.refused(&arm(2), ReasonCode::TrialPending);
    b.refused(&back(2), ReasonCode::NotTrying);
    b.refused(&commit(SlotId::B, 2), ReasonCode::NotTrying);
    b.refused(&commit(SlotId::A, 1), ReasonCode::WrongSlot);
    b.refused(&BootChange::Point { slot: SlotId::A }, ReasonCode::TrialPending);
}

fn settling(make: &dyn Fn() -> Bench) {
    let b = make();
    let settle = |slot| {
        let before = (b.writes)();
        b.control.settle(slot).unwrap();
        (b.writes)() - before
    };
    assert_eq!(settle(SlotId::A), 0, "a clean device is not written");
    assert_eq!(settle(SlotId::B), 2);
    assert_eq!(settle(SlotId::A), 2);
    b.write(&arm(1));
    assert_eq!(settle(SlotId::A), 2, "the copy with the trial counts and goes last");
    b.write(&arm(1));
    b.write(&BootChange::Disarm { booted: SlotId::A });
    assert_eq!(settle(SlotId::A), 1, "only the older copy carries the trial");
    b.write(&arm(1));
    let failure = b.control.settle(SlotId::B).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::TrialPending);
    assert!(b.look().trial, "settling never commits");
}

fn dead_copies(make: &dyn Fn() -> Bench) {
    for copy in [0, 1] {
        let b = make();
        (b.kill)(copy);
        let facts = b.look();
        assert_eq!(facts.claims.copies[copy], CopyClaim::Dead);
        assert_eq!(facts.slot, Some(SlotId::A));
        assert!(!b.settled_on(SlotId::A), "a dead copy promises nothing");
        assert_ne!(overall(&b.control.findings(&facts)), Grade::Off, "and is no refusal");
        assert_eq!(b.write(&arm(1)), 1);
        assert!(matches!(b.look().claims.copies[copy], CopyClaim::Alive { trial: true, .. }));
        let b = make();
        (b.kill)(copy);
        b.control.settle(SlotId::A).unwrap();
        assert!(b.settled_on(SlotId::A), "settling repairs");
        (b.kill)(0);
        (b.kill)(1);
        let facts = b.look();
        assert!(!facts.readable() && facts.unreadable().is_some() && facts.slot.is_none());
        assert_eq!(overall(&b.control.findings(&facts)), Grade::Off);
        b.refused(&arm(2), ReasonCode::EnvUnreadable);
        b.refused(&BootChange::Disarm { booted: SlotId::A }, ReasonCode::EnvUnreadable);
        let failure = b.control.settle(SlotId::A).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::EnvUnreadable);
    }
}

/// A rehearsal writes nothing, in a trial and out of one, and refuses where an update would.
fn rehearsals(make: &dyn Fn() -> Bench) {
    let b = make();
    for armed in [false, true] {
        let (before, look) = ((b.writes)(), b.look());
        b.control.rehearse(SlotId::A).unwrap();
        assert_eq!(((b.writes)(), b.look()), (before, look));
        if !armed {
            b.write(&arm(1));
        }
    }
    (b.kill)(0);
    b.control.rehearse(SlotId::A).unwrap();
    (b.kill)(1);
    let failure = b.control.rehearse(SlotId::A).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::EnvUnreadable);
}

/// How many bytes of a write land that is cut: none, some, and as many as there are.
const LANDING: [usize; 6] = [0, 1, 5, 64, 300, usize::MAX];

/// Every change, with the power cut at each of its writes, while both copies are whole and while
/// one is not: the memory is the old one or the new one, and the same change again ends well.
fn power_cuts(make: &dyn Fn() -> Bench) {
    let commit = BootChange::Commit { slot: SlotId::B, txn: txn(1) };
    let fall_back = BootChange::FallBack { to: SlotId::A, txn: txn(1) };
    let disarm = BootChange::Disarm { booted: SlotId::A };
    let armed = |b: &Bench| {
        b.write(&arm(1));
        (b.count)();
    };
    let stories: [(&str, &dyn Fn(&Bench), BootChange); 6] = [
        ("arm", &|_| (), arm(1)),
        ("arm again", &|b| drop((b.write(&arm(1)), b.write(&disarm))), arm(2)),
        ("commit", &armed, commit),
        ("fall back", &armed, fall_back),
        ("give back", &armed, BootChange::GiveBack),
        ("point", &|_| (), BootChange::Point { slot: SlotId::B }),
    ];
    for (name, before, change) in &stories {
        for dead in [false, true] {
            one_decision(make, &|b| (before(b), dead.then(|| b.kill_stale())).0, change, name);
        }
    }
    settling_cut(make);
}

/// What the rooms above decide by, without where the copies lie.
fn said(facts: &BootFacts) -> BootFacts {
    let claims = EnvClaims { copies: Vec::new() };
    BootFacts { claims, copies: Vec::new(), ..facts.clone() }
}

fn one_decision(
    make: &dyn Fn() -> Bench,
    before: &dyn Fn(&Bench),
    change: &BootChange,
    name: &str,
) {
    let mut cuts = 0;
    let whole = make();
    before(&whole);
    let old = said(&whole.look());
    assert_eq!(whole.write(change), 1, "{name}");
    let new = said(&whole.look());
    for landing in LANDING {
        for after in 0.. {
            let b = make();
            before(&b);
            let went = (b.cut)((after, landing), &|control| drop(control.write(change)));
            let (facts, place) = (b.look(), format!("{name} {after}:{landing}"));
            assert!(facts.readable(), "{place}");
            match said(&facts) == old {
                true => assert!(went && b.write(change) == 1, "{place}"),
                false => assert_eq!(said(&facts), new, "{place}: neither old nor new"),
            }
            assert_eq!(said(&b.look()), new, "{place}");
            cuts += usize::from(went);
            if !went {
                break;
            }
        }
    }
    assert!(cuts >= LANDING.len(), "{name}: {cuts} cuts");
}

/// Both copies are written, one after the other: at each cut the slot that runs boots, without a
/// trial.
fn settling_cut(make: &dyn Fn() -> Bench) {
    for landing in LANDING {
        let mut cuts = 0;
        for after in 0.. {
            let b = make();
            b.write(&arm(1));
            b.write(&BootChange::Disarm { booted: SlotId::A });
            b.kill_stale();
            let settle = |control: &dyn BootControl| drop(control.settle(SlotId::B));
            let went = (b.cut)((after, landing), &settle);
            let facts = b.look();
            let (slot, trial) = (facts.slot.unwrap(), facts.trial);
            assert!(!trial && facts.txn == Some(txn(1)), "{after}:{landing}: {facts:?}");
            assert!(slot == SlotId::B || (slot == SlotId::A && went), "{after}:{landing}");
            b.control.settle(SlotId::B).unwrap();
            assert!(b.settled_on(SlotId::B));
            cuts += usize::from(went);
            if !went {
                break;
            }
        }
        assert!(cuts >= 2, "two copies, {cuts} cuts");
    }
}
