//! What the bootloader's memory says, as plain values that no bootloader is named in.

use super::{Finding, Grade};
use crate::model::{EnvClaims, Failure, ReasonCode, Result, SlotId, Txn};
use std::ops::Range;

/// A healthy copy that stands where none is described: the description is wrong then, and what is
/// described is not dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// What was found, and where.
    pub found: String,
    /// What the description would have to say.
    pub needs: String,
}

/// One stored copy of the bootloader's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFacts {
    /// Where it lies, for people: `/dev/mmcblk0 at byte 4194304`.
    pub place: String,
    /// Why it is not valid; `None` for a valid copy.
    pub dead: Option<String>,
    /// A healthy copy in another form or place.
    pub elsewhere: Option<Elsewhere>,
    /// Its serial number; `None` if it is dead or carries none.
    pub serial: Option<u64>,
    /// Whether the bootloader would use this one.
    pub chosen: bool,
    /// The bytes of the configured disk that it covers; `None` if it lies elsewhere.
    pub on_disk: Option<Range<u64>>,
    /// Whether it is reached through a partition's own node and not through the whole disk.
    pub own_partition: bool,
}

/// Everything about the bootloader that the rooms above decide by. Where no copy is valid,
/// `claims` says so and the rest is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFacts {
    /// What each copy says about slots and trials.
    pub claims: EnvClaims,
    /// The slot that boots next; `None` if none is named.
    pub slot: Option<SlotId>,
    /// The transaction that last changed it.
    pub txn: Option<Txn>,
    /// Whether a trial is pending.
    pub trial: bool,
    /// Boots counted in this trial, as the bootloader reads it; `None` for what is no count.
    pub bootcount: Option<u32>,
    /// Boots allowed in a trial, as the bootloader reads it; `None` for what is no limit.
    pub bootlimit: Option<u32>,
    /// The slot to fall back to.
    pub good: Option<SlotId>,
    /// The transaction that was given up.
    pub fallback: Option<Txn>,
    /// Orderly reboots given back in this trial.
    pub clean: u32,
    /// What in the copy that counts keeps the board from booting, or a bad system from coming home;
    /// empty if the way back was followed to its end.
    pub way_back: Vec<Finding>,
    /// The copies, in the order in which they are described.
    pub copies: Vec<CopyFacts>,
    /// Why nothing may be written; `None` if a write would go where the bootloader reads.
    pub trouble: Option<Failure>,
}

impl CopyFacts {
    /// Where it lies and why it is not valid; `None` for a valid one.
    pub fn why(&self) -> Option<String> {
        let dead = self.dead.as_ref()?;
        Some(format!("{}: {dead}", self.place))
    }
}

impl BootFacts {
    /// True if at least one copy is valid.
    pub fn readable(&self) -> bool {
        self.copies.iter().any(|c| c.dead.is_none())
    }

    /// Why nothing can be known here, with every copy named; `None` if one is valid.
    pub fn unreadable(&self) -> Option<Failure> {
        self.trouble.clone().filter(|_| !self.readable())
    }

    /// Whether a write would go where the bootloader reads: one copy is valid, and no healthy one
    /// stands where none is described.
    pub fn writable(&self) -> Result<()> {
        self.trouble.clone().map_or(Ok(()), Err)
    }

    /// Whether a trial that is armed now would come back by itself, as far as the stored copies
    /// tell: `ROLLBACK_OFF` with the first thing that keeps it from that.
    pub fn can_fall_back(&self) -> Result<()> {
        match self.way_back.iter().find(|finding| finding.level == Grade::Off) {
            None => Ok(()),
            Some(finding) => Err(Failure::new(ReasonCode::RollbackOff, &finding.reason)),
        }
    }

    /// The bytes of the configured disk that copies cover.
    pub fn disk_ranges(&self) -> Vec<Range<u64>> {
        self.copies.iter().filter_map(|c| c.on_disk.clone()).collect()
    }
}
