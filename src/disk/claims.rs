//! What the partition table of a stranger's medium names. Nothing is believed and no checksum is
//! asked: these are places to look at, and a table that lies only wastes a look. What may be written
//! is found by [`super::read_table`], which believes only what it has checked.

use super::gpt;
use super::mbr::{BootRecord, Entry};
use std::io::Result;

/// Links of an extended partition that are followed.
const LINKS_MAX: u32 = 16;

/// Entries of a GPT that are looked at.
const ENTRIES_MAX: usize = 128;

/// The sector in which a DOS table is taken to count, bytes.
const SECTOR: u64 = 512;

/// Fills the buffer from an offset; both are multiples of 512 bytes.
pub(crate) type Sectors<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> Result<()>;

/// A place that a table names. It may leave the medium, and two may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Where it begins, bytes.
    pub(crate) start: u64,
    /// Its length, bytes.
    pub(crate) len: u64,
    /// Whether it is the firmware's: an EFI system partition.
    pub(crate) firmware: bool,
}

/// What the table in the `first` sector of a medium names, in its order: that of a GPT where the
/// sector announces one that is there, else that of the sector itself. Empty where there is no
/// table. What cannot be read names nothing.
pub(crate) fn read_claims(first: &[u8; 512], read: Sectors<'_>) -> Vec<Claim> {
    let Some(boot) = BootRecord::parse(first) else { return Vec::new() };
    let gpt = if boot.is_protective() { of_gpt(read) } else { None };
    gpt.unwrap_or_else(|| of_mbr(&boot, read))
}

fn of_gpt(read: Sectors<'_>) -> Option<Vec<Claim>> {
    for sector in [512, 4096] {
        let mut head = [0; 512];
        let header = read(sector, &mut head).ok().and_then(|()| gpt::Header::parse(&head));
        let Some(header) = header else { continue };
        let count = usize::try_from(header.count).unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
        let mut entries = vec![0; gpt::ENTRY * count];
        let at = header.entries_at.checked_mul(sector).filter(|_| header.has_usual_entries());
        if at.is_none_or(|at| read(at, &mut entries).is_err()) {
            continue;
        }
        let claim = |entry: gpt::Entry| {
            let sectors = entry.last.checked_sub(entry.first)?.checked_add(1)?;
            Some(Claim {
                start: entry.first.checked_mul(sector)?,
                len: sectors.checked_mul(sector)?,
                firmware: entry.is_firmware(),
            })
        };
        let used = entries.chunks_exact(gpt::ENTRY).filter_map(gpt::Entry::parse);
        return Some(used.filter_map(claim).collect());
    }
    None
}

fn of_mbr(boot: &BootRecord, read: Sectors<'_>) -> Vec<Claim> {
    let mut found = Vec::new();
    for entry in boot.entries.iter().filter(|e| e.is_used() && !e.is_protective()) {
        let base = u64::from(entry.start);
        if !entry.is_extended() {
            found.push(claim(*entry, 0));
            continue;
        }
        let mut link = base;
        for _ in 0..LINKS_MAX {
            let mut sector = [0; 512];
            let record = read(link * SECTOR, &mut sector).ok();
            let Some(record) = record.and_then(|()| BootRecord::parse(&sector)) else { break };
            let [own, next, ..] = record.entries;
            if own.is_used() {
                found.push(claim(own, link));
            }
            let following = base + u64::from(next.start);
            // Only forward: a chain that turns back never ends.
            if !next.is_used() || following <= link {
                break;
            }
            link = following;
        }
    }
    found
}

fn claim(entry: Entry, base: u64) -> Claim {
    Claim {
        start: (base + u64::from(entry.start)) * SECTOR,
        len: u64::from(entry.count) * SECTOR,
        firmware: entry.is_firmware(),
    }
}
