//! The power goes at every write of every change.

use super::bench::{Bench, arm, txn};
use crate::boot::{BootChange, BootControl, BootFacts};
use crate::model::{EnvClaims, SlotId};

/// How many bytes of a write land that is cut: none, some, and as many as there are.
const LANDING: [usize; 6] = [0, 1, 5, 64, 300, usize::MAX];

/// A name, what is done before, and the change that is cut.
type Story<'a> = (&'a str, &'a dyn Fn(&Bench), BootChange);

/// Every change, with the power cut at each of its writes, while both copies are whole and while
/// one is not: the memory is the old one or the new one, and the same change again ends well.
pub(super) fn power_cuts(make: &dyn Fn() -> Bench) {
    let commit = BootChange::Commit { slot: SlotId::B, txn: txn(1) };
    let fall_back = BootChange::FallBack { to: SlotId::A, txn: txn(1) };
    let disarm = BootChange::Disarm { booted: SlotId::A };
    let armed = |b: &Bench| {
        b.write(&arm(1));
        (b.count)();
    };
    let disarmed = |b: &Bench| {
        b.write(&arm(1));
        b.write(&disarm);
    };
    let stories: [Story; 6] = [
        ("arm", &|_| (), arm(1)),
        ("arm again", &disarmed, arm(2)),
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
