//! A bundle out of its delta: its head and document, and its layers one by one as an engine asks for them. A layer that
//! cannot be made comes out of the whole bundle, where that is at hand.

use crate::artifact::{BundleDelta, Release, Unverified};
use crate::engine::{LayerBytes, LayerSource, StoredImage};
use crate::layer::{
    FindHead, LayerFolders, Making, bundle_head, patch_offset, patch_range, same_bundle,
};
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::source::{Fetch, Sequential};
use crate::trust::{Trust, Verified};
use std::io::Read;

/// A delta whose signatures are verified, and the head of the bundle that it makes, verified by itself: a delta gives no
/// right that the bundle has not.
pub struct OpenedDelta {
    delta: Verified<BundleDelta>,
    release: Verified<Release>,
}

/// Opens the delta whose head has been read from `bytes`. `find` gives manifest and table of bundles that are kept here.
/// `DELTA_BASE` where one of them is missing; `TRUNCATED` or `TRAILING_BYTES` where the file has another length.
pub fn open_delta(
    trust: &Trust,
    head: Unverified,
    bytes: &dyn Fetch,
    find: FindHead<'_>,
) -> Result<OpenedDelta> {
    let delta = head.verify_bundle_delta(trust)?;
    let (found, expected) = (bytes.len(), delta.file_len());
    if found != expected {
        let cut = found < expected;
        let code = if cut { ReasonCode::Truncated } else { ReasonCode::TrailingBytes };
        let detail = format!("the delta has {found} bytes where {expected} are signed");
        return Err(Failure::new(code, detail));
    }
    let mut input = Sequential::starting_at(bytes, delta.stored_offset());
    let release = bundle_head(&delta, &mut input, find)?.verify(trust)?;
    same_bundle(&delta, &release)?;
    Ok(OpenedDelta { delta, release })
}

impl OpenedDelta {
    /// The bundle that it makes.
    pub fn release(&self) -> &Verified<Release> {
        &self.release
    }

    /// All of a payload that is small, as the document and the configurations of images are: it is held against its
    /// SHA-256.
    pub fn payload(&self, bytes: &dyn Fetch, index: usize) -> Result<Vec<u8>> {
        let nothing = LayerFolders::default();
        let at = patch_offset(&self.delta, index);
        let input = Box::new(Sequential::starting_at(bytes, at));
        Making::begin(&self.delta, index, input, &nothing)?.to_end()
    }

    /// Its layers. `full` gives those that cannot be made.
    pub fn layers<'a>(
        &'a self,
        bytes: &'a dyn Fetch,
        folders: &'a LayerFolders,
        full: Option<&'a mut dyn LayerSource>,
    ) -> DeltaLayers<'a> {
        DeltaLayers { delta: &self.delta, bytes, folders, full, fell_back: Vec::new() }
    }
}

/// The folders of all layers that an engine has, for [`OpenedDelta::layers`].
pub fn folders_of(images: &[StoredImage]) -> LayerFolders {
    let mut folders = LayerFolders::default();
    images.iter().for_each(|image| folders.add(&image.layers, &image.folders));
    folders
}

/// The layers of a bundle, made from those that are here.
pub struct DeltaLayers<'a> {
    delta: &'a BundleDelta,
    bytes: &'a dyn Fetch,
    folders: &'a LayerFolders,
    full: Option<&'a mut dyn LayerSource>,
    fell_back: Vec<(Digest, Failure)>,
}

impl<'a> DeltaLayers<'a> {
    /// The layers that could not be made, and why: an old one is damaged, or gone.
    pub fn fell_back(&self) -> &[(Digest, Failure)] {
        &self.fell_back
    }

    /// Begins the payload with this SHA-256.
    pub(super) fn begin(&self, layer: &Digest) -> Result<Making<'a>> {
        let plans = &self.delta.manifest.payloads;
        let index = plans.iter().position(|plan| plan.sha256 == *layer);
        let other = || Failure::new(ReasonCode::EngineAnswer, "a layer of another bundle");
        let index = index.ok_or_else(other)?;
        let range = patch_range(self.delta, index);
        let input: Box<dyn Read + 'a> = match self.bytes.in_order(std::slice::from_ref(&range))? {
            Some(input) => input,
            None => Box::new(Sequential::starting_at(self.bytes, range.start)),
        };
        Making::begin(self.delta, index, input, self.folders)
    }
}

impl LayerSource for DeltaLayers<'_> {
    fn open(&mut self, layer: &Digest) -> Result<LayerBytes<'_>> {
        let failure = match self.begin(layer) {
            Ok(making) => return Ok(Box::new(making)),
            Err(failure) => failure,
        };
        // What is wrong with the delta itself, or with its source, is not made good by one layer.
        match &mut self.full {
            Some(full) if failure.code() == ReasonCode::DeltaBase => {
                log::info!("{}; it comes out of the whole bundle", failure.detail());
                self.fell_back.push((*layer, failure));
                full.open(layer)
            }
            _ => Err(failure),
        }
    }
}
