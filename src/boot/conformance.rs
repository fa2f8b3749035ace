//! What every `BootControl` must do, run on each of them.

use super::{BootChange, BootControl, BootFacts, GIVE_BACK_MAX};
use crate::model::{CopyClaim, Digest, ReasonCode, SlotId, Txn};

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
    /// Loses power in the middle of the next write.
    pub(super) die: Box<dyn Fn()>,
    /// Gives power back.
    pub(super) revive: Box<dyn Fn()>,
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
    power_cuts(make);
}

fn good_update(b: &Bench) {
    let facts = b.look();
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
        assert_eq!(b.write(&arm(1)), 1, "and is no refusal");
        assert!(matches!(b.look().claims.copies[copy], CopyClaim::Alive { trial: true, .. }));
        let b = make();
        (b.kill)(copy);
        b.control.settle(SlotId::A).unwrap();
        assert!(b.settled_on(SlotId::A), "settling repairs");
        (b.kill)(0);
        (b.kill)(1);
        assert!(!b.look().readable());
        b.refused(&arm(2), ReasonCode::EnvUnreadable);
        b.refused(&BootChange::Disarm { booted: SlotId::A }, ReasonCode::EnvUnreadable);
        let failure = b.control.settle(SlotId::A).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::EnvUnreadable);
    }
}

fn power_cuts(make: &dyn Fn() -> Bench) {
    let b = make();
    for n in 1..10 {
        (b.die)();
        assert!(b.control.write(&arm(n)).is_err());
        (b.revive)();
        let facts = b.look();
        assert_eq!((facts.slot, facts.trial), (Some(SlotId::A), false), "the old one");
        b.write(&arm(n));
        (b.die)();
        let booted = SlotId::A;
        assert!(b.control.settle(booted).is_err());
        (b.revive)();
        assert_eq!(b.look().txn, Some(txn(n)));
        b.control.settle(booted).unwrap();
        assert!(b.settled_on(booted));
    }
}
