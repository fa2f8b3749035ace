//! The trait of everything that boots a device.

use super::{BootChange, BootFacts, CopyFacts, Finding};
use crate::model::{Result, SlotId};

/// What a support report tells of a bootloader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Which bootloader it is, as the configuration names it.
    pub name: &'static str,
    /// The copies of its memory.
    pub copies: Vec<CopyFacts>,
    /// Names and values of its variables that help support and give nothing away. As they are
    /// stored: they come from outside.
    pub variables: Vec<(String, String)>,
}

/// A bootloader's memory. The shared suite in `conformance` holds every implementation to this; no
/// room above knows which one a device has.
pub trait BootControl: Send + Sync {
    /// Reads everything, from the medium. Copies of which none is valid are an answer
    /// ([`BootFacts::readable`]), not an error.
    fn look(&self) -> Result<BootFacts>;

    /// Makes one change in one write, and returns after it was read back from the medium. No
    /// write if the memory says all that already. `ENV_READ_BACK`, `ENV_FULL`,
    /// `ENV_UNREADABLE`, and a code of class `Denied` for a change that makes no sense now: a
    /// memory that boots is left in place by each of them.
    fn write(&self, change: &BootChange) -> Result<()>;

    /// Writes until every copy says: `booted`, no trial. No write on a clean device, at most one
    /// per copy otherwise. `TRIAL_PENDING` while `booted` itself is on trial, as this would
    /// commit it.
    fn settle(&self, booted: SlotId) -> Result<()>;

    /// Whether the next update could be armed from here: makes everything that an update would
    /// write (the arming, a try given back, the way home), opens the place for writing, and writes
    /// nothing. An arming that fits alone would leave a trial that nothing ends.
    fn rehearse(&self, booted: SlotId) -> Result<()>;

    /// Everything that keeps the rollback of this board from being simply armed, by what a look has
    /// found; each with a remedy.
    fn findings(&self, facts: &BootFacts) -> Vec<Finding>;

    /// A variable of the board, for what a board writes there itself; `None` if it is not set or
    /// cannot be read.
    fn variable(&self, name: &str) -> Option<String>;

    /// What a support report tells.
    fn describe(&self) -> Result<Description>;
}
