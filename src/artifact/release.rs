//! A release: manifest and chunk table, held against each other.

use super::context::check_contexts;
use super::head::Head;
use super::pages;
use super::{Chunk, ChunkTable, Manifest, Pages, Payload, image_digest};
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result};
use crate::trust::{Claims, SignatureRecord};
use std::io::Read;

/// The parsed head of an artifact. A device gets it only as `Verified<Release>`.
#[derive(Debug, Clone)]
pub struct Release {
    /// What it says about itself.
    pub manifest: Manifest,
    /// All its chunks.
    pub table: ChunkTable,
    head: Head,
    body_digest: Digest,
    /// Per payload: where its stored bytes begin, from the start of the payload area.
    starts: Vec<u64>,
    payload_len: u64,
    /// The page hashes; empty where it carries none.
    pages: Vec<u8>,
}

impl Release {
    pub(super) fn parse(head: Head) -> Result<Release> {
        let manifest = Manifest::parse(&head.body)?;
        let table = ChunkTable::parse(&head.table)?;
        let (starts, payload_len) = agree(&manifest, &table)?;
        let body_digest = Digest::of(&head.body);
        let pages = Vec::new();
        let mut release =
            Release { body_digest, manifest, table, starts, payload_len, head, pages };
        if let Some(said) = release.manifest.pages {
            let pages = pages::page_block(&release.head.table, &release.manifest.payloads);
            if Pages::of(&pages) != said {
                let detail = "the page hashes of the manifest are not those of the table";
                return Err(Failure::new(ReasonCode::TableInvalid, detail));
            }
            release.pages = pages;
        }
        Ok(release)
    }

    /// SHA-256 of the manifest as shipped: the artifact's digest, by which releases are told
    /// apart whoever signed them.
    pub fn body_digest(&self) -> Digest {
        self.body_digest
    }

    /// Where the payload begins, in bytes from the artifact's start.
    pub fn payload_offset(&self) -> u64 {
        self.rest_offset() + self.pages.len() as u64
    }

    /// Where the head ends and what follows it begins: the page hashes, if there are some, then the
    /// payload.
    pub fn rest_offset(&self) -> u64 {
        self.head.len()
    }

    /// The page hashes as they must stand between head and payload; empty where there are none.
    pub fn pages(&self) -> &[u8] {
        &self.pages
    }

    /// Reads the page hashes from a stream that stands behind the head. `CHUNK_CORRUPT` where they are
    /// not those that were signed.
    pub fn pass_pages(&self, input: &mut dyn Read) -> Result<()> {
        pages::pass(&self.pages, input)
    }

    /// Length of all stored chunks, in bytes. After `payload_offset + payload_len` the artifact
    /// ends.
    pub fn payload_len(&self) -> u64 {
        self.payload_len
    }

    /// Length of the whole artifact in bytes.
    pub fn artifact_len(&self) -> u64 {
        // Both parts were summed with checks in `agree`.
        self.payload_offset() + self.payload_len
    }

    /// The chunks of one of this release's payloads.
    pub fn chunks_of(&self, payload: &Payload) -> &[Chunk] {
        // `agree` has checked the range of every payload of this manifest.
        let first = payload.first_chunk as usize;
        let range = first..first.saturating_add(payload.chunks as usize);
        self.table.chunks.get(range).unwrap_or(&[])
    }

    /// The records of one of this release's payloads, as shipped.
    pub(super) fn records_of(&self, payload: &Payload) -> &[u8] {
        pages::records_of(&self.head.table, payload)
    }

    /// Where the stored bytes of one of this release's payloads begin, from the artifact's start.
    pub fn stored_offset_of(&self, payload: &Payload) -> u64 {
        let index = self.manifest.payloads.iter().position(|p| p == payload);
        let start = index.map_or(0, |n| self.starts[n]);
        self.payload_offset() + start
    }

    /// Header, signatures, manifest and chunk table as shipped.
    pub fn head_bytes(&self) -> Vec<u8> {
        [&self.head.header[..], &self.head.body, &self.head.table].concat()
    }

    /// Header, signatures and manifest as shipped.
    pub fn head_bytes_without_table(&self) -> Vec<u8> {
        [&self.head.header[..], &self.head.body].concat()
    }

    /// The manifest as shipped.
    pub fn body_bytes(&self) -> &[u8] {
        &self.head.body
    }

    /// The chunk table as shipped.
    pub fn table_bytes(&self) -> &[u8] {
        &self.head.table
    }

    /// The signature records as shipped.
    pub fn signatures(&self) -> &[SignatureRecord] {
        &self.head.records
    }
}

impl Claims for Release {
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

/// The payloads must cover the table exactly, in order, and every sum must come out.
fn agree(manifest: &Manifest, table: &ChunkTable) -> Result<(Vec<u64>, u64)> {
    let invalid = |why: String| Failure::new(ReasonCode::TableInvalid, why);
    let (mut next, mut stored, mut starts) = (0usize, 0u64, Vec::new());
    for (n, payload) in manifest.payloads.iter().enumerate() {
        let range = (payload.first_chunk as usize)
            .checked_add(payload.chunks as usize)
            .map(|end| payload.first_chunk as usize..end);
        let chunks = range
            .and_then(|range| table.chunks.get(range))
            .filter(|chunks| !chunks.is_empty() && payload.first_chunk as usize == next)
            .ok_or_else(|| invalid(format!("payload {n} names other chunks than the table has")))?;
        next += chunks.len();
        starts.push(stored);
        // At most 8 MiB of table with u32 lengths: far from u64's end.
        let size: u64 = chunks.iter().map(|c| u64::from(c.plain_len)).sum();
        let stored_size: u64 = chunks.iter().map(|c| u64::from(c.stored_len)).sum();
        stored += stored_size;
        if size != payload.size {
            return Err(invalid(format!(
                "payload {n} says {} bytes, its chunks {size}",
                payload.size
            )));
        }
        if stored_size != payload.stored_size {
            let said = payload.stored_size;
            return Err(invalid(format!(
                "payload {n} says {said} stored bytes, its chunks {stored_size}"
            )));
        }
        if let Err((index, why)) = check_contexts(chunks) {
            return Err(invalid(format!(
                "chunk {} has {why}",
                payload.first_chunk as usize + index
            )));
        }
        if image_digest(chunks.iter().map(|c| (c.plain_len, c.plain))) != payload.digest {
            return Err(invalid(format!("the digest of payload {n} is not that of its chunks")));
        }
    }
    if next != table.chunks.len() {
        return Err(invalid("the table has chunks that belong to no payload".into()));
    }
    Ok((starts, stored))
}
