//! How the payloads of a bundle come: out of the bundle itself, or made from a delta and the layers that are here. Both
//! end in the same head, which the bundle's own signers have signed, and in the same bytes.

use super::AppContext;
use super::bundles::{BundleHead, document_of, kept_bundle};
use super::from_delta::{OpenedDelta, folders_of, open_delta};
use super::payload::{PayloadReader, told};
use crate::artifact::{Format, FromBundle, Payload, Release, read_head};
use crate::bundle::{MAX_DOCUMENT_LEN, ServiceName};
use crate::layer::LayerFolders;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::source::{Fetch, Sequential};
use std::io::Read;

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

/// Reads head and document of a bundle, or of the bundle that a delta makes on this device: `DELTA_BASE` where what the
/// delta is made from is not here.
pub fn read_bundle_here(ctx: &AppContext<'_>, source: &dyn Fetch) -> Result<BundleHead> {
    open_bundle(ctx, source).map(|(head, _)| head)
}

/// The same, with what its payloads come from.
pub(super) fn open_bundle<'a>(
    ctx: &AppContext<'_>,
    source: &'a dyn Fetch,
) -> Result<(BundleHead, BundleBytes<'a>)> {
    let head = read_head(&mut Sequential::new(source))?;
    if head.format() != Format::BundleDelta {
        let bytes = BundleBytes::Whole(source);
        let head = BundleHead::verified(ctx.trust, head, |release, payload| {
            bytes.read(release, payload, MAX_DOCUMENT_LEN)
        })?;
        return Ok((head, bytes));
    }
    let mut find = |from: &FromBundle| {
        let app: ServiceName = from.app.as_str().parse().ok()?;
        let kept = kept_bundle(ctx, &app, &from.digest).ok()?;
        Some([kept.release().body_bytes(), kept.release().table_bytes()].concat())
    };
    let opened = Box::new(open_delta(ctx.trust, head, source, &mut find)?);
    let folders = folders_of(&ctx.engine.map_or(Ok(Vec::new()), |engine| engine.images())?);
    let release = opened.release().clone();
    let bytes = BundleBytes::Delta { opened, file: source, folders };
    let text = bytes.read(&release, document_of(&release)?, MAX_DOCUMENT_LEN)?;
    Ok((BundleHead::of(release, text)?, bytes))
}
