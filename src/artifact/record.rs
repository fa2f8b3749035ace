//! What stays with an installed image: enough of its artifact to prove, later and offline, what
//! was installed, and to check every byte of it.
//!
//! ```text
//! header, signatures, manifest as shipped | SHA-256(chunk table) 32 | payload index 4 | n × { plain length 4 | SHA-256 plain 32 }
//! ```
//!
//! The chunk table itself (80 bytes a chunk) is not kept: its hash is enough for the signature,
//! and the plain lengths and hashes are vouched for by the manifest's `digest`. Where they do not
//! fit either, n is 0.

use super::head::{Head, read_exactly, read_header};
use super::{Manifest, Payload, Release, image_digest};
use crate::model::{Digest, Failure, Identifier, KeyId, ReasonCode, Result};
use crate::trust::{
    Claims, PublicKey, Purpose, SignatureRecord, Statement, Trust, Verified, recall, vouch,
};

const PLAIN_LEN: usize = 36;

/// What an image is made of, without how it was transported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainChunk {
    /// Length in bytes.
    pub len: u32,
    /// SHA-256 of the bytes; [`Digest::NONE`] for a run of zeros.
    pub plain: Digest,
}

impl PlainChunk {
    /// Whether it is a run of zeros.
    pub fn is_zero(&self) -> bool {
        self.plain == Digest::NONE
    }
}

/// What was installed. A device gets it only as `Verified<Installed>`.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The release's manifest.
    pub manifest: Manifest,
    /// Which of its payloads stands here.
    pub payload: usize,
    /// The payload's chunks in order; `None` where they did not fit.
    pub chunks: Option<Vec<PlainChunk>>,
    /// SHA-256 of the manifest as shipped.
    pub body_digest: Digest,
}

impl Installed {
    /// The payload that stands here.
    pub fn payload(&self) -> &Payload {
        // `read_record` has checked the index.
        &self.manifest.payloads[self.payload]
    }
}

impl Claims for Installed {
    fn product(&self) -> &Identifier {
        &self.manifest.product
    }
    fn payload_kinds(&self) -> Vec<Identifier> {
        self.manifest.payloads.iter().map(|p| p.kind.name()).collect()
    }
    fn security_epoch(&self) -> u32 {
        self.manifest.security_epoch
    }
}

impl Release {
    /// The record to keep beside the installed `payload` (one of this release's), at most
    /// `limit` bytes long; without the chunks if they do not fit.
    pub fn record(&self, payload: &Payload, limit: usize) -> Result<Vec<u8>> {
        let index = self.manifest.payloads.iter().position(|p| p == payload);
        let index = index.and_then(|n| u32::try_from(n).ok()).ok_or_else(|| {
            Failure::new(ReasonCode::Internal, "the payload is of another release")
        })?;
        let mut bytes = self.head_bytes_without_table();
        bytes.extend_from_slice(&Digest::of(self.table_bytes()).0);
        bytes.extend_from_slice(&index.to_le_bytes());
        let chunks = self.chunks_of(payload);
        if bytes.len() + chunks.len() * PLAIN_LEN <= limit {
            for chunk in chunks {
                bytes.extend_from_slice(&chunk.plain_len.to_le_bytes());
                bytes.extend_from_slice(&chunk.plain.0);
            }
        }
        if bytes.len() > limit {
            return Err(Failure::new(
                ReasonCode::Internal,
                "the slot record has no room for a manifest",
            ));
        }
        Ok(bytes)
    }
}

/// A record's parts, of which nothing is known yet but lengths.
struct Parts<'a> {
    head: Head,
    statement: Statement,
    index: u32,
    rest: &'a [u8],
}

fn parts(bytes: &[u8]) -> Result<Parts<'_>> {
    let mut input = bytes;
    let (header, lengths, records) = read_header(&mut input)?;
    let body = read_exactly(&mut input, u64::from(lengths.body_len), "manifest")?;
    let (table_digest, input) = split(input)?;
    let (index, rest) = split(input)?;
    let statement = Statement::with_table_digest(
        Purpose::Release,
        &body,
        lengths.table_len,
        &Digest(table_digest),
    )?;
    let head = Head { header, records, body, table: Vec::new() };
    Ok(Parts { head, statement, index: u32::from_le_bytes(index), rest })
}

/// Reads a record made by [`Release::record`] and checks it as a device checks an artifact.
pub fn read_record(bytes: &[u8], trust: &Trust) -> Result<Verified<Installed>> {
    let Parts { head, statement, index, rest } = parts(bytes)?;
    vouch(trust, &statement, &head.records, || parse(&head, index, rest))
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

fn parse(head: &Head, index: u32, rest: &[u8]) -> Result<Installed> {
    let manifest = Manifest::parse(&head.body)?;
    let invalid = |why| Failure::new(ReasonCode::TableInvalid, why);
    let payload = index as usize;
    let expected = manifest
        .payloads
        .get(payload)
        .ok_or_else(|| invalid("the record names a payload that the manifest has not"))?;
    let mut chunks = None;
    if !rest.is_empty() {
        let list = plain_chunks(rest);
        let sum: u64 = list.iter().map(|c| u64::from(c.len)).sum();
        if !rest.len().is_multiple_of(PLAIN_LEN)
            || sum != expected.size
            || image_digest(list.iter().map(|c| (c.len, c.plain))) != expected.digest
        {
            return Err(invalid("the record's chunks are not those of the manifest"));
        }
        chunks = Some(list);
    }
    Ok(Installed { body_digest: Digest::of(&head.body), manifest, payload, chunks })
}

fn plain_chunks(bytes: &[u8]) -> Vec<PlainChunk> {
    let mut list = Vec::with_capacity(bytes.len() / PLAIN_LEN);
    for record in bytes.chunks_exact(PLAIN_LEN) {
        let mut plain = Digest::NONE;
        plain.0.copy_from_slice(&record[4..]);
        list.push(PlainChunk {
            len: u32::from_le_bytes([record[0], record[1], record[2], record[3]]),
            plain,
        });
    }
    list
}

fn split<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8])> {
    bytes
        .split_first_chunk::<N>()
        .map(|(head, rest)| (*head, rest))
        .ok_or_else(|| Failure::new(ReasonCode::Truncated, "the slot record is cut short"))
}
