//! What every implementation must do while the power stays.

use super::bench::{Bench, arm, txn};
use super::cuts::power_cuts;
use crate::boot::{BootChange, GIVE_BACK_MAX, Grade, Loader, overall};
use crate::model::{CopyClaim, ReasonCode, SlotId};

/// Runs everything; `make` gives a fresh board each time.
pub(in crate::boot) fn suite(make: &dyn Fn() -> Bench) {
    good_update(&make());
    given_up_by_the_updater(&make());
    disarmed(&make());
    tries_given_back(&make());
    the_other_way(&make());
    counted_anew(&make());
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

/// Everything once more from slot b to slot a.
fn the_other_way(b: &Bench) {
    let (slot, good) = (SlotId::A, SlotId::B);
    b.write(&arm(1));
    b.write(&BootChange::Commit { slot: good, txn: txn(1) });
    for n in [2, 3, 4] {
        b.control.settle(good).unwrap();
        assert_eq!(b.write(&BootChange::Arm { slot, good, txn: txn(n) }), 1);
        let facts = b.look();
        assert_eq!((facts.slot, facts.good, facts.trial), (Some(slot), Some(good), true));
        (b.count)();
        let (change, boots) = match n {
            2 => (BootChange::FallBack { to: good, txn: txn(n) }, good),
            3 => (BootChange::Disarm { booted: good }, good),
            _ => (BootChange::Commit { slot, txn: txn(n) }, slot),
        };
        assert_eq!(b.write(&change), 1);
        let facts = b.look();
        assert_eq!((facts.slot, facts.trial, facts.bootcount), (Some(boots), false, Some(0)));
        assert_eq!(facts.fallback == Some(txn(n)), n == 2);
    }
}

/// Each trial has all of its tries, and one that is given back is one.
fn counted_anew(b: &Bench) {
    let limit = b.look().bootlimit;
    b.write(&arm(1));
    (b.count)();
    (b.count)();
    assert_eq!(b.look().bootcount, Some(2));
    b.write(&BootChange::GiveBack);
    assert_eq!(b.look().bootcount, Some(1), "one try");
    b.write(&BootChange::Disarm { booted: SlotId::A });
    // A bootloader that counts outside a trial too.
    (b.count)();
    b.write(&arm(2));
    assert_eq!((b.look().bootcount, b.look().bootlimit), (Some(0), limit));
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
