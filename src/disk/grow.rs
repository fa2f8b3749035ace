//! The one writer of a partition table on a device (docs/decisions/first-boot-writes-the-table.md): the last partition
//! gets the rest of its disk, and the backup of a GPT its place at the end. Nothing else of the table changes, and
//! whatever is not as the tools of this project lay it out is refused.

use super::growth::{ALIGNMENT, Growth, odd};
use super::partition::{PartitionTable, TableKind};
use super::{BlockDevice, Partition, grow_gpt, read_table};
use crate::model::Result;

/// The number of the last partition of a disk whose table has no names.
const MBR_LAST: u32 = 4;

/// Where the fields of the entry for a partition of an MBR lie: the count of its sectors.
const MBR_COUNT: usize = 446 + 12;

/// What gives the last partition, which must be called `name`, the rest of the disk. `GROWTH_REFUSED` where the
/// disk is laid out in another way, `DISK_TOO_SMALL` as [`read_table`] has it. Reads only.
pub fn growth(device: &dyn BlockDevice, name: &str) -> Result<Growth> {
    let table = read_table(device)?;
    let last = last(&table, name)?;
    match table.kind {
        TableKind::Gpt => grow_gpt::growth(device, &last),
        TableKind::Mbr => of_mbr(device, &last),
    }
}

fn last(table: &PartitionTable, name: &str) -> Result<Partition> {
    let last = table.partitions.iter().max_by_key(|p| p.start);
    let last = last.ok_or_else(|| odd("the disk has no partition"))?;
    let right = match table.kind {
        TableKind::Gpt => last.name == name && table.only(|p| p.name == name).is_ok(),
        TableKind::Mbr => {
            last.number == MBR_LAST && table.partitions.iter().all(|p| p.number <= MBR_LAST)
        }
    };
    let why = || {
        format!(
            "the last partition of the disk is `{}`, number {}, and not {name}",
            last.name, last.number
        )
    };
    if right { Ok(last.clone()) } else { Err(odd(why())) }
}

fn of_mbr(device: &dyn BlockDevice, last: &Partition) -> Result<Growth> {
    let mut bytes = [0; 512];
    device.read_at(0, &mut bytes)?;
    let at = MBR_COUNT + 16 * (MBR_LAST as usize - 1);
    let field = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
    let (start, old) = (field(at - 4), field(at));
    // What a sector is, the table does not tell: its numbers and its bytes do.
    let sector =
        last.start.checked_div(u64::from(start)).filter(|s| s * u64::from(old) == last.len);
    let sector = sector.ok_or_else(|| odd("the last partition begins at 0"))?;
    let end = device.len() / ALIGNMENT * ALIGNMENT / sector;
    let most = end.saturating_sub(u64::from(start)).min(u64::from(u32::MAX));
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let new =
        if most.saturating_sub(old) < step(sector) { old } else { untorn(old, most, step(sector)) };
    bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
    let writes = if new == old { Vec::new() } else { vec![(0, bytes.to_vec())] };
    let len = u64::from(new) * sector;
    let begun = ext4_len(device, last.start)?.is_some_and(|needed| last.len < needed);
    Ok(Growth { number: MBR_LAST, start: last.start, from: last.len, len, writes, begun })
}

/// The length of the ext4 that begins at `start`, bytes: a partition that is shorter has a torn number. `None` for what is no ext4.
fn ext4_len(device: &dyn BlockDevice, start: u64) -> Result<Option<u64>> {
    let mut head = [0; 1024];
    device.read_at(start + 1024, &mut head)?;
    let field = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| head[at + i]));
    let blocks = u64::from(field(4));
    let block = 1024u64.checked_shl(field(24)).filter(|_| head[56..58] == [0x53, 0xef]);
    Ok(block.and_then(|block| blocks.checked_mul(block)))
}

/// Sectors of [`ALIGNMENT`].
fn step(sector: u64) -> u32 {
    u32::try_from(ALIGNMENT / sector).unwrap_or(1)
}

/// A count of at most `most`, and less by 64 steps at most, for which a write that is torn in the middle of the number
/// leaves no partition that is shorter than the old one; `most` itself where there is none: then a torn
/// number is mended by the next first boot, which believes only where the partition begins.
pub(super) fn untorn(old: u32, most: u32, step: u32) -> u32 {
    let longer = |new: u32| {
        [8, 16, 24].iter().all(|bits| {
            let low = (1u32 << bits) - 1;
            new & low >= old & low
        })
    };
    let tried =
        (0..64).map_while(|steps| most.checked_sub(steps * step)).take_while(|new| *new > old);
    tried.into_iter().find(|new| longer(*new)).unwrap_or(most)
}
