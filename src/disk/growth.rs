//! The last partition of a disk gets longer: what is written, and how.

use super::BlockDevice;
use crate::model::{ByteLen, Failure, ReasonCode, Result};

/// Partitions end at a multiple of this, bytes.
pub(super) const ALIGNMENT: u64 = 1 << 20;

/// How the last partition becomes longer.
#[derive(Debug)]
pub struct Growth {
    /// Its number.
    pub number: u32,
    /// Where it begins, bytes.
    pub start: u64,
    /// Its length now, bytes.
    pub from: u64,
    /// Its length afterwards, bytes.
    pub len: u64,
    /// Offset and bytes of each write, in this order, each on the medium before the next one; none where
    /// everything is as it should be.
    pub(super) writes: Vec<(u64, Vec<u8>)>,
    /// Whether an earlier growth wrote some of it, and was cut off or shortened the partition.
    pub(super) begun: bool,
}

/// A disk that is odd in a way that this program leaves to a person.
pub(super) fn odd(why: impl AsRef<str>) -> Failure {
    Failure::new(ReasonCode::GrowthRefused, why)
}

impl Growth {
    /// Whether the table has anything to be written.
    pub fn is_needed(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Whether an earlier growth was cut off before it was whole.
    pub fn is_torn(&self) -> bool {
        self.begun && self.is_needed()
    }

    /// Writes it. After a cut at any point the table names the same partitions with the same numbers and ids, the last
    /// one with its old or its new end, and the same again ends well.
    pub(crate) fn write(&self, device: &dyn BlockDevice) -> Result<()> {
        for (offset, bytes) in &self.writes {
            device.write_at(*offset, bytes)?;
            device.flush()?;
        }
        Ok(())
    }

    /// One sentence.
    pub fn told(&self) -> String {
        match self.len == self.from {
            true => {
                format!("partition {} has the rest of the disk: {}", self.number, ByteLen(self.len))
            }
            false => format!(
                "partition {} grows from {} to {}",
                self.number,
                ByteLen(self.from),
                ByteLen(self.len)
            ),
        }
    }
}
