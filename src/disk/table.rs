//! Reading a partition table of either kind.

use super::partition::{PartitionTable, check};
use super::{BlockDevice, gpt, mbr};
use crate::model::{Failure, ReasonCode, Result};

/// Reads the partition table of a disk and checks everything about it, as a wrong answer here
/// would be written to. `TABLE_UNREADABLE`: there is none that can be trusted. `DISK_TOO_SMALL`: it was made for a longer disk.
/// `LAYOUT_INVALID`: a good checksum over partitions that overlap or leave the disk. Names and ids may be there twice: who uses one asks
/// for a single partition ([`PartitionTable::only`]). Never
/// panics and never allocates by a number it has read (R50).
pub fn read_table(device: &dyn BlockDevice) -> Result<PartitionTable> {
    read(device).map_err(|failure| too_small(device).unwrap_or(failure))
}

/// By how much a disk is shorter than the one that its table was made for; `None` where that is not what is wrong.
fn too_small(device: &dyn BlockDevice) -> Option<Failure> {
    let bytes = gpt::missing(device).or_else(|| mbr::missing(device))?;
    let mib = |bytes: u64| format!("{} MiB", bytes.div_ceil(1 << 20));
    let why = format!(
        "the disk has {}, and its partition table was made for {}: it is {} too small",
        mib(device.len()),
        mib(device.len() + bytes),
        mib(bytes)
    );
    Some(Failure::new(ReasonCode::DiskTooSmall, why))
}

fn read(device: &dyn BlockDevice) -> Result<PartitionTable> {
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
