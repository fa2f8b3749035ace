//! A GPT whose last partition gets the rest of the disk.
//!
//! The kernel believes the primary header alone: a backup counts for it only with `gpt` on its command line. So the
//! primary must be whole at every moment, although its header and its entries are two writes. They are two that do not
//! depend on each other: the header is pointed to the entries of the new backup first, which stand already, and back to
//! its own entries when those are written. Each step changes one sector of what is in force:
//!
//! 1. the entries of the backup, at the new end of the disk, where nothing was;
//! 2. the header of the backup, in the last sector;
//! 3. the primary header: the new end, and the entries of 1;
//! 4. the entries of the primary, which nothing names now;
//! 5. the primary header: its own entries again;
//! 6. the length in the protective MBR, which nothing believes.
//!
//! Where the primary is damaged, and its entries can have lain nowhere else, it is mended from the backup before all this: step 1 may write over the only good entries.

use super::gpt::{Copy, ENTRY, Entry, read_copy};
use super::growth::{ALIGNMENT, Growth, odd};
use super::mbr::BootRecord;
use super::{BlockDevice, Partition};
use crate::model::{Failure, ReasonCode, Result};

/// Where the entries of every primary lie that this project's tools make, in sectors.
const ENTRIES_AT: u64 = 2;

/// What makes `last` longer: see the list above.
pub(super) fn growth(device: &dyn BlockDevice, last: &Partition) -> Result<Growth> {
    for sector in [512, 4096] {
        if let Some(growth) = in_sectors(device, last, sector)? {
            return Ok(growth);
        }
    }
    Err(Failure::new(ReasonCode::TableUnreadable, "no good copy of the GPT"))
}

fn in_sectors(device: &dyn BlockDevice, last: &Partition, sector: usize) -> Result<Option<Growth>> {
    let size = sector as u64;
    let end = (device.len() / size).saturating_sub(1);
    let primary = read_copy(device, sector, 1)?;
    let at = primary.as_ref().map_or(end, |p| p.header.alternate);
    let backup = read_copy(device, sector, at)?;
    let (used, other) = match (primary, backup) {
        (Ok(primary), backup) => (primary, backup.ok()),
        (Err(_), Ok(backup)) => (backup, None),
        (Err(_), Err(_)) => return Ok(None),
    };
    let new = New::of(&used, last, size, end)?;
    if let Some(other) = &other
        && without_end(&other.entries, last) != without_end(&used.entries, last)
    {
        return Err(odd("the two copies of the partition table differ"));
    }
    let mut boot = [0; 512];
    device.read_at(0, &mut boot)?;
    if BootRecord::parse(&boot).is_none_or(|boot| boot.is_hybrid()) {
        return Err(odd("the boot record is hybrid"));
    }
    put_length(&mut boot, end);
    let mut head = vec![0; sector];
    device.read_at(used.at * size, &mut head)?;
    let header = |at, alternate, entries_at| {
        header(&head, (at, alternate), new.usable, (entries_at, &new.entries))
    };
    let mut writes = vec![
        (new.entries_at * size, new.entries.clone()),
        (end * size, header(end, 1, new.entries_at)),
        (size, header(1, end, new.entries_at)),
        (ENTRIES_AT * size, new.entries.clone()),
        (size, header(1, end, ENTRIES_AT)),
        (0, boot.to_vec()),
    ];
    // What the last five leave, and the backup: all of it stands already, or all of it is written.
    let stands =
        writes.iter().enumerate().filter(|(step, _)| *step != 2).map(|(_, (at, bytes))| {
            let mut found = vec![0; bytes.len()];
            device.read_at(*at, &mut found)?;
            Ok(&found == bytes)
        });
    let stands = stands.collect::<Result<Vec<bool>>>()?;
    // Nothing but a growth writes these two where they lie.
    let begun = stands.iter().take(2).all(|stands| *stands);
    if stands.into_iter().all(|stands| stands) {
        writes.clear();
    } else if used.at != 1 {
        let head = self::header(&head, (1, end), new.usable, (ENTRIES_AT, &used.entries));
        let mended = [(ENTRIES_AT * size, used.entries.clone()), (size, head)];
        writes.splice(..0, mended);
    }
    let len = (new.last + 1) * size - last.start;
    Ok(Some(Growth { number: last.number, start: last.start, from: last.len, len, writes, begun }))
}

/// The table as it will be.
struct New {
    /// The last sector of the last partition.
    last: u64,
    /// The last one that a partition may have.
    usable: u64,
    /// The first one of the backup's entries.
    entries_at: u64,
    entries: Vec<u8>,
}

impl New {
    fn of(used: &Copy, last: &Partition, size: u64, end: u64) -> Result<New> {
        let sectors = used.header.entries_sectors;
        let entries_at = end.saturating_sub(sectors);
        let own = [ENTRIES_AT, entries_at].contains(&used.header.entries_at);
        if used.at == 1 && !own {
            let why = format!(
                "the entries of the partition table lie at sector {}",
                used.header.entries_at
            );
            return Err(odd(why));
        }
        if used.header.first_usable < ENTRIES_AT + sectors || entries_at <= used.header.first_usable
        {
            return Err(odd("there is no room for the entries of the partition table"));
        }
        // A backup does not say where the entries of the primary lie: somewhere before the first sector that partitions may use.
        if used.at != 1 && used.header.first_usable != ENTRIES_AT + sectors {
            return Err(odd(
                "the primary table is damaged, and where its entries lay is not known",
            ));
        }
        let now = (last.start + last.len) / size - 1;
        let per_step = ALIGNMENT / size;
        let most = (entries_at / per_step * per_step).saturating_sub(1);
        let new = if most.saturating_sub(now) < per_step { now } else { most };
        if now >= entries_at {
            return Err(odd(
                "the last partition leaves no room for the backup of the partition table",
            ));
        }
        let mut entries = used.entries.clone();
        let entry = (last.number as usize - 1) * ENTRY;
        // The same one that the table's reader has found.
        let found = entries.get(entry..entry + ENTRY).and_then(Entry::parse);
        if found.is_none_or(|found| found.first * size != last.start || found.last != now) {
            return Err(odd("the last partition is not the one that the table names"));
        }
        entries[entry + 40..entry + 48].copy_from_slice(&new.to_le_bytes());
        Ok(New { last: new, usable: entries_at - 1, entries_at, entries })
    }
}

/// A header that is like `old` but for its own place and that of the other copy, the last sector that partitions may use, and the
/// place of these entries.
fn header(old: &[u8], place: (u64, u64), usable: u64, entries: (u64, &[u8])) -> Vec<u8> {
    let mut bytes = old.to_vec();
    for (field, value) in [(24, place.0), (32, place.1), (48, usable), (72, entries.0)] {
        bytes[field..field + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes[88..92].copy_from_slice(&crc32fast::hash(entries.1).to_le_bytes());
    bytes[16..20].fill(0);
    // Its length was checked when it was read.
    let len = u32::from_le_bytes([12, 13, 14, 15].map(|i| bytes[i]));
    let len = usize::try_from(len).map_or(bytes.len(), |len| len.min(bytes.len()));
    let crc = crc32fast::hash(&bytes[..len]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The entries but for the end of one partition.
fn without_end(entries: &[u8], last: &Partition) -> Vec<u8> {
    let mut entries = entries.to_vec();
    let at = (last.number as usize - 1) * ENTRY + 40;
    if let Some(end) = entries.get_mut(at..at + 8) {
        end.fill(0);
    }
    entries
}

/// The length of the protective entry: all of the disk but its first sector.
fn put_length(boot: &mut [u8; 512], end: u64) {
    let length = u32::try_from(end).unwrap_or(u32::MAX);
    for at in [446, 462, 478, 494] {
        if boot[at + 4] == 0xee {
            boot[at + 12..at + 16].copy_from_slice(&length.to_le_bytes());
        }
    }
}
