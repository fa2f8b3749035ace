//! A system that a story installs.

use super::small;
use crate::model::Digest;

/// A release by its images.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) path: std::path::PathBuf,
    /// The length and the SHA-256 of each part's image, in the order of the slot.
    pub(super) parts: Vec<(u64, Digest)>,
    /// What orders releases.
    pub(super) counter: u64,
}

impl Image {
    /// Whether the parts of a slot begin with its images.
    pub(super) fn begins(&self, slot: &[Vec<u8>]) -> bool {
        let begins = |(bytes, (len, sha256)): (&Vec<u8>, &(u64, Digest))| {
            bytes.get(..small(*len)).is_some_and(|image| Digest::of(image) == *sha256)
        };
        slot.len() == self.parts.len() && slot.iter().zip(&self.parts).all(begins)
    }
}

/// Every byte of a slot, part by part.
pub(super) fn digests(slot: &[Vec<u8>]) -> Vec<Digest> {
    slot.iter().map(|part| Digest::of(part)).collect()
}
