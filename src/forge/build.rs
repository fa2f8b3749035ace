//! `build` and `sign`: what they write they read back and check before it gets its name.

use super::file::{self, Replacement};
use super::progress::Progress;
use super::settings::{self, Settings};
use super::words::{Build, Sign};
use super::{say, signer};
use crate::artifact::write::{Draft, Image, Packed, Packing, pack};
use crate::artifact::{PayloadKind, Provenance, Unverified, check_payload, read_head};
use crate::model::{ByteLen, Digest, Failure, Identifier, ReasonCode, Result};
use crate::trust::PublicKey;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub(super) fn run(words: Build) -> Result<()> {
    let mut settings = settings::load(words.config.as_deref())?.under(words)?;
    let (version, counter, derived) = order(settings.version.as_deref(), settings.counter)?;
    let need = |what: &str| Failure::new(ReasonCode::Usage, format!("{what} is missing"));
    let output = settings
        .output
        .take()
        .ok_or_else(|| need("-o X.surefoot"))?;
    let draft = Draft {
        product: parse(
            settings
                .product
                .as_deref()
                .ok_or_else(|| need("--product"))?,
        )?,
        compatible: parse_all(&settings.compatible)?,
        version: parse(&version)?,
        release_counter: counter,
        security_epoch: settings.epoch.unwrap_or(0),
        notes: notes(settings.notes.as_deref())?,
        provenance: Provenance {
            source_revision: settings.source_revision.take(),
            build_id: settings.build_id.take(),
            built_at: built_at()?,
        },
        hints: std::mem::take(&mut settings.hints),
    };
    if draft.compatible.is_empty() {
        return Err(need("--compatible"));
    }
    let mut scratch = BufWriter::with_capacity(1 << 20, file::scratch(&output)?);
    let packed = pack_images(&settings, &mut scratch)?;
    let stored = scratch
        .into_inner()
        .map_err(|e| file::failure(&output, e.error()))?;
    let summary = summary(&packed);
    let mut head = draft.head(packed)?;
    let words = settings.signing(Default::default());
    let signer = match &words.key {
        Some(key) => Some(signer::sign(&mut head, key, &words)?),
        None => None,
    };
    let len = assemble(&head, stored, 0, &output, signer.as_ref())?;
    let derived = if derived { " (from the version)" } else { "" };
    let signed = signer.map_or_else(
        || {
            format!(
                "unsigned\nnext: surefoot-forge sign {} --key KEY",
                output.display()
            )
        },
        |key| format!("signed by key {}", &key.id().to_string()[..12]),
    );
    say(&format!(
        "{}: {version}, release counter {counter}{derived}\n{summary}, {} in all, read back and checked\n{signed}\n",
        output.display(),
        ByteLen(len)
    ))
}

pub(super) fn sign(words: Sign) -> Result<()> {
    let signing = settings::load(words.config.as_deref())?.signing(words.key);
    let key = signing
        .key
        .clone()
        .ok_or_else(|| Failure::new(ReasonCode::Usage, "--key is missing"))?;
    let mut input = file::open(&words.artifact)?;
    let mut head = read_head(&mut input)?;
    let payload = head.payload_offset();
    let public = signer::sign(&mut head, &key, &signing)?;
    assemble(&head, input, payload, &words.artifact, Some(&public))?;
    say(&format!(
        "{}: signed by key {}, {} signatures\n",
        words.artifact.display(),
        &public.id().to_string()[..12],
        head.signatures().len()
    ))
}

/// Writes `head` and what stands in `stored` from `from` on, reads all of it back, and only then
/// gives it its name. Returns its length.
fn assemble(
    head: &Unverified,
    mut stored: File,
    from: u64,
    output: &Path,
    signer: Option<&PublicKey>,
) -> Result<u64> {
    let mut replacement = Replacement::of(output)?;
    let bytes = head.to_bytes();
    let written = replacement
        .file
        .write_all(&bytes)
        .and_then(|()| stored.seek(SeekFrom::Start(from)))
        .and_then(|_| std::io::copy(&mut stored, &mut replacement.file));
    let payload_len = written.map_err(|e| file::failure(replacement.path(), &e))?;
    let reopened = File::open(replacement.path());
    let reopened = reopened.map_err(|e| file::failure(replacement.path(), &e))?;
    let mut reader = BufReader::with_capacity(1 << 20, reopened);
    let again = read_head(&mut reader)?;
    if again.to_bytes() != bytes {
        return Err(Failure::new(
            ReasonCode::Io,
            "the artifact reads back differently",
        ));
    }
    if let Some(key) = signer {
        let statement = again.statement()?;
        let id = key.id();
        let good = again
            .signatures()
            .iter()
            .any(|r| r.key_id == id && key.verifies(statement.as_bytes(), &r.signature));
        if !good {
            return Err(Failure::new(
                ReasonCode::SignatureInvalid,
                "the signature reads back wrong",
            ));
        }
    }
    let release = again.parse_unverified()?;
    let total = release.manifest.payloads.iter().map(|p| p.size).sum();
    let progress = Progress::new("checking", total);
    let checked = check_payload(&release, &mut reader, &|done| progress.at(done))?;
    if checked.artifact_len != bytes.len() as u64 + payload_len {
        return Err(Failure::new(
            ReasonCode::Internal,
            "lengths written and read differ",
        ));
    }
    replacement.finish()?;
    Ok(checked.artifact_len)
}

fn pack_images(settings: &Settings, out: &mut dyn Write) -> Result<Packed> {
    let mut packing = Packing::default();
    if let Some(level) = settings.level {
        if !(1..=22).contains(&level) {
            return Err(Failure::new(
                ReasonCode::Usage,
                format!("level {level}; 1 to 22"),
            ));
        }
        packing.level = level;
    }
    if let Some(size) = &settings.chunk_size {
        let size: ByteLen = parse(size)?;
        packing.average = u32::try_from(size.0)
            .ok()
            .filter(|n| n.is_power_of_two() && (16 << 10..=256 << 10).contains(n))
            .ok_or_else(|| {
                let detail = format!("chunk size {size}; a power of two from 16K to 256K");
                Failure::new(ReasonCode::Usage, detail)
            })?;
    }
    let mut images = Vec::new();
    let mut total = 0;
    let mut add = |path: &PathBuf, hardware: &[String], verity: Option<&String>| {
        let mut input = file::open(path)?;
        // A block device has no length in its metadata; its end is where seeking ends.
        let len = input
            .seek(SeekFrom::End(0))
            .and_then(|len| input.rewind().map(|()| len));
        total += len.map_err(|e| file::failure(path, &e))?;
        images.push(Image {
            input: Box::new(input),
            kind: PayloadKind::Rootfs,
            hardware: parse_all(hardware)?,
            verity_root: verity.map(|v| parse::<Digest>(v)).transpose()?,
        });
        Ok::<(), Failure>(())
    };
    for payload in &settings.payloads {
        add(
            &payload.rootfs,
            &payload.hardware,
            payload.verity_root.as_ref(),
        )?;
    }
    if let Some(rootfs) = &settings.rootfs {
        add(rootfs, &settings.hardware, settings.verity_root.as_ref())?;
    } else if settings.payloads.is_empty() {
        return Err(Failure::new(ReasonCode::Usage, "--rootfs is missing"));
    }
    let progress = Progress::new("packing", total);
    pack(images, packing, out, &|done| progress.at(done))
}

fn summary(packed: &Packed) -> String {
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

/// Version and counter, each from the other where only one was given; whether the counter is
/// derived.
fn order(version: Option<&str>, counter: Option<u64>) -> Result<(String, u64, bool)> {
    match (version, counter) {
        (Some(version), Some(counter)) => Ok((version.to_owned(), counter, false)),
        (Some(version), None) => match derive(version) {
            Some(counter) => Ok((version.to_owned(), counter, true)),
            None => {
                let detail = format!(
                    "no release counter follows from version `{version}` (MAJOR.MINOR.PATCH, the last two below 1000): give --counter N"
                );
                Err(Failure::new(ReasonCode::Usage, detail))
            }
        },
        (None, Some(n)) => {
            let version = format!("{}.{}.{}", n / 1_000_000, n / 1000 % 1000, n % 1000);
            Ok((version, n, false))
        }
        (None, None) => Err(Failure::new(
            ReasonCode::Usage,
            "--version or --counter is missing",
        )),
    }
}

fn derive(version: &str) -> Option<u64> {
    let mut parts = version.split('.').map(|part| {
        // No sign, no blank, and no second spelling such as 01.
        let plain =
            part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        part.parse::<u64>().ok().filter(|_| plain)
    });
    let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || minor >= 1000 || patch >= 1000 {
        return None;
    }
    major
        .checked_mul(1_000_000)?
        .checked_add(minor * 1000 + patch)
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
            Failure::new(
                ReasonCode::Usage,
                "SOURCE_DATE_EPOCH is not a number of seconds",
            )
        }),
    }
}

fn parse<T: FromStr<Err = String>>(text: &str) -> Result<T> {
    text.parse()
        .map_err(|e: String| Failure::new(ReasonCode::Usage, e))
}

fn parse_all(texts: &[String]) -> Result<Vec<Identifier>> {
    texts.iter().map(|text| parse(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_follow_from_plain_versions_only() {
        for (version, counter) in [
            ("0.0.1", 1),
            ("2.4.1", 2_004_001),
            ("12.999.999", 12_999_999),
        ] {
            assert_eq!(derive(version), Some(counter), "{version}");
            assert_eq!(order(None, Some(counter)).unwrap().0, version);
        }
        for odd in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1.1000.0",
            "1.0.1000",
            "1.2.3-rc1",
            "v1.2.3",
            "1.+2.3",
            "1. 2.3",
            "01.2.3",
            "1..3",
            "18446744073709551615.0.0",
        ] {
            assert_eq!(derive(odd), None, "{odd}");
            let failure = order(Some(odd), None).unwrap_err();
            assert!(failure.detail().contains("--counter"));
        }
        assert_eq!(
            order(Some("odd"), Some(7)).unwrap(),
            ("odd".to_owned(), 7, false)
        );
    }
}
