//! `inspect` and `verify`.

use super::app::{joint, lines_of, summary_of};
use super::delta;
use super::file;
use super::progress::Progress;
use super::say::{document, say};
use super::words::{Inspect, Verify};
use crate::artifact::{Codec, Format, PayloadKind, Release, check_payload, read_head};
use crate::bundle::AppDocument;
use crate::model::{ByteLen, Digest, Result, printable};
use crate::trust::Trust;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

pub(super) fn run(words: &Inspect) -> Result<()> {
    let mut input = file::input(&words.artifact)?;
    let head = read_head(&mut input)?;
    let trust = words.trust.as_deref().map(file::read_trust).transpose()?;
    if head.format() == Format::Delta {
        return delta::inspect(words, head, &mut input, trust.as_ref());
    }
    if head.format() == Format::BundleDelta {
        return delta::inspect_bundle(words, head, &mut input, trust.as_ref());
    }
    let verdict = trust.as_ref().map(|trust| match head.clone().verify(trust) {
        Ok(_) => "accepted".to_owned(),
        Err(failure) => format!("refused: {failure}"),
    });
    let release = head.parse_unverified()?;
    // What comes through a pipe has no length until it has come.
    let failed = |e: std::io::Error| file::failure(&words.artifact, &e);
    let (on_disk, apps) = match file::is_standard(&words.artifact) {
        true => {
            let mut spooled = file::scratch(&words.artifact)?;
            let head = std::io::Write::write_all(&mut spooled, &release.head_bytes());
            let rest =
                head.and_then(|()| std::io::copy(&mut input, &mut spooled)).map_err(failed)?;
            let apps = Apps::seen(&release, &spooled, &words.artifact, trust.as_ref());
            (release.rest_offset() + rest, apps)
        }
        false => {
            let file = file::open(&words.artifact)?;
            let apps = Apps::seen(&release, &file, &words.artifact, trust.as_ref());
            (file.metadata().map_err(failed)?.len(), apps)
        }
    };
    if words.json {
        let mut value = as_json(&release, trust.as_ref(), verdict.as_deref(), on_disk);
        apps.add_to(&mut value);
        return say(&document(&value));
    }
    let text = as_text(&release, trust.as_ref(), verdict.as_deref(), on_disk);
    say(&format!("{text}{}", apps.text()))
}

/// What an artifact has to do with apps.
#[derive(Default)]
struct Apps {
    document: Option<(AppDocument, BTreeMap<Digest, u64>)>,
    bundles: Vec<joint::InnerBundle>,
    /// Why nothing of it can be told.
    unread: Option<String>,
}

impl Apps {
    /// Reads the document of a bundle and the bundles beside a system; with `whole` each of these to its end.
    fn of(
        release: &Release,
        file: &File,
        path: &Path,
        trust: Option<&Trust>,
        whole: bool,
    ) -> Result<Apps> {
        let mut apps = Apps::default();
        if release.manifest.app.is_some() {
            let mut input = file;
            let rest = SeekFrom::Start(release.rest_offset());
            input.seek(rest).map_err(|e| file::failure(path, &e))?;
            let document = joint::document(release, &mut input)?;
            let layers = release.manifest.payloads.iter();
            let layers = layers.filter(|p| p.kind == PayloadKind::Layer);
            apps.document = Some((document, layers.map(|p| (p.sha256, p.size)).collect()));
        }
        apps.bundles = joint::inner(release, file, path, trust, whole)?;
        Ok(apps)
    }

    /// What can be read of a file that may be cut short or damaged.
    fn seen(release: &Release, file: &File, path: &Path, trust: Option<&Trust>) -> Apps {
        Apps::of(release, file, path, trust, false)
            .unwrap_or_else(|f| Apps { unread: Some(f.to_string()), ..Apps::default() })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(why) = &self.unread {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "app            cannot be read: {}", printable(why, 400));
        }
        if let Some((document, layers)) = &self.document {
            text += &lines_of(document, layers);
        }
        for bundle in &self.bundles {
            let signed: Vec<String> =
                bundle.signed_by.iter().map(|id| id.to_string()[..12].to_owned()).collect();
            let verdict = bundle.refused_because.as_deref();
            let verdict = verdict.map_or(String::new(), |why| format!("; refused: {why}"));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "bundle         {} {}, release counter {}, signed by {}{}",
                bundle.app,
                printable(&bundle.version, 80),
                bundle.release_counter,
                signed.join(" and "),
                printable(&verdict, 400),
            );
        }
        text
    }

    fn add_to(&self, value: &mut Value) {
        if let Some((document, layers)) = &self.document {
            value["app_document"] = summary_of(document, layers);
        }
        if let Some(why) = &self.unread {
            value["app_unread"] = json!(why);
        }
        if !self.bundles.is_empty() {
            value["bundles"] = json!(self.bundles);
        }
    }
}

pub(super) fn verify(words: &Verify) -> Result<()> {
    let trust = file::read_trust(&words.trust)?;
    let mut input = BufReader::with_capacity(1 << 20, file::input(&words.artifact)?);
    let head = read_head(&mut input)?;
    if head.format() == Format::Delta {
        return delta::verify(words, head.verify_delta(&trust)?, &mut input);
    }
    if head.format() == Format::BundleDelta {
        return delta::verify_bundle(words, head.verify_bundle_delta(&trust)?, &mut input);
    }
    let release = head.verify(&trust)?;
    let total = release.manifest.payloads.iter().map(|p| p.size).sum();
    let progress = Progress::new("verifying", total);
    let beside = release.manifest.payloads.iter().any(|p| p.kind == PayloadKind::Bundle);
    let (checked, apps) = if beside || release.manifest.app.is_some() {
        // What stands within it is read by itself.
        let held = match file::is_standard(&words.artifact) {
            true => {
                let mut held = file::scratch(&words.artifact)?;
                let written = std::io::Write::write_all(&mut held, &release.head_bytes());
                let copied = written.and_then(|()| std::io::copy(&mut input, &mut held));
                copied.map_err(|e| file::failure(&words.artifact, &e))?;
                held
            }
            false => file::open(&words.artifact)?,
        };
        let rest = SeekFrom::Start(release.rest_offset());
        (&held).seek(rest).map_err(|e| file::failure(&words.artifact, &e))?;
        let mut payload = BufReader::with_capacity(1 << 20, &held);
        let checked = check_payload(&release, &mut payload, &|done| progress.at(done))?;
        (checked, Apps::of(&release, &held, &words.artifact, Some(&trust), true)?)
    } else {
        (check_payload(&release, &mut input, &|done| progress.at(done))?, Apps::default())
    };
    drop(progress);
    if let Some(bundle) = apps.bundles.iter().find(|bundle| bundle.refused.is_some())
        && let Some(refused) = &bundle.refused
    {
        return Err(refused.clone().at(format!("the bundle of `{}`", bundle.app)));
    }
    if words.json {
        let manifest = &release.manifest;
        let ids: Vec<String> = release.signers().iter().map(ToString::to_string).collect();
        let mut value = json!({
            "v": 1, "artifact": words.artifact, "product": manifest.product,
            "version": manifest.version, "release_counter": manifest.release_counter,
            "digest": release.body_digest(), "signed_by": ids,
            "artifact_len": checked.artifact_len, "image_len": checked.plain_len,
        });
        apps.add_to(&mut value);
        return say(&document(&value));
    }
    let signers: Vec<String> =
        release.signers().iter().map(|id| id.to_string()[..12].to_owned()).collect();
    say(&format!(
        "{}: {} {}, signed by {}; {} read, {} of image, every digest as signed\n{}",
        words.artifact.display(),
        release.manifest.product,
        release.manifest.version,
        signers.join(" and "),
        ByteLen(checked.artifact_len),
        ByteLen(checked.plain_len),
        apps.text(),
    ))
}

struct Sums {
    size: u64,
    zeros: u64,
    raw: usize,
    zstd: usize,
    context: usize,
    zero: usize,
}

fn sums(release: &Release) -> Sums {
    let chunks = &release.table.chunks;
    let count = |codec| chunks.iter().filter(|c| c.codec == codec).count();
    let zeros = chunks.iter().filter(|c| c.is_zero()).map(|c| u64::from(c.plain_len));
    Sums {
        size: release.manifest.payloads.iter().map(|p| p.size).sum(),
        zeros: zeros.sum(),
        raw: count(Codec::Raw),
        zstd: count(Codec::Zstd),
        context: chunks.iter().filter(|c| matches!(c.codec, Codec::Context { .. })).count(),
        zero: count(Codec::Zero),
    }
}

fn as_text(
    release: &Release,
    trust: Option<&Trust>,
    verdict: Option<&str>,
    on_disk: u64,
) -> String {
    let manifest = &release.manifest;
    let sums = sums(release);
    let mut text = String::new();
    // Everything foreign goes through `printable`; writing to a String cannot fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<14} {}", printable(value, 400));
    };
    line("product", manifest.product.as_str());
    if let Some(app) = &manifest.app {
        line("app", app.as_str());
    }
    line("compatible", &list(&manifest.compatible));
    line("version", manifest.version.as_str());
    line("counter", &manifest.release_counter.to_string());
    line("epoch", &manifest.security_epoch.to_string());
    line("needs updater", &manifest.requires.updater);
    line("digest", &release.body_digest().to_string());
    let provenance = &manifest.provenance;
    if let Some(at) = provenance.built_at {
        line("built", &crate::sys::clock::utc(at));
    }
    if let Some(revision) = &provenance.source_revision {
        line("source", revision);
    }
    if let Some(build) = &provenance.build_id {
        line("build", build);
    }
    for (n, record) in release.signatures().iter().enumerate() {
        let known = trust.and_then(|t| t.key(&record.key_id));
        let who = known.map_or(String::new(), |k| format!("  {} key, {}", k.role, k.comment));
        let name = if n == 0 { "signed by" } else { "" };
        line(name, &format!("{}{who}", &record.key_id.to_string()[..12]));
    }
    if release.signatures().is_empty() {
        line("signed by", "no key: devices refuse it");
    }
    line("trust", verdict.unwrap_or("not checked (give --trust FILE)"));
    let whole = release.artifact_len();
    let permille = (u128::from(whole) * 1000).checked_div(u128::from(sums.size)).unwrap_or(0);
    let ratio = format!("{}.{} % of the image", permille / 10, permille % 10);
    line("artifact", &format!("{} ({whole} bytes), {ratio}", ByteLen(whole)));
    match on_disk.cmp(&whole) {
        std::cmp::Ordering::Less => line("", &format!("CUT SHORT: the file has {on_disk} bytes")),
        std::cmp::Ordering::Greater => {
            line("", &format!("TRAILING BYTES: the file has {on_disk} bytes"))
        }
        std::cmp::Ordering::Equal => {}
    }
    let count = release.table.chunks.len();
    let kinds = format!(
        "{count}: {} zstd, {} zstd with context, {} raw, {} zero runs ({})",
        sums.zstd,
        sums.context,
        sums.raw,
        sums.zero,
        ByteLen(sums.zeros)
    );
    line("chunks", &kinds);
    let bytes = |n: Option<u32>| n.map_or("not said".to_owned(), |n| ByteLen(n.into()).to_string());
    let about = &manifest.provenance;
    line("chunk size", &format!("{} on average", bytes(about.chunk_size)));
    line("context", &bytes(about.context));
    line("chunk table", &ByteLen(release.table_bytes().len() as u64).to_string());
    let pages = match release.pages().len() {
        0 => "none".to_owned(),
        len => format!("{len} bytes for {} pages of the table", (len - 32) / 16),
    };
    line("page hashes", &pages);
    for (n, payload) in manifest.payloads.iter().enumerate() {
        let fits = if payload.hardware.is_empty() {
            "every revision".to_owned()
        } else {
            list(&payload.hardware)
        };
        let required = if payload.required { "" } else { ", optional" };
        line(
            &format!("payload {n}"),
            &format!(
                "{}{} for {fits}: {}, {} stored, {} chunks{required}",
                payload.kind.name(),
                payload.part.as_ref().map_or(String::new(), |part| format!(" {part}")),
                ByteLen(payload.size),
                ByteLen(payload.stored_size),
                payload.chunks
            ),
        );
        line("  sha256", &payload.sha256.to_string());
        if let Some(root) = &payload.verity_root {
            line("  verity root", &root.to_string());
        }
    }
    if !manifest.hints.is_empty() {
        line("hints", &manifest.hints.keys().cloned().collect::<Vec<_>>().join(", "));
    }
    for (n, note) in manifest.notes.iter().flat_map(|t| t.lines()).enumerate() {
        line(if n == 0 { "notes" } else { "" }, note);
    }
    text
}

fn as_json(release: &Release, trust: Option<&Trust>, verdict: Option<&str>, on_disk: u64) -> Value {
    let manifest = &release.manifest;
    let sums = sums(release);
    let signatures = release.signatures().iter().map(|record| {
        let known = trust.and_then(|t| t.key(&record.key_id));
        json!({
            "key": record.key_id.to_string(),
            "role": known.map(|k| k.role.to_string()),
            "comment": known.map(|k| printable(&k.comment, 400)),
        })
    });
    let payloads = manifest.payloads.iter().map(|p| {
        json!({
            "kind": p.kind.name(), "part": p.part, "hardware": p.hardware, "required": p.required, "size": p.size,
            "stored_size": p.stored_size, "chunks": p.chunks, "digest": p.digest,
            "sha256": p.sha256, "verity_root": p.verity_root,
        })
    });
    let safe = |text: &Option<String>| text.as_deref().map(|t| printable(t, 4096));
    json!({
        "v": 1,
        "product": manifest.product, "app": manifest.app, "compatible": manifest.compatible,
        "version": manifest.version, "release_counter": manifest.release_counter,
        "security_epoch": manifest.security_epoch,
        "requires_updater": printable(&manifest.requires.updater, 64),
        "digest": release.body_digest(),
        "notes": manifest.notes,
        "source_revision": safe(&manifest.provenance.source_revision),
        "build_id": safe(&manifest.provenance.build_id),
        "built_at": manifest.provenance.built_at,
        "signatures": signatures.collect::<Vec<_>>(),
        "accepted": verdict.map(|v| v == "accepted"),
        "refused_because": verdict.filter(|v| *v != "accepted"),
        "artifact_len": release.artifact_len(), "file_len": on_disk,
        "table_len": release.table_bytes().len(),
        "chunk_size": manifest.provenance.chunk_size, "context": manifest.provenance.context,
        "pages_len": release.pages().len(),
        "chunks": { "zstd": sums.zstd, "context": sums.context, "raw": sums.raw, "zero": sums.zero, "zero_bytes": sums.zeros },
        "payloads": payloads.collect::<Vec<_>>(),
    })
}

fn list(names: &[crate::model::Identifier]) -> String {
    let names: Vec<&str> = names.iter().map(crate::model::Identifier::as_str).collect();
    names.join(", ")
}
