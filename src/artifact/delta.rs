//! The head of a delta: what makes one release from another, and the hashes of its own stored blocks.

use super::head::Head;
use super::manifest::new_enough;
use super::{DELTA_BLOCK_LEN, DELTA_UPDATER, HASH_LEN, MAX_TABLE_LEN, PayloadKind, Requires};
use super::{FIXED_HEADER_LEN, MAX_BODY_LEN, MAX_SIGNATURES, spelling};
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result, Version, WithReason};
use crate::trust::{Claims, SignatureRecord};
use serde::{Deserialize, Serialize};

/// How large the windows of the four streams may be, as powers of two: op lengths, seeks, differences,
/// extra bytes. Together 12 MiB.
const WINDOWS: [u8; 4] = [20, 20, 21, 23];
/// The least that zstd knows.
const LEAST_WINDOW: u8 = 10;
/// Room for the frame of a table that does not get smaller.
const FRAME: u32 = 64 * 1024;

/// What a delta says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaManifest {
    /// Always 2.
    pub format: u32,
    /// The product of both releases.
    pub product: Identifier,
    /// The security epoch of the new one.
    pub security_epoch: u32,
    /// Bytes of all stored blocks.
    pub stored: u64,
    /// The first of them: header, signatures and manifest of the new release, bytes.
    pub head: u32,
    /// Behind them: its chunk table, compressed, bytes.
    pub table: u32,
    /// Whether the table is compressed with the old release's table as prefix.
    pub table_prefix: bool,
    /// The windows of the four streams, as powers of two.
    pub windows: [u8; 4],
    /// What reading it takes.
    pub requires: Requires,
    /// The release that must run.
    pub from: DeltaEnd,
    /// The release that it makes.
    pub to: DeltaEnd,
    /// One for each payload of the new release, in its order.
    pub payloads: Vec<DeltaPayload>,
}

/// One of a delta's two releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaEnd {
    /// The version people read.
    pub version: Version,
    /// Its order among releases.
    pub release_counter: u64,
    /// SHA-256 of its manifest as shipped.
    pub digest: Digest,
}

/// What a delta makes a payload from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaPayload {
    /// What it is.
    pub kind: PayloadKind,
    /// Its bytes in place.
    pub size: u64,
    /// The old release's payload that it is made from, by its index there; without one it is all new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u32>,
    /// The old payload's bytes in place; 0 without one.
    #[serde(default)]
    pub from_size: u64,
}

/// The parsed head of a delta. A device gets it only as `Verified<Delta>`.
#[derive(Debug, Clone)]
pub struct Delta {
    /// What it says about itself.
    pub manifest: DeltaManifest,
    /// Its stored blocks.
    pub blocks: StoredBlocks,
    head: Head,
}

/// The stored bytes behind the head of a delta, each block with its signed hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlocks {
    /// Bytes of all blocks.
    pub len: u64,
    /// The SHA-256 of each.
    pub hashes: Vec<Digest>,
}

impl StoredBlocks {
    /// The hash list as shipped. `DELTA_INVALID` where it has not one hash for each block of `len` bytes.
    pub(super) fn parse(list: &[u8], len: u64) -> Result<StoredBlocks> {
        let hashes: Vec<Digest> = list.chunks_exact(HASH_LEN as usize).map(digest).collect();
        if len.div_ceil(u64::from(DELTA_BLOCK_LEN)) != hashes.len() as u64 {
            let detail = format!("{} hashes for {len} stored bytes", hashes.len());
            return Err(Failure::new(ReasonCode::DeltaInvalid, detail));
        }
        Ok(StoredBlocks { len, hashes })
    }

    /// Length of block `index` in bytes.
    pub fn block_len(&self, index: usize) -> usize {
        let block = u64::from(DELTA_BLOCK_LEN);
        let before = (index as u64).saturating_mul(block);
        let len = self.len.saturating_sub(before).min(block);
        // At most 128 KiB, so it fits.
        usize::try_from(len).unwrap_or(0)
    }
}

impl Delta {
    pub(super) fn parse(head: Head) -> Result<Delta> {
        let code = ReasonCode::DeltaInvalid;
        let text = manifest_text(&head.body, 2, DELTA_UPDATER)?;
        let manifest = toml::from_str::<DeltaManifest>(text).reason(code, "manifest")?;
        let blocks = StoredBlocks::parse(&head.table, manifest.stored)?;
        check(&manifest)?;
        Ok(Delta { manifest, blocks, head })
    }

    /// Where the stored blocks begin, in bytes from the file's start.
    pub fn stored_offset(&self) -> u64 {
        self.head.len()
    }

    /// Length of the whole file in bytes.
    pub fn file_len(&self) -> u64 {
        self.stored_offset().saturating_add(self.manifest.stored)
    }

    /// The signature records as shipped.
    pub fn signatures(&self) -> &[SignatureRecord] {
        &self.head.records
    }

    /// What decoding takes: the windows of all streams, bytes.
    pub fn memory(&self) -> usize {
        self.manifest.windows.iter().map(|log| 1usize << log).sum()
    }
}

impl Claims for Delta {
    fn product(&self) -> &Identifier {
        &self.manifest.product
    }
    fn payload_kinds(&self) -> Vec<Identifier> {
        self.manifest.payloads.iter().map(|p| p.kind.name()).collect()
    }
    fn app(&self) -> Option<&Identifier> {
        None
    }
    fn security_epoch(&self) -> u32 {
        self.manifest.security_epoch
    }
}

fn digest(bytes: &[u8]) -> Digest {
    let mut digest = Digest::NONE;
    digest.0.copy_from_slice(bytes);
    digest
}

/// The text of a delta's manifest, after what an older updater must understand of it: its `format`, and the
/// updater that it requires.
pub(super) fn manifest_text<'a>(body: &'a [u8], format: i64, reads: &str) -> Result<&'a str> {
    let code = ReasonCode::DeltaInvalid;
    let text = std::str::from_utf8(body).reason(code, "the manifest is not UTF-8")?;
    if text.starts_with('\u{feff}') {
        return Err(Failure::new(code, "the manifest begins with a byte order mark"));
    }
    let table: toml::Table = toml::from_str(text).reason(code, "manifest")?;
    match table.get("format").and_then(toml::Value::as_integer) {
        Some(n) if n == format => {}
        Some(n) if n > format => {
            let detail = format!("manifest format {n}; this updater reads format {format}");
            return Err(Failure::new(ReasonCode::UpdaterTooOld, detail));
        }
        _ => return Err(Failure::new(code, "the manifest has no valid `format`")),
    }
    new_enough(&table, reads)?;
    if let Some(what) = spelling::newer(text) {
        let detail = format!("the manifest has {what}, which TOML 1.0 does not have");
        return Err(Failure::new(code, detail));
    }
    Ok(text)
}

/// Windows of the four streams as a reader takes them. `DELTA_INVALID`.
pub(super) fn check_windows(windows: &[u8; 4]) -> Result<()> {
    let fits = |(log, most): (&u8, &u8)| (LEAST_WINDOW..=*most).contains(log);
    if windows.iter().zip(&WINDOWS).all(fits) {
        return Ok(());
    }
    let detail = format!("windows of 2^{windows:?} bytes; at most {WINDOWS:?}");
    Err(Failure::new(ReasonCode::DeltaInvalid, detail))
}

fn check(manifest: &DeltaManifest) -> Result<()> {
    let invalid = |why: String| Err(Failure::new(ReasonCode::DeltaInvalid, why));
    let head = FIXED_HEADER_LEN + SignatureRecord::LEN * MAX_SIGNATURES + MAX_BODY_LEN as usize;
    if manifest.head as usize > head || manifest.table > MAX_TABLE_LEN + FRAME {
        return invalid("the new release's head is too long".into());
    }
    if u64::from(manifest.head) + u64::from(manifest.table) > manifest.stored {
        return invalid("the new release's head is longer than what is stored".into());
    }
    check_windows(&manifest.windows)?;
    if manifest.payloads.is_empty() || manifest.payloads.iter().any(|p| p.size == 0) {
        return invalid("a payload is empty, or there is none".into());
    }
    if manifest.payloads.iter().any(|p| p.from.is_none() && p.from_size != 0) {
        return invalid("a payload has a length to be made from, and nothing else".into());
    }
    let sum = manifest.payloads.iter().try_fold(0u64, |sum, p| sum.checked_add(p.size));
    if sum.is_none() {
        return invalid("the payloads are longer than any medium".into());
    }
    Ok(())
}
