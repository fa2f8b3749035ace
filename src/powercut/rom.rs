//! Who boots: a simulated boot ROM, or U-Boot itself.

use crate::model::{Result, SlotId};
use std::path::Path;

/// What a boot came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booted {
    /// The slot whose kernel was started; `None` if nothing could be.
    pub slot: Option<SlotId>,
}

/// Boots the device in a folder: changes `disk.img` as that boot would, and says what it started.
pub trait Rom: Send + Sync {
    /// For people.
    fn name(&self) -> String;

    /// One boot.
    fn boot(&self, folder: &Path) -> Result<Booted>;

    /// Whether a kernel can be loaded from this path in this partition of the disk; `None` if this
    /// one cannot tell. Changes nothing.
    fn loads(&self, folder: &Path, partition: u32, kernel: &str) -> Option<Result<bool>>;

    /// Whether the power can go inside a boot.
    fn can_be_cut(&self) -> bool {
        false
    }

    /// A boot whose power goes after so many sectors were written, with so many bytes of the next.
    /// False if it ended before; `None` if this one cannot be cut.
    fn boot_cut(&self, _folder: &Path, _sectors: u64, _bytes: u64) -> Option<Result<bool>> {
        None
    }
}
