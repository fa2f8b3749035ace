//! Where on a medium a file system may begin. Nothing is believed: these are places to look, and
//! a table that lies only wastes a look.

use super::PLACES_MAX;
use std::io::Result;
use std::ops::Range;

const SECTOR: u64 = 512;

/// Links of an extended partition that are followed.
const LINKS_MAX: u32 = 16;

/// Entries of a GPT that are looked at.
const ENTRIES_MAX: usize = 128;

/// Reads a sector of 512 bytes at an offset.
pub(super) type Sectors<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> Result<()>;

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i])).into()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u32_at(bytes, at) | u32_at(bytes, at + 4) << 32
}

/// At most [`PLACES_MAX`] places in a medium of `len` bytes, in the order in which they are looked
/// at: system partitions of firmware last, as no person puts files there. Also says how many of them
/// are a person's.
pub(super) fn places(len: u64, read: Sectors<'_>) -> Result<(Vec<Range<u64>>, usize)> {
    let mut first = [0; 512];
    if len < SECTOR {
        return Ok((Vec::new(), 0));
    }
    read(0, &mut first)?;
    let mut found = Places { len, usual: Vec::new(), last: Vec::new() };
    let bare = super::kind::looks_like_a_volume(&first);
    if first[510..] == [0x55, 0xaa] && !bare {
        let protective = (0..4).any(|i| first[446 + 16 * i + 4] == 0xee);
        if !(protective && gpt(read, &mut found)) {
            mbr(&first, read, &mut found);
        }
    }
    if found.usual.is_empty() && found.last.is_empty() {
        found.usual.push(0..len);
    }
    let usual = found.usual.len();
    found.usual.append(&mut found.last);
    found.usual.truncate(PLACES_MAX);
    Ok((found.usual, usual.min(PLACES_MAX)))
}

struct Places {
    len: u64,
    usual: Vec<Range<u64>>,
    last: Vec<Range<u64>>,
}

impl Places {
    fn add(&mut self, start: u64, len: u64, firmware: bool) {
        let end = start.saturating_add(len).min(self.len);
        let place = start..end;
        let known = self.usual.contains(&place) || self.last.contains(&place);
        if place.start < place.end && start > 0 && !known {
            if firmware { self.last.push(place) } else { self.usual.push(place) }
        }
    }
}

/// Whether there is a GPT; its checksums are not asked.
fn gpt(read: Sectors<'_>, found: &mut Places) -> bool {
    /// EFI system partition, as it is stored.
    const FIRMWARE: [u8; 16] = [
        0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9,
        0x3b,
    ];
    for sector in [512, 4096] {
        let mut head = [0; 512];
        if read(sector, &mut head).is_err() || &head[..8] != b"EFI PART" {
            continue;
        }
        let (at, size) = (u64_at(&head, 72), u32_at(&head, 84));
        let count = usize::try_from(u32_at(&head, 80)).unwrap_or(0).min(ENTRIES_MAX);
        let mut entries = vec![0; 128 * count];
        let whole = at.checked_mul(sector).filter(|_| size == 128);
        if whole.is_none_or(|at| read(at, &mut entries).is_err()) {
            continue;
        }
        for entry in entries.chunks_exact(128).filter(|e| e[..16] != [0; 16]) {
            let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
            let sectors = last.checked_sub(first).and_then(|n| n.checked_add(1));
            let bytes = sectors.and_then(|n| n.checked_mul(sector));
            if let (Some(start), Some(len)) = (first.checked_mul(sector), bytes) {
                found.add(start, len, entry[..16] == FIRMWARE);
            }
        }
        return true;
    }
    false
}

fn mbr(first: &[u8; 512], read: Sectors<'_>, found: &mut Places) {
    let entry = |sector: &[u8], i: usize| {
        let at = 446 + 16 * i;
        (sector[at + 4], u32_at(sector, at + 8), u32_at(sector, at + 12))
    };
    let extended = |kind: u8| matches!(kind, 0x05 | 0x0f | 0x85);
    for (kind, start, count) in (0..4).map(|i| entry(first, i)) {
        if kind == 0 || kind == 0xee || count == 0 {
            continue;
        }
        if !extended(kind) {
            found.add(start * SECTOR, count * SECTOR, kind == 0xef);
            continue;
        }
        let mut link = start;
        for _ in 0..LINKS_MAX {
            let mut sector = [0; 512];
            if read(link * SECTOR, &mut sector).is_err() || sector[510..] != [0x55, 0xaa] {
                break;
            }
            let (own, offset, len) = entry(&sector, 0);
            if own != 0 {
                found.add((link + offset) * SECTOR, len * SECTOR, own == 0xef);
            }
            let (next, offset, _) = entry(&sector, 1);
            if next == 0 || start + offset <= link {
                break;
            }
            link = start + offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(disk: &[u8]) -> Vec<Range<u64>> {
        let mut reads = 0;
        let mut read = |at: u64, buf: &mut [u8]| {
            reads += 1;
            let at = usize::try_from(at).unwrap();
            let bytes = disk.get(at..at + buf.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
            buf.copy_from_slice(bytes);
            Ok(())
        };
        let (found, _) = places(disk.len() as u64, &mut read).unwrap();
        assert!(reads < 100, "{reads}");
        assert!(found.iter().all(|p| p.start < p.end && p.end <= disk.len() as u64), "{found:?}");
        found
    }

    fn put(disk: &mut [u8], sector: usize, entries: &[(u8, u32, u32)]) {
        for (i, (kind, start, count)) in entries.iter().enumerate() {
            let at = sector * 512 + 446 + 16 * i;
            disk[at + 4] = *kind;
            disk[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            disk[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
        }
        disk[sector * 512 + 510..sector * 512 + 512].copy_from_slice(&[0x55, 0xaa]);
    }

    #[test]
    fn primary_and_logical_partitions_are_found_and_firmware_is_last() {
        let mut disk = vec![0; 1 << 20];
        put(&mut disk, 0, &[(0xef, 8, 8), (0x0c, 100, 50), (0x05, 200, 500)]);
        put(&mut disk, 200, &[(0x0c, 10, 20), (0x05, 100, 1)]);
        put(&mut disk, 300, &[(0x0c, 5, 20)]);
        let sectors = [(100, 150), (210, 230), (305, 325), (8, 16)];
        assert_eq!(look(&disk), sectors.map(|(a, b)| a * 512..b * 512));
    }

    #[test]
    fn chains_that_turn_back_and_tables_that_lie_come_to_an_end() {
        let mut disk = vec![0; 1 << 20];
        put(&mut disk, 0, &[(0x05, 200, 500), (0x0c, 1, u32::MAX), (0x0c, u32::MAX, u32::MAX)]);
        put(&mut disk, 200, &[(0x0c, 10, 20), (0x05, 100, 1)]);
        put(&mut disk, 300, &[(0x0c, u32::MAX, 20), (0x05, 100, 1)]);
        assert_eq!(look(&disk), [210 * 512..230 * 512, 512..1 << 20]);
        let mut many = vec![0; 1 << 20];
        put(&mut many, 0, &[(0x05, 1, 9), (0x05, 1, 9), (0x05, 1, 9), (0x05, 1, 9)]);
        (1..40u32).for_each(|n| {
            put(&mut many, n as usize, &[(0x0c, 1000, 20), (0x05, n, 1)]);
        });
        assert_eq!(look(&many).len(), PLACES_MAX);
        let mut gpt = vec![0; 1 << 20];
        put(&mut gpt, 0, &[(0xee, 1, u32::MAX)]);
        gpt[512..520].copy_from_slice(b"EFI PART");
        gpt[512 + 72..512 + 92].fill(0xff);
        assert_eq!(look(&gpt).first(), Some(&(0..1 << 20)));
        assert_eq!(look(&[0; 100]), []);
    }
}
