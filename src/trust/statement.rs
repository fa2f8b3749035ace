//! What is signed: 128 bytes of fixed layout, whatever the size of the thing they speak for, so
//! that a hardware token signs in one call and no canonical form is needed.

use crate::model::{Digest, Failure, KeyId, ReasonCode, Result};
use sha2::{Digest as _, Sha512};

/// What a signature was made for. It is part of the signed bytes: a signature under a trust file
/// can never be read as one under a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// A trust file.
    Root = 1,
    /// A release.
    Release = 2,
    /// A channel head.
    Channel = 3,
    /// A delta between two releases: the list of hashes of its own stored bytes. 5 is reserved for a
    /// revocation.
    Delta = 4,
}

/// The 128 signed bytes (docs/artifact-format.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    bytes: [u8; 128],
    purpose: Purpose,
}

impl Statement {
    /// The statement for these bytes as shipped. `table` may be empty.
    pub fn new(purpose: Purpose, body: &[u8], table: &[u8]) -> Result<Statement> {
        Statement::with_table_digest(purpose, body, length(table)?, &Digest::of(table))
    }

    /// The same where only the table's length and SHA-256 are at hand, as in a slot record.
    pub fn with_table_digest(
        purpose: Purpose,
        body: &[u8],
        table_len: u32,
        table: &Digest,
    ) -> Result<Statement> {
        let mut bytes = [0u8; 128];
        bytes[..16].copy_from_slice(b"SUREFOOT-SIG-v1\0");
        bytes[16..20].copy_from_slice(&(purpose as u32).to_le_bytes());
        bytes[20..24].copy_from_slice(&1u32.to_le_bytes());
        bytes[24..28].copy_from_slice(&length(body)?.to_le_bytes());
        bytes[28..32].copy_from_slice(&table_len.to_le_bytes());
        bytes[32..96].copy_from_slice(&Sha512::digest(body));
        if table_len > 0 {
            bytes[96..].copy_from_slice(&table.0);
        }
        Ok(Statement { bytes, purpose })
    }

    /// What a signer gets and a verifier checks.
    pub fn as_bytes(&self) -> &[u8; 128] {
        &self.bytes
    }

    /// What the signature is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }
}

fn length(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len())
        .map_err(|_| Failure::new(ReasonCode::HeaderInvalid, "more than 4 GiB to sign"))
}

/// One signature and the name of the key that is said to have made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureRecord {
    /// A hint that finds the key.
    pub key_id: KeyId,
    /// R ‖ S of RFC 8032.
    pub signature: [u8; 64],
}

impl SignatureRecord {
    /// Length of a record as shipped.
    pub const LEN: usize = 104;

    /// Reads `key id 32 | alg 1 (= 1) | zero 7 | signature 64`.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Result<SignatureRecord> {
        let mut record = SignatureRecord { key_id: KeyId([0; 32]), signature: [0; 64] };
        record.key_id.0.copy_from_slice(&bytes[..32]);
        record.signature.copy_from_slice(&bytes[40..]);
        if bytes[32] != 1 {
            let detail = format!("signature algorithm {} is not 1 (Ed25519)", bytes[32]);
            return Err(Failure::new(ReasonCode::HeaderInvalid, detail));
        }
        if bytes[33..40] != [0; 7] {
            let detail = "reserved bytes of a signature record are not zero";
            return Err(Failure::new(ReasonCode::HeaderInvalid, detail));
        }
        Ok(record)
    }

    /// The record as shipped.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..32].copy_from_slice(&self.key_id.0);
        bytes[32] = 1;
        bytes[40..].copy_from_slice(&self.signature);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_has_its_published_layout() {
        let statement = Statement::new(Purpose::Release, b"abc", b"").unwrap();
        let bytes = statement.as_bytes();
        assert_eq!(&bytes[..16], b"SUREFOOT-SIG-v1\0");
        assert_eq!(bytes[16..32], [2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        // SHA-512("abc"), FIPS 180-2 appendix C.1
        assert_eq!(bytes[32..36], [0xdd, 0xaf, 0x35, 0xa1]);
        assert_eq!(bytes[96..], [0; 32]);
        let with_table = Statement::new(Purpose::Release, b"abc", b"t").unwrap();
        assert_eq!(with_table.as_bytes()[96..], Digest::of(b"t").0);
        let by_digest =
            Statement::with_table_digest(Purpose::Release, b"abc", 1, &Digest::of(b"t")).unwrap();
        assert_eq!(by_digest, with_table);
    }

    #[test]
    fn a_record_reads_back_and_has_no_slack() {
        let record = SignatureRecord { key_id: KeyId([3; 32]), signature: [9; 64] };
        let bytes = record.to_bytes();
        assert_eq!(SignatureRecord::parse(&bytes), Ok(record));
        for place in 32..40 {
            let mut bad = bytes;
            bad[place] ^= 2;
            let failure = SignatureRecord::parse(&bad).unwrap_err();
            assert_eq!(failure.code(), ReasonCode::HeaderInvalid);
        }
    }
}
