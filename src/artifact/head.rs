//! The header of an artifact: read with fixed bounds, judged as bytes.

use super::input::{read_exactly, read_some, truncated};
use super::{HASH_LEN, MAX_BODY_LEN, MAX_SIGNATURES, MAX_TABLE_LEN, RECORD_LEN};
use crate::model::{Failure, ReasonCode, Result};
use crate::trust::SignatureRecord;
use std::io::Read;

/// The first eight bytes. Bit 7 catches seven-bit transports, CR LF and LF catch text mode,
/// 1A stops `type` (the reasoning of PNG, RFC 2083 section 12.11).
pub const MAGIC: [u8; 8] = *b"\x89SFT\r\n\x1a\n";

/// The part of the header that does not depend on the number of signatures.
pub const FIXED_HEADER_LEN: usize = 32;

/// What a file is, by the number in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 1: a release, whole.
    Release,
    /// 2: a delta, which makes a release from another one.
    Delta,
    /// 3: a delta of a bundle, which makes a bundle from files of layers.
    BundleDelta,
}

impl Format {
    #[cfg(feature = "forge")]
    fn number(self) -> u8 {
        match self {
            Format::Release => 1,
            Format::Delta => 2,
            Format::BundleDelta => 3,
        }
    }

    /// The length of an entry of what follows the body: a chunk record, the hash of a stored block.
    fn entry_len(self) -> u32 {
        match self {
            Format::Release => RECORD_LEN,
            Format::Delta | Format::BundleDelta => HASH_LEN,
        }
    }
}

/// The header's integers, after every one of them was checked against its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// What follows the signatures.
    pub(super) format: Format,
    pub(super) body_len: u32,
    pub(super) table_len: u32,
    pub(super) signatures: u8,
}

impl Header {
    pub(super) fn parse(bytes: &[u8; FIXED_HEADER_LEN]) -> Result<Header> {
        let invalid = |why: String| Err(Failure::new(ReasonCode::HeaderInvalid, why));
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if bytes[..8] != MAGIC {
            return Err(not_an_artifact());
        }
        let format = match u16_at(8) {
            1 => Format::Release,
            2 => Format::Delta,
            3 => Format::BundleDelta,
            0 => return invalid("artifact format 0 does not exist".into()),
            n => {
                let detail = format!("artifact format {n}; this updater reads formats 1 to 3");
                return Err(Failure::new(ReasonCode::UpdaterTooOld, detail));
            }
        };
        let (body_len, table_len) = (u32_at(12), u32_at(16));
        let header = Header { format, body_len, table_len, signatures: bytes[20] };
        if usize::from(header.signatures) > MAX_SIGNATURES {
            return invalid(format!("{} signatures; at most {MAX_SIGNATURES}", header.signatures));
        }
        if usize::from(u16_at(10)) != header.len() {
            return invalid(format!(
                "header length {} does not fit {} signatures",
                u16_at(10),
                header.signatures
            ));
        }
        if header.body_len == 0 || header.body_len > MAX_BODY_LEN {
            return invalid(format!("manifest of {} bytes; 1 to {MAX_BODY_LEN}", header.body_len));
        }
        if header.table_len == 0
            || header.table_len > MAX_TABLE_LEN
            || !header.table_len.is_multiple_of(format.entry_len())
        {
            return invalid(format!(
                "table of {} bytes; a multiple of {} up to {MAX_TABLE_LEN}",
                header.table_len,
                format.entry_len()
            ));
        }
        if bytes[21..] != [0; 11] {
            return invalid("reserved bytes of the header are not zero".into());
        }
        Ok(header)
    }

    #[cfg(feature = "forge")]
    pub(super) fn to_bytes(self) -> Result<[u8; FIXED_HEADER_LEN]> {
        let mut bytes = [0; FIXED_HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8] = self.format.number();
        // At most 864, by MAX_SIGNATURES.
        let len = u16::try_from(self.len()).unwrap_or(u16::MAX);
        bytes[10..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.table_len.to_le_bytes());
        bytes[20] = self.signatures;
        // A writer holds itself to the reader's bounds.
        Header::parse(&bytes)?;
        Ok(bytes)
    }

    /// Length of the whole header, signature records included.
    pub(super) fn len(self) -> usize {
        FIXED_HEADER_LEN + SignatureRecord::LEN * usize::from(self.signatures)
    }
}

fn not_an_artifact() -> Failure {
    Failure::new(
        ReasonCode::NotAnArtifact,
        "the first eight bytes are not those of a Surefoot artifact",
    )
}

/// The bytes of a head, as shipped.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) format: Format,
    /// Fixed header and signature records.
    pub(super) header: Vec<u8>,
    pub(super) records: Vec<SignatureRecord>,
    pub(super) body: Vec<u8>,
    pub(super) table: Vec<u8>,
}

pub(super) fn read_header(input: &mut dyn Read) -> Result<(Vec<u8>, Header, Vec<SignatureRecord>)> {
    let mut bytes = Vec::with_capacity(FIXED_HEADER_LEN);
    read_some(input, FIXED_HEADER_LEN as u64, &mut bytes)?;
    // A foreign file shorter than a header is foreign first and short second.
    if !MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
        return Err(not_an_artifact());
    }
    let Ok(fixed) = <&[u8; FIXED_HEADER_LEN]>::try_from(bytes.as_slice()) else {
        return Err(truncated("header"));
    };
    let header = Header::parse(fixed)?;
    let mut records = Vec::with_capacity(usize::from(header.signatures));
    for _ in 0..header.signatures {
        let record = read_exactly(input, SignatureRecord::LEN as u64, "header")?;
        let Ok(record_bytes) = <&[u8; SignatureRecord::LEN]>::try_from(record.as_slice()) else {
            return Err(truncated("header"));
        };
        let parsed = SignatureRecord::parse(record_bytes)?;
        if records.iter().any(|r: &SignatureRecord| r.key_id == parsed.key_id) {
            let detail = format!("key {} signs twice", parsed.key_id);
            return Err(Failure::new(ReasonCode::HeaderInvalid, detail));
        }
        records.push(parsed);
        bytes.extend_from_slice(&record);
    }
    Ok((bytes, header, records))
}

impl Head {
    pub(super) fn len(&self) -> u64 {
        (self.header.len() + self.body.len() + self.table.len()) as u64
    }
}
