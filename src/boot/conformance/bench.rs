//! A board on the bench, and hands on it.

use crate::boot::{BootChange, BootControl, BootFacts, Description, Finding};
use crate::model::{Digest, ReasonCode, Result, SlotId, Txn};
use std::sync::Arc;

/// A board on the bench: an implementation, and hands on its inside.
pub(in crate::boot) struct Bench {
    /// The implementation, as a factory leaves it: slot a, no trial, bootlimit 3, armed, and a
    /// variable of the board beside it: [`FOREIGN`].
    pub(in crate::boot) control: Box<dyn BootControl>,
    /// Copies written so far.
    pub(in crate::boot) writes: Box<dyn Fn() -> u64>,
    /// What the bootloader does at each boot of a trial: bootcount + 1, in one write.
    pub(in crate::boot) count: Box<dyn Fn()>,
    /// Destroys a copy.
    pub(in crate::boot) kill: Box<dyn Fn(usize)>,
    /// Does what it is given, loses power at a write of it, and gives power back. The place is how
    /// many writes pass and how many bytes of the next one land; false if what was done ended first.
    pub(in crate::boot) cut: Box<Cut>,
}

/// A variable that is the board's, and its value: no change touches it.
pub(in crate::boot) const FOREIGN: (&str, &str) = ("foreign", "kept as it is");

type Cut = dyn Fn((u64, usize), &dyn Fn(&dyn BootControl)) -> bool;

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

pub(super) fn txn(n: u32) -> Txn {
    Txn::new(&Digest::of(b"release"), n)
}

pub(super) fn arm(n: u32) -> BootChange {
    BootChange::Arm { slot: SlotId::B, good: SlotId::A, txn: txn(n) }
}

impl Bench {
    pub(super) fn look(&self) -> BootFacts {
        self.control.look().unwrap()
    }

    /// Makes a change and says how many writes it took.
    pub(super) fn write(&self, change: &BootChange) -> u64 {
        let before = (self.writes)();
        self.control.write(change).unwrap();
        let (name, value) = FOREIGN;
        assert_eq!(self.control.variable(name).as_deref(), Some(value), "{change:?}");
        (self.writes)() - before
    }

    pub(super) fn refused(&self, change: &BootChange, code: ReasonCode) {
        let (before, look) = ((self.writes)(), self.look());
        let failure = self.control.write(change).unwrap_err();
        assert_eq!(failure.code(), code, "{change:?}: {failure}");
        assert_eq!((self.writes)(), before);
        assert_eq!(self.look(), look, "a refusal changes nothing");
    }

    /// Destroys the copy that does not count.
    pub(super) fn kill_stale(&self) {
        let stale = self.look().copies.iter().position(|copy| !copy.chosen);
        (self.kill)(stale.unwrap());
    }

    pub(super) fn settled_on(&self, slot: SlotId) -> bool {
        let (name, value) = FOREIGN;
        assert_eq!(self.control.variable(name).as_deref(), Some(value));
        self.look().claims.all_settled_on(slot)
    }
}
