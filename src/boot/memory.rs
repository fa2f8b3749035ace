//! What a bootloader remembers, as plain values: for a bootloader that stores these values and no
//! more, and for tests that make, change and tear such memories.

use super::BootChange;
use crate::model::{SlotId, Txn};

/// What one stored copy says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootMemory {
    /// The slot that boots next.
    pub slot: Option<SlotId>,
    /// The transaction that set it.
    pub txn: Option<Txn>,
    /// Whether a trial is pending.
    pub trial: bool,
    /// Boots counted in this trial.
    pub bootcount: u32,
    /// Boots allowed in a trial.
    pub bootlimit: u32,
    /// The slot to fall back to.
    pub good: Option<SlotId>,
    /// The transaction that was given up.
    pub fallback: Option<Txn>,
    /// Orderly reboots given back in this trial.
    pub clean: u32,
}

impl BootMemory {
    /// As a factory leaves it: slot `a`, no trial, three boots for one.
    pub fn factory() -> BootMemory {
        BootMemory {
            slot: Some(SlotId::A),
            txn: None,
            trial: false,
            bootcount: 0,
            bootlimit: 3,
            good: Some(SlotId::A),
            fallback: None,
            clean: 0,
        }
    }

    /// After a change. Whether it makes sense is the caller's to ask.
    #[must_use]
    pub fn after(&self, change: &BootChange) -> BootMemory {
        let same = self.clone();
        let at_rest =
            |slot| BootMemory { slot: Some(slot), trial: false, bootcount: 0, ..same.clone() };
        match change.clone() {
            BootChange::Arm { slot, good, txn } => BootMemory {
                slot: Some(slot),
                good: Some(good),
                txn: Some(txn),
                trial: true,
                bootcount: 0,
                fallback: None,
                clean: 0,
                ..same
            },
            BootChange::Disarm { booted } => at_rest(booted),
            BootChange::Commit { slot, txn } => {
                BootMemory { txn: Some(txn), clean: 0, ..at_rest(slot) }
            }
            BootChange::FallBack { to, txn } => BootMemory { fallback: Some(txn), ..at_rest(to) },
            BootChange::GiveBack => BootMemory {
                bootcount: self.bootcount.saturating_sub(1),
                clean: self.clean.saturating_add(1),
                ..same
            },
            BootChange::Point { slot } => BootMemory { slot: Some(slot), ..same },
        }
    }
}
