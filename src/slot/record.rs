//! The slot record: the last 1 MiB of a slot's first partition, which say what was installed
//! (DESIGN 9.8). What it carries is opaque here; whoever reads it checks it against trust.
//!
//! ```text
//!  0  8  magic "SFSLOT" CR LF
//!  8  4  version, little endian: 2
//! 12  4  length of the payload
//! 16  4  CRC-32 of bytes 0..16 and the payload
//! 20     payload, then zeros
//! ```
//!
//! Version 1 was the same in the last 256 KiB; it counts as no record.

use crate::disk::BlockDevice;
use crate::model::{Failure, ReasonCode, Result};

/// The room that every slot keeps free at its end, bytes.
pub const RECORD_LEN: u64 = 1024 * 1024;

/// The most that a record carries, bytes.
pub const PAYLOAD_MAX: usize = 1024 * 1024 - HEADER;

const MAGIC: [u8; 8] = *b"SFSLOT\r\n";
const HEADER: usize = 20;
const VERSION: u32 = 2;

/// Where a record of version 1 begins, from the end of the partition.
const OLDER_LEN: u64 = 256 * 1024;

/// One read: most often there is nothing, or little.
const BLOCK: usize = 4096;

/// What stands in the place of a slot's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A complete record: its payload.
    Complete(Vec<u8>),
    /// None that counts.
    None(Lack),
}

/// Why there is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lack {
    /// Nothing was installed here, or what was is being written over.
    Absent,
    /// It says that it is longer than its place.
    Short,
    /// It is not as its checksum says: torn by a power cut, or written over.
    Damaged,
    /// It is one of 256 KiB, as a version before 0.2.0 wrote it.
    Older,
    /// A version that this program does not know wrote it.
    Newer,
}

impl Lack {
    /// The lack as words that go on from "it has".
    pub fn words(self) -> &'static str {
        match self {
            Lack::Absent => "no record of what was installed",
            Lack::Short => "a record that ends before its own length",
            Lack::Damaged => "a record that is torn or damaged",
            Lack::Older => "a record of 256 KiB, as versions before 0.2.0 wrote it",
            Lack::Newer => "a record of a version that this updater does not know",
        }
    }
}

/// Where the record stands in a partition of `len` bytes: the first byte that an image must leave
/// alone. 0 for a partition too small to hold anything.
pub fn record_offset(len: u64) -> u64 {
    len.saturating_sub(RECORD_LEN)
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(payload);
    crc.finalize()
}

/// `payload` as it stands on the medium: exactly [`RECORD_LEN`] bytes. `TOO_BIG` beyond
/// [`PAYLOAD_MAX`].
pub fn encode_record(payload: &[u8]) -> Result<Vec<u8>> {
    let too_big = || {
        let why = format!("a slot record of {} bytes does not fit", payload.len());
        Failure::new(ReasonCode::TooBig, why)
    };
    let len = u32::try_from(payload.len()).map_err(|_| too_big())?;
    if payload.len() > PAYLOAD_MAX {
        return Err(too_big());
    }
    let mut out = vec![0; HEADER + PAYLOAD_MAX];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&len.to_le_bytes());
    let crc = checksum(&out[..16], payload);
    out[16..HEADER].copy_from_slice(&crc.to_le_bytes());
    out[HEADER..HEADER + payload.len()].copy_from_slice(payload);
    Ok(out)
}

/// The length of the payload that a record's beginning announces.
fn announced(head: &[u8]) -> std::result::Result<usize, Lack> {
    let Some(head) = head.first_chunk::<HEADER>() else { return Err(Lack::Absent) };
    if head[..8] != MAGIC {
        return Err(Lack::Absent);
    }
    match number(head, 8) {
        VERSION => {}
        version if version > VERSION => return Err(Lack::Newer),
        _ => return Err(Lack::Damaged),
    }
    let len = usize::try_from(number(head, 12)).unwrap_or(usize::MAX);
    if len <= PAYLOAD_MAX { Ok(len) } else { Err(Lack::Short) }
}

fn number(head: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

/// The payload in the bytes of a record, or why there is none: what a slot looks like before its
/// first installation and after a cut.
pub fn decode_record(bytes: &[u8]) -> std::result::Result<&[u8], Lack> {
    let len = announced(bytes)?;
    let (head, rest) = bytes.split_first_chunk::<HEADER>().ok_or(Lack::Absent)?;
    let payload = rest.get(..len).ok_or(Lack::Short)?;
    match checksum(&head[..16], payload) == number(head, 16) {
        true => Ok(payload),
        false => Err(Lack::Damaged),
    }
}

/// Reads the record of a slot's partition from the medium.
pub fn read_record(partition: &dyn BlockDevice) -> Result<Found> {
    if partition.len() < RECORD_LEN {
        return Ok(Found::None(Lack::Absent));
    }
    let at = record_offset(partition.len());
    let mut bytes = vec![0; BLOCK];
    partition.read_at(at, &mut bytes)?;
    let decoded = match announced(&bytes) {
        Ok(len) if HEADER + len > BLOCK => {
            let room = (HEADER + PAYLOAD_MAX).min((HEADER + len).next_multiple_of(BLOCK));
            bytes = vec![0; room];
            partition.read_at(at, &mut bytes)?;
            decode_record(&bytes)
        }
        Ok(_) => decode_record(&bytes),
        Err(lack) => Err(lack),
    };
    Ok(match decoded {
        Ok(payload) => Found::Complete(payload.to_vec()),
        Err(Lack::Absent) if is_older(partition)? => Found::None(Lack::Older),
        Err(lack) => Found::None(lack),
    })
}

/// Whether a record of version 1 stands where one stood.
fn is_older(partition: &dyn BlockDevice) -> Result<bool> {
    let mut bytes = vec![0; BLOCK];
    partition.read_at(partition.len() - OLDER_LEN, &mut bytes)?;
    Ok(bytes[..8] == MAGIC && bytes[8..12] == 1u32.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::fake::FakeDevice;

    #[test]
    fn a_record_reads_back_and_every_torn_one_is_none() {
        for len in [0, 1, 4075, 4076, 4077, PAYLOAD_MAX] {
            let payload: Vec<u8> = (0..len).map(|i| i.to_le_bytes()[0] ^ 0x5a).collect();
            let record = encode_record(&payload).unwrap();
            assert_eq!(record.len() as u64, RECORD_LEN);
            assert_eq!(decode_record(&record), Ok(&payload[..]));
        }
        assert!(encode_record(&vec![0; PAYLOAD_MAX + 1]).is_err());
        let record = encode_record(b"what was installed").unwrap();
        for cut in 0..HEADER + 18 {
            let mut torn = record.clone();
            torn[cut..].fill(0xff);
            assert!(decode_record(&torn).is_err(), "cut at {cut}");
            let mut flipped = record.clone();
            flipped[cut] ^= 1;
            assert!(decode_record(&flipped).is_err(), "flip at {cut}");
            assert!(decode_record(&record[..cut]).is_err());
        }
    }

    #[test]
    fn the_golden_record_stays_readable_and_is_what_is_written() {
        let golden = include_bytes!("../../artifacts/format-1/slot-record");
        let payload = decode_record(golden).unwrap();
        assert_eq!(payload, &golden[HEADER..]);
        let written = encode_record(payload).unwrap();
        assert!(written.starts_with(golden) && written[golden.len()..].iter().all(|b| *b == 0));
    }

    #[test]
    fn each_lack_is_told_as_what_it_is() {
        let good = encode_record(&[7; 100_000]).unwrap();
        let with = |at: usize, bytes: &[u8]| {
            let mut record = good.clone();
            record[at..at + bytes.len()].copy_from_slice(bytes);
            record
        };
        let mut older = vec![0; good.len()];
        older[(1 << 20) - (256 << 10)..][..20]
            .copy_from_slice(b"SFSLOT\r\n\x01\0\0\0\x05\0\0\0\x01\x02\x03\x04");
        for (record, lack) in [
            (with(0, b"x"), Lack::Absent),
            (vec![0; good.len()], Lack::Absent),
            (with(8, &[3, 0, 0, 0]), Lack::Newer),
            (with(8, &[1, 0, 0, 0]), Lack::Damaged),
            (with(12, &[0xed, 0xff, 0xff, 0]), Lack::Short),
            (with(12, &[0, 1, 0, 0]), Lack::Damaged),
            (with(90_000, b"x"), Lack::Damaged),
            (older, Lack::Older),
        ] {
            let slot = [vec![9; 512 << 10], record].concat();
            let device = FakeDevice::new(slot.clone());
            assert_eq!(read_record(&device).unwrap(), Found::None(lack));
            assert!(device.contents() == slot);
        }
        let device = FakeDevice::new([vec![9; 512 << 10], good].concat());
        assert_eq!(read_record(&device).unwrap(), Found::Complete(vec![7; 100_000]));
        let small = FakeDevice::new(vec![0; 256 << 10]);
        assert_eq!(read_record(&small).unwrap(), Found::None(Lack::Absent));
    }
}
