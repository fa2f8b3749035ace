//! Page hashes: the SHA-256 of the chunk table, then the table in pages of about 32 records, 16 bytes for
//! each page. With the first a signature is checked before the table is there; a device that has the
//! table of an older release computes its pages by the same rule and needs only those that it has not.
//! The rule is part of the format.

use super::{Chunk, Payload, RECORD_LEN};
use crate::model::{Digest, Failure, ReasonCode, Result};
use std::io::Read;
use std::ops::Range;

/// A page has at least so many records, but for the last of its payload.
const LEAST: usize = 16;
/// A page has at most so many records.
const MOST: usize = 128;
/// Bytes of a page in the block: the number of its records, and the first bytes of their SHA-256.
pub(super) const PAGE: usize = 16;
/// Where a record has the SHA-256 of its plain bytes.
const PLAIN: usize = 16;

/// The block that goes with a table: what stands between it and the payload.
pub fn page_block(table: &[u8], payloads: &[Payload]) -> Vec<u8> {
    let mut block = Digest::of(table).0.to_vec();
    block.extend(payloads.iter().flat_map(|payload| page_hashes(records_of(table, payload))));
    block
}

/// The records of one payload, as shipped; none where the table has not all of them.
pub(super) fn records_of<'t>(table: &'t [u8], payload: &Payload) -> &'t [u8] {
    let len = |n: u32| (n as usize).saturating_mul(RECORD_LEN as usize);
    let first = len(payload.first_chunk);
    table.get(first..first.saturating_add(len(payload.chunks))).unwrap_or(&[])
}

/// The page hashes of one payload's records, as shipped. A page ends with a record whose plain hash
/// begins with a byte with four low bits set, once it has 16 records; with its 128th; and with the
/// payload.
pub(super) fn page_hashes(records: &[u8]) -> Vec<u8> {
    let (mut block, mut first, mut count) = (Vec::new(), 0, 0);
    let len = RECORD_LEN as usize;
    for (index, record) in records.chunks_exact(len).enumerate() {
        count += 1;
        let end = (index + 1) * len;
        let marked = record[PLAIN] & 0x0f == 0x0f && count >= LEAST;
        if marked || count == MOST || end == records.len() {
            // At most 128.
            block.push(u8::try_from(count).unwrap_or(u8::MAX));
            block.extend_from_slice(&Digest::of(&records[first..end]).0[..PAGE - 1]);
            (first, count) = (end, 0);
        }
    }
    block
}

/// One page of a table.
pub(super) struct Page<'b> {
    /// Its bytes in the table.
    pub(super) bytes: Range<usize>,
    /// What the block says of it: [`PAGE`] bytes.
    pub(super) name: &'b [u8],
}

/// The pages of a table of so many records, as a block says; `None` where they are not exactly the records
/// of the payloads.
pub(super) fn pages_in<'b>(
    block: &'b [u8],
    payloads: &[Payload],
    records: usize,
) -> Option<Vec<Page<'b>>> {
    let mut names = block.get(32..)?.chunks_exact(PAGE);
    let (mut pages, mut next) = (Vec::new(), 0);
    for payload in payloads {
        let end = next + payload.chunks as usize;
        if payload.first_chunk as usize != next || end > records {
            return None;
        }
        while next < end {
            let name = names.next()?;
            let count = usize::from(name[0]);
            if count == 0 || count > end - next {
                return None;
            }
            let bytes = next * RECORD_LEN as usize..(next + count) * RECORD_LEN as usize;
            pages.push(Page { bytes, name });
            next += count;
        }
    }
    let all = next == records && names.next().is_none() && names.remainder().is_empty();
    all.then_some(pages)
}

/// Records as shipped.
pub(super) fn records_to_bytes(chunks: &[Chunk]) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| chunk.to_bytes()).collect()
}

/// Reads the block from a stream and compares it with what the signed table gives. `CHUNK_CORRUPT`,
/// `TRUNCATED`.
pub(super) fn pass(expected: &[u8], input: &mut dyn Read) -> Result<()> {
    let found = super::input::read_exactly(input, expected.len() as u64, "page hashes")?;
    check_pages(expected, &found)
}

/// `CHUNK_CORRUPT` unless the block is as signed.
pub fn check_pages(expected: &[u8], found: &[u8]) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => {
            let detail = "the page hashes do not match their signed hash";
            Err(Failure::new(ReasonCode::ChunkCorrupt, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn records(count: u32) -> Vec<u8> {
        let record = |n: u32| {
            let hash = Digest::of(&n.to_le_bytes()).0;
            [&[0; PLAIN][..], &hash, &hash].concat()
        };
        (0..count).flat_map(record).collect()
    }

    fn pages(block: &[u8]) -> Vec<&[u8]> {
        block.chunks(PAGE).collect()
    }

    #[test]
    fn the_pages_are_the_table() {
        for count in [1, 15, 16, 17, 1000, 5000] {
            let records = records(count);
            let block = page_hashes(&records);
            let mut at = 0;
            for page in pages(&block) {
                let end = at + usize::from(page[0]) * 80;
                assert_eq!(page[1..], Digest::of(&records[at..end]).0[..15]);
                at = end;
            }
            assert_eq!(at, records.len());
        }
        let average = 5000 / pages(&page_hashes(&records(5000))).len();
        assert!((26..38).contains(&average), "{average}");
        // Runs of zeros have no hash, and never end a page before its longest.
        let zeros = page_hashes(&[0; 80 * 300]);
        assert_eq!(zeros.chunks(PAGE).map(|p| p[0]).collect::<Vec<_>>(), [128, 128, 44]);
        assert!(page_hashes(&[]).is_empty());
    }

    #[test]
    fn one_more_record_changes_the_pages_near_it() {
        let old = records(4000);
        let mut new = old.clone();
        new.splice(80 * 1234..80 * 1234, [7; 80]);
        let (old, new) = (page_hashes(&old), page_hashes(&new));
        let known: HashSet<&[u8]> = pages(&old).into_iter().collect();
        let changed = pages(&new).into_iter().filter(|page| !known.contains(page)).count();
        assert!((1..=4).contains(&changed), "{changed}");
    }

    #[test]
    fn the_rule_does_not_move_between_versions() {
        // What is signed once has these pages for ever.
        let block = page_hashes(&records(300));
        assert_eq!(block.iter().step_by(PAGE).copied().collect::<Vec<_>>(), COUNTS);
    }

    const COUNTS: [u8; 10] = [31, 18, 21, 32, 28, 92, 17, 16, 25, 20];
}
