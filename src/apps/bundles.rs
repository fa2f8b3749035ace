//! Heads of bundles: of a file that is offered, and of the generations on this device.
//!
//! A generation is the folder `APP/DIGEST` with the head as it was shipped, the document, and the configurations of its
//! images. The head is written last: without it there is nothing, and with it everything was durable before. None of
//! it is believed: the head is verified again at each use, and the rest is compared with what it signs.

use super::bytes::BundleBytes;
use super::{AppContext, AppSettings, Generation};
use crate::artifact::{
    MAX_BODY_LEN, MAX_TABLE_LEN, Payload, PayloadKind, Release, Unverified, read_head,
};
use crate::bundle::parse_document;
use crate::bundle::{AppDocument, MAX_DOCUMENT_LEN, MAX_IMAGE_CONFIG_LEN, ServiceName};
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::source::{Fetch, Sequential};
use crate::sys::{durable, tree};
use crate::trust::{Trust, Verified};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The verified head of a bundle with its document. Nothing else makes one, so that what is done for an app is done
/// for one that a trusted key has signed.
#[derive(Debug, Clone)]
pub struct BundleHead {
    release: Verified<Release>,
    document: AppDocument,
    text: Vec<u8>,
}

impl BundleHead {
    /// Holds a document against the head that signs it.
    pub(super) fn of(release: Verified<Release>, text: Vec<u8>) -> Result<BundleHead> {
        let payload = document_of(&release)?;
        if Digest::of(&text) != payload.sha256 {
            let why = "the document does not have the manifest's SHA-256";
            return Err(Failure::new(ReasonCode::ChunkCorrupt, why));
        }
        let document = parse_document(&text)?;
        let app = release.manifest.app.as_ref().map_or("", |app| app.as_str());
        let payloads = release.manifest.payloads.iter();
        document.check_payloads(app, payloads.map(|p| (p.kind.name(), &p.sha256, p.size)))?;
        Ok(BundleHead { release, document, text })
    }

    /// Checks the signatures of a head, and only then takes its document.
    pub(super) fn verified(
        trust: &Trust,
        head: Unverified,
        text: impl FnOnce(&Release, &Payload) -> Result<Vec<u8>>,
    ) -> Result<BundleHead> {
        let release = head.verify(trust)?;
        let text = text(&release, document_of(&release)?)?;
        BundleHead::of(release, text)
    }

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

    /// The verified release alone.
    pub fn into_release(self) -> Verified<Release> {
        self.release
    }

    /// What the bundle says of itself.
    pub fn document(&self) -> &AppDocument {
        &self.document
    }

    /// Whether only a development key has signed it: it runs only under a hold.
    pub fn is_development(&self) -> bool {
        self.release.is_development()
    }

    /// The payload of that kind with that SHA-256.
    pub(super) fn payload(&self, kind: &PayloadKind, sha256: &Digest) -> Result<&Payload> {
        let found = self.release.manifest.payloads.iter();
        let mut found = found.filter(|p| p.kind == *kind && p.sha256 == *sha256);
        found.next().ok_or_else(|| {
            let text = format!("the bundle has no payload {} of kind `{}`", sha256, kind.name());
            Failure::new(ReasonCode::AppInvalid, text)
        })
    }

    /// It as a generation, with these values of its configuration.
    pub fn generation(&self, config: BTreeMap<String, String>) -> Generation {
        Generation {
            digest: self.digest(),
            version: self.release.manifest.version.clone(),
            release_counter: self.release.manifest.release_counter,
            config,
            development: self.is_development(),
            keep: self.document.keep,
        }
    }
}

pub(super) fn document_of(release: &Release) -> Result<&Payload> {
    let first = release.manifest.payloads.first();
    let bundle = release.manifest.app.is_some();
    first.filter(|p| bundle && p.kind == PayloadKind::App).ok_or_else(|| {
        let text = "the file is a release of a system, and no bundle of an app";
        let next = "Give it to `surefoot install`.";
        Failure::new(ReasonCode::AppInvalid, text).with_next(next)
    })
}

/// Reads head and document of a bundle: signatures first, then manifest, then the document against its signed hash.
/// Not one byte of an image is read. What is no bundle is `APP_INVALID`.
pub fn read_bundle(trust: &Trust, source: &dyn Fetch) -> Result<BundleHead> {
    let head = read_head(&mut Sequential::new(source))?;
    BundleHead::verified(trust, head, |release, payload| {
        BundleBytes::Whole(source).read(release, payload, MAX_DOCUMENT_LEN)
    })
}

/// A generation that is kept on this device, verified again: `NO_SUCH_APP` where it is not kept, or not whole.
pub fn kept_bundle(ctx: &AppContext<'_>, app: &ServiceName, digest: &Digest) -> Result<BundleHead> {
    let folder = folder_of(ctx.state, app, digest);
    let most = u64::from(MAX_BODY_LEN) + u64::from(MAX_TABLE_LEN) + 4096;
    let missing = |what: &str| {
        let text = format!("{what} of {app} {} is not on this device", digest.short());
        Failure::new(ReasonCode::NoSuchApp, text)
    };
    let bytes = durable::read(&folder.join(HEAD), most)?.ok_or_else(|| missing("the head"))?;
    let head = read_head(&mut &bytes[..])?;
    let found = BundleHead::verified(ctx.trust, head, |_, _| {
        durable::read(&folder.join(DOCUMENT), MAX_DOCUMENT_LEN)?
            .ok_or_else(|| missing("the document"))
    })
    .map_err(|f| f.at(folder.display()))?;
    match found.digest() == *digest && found.app() == app {
        true => Ok(found),
        false => Err(missing("the bundle")),
    }
}

const HEAD: &str = "head";
const DOCUMENT: &str = "app.json";

/// Where a generation is kept.
pub(super) fn folder_of(state: &Path, app: &ServiceName, digest: &Digest) -> PathBuf {
    AppSettings::bundles(state).join(app.as_str()).join(digest.to_string())
}

fn image_file(folder: &Path, id: &Digest) -> PathBuf {
    folder.join("images").join(format!("{id}.json"))
}

/// Keeps head, document and configurations of images of a bundle, durably. The last thing that is written is the head.
pub(super) fn keep_bundle(
    ctx: &AppContext<'_>,
    head: &BundleHead,
    source: &BundleBytes<'_>,
) -> Result<()> {
    let folder = folder_of(ctx.state, head.app(), &head.digest());
    tree::make_folder(&folder.join("images"))?;
    for id in head.document.images.keys() {
        if image_config(ctx, head.app(), &head.digest(), id).is_err() {
            let payload = head.payload(&PayloadKind::Image, id)?;
            let bytes = source.read(&head.release, payload, MAX_IMAGE_CONFIG_LEN)?;
            durable::write(&image_file(&folder, id), &bytes)?;
        }
    }
    durable::write(&folder.join(DOCUMENT), &head.text)?;
    durable::write(&folder.join(HEAD), &head.release.head_bytes())
}

/// The configuration of an image of a kept generation, byte for byte.
pub(super) fn image_config(
    ctx: &AppContext<'_>,
    app: &ServiceName,
    digest: &Digest,
    id: &Digest,
) -> Result<Vec<u8>> {
    let file = image_file(&folder_of(ctx.state, app, digest), id);
    let bytes = durable::read(&file, MAX_IMAGE_CONFIG_LEN)?;
    bytes.filter(|bytes| Digest::of(bytes) == *id).ok_or_else(|| {
        let text = format!("{} is not there, or not what its name says", file.display());
        Failure::new(ReasonCode::NoSuchApp, text)
    })
}

/// The generations that have a folder here, whole or not: what may be collected.
pub(super) fn kept_folders(state: &Path) -> Vec<(ServiceName, Digest, PathBuf)> {
    let mut found = Vec::new();
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    for app in entries(&AppSettings::bundles(state)) {
        let Some(name) = app.file_name().to_str().and_then(|n| n.parse::<ServiceName>().ok())
        else {
            continue;
        };
        for folder in entries(&app.path()) {
            let digest = folder.file_name().to_str().and_then(|n| n.parse::<Digest>().ok());
            if let Some(digest) = digest {
                found.push((name.clone(), digest, folder.path()));
            }
        }
    }
    found
}

#[cfg(all(test, feature = "forge"))]
mod tests {
    use super::super::fixture::{Bench, Memory, app};
    use super::*;

    #[test]
    fn a_bundle_is_read_and_kept_and_verified_again() {
        let bench = Bench::new();
        let bundle = bench.bundle(&app("shop"), 1);
        let source = Memory::new(bundle);
        let head = read_bundle(&bench.trust, &source).unwrap();
        assert_eq!((head.app().as_str(), head.is_development()), ("shop", false));
        let ctx = bench.ctx();
        let missing = kept_bundle(&ctx, head.app(), &head.digest()).unwrap_err();
        assert_eq!(missing.code(), ReasonCode::NoSuchApp);
        keep_bundle(&ctx, &head, &BundleBytes::Whole(&source)).unwrap();
        let kept = kept_bundle(&ctx, head.app(), &head.digest()).unwrap();
        assert_eq!(kept.document(), head.document());
        for id in head.document().images.keys() {
            assert!(image_config(&ctx, head.app(), &head.digest(), id).is_ok());
        }
        assert_eq!(kept_folders(ctx.state).len(), 1);
    }

    #[test]
    fn nothing_that_was_changed_on_the_disk_is_believed() {
        let bench = Bench::new();
        let source = Memory::new(bench.bundle(&app("shop"), 1));
        let other = Memory::new(bench.bundle(&app("shop"), 2));
        let head = read_bundle(&bench.trust, &source).unwrap();
        let ctx = bench.ctx();
        keep_bundle(&ctx, &head, &BundleBytes::Whole(&source)).unwrap();
        let folder = folder_of(ctx.state, head.app(), &head.digest());
        let id = *head.document().images.keys().next().unwrap();
        let load = || kept_bundle(&ctx, head.app(), &head.digest()).map_err(|f| f.code());
        assert!(load().is_ok());
        // Another release of the same app, as well signed.
        let newer = read_bundle(&bench.trust, &other).unwrap();
        std::fs::write(folder.join(HEAD), newer.release().head_bytes()).unwrap();
        assert!(load().is_err());
        keep_bundle(&ctx, &head, &BundleBytes::Whole(&source)).unwrap();
        let mut text = head.text.clone();
        text[20] ^= 1;
        std::fs::write(folder.join(DOCUMENT), text).unwrap();
        assert_eq!(load().unwrap_err(), ReasonCode::ChunkCorrupt);
        std::fs::write(image_file(&folder, &id), b"{}").unwrap();
        assert!(image_config(&ctx, head.app(), &head.digest(), &id).is_err());
        keep_bundle(&ctx, &head, &BundleBytes::Whole(&source)).unwrap();
        assert!(load().is_ok() && image_config(&ctx, head.app(), &head.digest(), &id).is_ok());
    }

    #[test]
    fn a_bundle_that_no_key_in_force_has_signed_is_none() {
        let bench = Bench::new();
        let bundle = bench.bundle(&app("shop"), 1);
        let other = Bench::signed_by(9);
        let code = |trust, bytes: &[u8]| {
            read_bundle(trust, &Memory::new(bytes.to_vec())).map_err(|f| f.code()).map(drop)
        };
        assert_eq!(code(&other.trust, &bundle), Err(ReasonCode::SignatureUntrusted));
        let mut torn = bundle.clone();
        let last = torn.len() - 1;
        torn.truncate(last);
        assert_eq!(code(&bench.trust, &torn), Ok(()), "the document is here, an image is not");
        let mut bad = bundle;
        bad[200] ^= 1;
        assert_eq!(code(&bench.trust, &bad), Err(ReasonCode::SignatureInvalid));
    }

    #[cfg(feature = "sim")]
    #[test]
    fn a_cut_while_a_bundle_is_kept_leaves_none_or_all_of_it() {
        let bench = Bench::new();
        let source = Memory::new(bench.bundle(&app("shop"), 1));
        let head = read_bundle(&bench.trust, &source).unwrap();
        let mut cuts = 0;
        while crate::sys::power::cut_at_write(cuts, 3, || {
            keep_bundle(&bench.ctx(), &head, &BundleBytes::Whole(&source)).unwrap();
        })
        .is_none()
        {
            let ctx = bench.ctx();
            if kept_bundle(&ctx, head.app(), &head.digest()).is_ok() {
                for id in head.document().images.keys() {
                    assert!(image_config(&ctx, head.app(), &head.digest(), id).is_ok(), "{cuts}");
                }
            }
            cuts += 1;
        }
        assert!(cuts >= 4, "{cuts}");
        assert!(kept_bundle(&bench.ctx(), head.app(), &head.digest()).is_ok());
    }
}
