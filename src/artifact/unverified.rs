//! An artifact of which nothing is known yet but lengths.

use super::head::{Format, Head, read_header};
use super::input::read_exactly;
use super::{BundleDelta, Delta, Release};
use crate::model::{Digest, Failure, ReasonCode, Result};
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
    Ok(Unverified::of(Head { format: header.format, header: header_bytes, records, body, table }))
}

/// A release's header, signatures and manifest as shipped, and its chunk table: what a delta has of it.
/// `HEADER_INVALID` where they are not of these lengths, and what [`read_head`] says.
pub fn join_head(mut begin: &[u8], table: Vec<u8>) -> Result<Unverified> {
    let (header_bytes, header, records) = read_header(&mut begin)?;
    let body = read_exactly(&mut begin, u64::from(header.body_len), "manifest")?;
    let fits = u32::try_from(table.len()) == Ok(header.table_len) && begin.is_empty();
    if !fits || header.format != Format::Release {
        let detail = "the release in the delta has other lengths than its header says";
        return Err(Failure::new(ReasonCode::HeaderInvalid, detail));
    }
    Ok(Unverified::of(Head { format: header.format, header: header_bytes, records, body, table }))
}

/// The length of the chunk table that this header announces, bytes. `HEADER_INVALID` where `begin` is no
/// header of a release.
pub fn announced_table(mut begin: &[u8]) -> Result<usize> {
    let (_, header, _) = read_header(&mut begin)?;
    Ok(header.table_len as usize)
}

impl Unverified {
    pub(super) fn of(head: Head) -> Unverified {
        Unverified {
            head,
            #[cfg(feature = "forge")]
            pages: Vec::new(),
        }
    }

    /// What it is the head of.
    pub fn format(&self) -> Format {
        self.head.format
    }

    /// Refuses the head of something else.
    fn demand(&self, format: Format) -> Result<()> {
        let detail = match (self.head.format, format) {
            (found, wanted) if found == wanted => return Ok(()),
            (Format::Release, _) => "it is a whole artifact, and a delta is needed here",
            (_, Format::Release) => "it is a delta, and a whole artifact is needed here",
            (Format::Delta, _) => "it is a delta of a system, and one of a bundle is needed here",
            (Format::BundleDelta, _) => {
                "it is a delta of a bundle, and one of a system is needed here"
            }
        };
        Err(Failure::new(ReasonCode::HeaderInvalid, detail))
    }

    /// Checks the signatures, then parses: the only way to a delta that a device may use.
    pub fn verify_delta(self, trust: &Trust) -> Result<Verified<Delta>> {
        self.demand(Format::Delta)?;
        let statement = self.statement()?;
        let records = self.head.records.clone();
        vouch(trust, &statement, &records, || Delta::parse(self.head))
    }

    /// The same for a delta of a bundle.
    pub fn verify_bundle_delta(self, trust: &Trust) -> Result<Verified<BundleDelta>> {
        self.demand(Format::BundleDelta)?;
        let statement = self.statement()?;
        let records = self.head.records.clone();
        vouch(trust, &statement, &records, || BundleDelta::parse(self.head))
    }

    /// Parses a delta of a bundle that nobody has vouched for, to show it or to check it without a trust file.
    pub fn parse_unverified_bundle_delta(self) -> Result<BundleDelta> {
        self.demand(Format::BundleDelta)?;
        BundleDelta::parse(self.head)
    }

    /// Parses a delta that nobody has vouched for, to show it or to check it without a trust file.
    pub fn parse_unverified_delta(self) -> Result<Delta> {
        self.demand(Format::Delta)?;
        Delta::parse(self.head)
    }

    /// Checks the signatures, then parses: the only way to a release that a device may install.
    pub fn verify(self, trust: &Trust) -> Result<Verified<Release>> {
        self.demand(Format::Release)?;
        let statement = self.statement()?;
        let records = self.head.records.clone();
        vouch(trust, &statement, &records, || Release::parse(self.head))
    }

    /// Parses what nobody has vouched for. For showing it to the person who built it; never for
    /// installing it.
    pub fn parse_unverified(self) -> Result<Release> {
        self.demand(Format::Release)?;
        Release::parse(self.head)
    }

    /// What its signers have signed, or are to sign.
    pub fn statement(&self) -> Result<Statement> {
        let purpose = match self.head.format {
            Format::Release => Purpose::Release,
            // The manifests differ in their `format`, so that neither can be read as the other.
            Format::Delta | Format::BundleDelta => Purpose::Delta,
        };
        Statement::new(purpose, &self.head.body, &self.head.table)
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
