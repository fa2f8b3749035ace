//! Where on a medium a person's file system may begin.

use super::PLACES_MAX;
use crate::disk::{Sectors, read_claims};
use std::io::Result;
use std::ops::Range;

/// At most [`PLACES_MAX`] places in a medium of `len` bytes, in the order in which they are looked
/// at: system partitions of firmware last, as no person puts files there. Also says how many of them
/// are a person's.
pub(super) fn places(len: u64, read: Sectors<'_>) -> Result<(Vec<Range<u64>>, usize)> {
    let mut first = [0; 512];
    if len < 512 {
        return Ok((Vec::new(), 0));
    }
    read(0, &mut first)?;
    let claims = match super::kind::looks_like_a_volume(&first) {
        true => Vec::new(),
        false => read_claims(&first, read),
    };
    let (mut usual, mut last) = (Vec::new(), Vec::new());
    for claim in claims {
        let place = claim.start..claim.start.saturating_add(claim.len).min(len);
        let known = usual.contains(&place) || last.contains(&place);
        if place.start > 0 && place.start < place.end && !known {
            if claim.firmware { last.push(place) } else { usual.push(place) }
        }
    }
    if usual.is_empty() && last.is_empty() {
        usual.push(0..len);
    }
    let persons = usual.len().min(PLACES_MAX);
    usual.append(&mut last);
    usual.truncate(PLACES_MAX);
    Ok((usual, persons))
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
