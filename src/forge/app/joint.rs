//! Bundles in artifacts: those beside a system, and what a bundle says of itself.

use crate::artifact::write::Image;
use crate::artifact::{
    Cuts, Format, PayloadContent, PayloadKind, Release, check_payload, read_head,
};
use crate::bundle::{AppDocument, MAX_DOCUMENT_LEN, parse_document};
use crate::forge::file;
use crate::forge::settings::Settings;
use crate::model::{Failure, Identifier, KeyId, ReasonCode, Result};
use crate::trust::Trust;
use serde::Serialize;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A bundle that stands beside a system.
pub(in crate::forge) struct BesideBundle {
    file: File,
    pub(in crate::forge) len: u64,
}

/// Opens what `--with` names and checks each to its last byte: a device must not be the first to find a fault.
pub(in crate::forge) fn open(settings: &Settings) -> Result<Vec<BesideBundle>> {
    let mut apps: Vec<(Identifier, PathBuf)> = Vec::new();
    let mut bundles = Vec::new();
    for path in &settings.with {
        let at = |f: Failure| f.at(format!("--with {}", path.display()));
        let mut file = file::open(path)?;
        let release = checked(&mut file).map_err(at)?;
        let usage = |why: String| Err(at(Failure::new(ReasonCode::Usage, why)));
        let manifest = &release.manifest;
        let Some(app) = &manifest.app else {
            return usage("is a release of a system, and no bundle of an app".into());
        };
        if release.signatures().is_empty() {
            return usage("no key has signed it, and every device would refuse it".into());
        }
        if Some(manifest.product.as_str()) != settings.product.as_deref() {
            return usage(format!("is for the product `{}`", manifest.product));
        }
        let fits = |one: &Identifier| settings.compatible.iter().any(|own| own == one.as_str());
        if !manifest.compatible.iter().any(fits) {
            let all: Vec<&str> = manifest.compatible.iter().map(Identifier::as_str).collect();
            return usage(format!(
                "is for {}, and for none of the system's devices",
                all.join(", ")
            ));
        }
        if let Some((_, other)) = apps.iter().find(|(other, _)| other == app) {
            return usage(format!("is a bundle of `{app}`, as {} is", other.display()));
        }
        apps.push((app.clone(), path.clone()));
        let len = release.artifact_len();
        file.rewind().map_err(|e| file::failure(path, &e))?;
        bundles.push(BesideBundle { file, len });
    }
    Ok(bundles)
}

impl BesideBundle {
    pub(in crate::forge) fn image(self) -> Image<'static> {
        Image {
            input: Box::new(self.file),
            kind: PayloadKind::Bundle,
            part: None,
            hardware: Vec::new(),
            verity_root: None,
            cuts: Cuts::default(),
        }
    }
}

/// A bundle whose every byte is what its head says, from its beginning. Who has signed it is another question.
fn checked(file: &mut (impl Read + Seek)) -> Result<Release> {
    let head = read_head(file)?;
    if head.format() == Format::Delta {
        return Err(Failure::new(ReasonCode::Usage, "is a delta: give the bundle itself"));
    }
    let release = head.parse_unverified()?;
    if release.manifest.app.is_some() {
        let rest = SeekFrom::Start(release.rest_offset());
        document(&release, file)?;
        file.seek(rest).map_err(|e| Failure::new(ReasonCode::Io, e.to_string()))?;
    }
    check_payload(&release, &mut BufReader::with_capacity(1 << 20, file), &|_| ())?;
    Ok(release)
}

/// The document of a bundle, held against its payloads; `input` stands behind the head.
pub(in crate::forge) fn document(release: &Release, input: &mut dyn Read) -> Result<AppDocument> {
    release.pass_pages(input)?;
    let first = release.manifest.payloads.first();
    let first = first.expect("because a manifest without a payload is refused");
    let content = PayloadContent::new(input, release.chunks_of(first))?;
    let document = parse_document(&content.read_all(MAX_DOCUMENT_LEN)?)?;
    let app = release.manifest.app.as_ref().map_or("", Identifier::as_str);
    let payloads = release.manifest.payloads.iter();
    document.check_payloads(app, payloads.map(|p| (p.kind.name(), &p.sha256, p.size)))?;
    Ok(document)
}

/// A bundle within a joint artifact.
#[derive(Debug, Serialize)]
pub(in crate::forge) struct InnerBundle {
    pub(in crate::forge) app: Identifier,
    pub(in crate::forge) version: String,
    pub(in crate::forge) release_counter: u64,
    pub(in crate::forge) digest: crate::model::Digest,
    pub(in crate::forge) signed_by: Vec<KeyId>,
    /// Why the trust file refuses it, where one was given and does.
    pub(in crate::forge) refused_because: Option<String>,
    #[serde(skip)]
    pub(in crate::forge) refused: Option<Failure>,
}

/// The bundles of a joint artifact in `file`. With a trust file each is judged by it; `whole` reads all of each.
pub(in crate::forge) fn inner(
    release: &Release,
    file: &File,
    path: &Path,
    trust: Option<&Trust>,
    whole: bool,
) -> Result<Vec<InnerBundle>> {
    let mut all = Vec::new();
    for (n, payload) in release.manifest.payloads.iter().enumerate() {
        if payload.kind != PayloadKind::Bundle {
            continue;
        }
        let at = |f: Failure| f.at(format!("payload {n}, a bundle"));
        let start = release.stored_offset_of(payload);
        let stored = || -> Result<BufReader<&File>> {
            let mut input = file;
            input.seek(SeekFrom::Start(start)).map_err(|e| file::failure(path, &e))?;
            Ok(BufReader::with_capacity(1 << 20, input))
        };
        let chunks = release.chunks_of(payload);
        let mut input = stored()?;
        let mut content = PayloadContent::new(&mut input, chunks)?;
        let head = read_head(&mut content).map_err(at)?;
        let refused = trust.and_then(|trust| head.clone().verify(trust).err());
        let bundle = head.parse_unverified().map_err(at)?;
        document(&bundle, &mut content).map_err(at)?;
        if whole {
            let mut input = stored()?;
            let mut content = PayloadContent::new(&mut input, chunks)?;
            let head = read_head(&mut content).map_err(at)?;
            let again = head.parse_unverified().map_err(at)?;
            check_payload(&again, &mut content, &|_| ()).map_err(at)?;
        }
        let manifest = &bundle.manifest;
        let none = || Failure::new(ReasonCode::ManifestInvalid, "names no app");
        all.push(InnerBundle {
            app: manifest.app.clone().ok_or_else(none).map_err(at)?,
            version: manifest.version.to_string(),
            release_counter: manifest.release_counter,
            digest: bundle.body_digest(),
            signed_by: bundle.signatures().iter().map(|record| record.key_id).collect(),
            refused_because: refused.as_ref().map(ToString::to_string),
            refused,
        });
    }
    Ok(all)
}
