//! What a device posts about an update: one JSON document.

use crate::model::{Digest, Identifier};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How an update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It was committed.
    Updated,
    /// It was tried, and the device went back.
    RolledBack,
    /// It could not be installed.
    Failed,
    /// It was stopped by a person, by a program of the integrator or by a newer release.
    Stopped,
}

impl End {
    /// The release runs.
    pub fn is_good(self) -> bool {
        self == End::Updated
    }

    /// It speaks against the release.
    pub fn is_bad(self) -> bool {
        matches!(self, End::RolledBack | End::Failed)
    }
}

/// A device's word about an update. Unknown fields are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this document's shape.
    pub v: u32,
    /// The device's id.
    pub device: String,
    /// Its product.
    pub product: Identifier,
    /// The channel that offered the release.
    pub channel: String,
    /// Seconds since 1970, by the device's clock.
    pub at: u64,
    /// The release, as people call it.
    pub version: String,
    /// The release, by SHA-256 of its manifest.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// How it ended; nothing where it has begun.
    #[serde(default)]
    pub end: Option<End>,
    /// Why it ended so: a reason code.
    #[serde(default)]
    pub reason: Option<String>,
    /// The same for people, one line.
    #[serde(default)]
    pub detail: String,
    /// What the device tells of itself: `[source.options]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}
