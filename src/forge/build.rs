//! `build` and `sign`.

use super::app::joint;
use super::assemble::{Payload, assemble, assembled};
use super::average::{Measured, average};
use super::cuts;
use super::file::{self, Replacement};
use super::image::{self, For};
use super::order::order;
use super::progress::Progress;
use super::say::{document, say, tell};
use super::settings::{self, Settings};
use super::signer;
use super::words::{Build, Sign};
use crate::artifact::write::{Draft, Image, Packed, Packing, pack, pack_for_head};
use crate::artifact::{
    Cuts, Format, MAX_CONTEXT_LEN, PayloadKind, Provenance, Unverified, read_head,
};
use crate::model::{
    ByteLen, Digest, Failure, Identifier, PART_BOOT, ReasonCode, Result, STORE_EPOCH_HINT,
};
use crate::trust::{PublicKey, Trust};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// An artifact that was built.
struct Built {
    output: PathBuf,
    made: Made,
    len: u64,
}

/// Its head, and what there is to say about it.
struct Made {
    version: String,
    counter: u64,
    /// The counter is the version's.
    derived: bool,
    head: Unverified,
    summary: String,
    kinds: Kinds,
    signer: Option<PublicKey>,
    warning: Option<String>,
}

pub(super) fn run(words: Build) -> Result<()> {
    let as_json = words.json;
    let mut settings = settings::load(words.config.as_deref())?.under(words)?;
    let Built { output, made: built, len } = &make(&mut settings)?;
    let Made { version, counter, kinds, summary, .. } = built;
    // Standard output has the artifact, and nothing else.
    let out = if file::is_standard(output) { tell } else { say };
    if as_json {
        let value = json!({
            "v": 1, "artifact": output.display().to_string(), "version": version, "release_counter": counter,
            "digest": built.head.body_digest(), "artifact_len": len, "rootfs": kinds.rootfs.join(", "),
            "parts": kinds.parts.iter().map(|(part, kind)| json!({ "part": part, "image": kind })).collect::<Vec<_>>(),
            "signed_by": built.signer.as_ref().map(|key| key.id().to_string()),
            "warnings": built.warning.iter().collect::<Vec<_>>(),
        });
        warn(built.warning.as_deref())?;
        return out(&document(&value));
    }
    let derived = if built.derived { " (from the version)" } else { "" };
    let signed = built.signer.as_ref().map_or_else(
        || format!("unsigned\nnext: surefoot-forge sign {} --key KEY", output.display()),
        |key| format!("signed by key {}", &key.id().to_string()[..12]),
    );
    warn(built.warning.as_deref())?;
    let parts = kinds.parts.iter().map(|(part, kind)| format!("part {part}: {kind}\n"));
    out(&format!(
        "{}: {version}, release counter {counter}{derived}\n{summary}, {} in all, read back and checked\nroot filesystem: {}\n{}{signed}\n",
        output.display(),
        ByteLen(*len),
        kinds.rootfs.join(", "),
        parts.collect::<String>(),
    ))
}

/// Builds the artifact that the settings mean, and signs it where they name a key.
fn make(settings: &mut Settings) -> Result<Built> {
    let output = settings.output.take().ok_or_else(|| need("-o X.surefoot"))?;
    file::may_be_written(&output)?;
    let mut scratch = BufWriter::with_capacity(1 << 20, file::scratch(&output)?);
    let made = make_head(settings, &output, Some(&mut scratch))?;
    let stored = scratch.into_inner().map_err(|e| file::failure(&output, e.error()))?;
    let len = assemble(&made.head, (Payload::Packed, stored, 0), &output, made.signer.as_ref())?;
    Ok(Built { output, made, len })
}

/// The head of a release of a disk, and the whole artifact where it is to be kept: complete, and without its name
/// yet. Where it is not, nothing of it is written: the disk has the image, and needs no more than the head.
pub(super) fn make_for_disk(
    settings: &mut Settings,
    keep: Option<&Path>,
    near: &Path,
) -> Result<(Unverified, Option<Replacement>)> {
    let Some(keep) = keep else {
        let made = make_head(settings, near, None)?;
        return Ok((made.head, None));
    };
    let mut scratch = BufWriter::with_capacity(1 << 20, file::scratch(near)?);
    let Made { head, signer, .. } = make_head(settings, near, Some(&mut scratch))?;
    let stored = scratch.into_inner().map_err(|e| file::failure(near, e.error()))?;
    let (whole, _) = assembled(&head, (Payload::Packed, stored, 0), keep, signer.as_ref())?;
    Ok((head, Some(whole)))
}

pub(super) fn need(what: &str) -> Failure {
    Failure::new(ReasonCode::Usage, format!("{what} is missing"))
}

/// Packs the images into `out`, where the artifact is kept, and makes and signs the head that belongs before it.
/// Near `near` there is room for files.
fn make_head(settings: &mut Settings, near: &Path, out: Option<&mut dyn Write>) -> Result<Made> {
    let mut drafted = draft(settings)?;
    let (packed, packing, kinds) = pack_images(settings, near, out)?;
    let summary = summary(&packed);
    let Signed { head, signer, warning } = finish(&mut drafted, packed, packing, settings)?;
    let Drafted { version, counter, derived, .. } = drafted;
    Ok(Made { version, counter, derived, head, summary, kinds, signer, warning })
}

/// What the settings say of a release, before anything is packed.
pub(super) struct Drafted {
    pub(super) version: String,
    pub(super) counter: u64,
    /// The counter is the version's.
    pub(super) derived: bool,
    pub(super) draft: Draft,
    inside: Option<Trust>,
}

pub(super) fn draft(settings: &mut Settings) -> Result<Drafted> {
    let (version, counter, derived) = order(settings.version.as_deref(), settings.counter)?;
    let inside = settings.trust_file_inside.as_deref().map(file::read_trust).transpose()?;
    if let Some(epoch) = settings.store_epoch {
        settings.hints.insert(STORE_EPOCH_HINT.to_owned(), i64::from(epoch).into());
    }
    let draft = Draft {
        product: parse(settings.product.as_deref().ok_or_else(|| need("--product"))?)?,
        compatible: parse_all(&settings.compatible)?,
        version: parse(&version)?,
        release_counter: counter,
        security_epoch: settings.epoch.unwrap_or(0),
        app: None,
        notes: notes(settings.notes.as_deref())?,
        provenance: Provenance {
            source_revision: settings.source_revision.take(),
            build_id: settings.build_id.take(),
            built_at: built_at()?,
            ..Provenance::default()
        },
        hints: std::mem::take(&mut settings.hints),
    };
    if draft.compatible.is_empty() {
        return Err(need("--compatible"));
    }
    Ok(Drafted { version, counter, derived, draft, inside })
}

/// A head that is signed where the settings name a key.
pub(super) struct Signed {
    pub(super) head: Unverified,
    pub(super) signer: Option<PublicKey>,
    pub(super) warning: Option<String>,
}

/// The head of what was packed.
pub(super) fn finish(
    drafted: &mut Drafted,
    packed: Packed,
    packing: Packing,
    settings: &Settings,
) -> Result<Signed> {
    let mut draft = drafted.draft.clone();
    draft.provenance.chunk_size = Some(packing.average);
    draft.provenance.context = Some(packing.context);
    let mut head = draft.head(packed)?;
    let words = settings.signing(Default::default());
    let signer = match &words.key {
        Some(key) => Some(signer::sign(&mut head, key, &words)?),
        None => None,
    };
    let inside = signer.as_ref().and(drafted.inside.take());
    let warning = inside.and_then(|trust| refusal(&head, &trust));
    Ok(Signed { head, signer, warning })
}

pub(super) fn sign(words: Sign) -> Result<()> {
    let signing = settings::load(words.config.as_deref())?.signing(words.key);
    let key =
        signing.key.clone().ok_or_else(|| Failure::new(ReasonCode::Usage, "--key is missing"))?;
    let inside = signing.trust_file_inside.as_deref().map(file::read_trust).transpose()?;
    file::may_be_written(&words.artifact)?;
    let piped = file::is_standard(&words.artifact);
    let mut input = match piped {
        true => spooled(&words.artifact)?,
        false => file::open(&words.artifact)?,
    };
    let mut head = read_head(&mut input)?;
    let rest = head.rest_offset();
    let public = signer::sign(&mut head, &key, &signing)?;
    let len = assemble(&head, (Payload::Given, input, rest), &words.artifact, Some(&public))?;
    let warning = inside.and_then(|trust| refusal(&head, &trust));
    warn(warning.as_deref())?;
    // Standard output has the artifact, and nothing else.
    let out = if piped { tell } else { say };
    let (id, count) = (public.id().to_string(), head.signatures().len());
    if words.json {
        return out(&document(&json!({
            "v": 1, "artifact": words.artifact, "signed_by": id, "signatures": count,
            "digest": head.body_digest(), "artifact_len": len,
            "warnings": warning.iter().collect::<Vec<_>>(),
        })));
    }
    let plural = if count == 1 { "" } else { "s" };
    out(&format!(
        "{}: signed by key {}, {count} signature{plural}\n",
        words.artifact.display(),
        &id[..12]
    ))
}

/// What comes through standard input, as a file: it is read twice.
fn spooled(artifact: &Path) -> Result<File> {
    let mut input = file::input(artifact)?;
    let mut file = file::scratch(artifact)?;
    let copied = std::io::copy(&mut input, &mut file).and_then(|_| file.rewind());
    copied.map_err(|e| file::failure(artifact, &e))?;
    Ok(file)
}

/// What the device will say about its own system once this release is committed, where that is
/// bad: the trust file inside the image does not accept the release.
fn refusal(head: &Unverified, inside: &Trust) -> Option<String> {
    let failure = match head.format() {
        Format::Release => head.clone().verify(inside).err()?,
        Format::Delta => head.clone().verify_delta(inside).err()?,
        Format::BundleDelta => head.clone().verify_bundle_delta(inside).err()?,
    };
    let detail = failure.detail();
    Some(format!(
        "the trust file inside the image does not accept this release: {detail} [{}]",
        failure.code()
    ))
}

pub(super) fn warn(text: Option<&str>) -> Result<()> {
    text.map_or(Ok(()), |text| tell(&format!("warning: {text}\n")))
}

/// How it is packed, and the average length of chunks that is wished.
pub(super) fn packing_of(settings: &Settings) -> Result<(Packing, Option<u32>)> {
    let (mut packing, mut wished) = (Packing::default(), None);
    if let Some(level) = settings.level {
        if !(1..=22).contains(&level) {
            return Err(Failure::new(ReasonCode::Usage, format!("level {level}; 1 to 22")));
        }
        packing = Packing::of(level);
    }
    if let Some(size) = &settings.chunk_size {
        let size: ByteLen = parse(size)?;
        wished = Some(
            u32::try_from(size.0)
                .ok()
                .filter(|n| n.is_power_of_two() && (16 << 10..=256 << 10).contains(n))
                .ok_or_else(|| {
                    let detail = format!("chunk size {size}; a power of two from 16K to 256K");
                    Failure::new(ReasonCode::Usage, detail)
                })?,
        );
    }
    if let Some(context) = &settings.context {
        let context: ByteLen = parse(context)?;
        packing.context =
            u32::try_from(context.0).ok().filter(|n| *n <= MAX_CONTEXT_LEN).ok_or_else(|| {
                let detail = format!("context {context}; 0 to 4M");
                Failure::new(ReasonCode::Usage, detail)
            })?;
    }
    Ok((packing, wished))
}

fn pack_images(
    settings: &Settings,
    near: &Path,
    out: Option<&mut dyn Write>,
) -> Result<(Packed, Packing, Kinds)> {
    let (mut packing, wished) = packing_of(settings)?;
    let mut measured = Vec::new();
    let (mut images, mut kinds) = (Vec::new(), Kinds::default());
    let mut total = 0;
    let beside = joint::open(settings)?;
    for bundle in &beside {
        total += bundle.len;
    }
    let mut add =
        |part: Option<&str>, path: &Path, hardware: &[String], verity: &Option<String>| {
            let wanted = match part {
                _ if settings.raw => For::Anything,
                None => For::Rootfs,
                Some(PART_BOOT) => For::Boot,
                Some(_) => For::Anything,
            };
            let mut image = image::open(path, wanted, near)?;
            let cuts = cuts::cuts(&mut image.file, image.len);
            image.file.rewind().map_err(|e| file::failure(path, &e))?;
            total += image.len;
            measured.push(Measured {
                path: path.to_owned(),
                file: image.file.try_clone().map_err(|e| file::failure(path, &e))?,
                len: image.len,
                cuts,
                hardware: hardware.to_vec(),
                found: None,
            });
            match part {
                None => kinds.rootfs.push(image.kind),
                Some(part) => kinds.parts.push((part.to_owned(), image.kind)),
            }
            images.push(Image {
                input: Box::new(image.file),
                kind: if part.is_some() { PayloadKind::Part } else { PayloadKind::Rootfs },
                part: part.map(parse).transpose()?,
                hardware: parse_all(hardware)?,
                verity_root: verity.as_deref().map(parse::<Digest>).transpose()?,
                cuts: Cuts::default(),
            });
            Ok::<(), Failure>(())
        };
    for payload in &settings.payloads {
        let (hardware, verity) = (&payload.hardware, &payload.verity_root);
        match (&payload.rootfs, &payload.part, &payload.image) {
            (Some(rootfs), None, None) => add(None, rootfs, hardware, verity)?,
            (None, Some(part), Some(image)) => add(Some(part), image, hardware, verity)?,
            _ => {
                let detail = "`[[payloads]]`: say `rootfs`, or `part` and `image`";
                return Err(Failure::new(ReasonCode::ConfigInvalid, detail));
            }
        }
    }
    if let Some(rootfs) = &settings.rootfs {
        add(None, rootfs, &settings.hardware, &settings.verity_root)?;
    } else if settings.payloads.is_empty() {
        return Err(Failure::new(ReasonCode::Usage, "--rootfs is missing"));
    }
    for (part, image) in &settings.parts {
        add(Some(part), image, &settings.hardware, &None)?;
    }
    let average = average(&mut measured, wished)?;
    warn(average.told.as_deref())?;
    packing.average = average.bytes;
    for (image, measured) in images.iter_mut().zip(measured) {
        image.cuts = measured.cuts(average.bytes);
    }
    // They stand before the system: a device stages them before it arms the slot.
    images.splice(0..0, beside.into_iter().map(joint::BesideBundle::image));
    let progress = Progress::new("packing", total);
    let at = |done| progress.at(done);
    let packed = match out {
        Some(out) => pack(images, packing, out, &at)?,
        None => pack_for_head(images, packing, &at)?,
    };
    Ok((packed, packing, kinds))
}

/// What the images are, for people.
#[derive(Default)]
struct Kinds {
    rootfs: Vec<String>,
    parts: Vec<(String, String)>,
}

pub(super) fn summary(packed: &Packed) -> String {
    let size: u64 = packed.payloads.iter().map(|p| p.size).sum();
    let stored: u64 = packed.payloads.iter().map(|p| p.stored_size).sum();
    let zeros = packed.table.chunks.iter().filter(|c| c.is_zero());
    let zeros: u64 = zeros.map(|c| u64::from(c.plain_len)).sum();
    format!(
        "{} of image ({} zeros) in {} chunks, {} stored",
        ByteLen(size),
        ByteLen(zeros),
        packed.table.chunks.len(),
        ByteLen(stored)
    )
}

fn notes(path: Option<&Path>) -> Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    // The manifest has 64 KiB for everything.
    file::read_text(path, 32 * 1024, ReasonCode::Usage).map(Some)
}

/// The one clock an artifact may carry (reproducible-builds.org/docs/source-date-epoch).
fn built_at() -> Result<Option<u64>> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| {
            Failure::new(ReasonCode::Usage, "SOURCE_DATE_EPOCH is not a number of seconds")
        }),
    }
}

pub(super) fn parse<T: FromStr<Err = String>>(text: &str) -> Result<T> {
    text.parse().map_err(|e: String| Failure::new(ReasonCode::Usage, e))
}

fn parse_all(texts: &[String]) -> Result<Vec<Identifier>> {
    texts.iter().map(|text| parse(text)).collect()
}
