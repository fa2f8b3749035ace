//! Heads of bundles: of a file that is offered, and of the generations on this device.

use super::{AppContext, Generation};
use crate::artifact::Release;
use crate::bundle::{AppDocument, ServiceName};
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::source::Fetch;
use crate::trust::{Trust, Verified};
use std::collections::BTreeMap;

/// The verified head of a bundle with its document. Nothing else makes one, so that what is done for an app is done
/// for one that a trusted key has signed.
#[derive(Debug, Clone)]
pub struct BundleHead {
    release: Verified<Release>,
    document: AppDocument,
    development: bool,
}

impl BundleHead {
    /// The app.
    pub fn app(&self) -> &ServiceName {
        &self.document.app
    }

    /// SHA-256 of its manifest: the name of this generation.
    pub fn digest(&self) -> Digest {
        self.release.body_digest()
    }

    /// Manifest and chunk table.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// What the bundle says of itself.
    pub fn document(&self) -> &AppDocument {
        &self.document
    }

    /// Whether a development key has signed it: it runs only under a hold.
    pub fn is_development(&self) -> bool {
        self.development
    }

    /// It as a generation, with these values of its configuration.
    pub fn generation(&self, config: BTreeMap<String, String>) -> Generation {
        Generation {
            digest: self.digest(),
            version: self.release.manifest.version.clone(),
            release_counter: self.release.manifest.release_counter,
            config,
            development: self.development,
            keep: self.document.keep,
        }
    }
}

/// Reads head and document of a bundle: signatures first, then manifest, then the document against its signed hash.
/// Not one byte of an image is read. What is no bundle is `APP_INVALID`.
pub fn read_bundle(trust: &Trust, source: &dyn Fetch) -> Result<BundleHead> {
    let _ = (trust, source);
    Err(Failure::new(ReasonCode::EngineMissing, "not written yet"))
}

/// A generation that is kept on this device, verified again: `NO_SUCH_APP` where it is not kept, or not whole.
pub fn kept_bundle(ctx: &AppContext<'_>, app: &ServiceName, digest: &Digest) -> Result<BundleHead> {
    let _ = (ctx, app, digest);
    Err(Failure::new(ReasonCode::EngineMissing, "not written yet"))
}
