//! The changes that can be made.

use super::BootFacts;
use crate::model::{Failure, ReasonCode, Result, SlotId, Txn};

/// How many orderly reboots a trial gives back at most (DESIGN 9.4).
pub const GIVE_BACK_MAX: u32 = 3;

/// One decision, one write (DESIGN 9.3, 9.4, 9.6, 9.17).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootChange {
    /// Try `slot`; if it does not prove itself, `good` boots again.
    Arm {
        /// The slot to try.
        slot: SlotId,
        /// The slot to fall back to: the one that runs.
        good: SlotId,
        /// The transaction.
        txn: Txn,
    },
    /// No trial; the slot that runs boots next.
    Disarm {
        /// The slot that runs.
        booted: SlotId,
    },
    /// The trial ended well.
    Commit {
        /// The slot on trial.
        slot: SlotId,
        /// The transaction on trial.
        txn: Txn,
    },
    /// The trial ended badly.
    FallBack {
        /// The slot to return to.
        to: SlotId,
        /// The transaction that is given up.
        txn: Txn,
    },
    /// An orderly reboot during a trial is no failed boot: one try is given back.
    GiveBack,
    /// Outside a trial: this slot boots next.
    Point {
        /// The slot.
        slot: SlotId,
    },
}

impl BootChange {
    /// Refuses a change that makes no sense where the environment stands: every implementation
    /// asks this before it writes. A change that has happened already is not refused.
    pub(super) fn allowed_by(&self, facts: &BootFacts) -> Result<()> {
        let deny = |code, why: &str| Err(Failure::new(code, why));
        facts.writable()?;
        match self {
            BootChange::Disarm { .. } => Ok(()),
            BootChange::Arm { slot, good, txn } => {
                let done =
                    facts.trial && facts.slot == Some(*slot) && facts.txn.as_ref() == Some(txn);
                if slot == good {
                    return deny(ReasonCode::Internal, "a slot cannot be its own fallback");
                }
                if facts.trial && !done {
                    return deny(ReasonCode::TrialPending, "another trial is pending");
                }
                if !facts.trial && facts.slot != Some(*good) {
                    return deny(
                        ReasonCode::WrongSlot,
                        "the running slot is not the one that boots",
                    );
                }
                facts.can_fall_back()
            }
            BootChange::Commit { slot, txn } => {
                if facts.slot != Some(*slot) {
                    return deny(ReasonCode::WrongSlot, "the environment names the other slot");
                }
                if facts.txn.as_ref() != Some(txn) {
                    return deny(ReasonCode::NotTrying, "another transaction set this slot");
                }
                Ok(())
            }
            BootChange::FallBack { to, txn } => {
                let done =
                    !facts.trial && facts.slot == Some(*to) && facts.fallback.as_ref() == Some(txn);
                if done || (facts.trial && facts.txn.as_ref() == Some(txn)) {
                    return Ok(());
                }
                deny(ReasonCode::NotTrying, "this transaction is not on trial")
            }
            BootChange::GiveBack => {
                if !facts.trial || facts.bootcount.unwrap_or(0) == 0 {
                    return deny(ReasonCode::NotTrying, "no boot of a trial was counted");
                }
                if facts.clean >= GIVE_BACK_MAX {
                    return deny(ReasonCode::NotTrying, "no more tries are given back");
                }
                Ok(())
            }
            BootChange::Point { .. } if facts.trial => {
                deny(ReasonCode::TrialPending, "a trial is pending")
            }
            BootChange::Point { .. } => Ok(()),
        }
    }
}
