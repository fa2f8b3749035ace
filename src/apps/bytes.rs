//! How the payloads of a bundle come: out of the bundle itself, or made from a delta and the layers that are here. Both
//! end in the same head, which the bundle's own signers have signed, and in the same bytes.

use super::from_delta::OpenedDelta;
use super::payload::{PayloadReader, told};
use crate::artifact::{Payload, Release};
use crate::layer::LayerFolders;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::source::Fetch;
use std::io::Read;

/// The bytes of a bundle that is to be staged.
pub struct BundleSource<'a> {
    /// SHA-256 of its manifest.
    pub digest: Digest,
    /// The whole bundle.
    pub bytes: &'a dyn Fetch,
}

/// Where the payloads of one bundle come from.
pub(super) enum BundleBytes<'a> {
    /// The bundle.
    Whole(&'a dyn Fetch),
    /// A delta of it.
    Delta {
        opened: Box<OpenedDelta>,
        file: &'a dyn Fetch,
        /// What the engine has of other layers.
        folders: LayerFolders,
    },
}

impl BundleBytes<'_> {
    /// The bytes of one payload, from its beginning to its end.
    pub(super) fn open<'b>(
        &'b self,
        release: &'b Release,
        payload: &Payload,
    ) -> Result<Box<dyn Read + 'b>> {
        match self {
            BundleBytes::Whole(bytes) => {
                Ok(Box::new(PayloadReader::new(*bytes, release, payload)?))
            }
            BundleBytes::Delta { opened, file, folders } => {
                Ok(Box::new(opened.layers(*file, folders, None).begin(&payload.sha256)?))
            }
        }
    }

    /// All of a payload of at most `most` bytes, with the SHA-256 that the manifest says.
    pub(super) fn read(&self, release: &Release, payload: &Payload, most: u64) -> Result<Vec<u8>> {
        if payload.size > most {
            let text = format!("a payload has {} bytes; {most} at most", payload.size);
            return Err(Failure::new(ReasonCode::AppInvalid, text));
        }
        let mut bytes = Vec::new();
        let mut reader = self.open(release, payload)?.take(most.saturating_add(1));
        reader.read_to_end(&mut bytes).map_err(|e| told(&e))?;
        if bytes.len() as u64 != payload.size || Digest::of(&bytes) != payload.sha256 {
            let text = "a payload does not have the manifest's SHA-256";
            return Err(Failure::new(ReasonCode::ChunkCorrupt, text));
        }
        Ok(bytes)
    }

    /// The whole bundle, where it is at hand.
    pub(super) fn whole(&self) -> Option<&dyn Fetch> {
        match self {
            BundleBytes::Whole(bytes) => Some(*bytes),
            BundleBytes::Delta { .. } => None,
        }
    }
}
