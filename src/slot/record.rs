//! The slot record: the last 256 KiB of a slot's first partition, which say what was installed
//! (DESIGN 9.8). What it carries is opaque here; whoever reads it checks it against trust.
//!
//! ```text
//!  0  8  magic "SFSLOT" CR LF
//!  8  4  version, little endian: 1
//! 12  4  length of the payload
//! 16  4  CRC-32 of bytes 0..16 and the payload
//! 20     payload, then zeros
//! ```

use crate::disk::BlockDevice;
use crate::model::{Failure, ReasonCode, Result};

/// The room that every slot keeps free at its end, bytes.
pub const RECORD_LEN: u64 = 256 * 1024;

/// The most that a record carries, bytes.
pub const PAYLOAD_MAX: usize = 256 * 1024 - HEADER;

const MAGIC: [u8; 8] = *b"SFSLOT\r\n";
const HEADER: usize = 20;

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
    out[8..12].copy_from_slice(&1u32.to_le_bytes());
    out[12..16].copy_from_slice(&len.to_le_bytes());
    let crc = checksum(&out[..16], payload);
    out[16..HEADER].copy_from_slice(&crc.to_le_bytes());
    out[HEADER..HEADER + payload.len()].copy_from_slice(payload);
    Ok(out)
}

/// The payload in the bytes of a record; `None` if there is no complete record of a known
/// version, which is what a slot looks like before its first installation and after a cut.
pub fn decode_record(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.get(..HEADER)?;
    let number = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if head[..8] != MAGIC || number(8)? != 1 {
        return None;
    }
    let len = usize::try_from(number(12)?).ok()?;
    let payload = bytes[HEADER..].get(..len)?;
    (checksum(&head[..16], payload) == number(16)?).then_some(payload)
}

/// Reads the record of a slot's partition from the medium; `None` as for [`decode_record`].
pub fn read_record(partition: &dyn BlockDevice) -> Result<Option<Vec<u8>>> {
    if partition.len() < RECORD_LEN {
        return Ok(None);
    }
    // One block first: most often there is nothing, or little.
    let at = record_offset(partition.len());
    let mut bytes = vec![0; 4096];
    partition.read_at(at, &mut bytes)?;
    if let Some(payload) = decode_record(&bytes) {
        return Ok(Some(payload.to_vec()));
    }
    if bytes[..8] != MAGIC {
        return Ok(None);
    }
    bytes = vec![0; HEADER + PAYLOAD_MAX];
    partition.read_at(at, &mut bytes)?;
    Ok(decode_record(&bytes).map(<[u8]>::to_vec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_every_torn_one_is_none() {
        for len in [0, 1, 4075, 4076, 4077, PAYLOAD_MAX] {
            let payload: Vec<u8> = (0..len).map(|i| i.to_le_bytes()[0] ^ 0x5a).collect();
            let record = encode_record(&payload).unwrap();
            assert_eq!(record.len() as u64, RECORD_LEN);
            assert_eq!(decode_record(&record), Some(&payload[..]));
        }
        assert!(encode_record(&vec![0; PAYLOAD_MAX + 1]).is_err());
        let record = encode_record(b"what was installed").unwrap();
        for cut in 0..HEADER + 18 {
            let mut torn = record.clone();
            torn[cut..].fill(0xff);
            assert_eq!(decode_record(&torn), None, "cut at {cut}");
            let mut flipped = record.clone();
            flipped[cut] ^= 1;
            assert_eq!(decode_record(&flipped), None, "flip at {cut}");
            assert_eq!(decode_record(&record[..cut]), None);
        }
        let mut newer = record.clone();
        newer[8] = 2;
        assert_eq!(decode_record(&newer), None);
    }
}
