//! An artifact of which nothing is known yet but lengths.

use super::Release;
use super::head::{Head, read_header};
use super::input::read_exactly;
use crate::model::{Digest, Result};
use crate::trust::{Purpose, SignatureRecord, Statement, Trust, Verified, vouch};
use std::io::Read;

/// The head of an artifact, within its bounds, of which nothing is known yet but lengths.
#[derive(Debug, Clone)]
pub struct Unverified {
    pub(super) head: Head,
    /// The page hashes that follow the head, where this program has made it.
    #[cfg(feature = "forge")]
    pub(super) pages: Vec<u8>,
}

/// Reads the head of an artifact and not one byte more. At most 32 + 832 bytes of header, 64 KiB
/// of manifest and 8 MiB of table are read, each only as far as the bytes really come; only
/// integers at fixed places are looked at.
///
/// An artifact without signatures is read too ([`Unverified::verify`] refuses it): `sign` and
/// `inspect` need that.
pub fn read_head(input: &mut dyn Read) -> Result<Unverified> {
    let (header_bytes, header, records) = read_header(input)?;
    let body = read_exactly(input, u64::from(header.body_len), "manifest")?;
    let table = read_exactly(input, u64::from(header.table_len), "chunk table")?;
    let head = Head { header: header_bytes, records, body, table };
    Ok(Unverified {
        head,
        #[cfg(feature = "forge")]
        pages: Vec::new(),
    })
}

impl Unverified {
    /// Checks the signatures, then parses: the only way to a release that a device may install.
    pub fn verify(self, trust: &Trust) -> Result<Verified<Release>> {
        let statement = self.statement()?;
        let records = self.head.records.clone();
        vouch(trust, &statement, &records, || Release::parse(self.head))
    }

    /// Parses what nobody has vouched for. For showing it to the person who built it; never for
    /// installing it.
    pub fn parse_unverified(self) -> Result<Release> {
        Release::parse(self.head)
    }

    /// What its signers have signed, or are to sign.
    pub fn statement(&self) -> Result<Statement> {
        Statement::new(Purpose::Release, &self.head.body, &self.head.table)
    }

    /// The signature records, unchecked.
    pub fn signatures(&self) -> &[SignatureRecord] {
        &self.head.records
    }

    /// SHA-256 of the manifest as shipped: the artifact's digest.
    pub fn body_digest(&self) -> Digest {
        Digest::of(&self.head.body)
    }

    /// Where the head ends, in bytes from the artifact's start. Page hashes and payload follow.
    pub fn rest_offset(&self) -> u64 {
        self.head.len()
    }
}
