//! The head of a delta of a bundle: which bundle it makes, and of the files of which layers.

use super::delta::{check_windows, manifest_text};
use super::head::Head;
use super::{APP_UPDATER, DeltaEnd, MAX_BODY_LEN, MAX_SIGNATURES, MAX_TABLE_LEN};
use super::{FIXED_HEADER_LEN, PayloadKind, Requires, StoredBlocks};
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result, Version, WithReason};
use crate::trust::{Claims, SignatureRecord};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A payload is made from so many layers at the most.
const MAX_SOURCES: usize = 256;
/// The list of files of one payload has at most this many bytes, and so many stored ones.
const MAX_LIST_LEN: u32 = 8 << 20;

/// What a delta of a bundle says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleDeltaManifest {
    /// Always 3.
    pub format: u32,
    /// The product of the bundle.
    pub product: Identifier,
    /// The app that it is a bundle of.
    pub app: Identifier,
    /// The security epoch of the bundle.
    pub security_epoch: u32,
    /// Bytes of all stored blocks.
    pub stored: u64,
    /// The first of them: the head of the bundle as shipped, compressed, bytes.
    pub head: u32,
    /// The length of that head.
    pub head_len: u32,
    /// Its SHA-256.
    pub head_sha256: Digest,
    /// Whether it is compressed with the manifests and tables of all bundles of `from` as prefix.
    pub head_prefix: bool,
    /// The windows of the four streams of each patch, as powers of two.
    pub windows: [u8; 4],
    /// What reading it takes.
    pub requires: Requires,
    /// The bundle that it makes.
    pub to: DeltaEnd,
    /// The bundles whose layers were used to make it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<FromBundle>,
    /// One for each payload of the bundle, in its order.
    pub payloads: Vec<PayloadPlan>,
}

/// A bundle that a device may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromBundle {
    /// The app.
    pub app: Identifier,
    /// The version people read.
    pub version: Version,
    /// SHA-256 of its manifest as shipped.
    pub digest: Digest,
}

/// How a device comes to a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadPlan {
    /// What it is.
    pub kind: PayloadKind,
    /// Its bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
    /// What makes it. Nothing where the device must have it: it is a layer that a bundle of `from` has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PayloadPatch>,
}

/// What makes a payload. Its stored bytes are its list of files, and behind that its batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadPatch {
    /// Stored bytes.
    pub stored: u64,
    /// The first of them: the list of files, compressed; 0 without one.
    #[serde(default)]
    pub list: u32,
    /// The length of that list.
    #[serde(default)]
    pub list_len: u32,
    /// Bytes of all files of the list.
    #[serde(default)]
    pub from_size: u64,
    /// The layers that the files are of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<PatchSource>,
}

/// A layer that files are read of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchSource {
    /// Its diff id.
    pub layer: Digest,
    /// SHA-256 over its files of the list, in the order of the list: of each its length (u64, little endian), then its
    /// bytes.
    pub sha256: Digest,
}

/// The parsed head of a delta of a bundle. A device gets it only as `Verified<BundleDelta>`.
#[derive(Debug, Clone)]
pub struct BundleDelta {
    /// What it says about itself.
    pub manifest: BundleDeltaManifest,
    /// Its stored blocks.
    pub blocks: StoredBlocks,
    head: Head,
}

impl BundleDelta {
    pub(super) fn parse(head: Head) -> Result<BundleDelta> {
        let code = ReasonCode::DeltaInvalid;
        let text = manifest_text(&head.body, 3, APP_UPDATER)?;
        let manifest = toml::from_str::<BundleDeltaManifest>(text).reason(code, "manifest")?;
        let blocks = StoredBlocks::parse(&head.table, manifest.stored)?;
        manifest.check().map_err(|why| Failure::new(code, why))?;
        Ok(BundleDelta { manifest, blocks, head })
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

    /// Which stored bytes the patch of payload `index` has.
    pub fn stored_of(&self, index: usize) -> Range<u64> {
        let stored = |plan: &PayloadPlan| plan.patch.as_ref().map_or(0, |patch| patch.stored);
        let plans = &self.manifest.payloads;
        // `check` has summed them up.
        let before: u64 = plans.iter().take(index).map(stored).sum();
        let start = u64::from(self.manifest.head) + before;
        start..start + plans.get(index).map_or(0, stored)
    }

    /// What decoding a patch takes: the windows of all streams, bytes.
    pub fn memory(&self) -> usize {
        self.manifest.windows.iter().map(|log| 1usize << log).sum()
    }
}

impl BundleDeltaManifest {
    fn check(&self) -> std::result::Result<(), &'static str> {
        check_windows(&self.windows).map_err(|_| "windows that are too long or too short")?;
        let longest = FIXED_HEADER_LEN
            + SignatureRecord::LEN * MAX_SIGNATURES
            + (MAX_BODY_LEN + MAX_TABLE_LEN) as usize;
        if self.head_len as usize > longest || self.head as usize > longest + (64 << 10) {
            return Err("the head of the bundle is too long");
        }
        if self.head_prefix && self.from.is_empty() {
            return Err("a prefix of no bundle");
        }
        let mut end = u64::from(self.head);
        for plan in &self.payloads {
            end = end.saturating_add(plan.check()?);
        }
        match end == self.stored && !self.payloads.is_empty() {
            true => Ok(()),
            false => Err("the patches do not make up what is stored"),
        }
    }
}

impl PayloadPlan {
    /// The stored bytes of its patch.
    fn check(&self) -> std::result::Result<u64, &'static str> {
        if self.size == 0 {
            return Err("a payload is empty");
        }
        let Some(patch) = &self.patch else {
            let layer = self.kind == PayloadKind::Layer;
            return if layer { Ok(0) } else { Err("a payload that is no layer has no patch") };
        };
        if patch.list > MAX_LIST_LEN || patch.list_len > MAX_LIST_LEN {
            return Err("a list of files is too long");
        }
        if u64::from(patch.list) >= patch.stored {
            return Err("a patch has nothing behind its list of files");
        }
        if patch.sources.len() > MAX_SOURCES {
            return Err("a patch reads too many layers");
        }
        let reads = patch.from_size > 0;
        if [patch.list > 0, patch.list_len > 0, !patch.sources.is_empty()] != [reads; 3] {
            return Err(
                "a patch reads files that are in no list, or lists files that it does not read",
            );
        }
        Ok(patch.stored)
    }
}

impl Claims for BundleDelta {
    fn product(&self) -> &Identifier {
        &self.manifest.product
    }
    fn payload_kinds(&self) -> Vec<Identifier> {
        self.manifest.payloads.iter().map(|p| p.kind.name()).collect()
    }
    fn app(&self) -> Option<&Identifier> {
        Some(&self.manifest.app)
    }
    fn security_epoch(&self) -> u32 {
        self.manifest.security_epoch
    }
}
