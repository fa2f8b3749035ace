//! Reading a partition table of either kind.

use super::partition::{PartitionTable, check};
use super::{BlockDevice, gpt, mbr};
use crate::model::{Failure, ReasonCode, Result};

/// Reads the partition table of a disk and checks everything about it, as a wrong answer here
/// would be written to. `TABLE_UNREADABLE`: there is none that can be trusted. `LAYOUT_INVALID`:
/// a good checksum over partitions that overlap or leave the disk. Names and ids may be there twice: who uses one asks
/// for a single partition ([`PartitionTable::only`]). Never
/// panics and never allocates by a number it has read (R50).
pub fn read_table(device: &dyn BlockDevice) -> Result<PartitionTable> {
    let unreadable = |why: &str| Err(Failure::new(ReasonCode::TableUnreadable, why));
    if device.len() < 4096 {
        return unreadable("too small for a partition table");
    }
    let mut first = [0; 512];
    device.read_at(0, &mut first)?;
    let Some(boot) = mbr::BootRecord::parse(&first) else {
        return unreadable("no partition table: the first sector carries no boot record");
    };
    let table =
        if boot.is_protective() { gpt::read(device, &boot)? } else { mbr::read(device, &boot)? };
    check(&table, device.len())?;
    Ok(table)
}
