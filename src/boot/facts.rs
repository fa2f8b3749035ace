//! What the stored environment says, as plain values.

use super::Finding;
use super::uboot::{Elsewhere, MISSING};
use crate::model::{EnvClaims, Failure, ReasonCode, Result, SlotId, Txn};
use std::ops::Range;
use std::path::PathBuf;

/// Who counts the boots of a trial (DESIGN 9.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// U-Boot itself, in the environment (`CONFIG_BOOTCOUNT_ENV`).
    Uboot,
    /// The boot script.
    Script,
}

/// One stored copy of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFacts {
    /// The device, image or file it lies in.
    pub device: PathBuf,
    /// Offset in it, bytes.
    pub offset: u64,
    /// Length, bytes.
    pub len: u64,
    /// Why it is not valid; `None` for a valid copy.
    pub dead: Option<String>,
    /// A healthy copy in another form or place: `fw_env.config` is wrong then, and this one is not
    /// dead.
    pub elsewhere: Option<Elsewhere>,
    /// Its serial number (the flags byte); `None` if it is dead or the only copy.
    pub serial: Option<u8>,
    /// Whether U-Boot would use this one.
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
    /// The slot that boots next; `None` if the variable is missing or names none.
    pub slot: Option<SlotId>,
    /// The transaction that last changed it.
    pub txn: Option<Txn>,
    /// Whether a trial is pending.
    pub trial: bool,
    /// Boots counted in this trial, as the boot script reads it; `None` for what is no count.
    pub bootcount: Option<u32>,
    /// Boots allowed in a trial, as the boot script reads it; `None` for what is no limit.
    pub bootlimit: Option<u32>,
    /// What in the stored variables keeps the board from booting, or a bad system from coming home;
    /// empty if the way back was followed to its end.
    pub way_back: Vec<Finding>,
    /// The slot to fall back to.
    pub good: Option<SlotId>,
    /// The transaction that was given up.
    pub fallback: Option<Txn>,
    /// Who counts; `None` if nobody is named, or somebody unknown.
    pub counter: Option<Counter>,
    /// Orderly reboots given back in this trial.
    pub clean: u32,
    /// Whether two copies are kept.
    pub redundant: bool,
    /// The copies, in the order of `fw_env.config`.
    pub copies: Vec<CopyFacts>,
    /// Whether both copies may lie in one erase unit of 4 MiB (DESIGN 9.10).
    pub share_erase_unit: bool,
}

impl CopyFacts {
    /// Where it lies and why it is not valid; `None` for a valid one.
    pub fn why(&self) -> Option<String> {
        let dead = self.dead.as_ref()?;
        Some(format!("{} at byte {}: {dead}", self.device.display(), self.offset))
    }
}

impl BootFacts {
    /// True if at least one copy is valid.
    pub fn readable(&self) -> bool {
        self.copies.iter().any(|c| c.dead.is_none())
    }

    /// Why nothing can be known here, with every copy named; `None` if one is valid.
    pub fn unreadable(&self) -> Option<Failure> {
        if self.readable() {
            return None;
        }
        let copies = self.copies.iter().zip(1..);
        let whys = copies.filter_map(|(copy, n)| Some(format!("copy {n} ({})", copy.why()?)));
        let why = whys.collect::<Vec<_>>().join("; ");
        let found = self.copies.iter().find_map(|c| c.elsewhere.as_ref());
        Some(match found {
            Some(found) => Failure::new(
                ReasonCode::EnvConfig,
                format!(
                    "fw_env.config is wrong: a healthy environment needs {}; {why}",
                    found.lines()
                ),
            ),
            None if self.copies.iter().all(|c| c.dead.as_deref() == Some(MISSING)) => {
                Failure::new(ReasonCode::EnvConfig, format!("fw_env.config: {why}"))
            }
            None => {
                let said = format!("no copy of the environment is valid: {why}");
                Failure::new(ReasonCode::EnvUnreadable, said)
            }
        })
    }

    /// Whether a write would go where U-Boot reads: one copy is valid, and no healthy one stands
    /// where `fw_env.config` does not say.
    pub fn writable(&self) -> Result<()> {
        if let Some(failure) = self.unreadable() {
            return Err(failure);
        }
        let Some(found) = self.copies.iter().find_map(|c| c.elsewhere.as_ref()) else {
            return Ok(());
        };
        let why = format!("fw_env.config is wrong: the environment needs {}", found.lines());
        Err(Failure::new(ReasonCode::EnvConfig, why))
    }

    /// The bytes of the configured disk that copies cover.
    pub fn disk_ranges(&self) -> Vec<Range<u64>> {
        self.copies.iter().filter_map(|c| c.on_disk.clone()).collect()
    }
}
