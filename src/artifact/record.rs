//! What stays with an installed image: enough of its artifact to prove, later and offline, what
//! was installed, and to check every byte of it.
//!
//! ```text
//! header, signatures, manifest as shipped | SHA-256(chunk table) 32 | n 4 | n × payload index 4 | records, 80 each
//! ```
//!
//! The payloads are those that stand in the slot, in the manifest's order; the records are theirs, as
//! shipped. The signature needs the whole table's hash only; of the records, plain lengths and hashes are
//! vouched for by each payload's `digest`, and how they were stored by the table's hash where they are all of
//! it. Where they do not fit, there are none.

use super::context::check_contexts;
use super::head::{Format, Head, read_header};
use super::input::read_exactly;
use super::{Chunk, ChunkTable, Manifest, Payload, PayloadKind, Release, image_digest};
use crate::model::{Digest, Failure, Identifier, KeyId, ReasonCode, Result};
use crate::trust::{
    Claims, PublicKey, Purpose, SignatureRecord, Statement, Trust, Verified, recall, vouch,
};

/// What was installed. A device gets it only as `Verified<Installed>`.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The release's manifest.
    pub manifest: Manifest,
    /// Which of its payloads stand here: at least one, ascending.
    pub payloads: Vec<usize>,
    /// The chunks of all of them, in that order; `None` where they did not fit.
    pub chunks: Option<Vec<Chunk>>,
    /// SHA-256 of the manifest as shipped.
    pub body_digest: Digest,
}

impl Installed {
    /// The payload that stands in a part of the slot, by its index in the manifest.
    pub fn payload_of(&self, part: &Identifier) -> Option<usize> {
        let is = |n: &&usize| self.manifest.payloads[**n].part().as_ref() == Some(part);
        self.payloads.iter().find(is).copied()
    }

    /// The root filesystem that stands here.
    pub fn rootfs(&self) -> Option<&Payload> {
        let mut standing = self.payloads.iter().map(|n| &self.manifest.payloads[*n]);
        standing.find(|payload| payload.kind == PayloadKind::Rootfs)
    }

    /// The chunks of one of the payloads that stand here, by its index in the manifest; `None` where
    /// they did not fit, or it is none of them.
    pub fn chunks_of(&self, payload: usize) -> Option<&[Chunk]> {
        let count = |n: &usize| self.manifest.payloads[*n].chunks as usize;
        let place = self.payloads.iter().position(|n| *n == payload)?;
        let first: usize = self.payloads[..place].iter().map(count).sum();
        self.chunks.as_deref()?.get(first..first + count(&payload))
    }
}

impl Claims for Installed {
    fn product(&self) -> &Identifier {
        &self.manifest.product
    }
    fn payload_kinds(&self) -> Vec<Identifier> {
        self.manifest.payloads.iter().map(|p| p.kind.name()).collect()
    }
    fn app(&self) -> Option<&Identifier> {
        self.manifest.app.as_ref()
    }
    fn security_epoch(&self) -> u32 {
        self.manifest.security_epoch
    }
}

impl Release {
    /// The record to keep beside the installed `payloads` (their indices in the manifest, at least one,
    /// ascending), at most `limit` bytes long; without the chunks if they do not fit.
    pub fn record(&self, payloads: &[usize], limit: usize) -> Result<Vec<u8>> {
        let internal = |why| Failure::new(ReasonCode::Internal, why);
        let mut bytes = self.head_bytes_without_table();
        bytes.extend_from_slice(&Digest::of(self.table_bytes()).0);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        bytes.extend_from_slice(&number(payloads.len()));
        let mut records = Vec::new();
        for index in payloads {
            let payload = self.manifest.payloads.get(*index);
            let payload = payload.ok_or_else(|| internal("the payload is of another release"))?;
            bytes.extend_from_slice(&number(*index));
            records.push(self.records_of(payload));
        }
        let records = records.concat();
        if bytes.len() + records.len() <= limit {
            bytes.extend_from_slice(&records);
        }
        if bytes.len() > limit {
            return Err(internal("the slot record has no room for a manifest"));
        }
        Ok(bytes)
    }
}

/// A record's parts, of which nothing is known yet but lengths.
struct Parts<'a> {
    head: Head,
    statement: Statement,
    table: Digest,
    payloads: Vec<usize>,
    records: &'a [u8],
}

fn parts(bytes: &[u8]) -> Result<Parts<'_>> {
    let mut input = bytes;
    let (header, lengths, records) = read_header(&mut input)?;
    let body = read_exactly(&mut input, u64::from(lengths.body_len), "manifest")?;
    let (table, input) = split(input)?;
    let table = Digest(table);
    let (count, mut input) = split(input)?;
    let mut payloads = Vec::new();
    for _ in 0..u32::from_le_bytes(count) {
        let (index, rest) = split(input)?;
        payloads.push(u32::from_le_bytes(index) as usize);
        input = rest;
    }
    let table_len = lengths.table_len;
    let statement = Statement::with_table_digest(Purpose::Release, &body, table_len, &table)?;
    if lengths.format != Format::Release {
        return Err(Failure::new(ReasonCode::HeaderInvalid, "the slot record is of no release"));
    }
    let head = Head { format: lengths.format, header, records, body, table: Vec::new() };
    Ok(Parts { head, statement, table, payloads, records: input })
}

/// Reads a record made by [`Release::record`] and checks it as a device checks an artifact.
pub fn read_record(bytes: &[u8], trust: &Trust) -> Result<Verified<Installed>> {
    let parts = parts(bytes)?;
    vouch(trust, &parts.statement, &parts.head.records, || parse(&parts))
}

/// What a record that is not accepted can still say.
#[derive(Debug, Clone)]
pub struct Recalled {
    /// SHA-256 of the manifest as it stands there.
    pub body_digest: Digest,
    /// The keys that are said to have signed it.
    pub key_ids: Vec<KeyId>,
    /// The manifest, if a key that was trusted once has signed it.
    pub manifest: Option<Manifest>,
}

/// Reads a record that [`read_record`] refuses. Its manifest is parsed only if one of `once` has
/// signed it.
pub fn recall_record(bytes: &[u8], once: &[PublicKey]) -> Result<Recalled> {
    let Parts { head, statement, .. } = parts(bytes)?;
    let manifest = recall(once, &statement, &head.records, || Manifest::parse(&head.body));
    let key_ids = head.records.iter().map(|r: &SignatureRecord| r.key_id).collect();
    Ok(Recalled { body_digest: Digest::of(&head.body), key_ids, manifest })
}

fn parse(parts: &Parts) -> Result<Installed> {
    let manifest = Manifest::parse(&parts.head.body)?;
    let invalid = |why| Failure::new(ReasonCode::TableInvalid, why);
    let payloads = parts.payloads.clone();
    let ascending = payloads.windows(2).all(|pair| pair[0] < pair[1]);
    if payloads.is_empty() || !ascending || payloads[payloads.len() - 1] >= manifest.payloads.len()
    {
        return Err(invalid("the record names payloads that the manifest has not"));
    }
    let chunks = match parts.records {
        [] => None,
        records => {
            let chunks = ChunkTable::parse(records)?.chunks;
            let other = || invalid("the record's chunks are not those of the manifest");
            let mut rest = &chunks[..];
            for payload in payloads.iter().map(|n| &manifest.payloads[*n]) {
                let (own, after) =
                    rest.split_at_checked(payload.chunks as usize).ok_or_else(other)?;
                let size: u64 = own.iter().map(|c| u64::from(c.plain_len)).sum();
                let digest = image_digest(own.iter().map(|c| (c.plain_len, c.plain)));
                if size != payload.size || digest != payload.digest || check_contexts(own).is_err()
                {
                    return Err(other());
                }
                rest = after;
            }
            let all = payloads.len() == manifest.payloads.len();
            if !rest.is_empty() || (all && Digest::of(records) != parts.table) {
                return Err(other());
            }
            Some(chunks)
        }
    };
    Ok(Installed { body_digest: Digest::of(&parts.head.body), manifest, payloads, chunks })
}

fn split<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8])> {
    bytes
        .split_first_chunk::<N>()
        .map(|(head, rest)| (*head, rest))
        .ok_or_else(|| Failure::new(ReasonCode::Truncated, "the slot record is cut short"))
}
