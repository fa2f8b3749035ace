//! One delta: its stored blocks, its head, and the proof that it makes the new release.

use super::super::assemble::{Payload, assemble};
use super::super::file;
use super::super::key_words::KeyWords;
use super::super::progress::Progress;
use super::super::signer;
use super::image::Unpacked;
use super::ops::{self, Cost};
use super::pair::pairs;
use super::stored::{Encoder, Stored, WINDOWS};
use crate::artifact::{
    DELTA_UPDATER, DeltaEnd, DeltaManifest, DeltaPayload, MAX_RECORD_LEN, Release, Requires,
    Unverified,
};
use crate::delta::{rebuild, release_head, same_release};
use crate::model::{Failure, ReasonCode, Result};
use crate::trust::PublicKey;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use zstd_safe::{CCtx, CParameter};

/// What was made besides the head.
pub(super) struct Made {
    stored: File,
    pub(super) stored_len: u64,
    /// What is not the same in both, the dearest first.
    pub(super) costs: Vec<Cost>,
}

/// Makes the delta from `old` to `new`, without a signature.
pub(super) fn make(
    old: &Unpacked,
    new: &Unpacked,
    near: &Path,
    level: i32,
) -> Result<(Unverified, Made)> {
    let (theirs, ours) = (&old.release, &new.release);
    if theirs.manifest.product != ours.manifest.product {
        let (from, to) = (&theirs.manifest.product, &ours.manifest.product);
        let detail = format!("the releases are of two products, `{from}` and `{to}`");
        return Err(Failure::new(ReasonCode::WrongProduct, detail));
    }
    let mut stored = Stored::new(near)?;
    let head = new.release.head_bytes_without_table();
    let prefix = every_device_has_the_table(theirs);
    let table = compress(ours.table_bytes(), if prefix { theirs.table_bytes() } else { &[] })?;
    stored.write(&head)?;
    stored.write(&table)?;
    let mut encoder = Encoder::new(stored, level)?;
    let total = ours.manifest.payloads.iter().map(|p| p.size).sum();
    let progress = Mutex::new(Progress::new("comparing", total));
    let behind = AtomicU64::new(0);
    let done = |len: u64| {
        let sum = behind.fetch_add(len, Ordering::Relaxed) + len;
        if let Ok(progress) = progress.lock() {
            progress.at(sum);
        }
    };
    let (mut payloads, mut costs) = (Vec::new(), Vec::new());
    for (index, payload) in ours.manifest.payloads.iter().enumerate() {
        let same = |p: &crate::artifact::Payload| {
            p.part() == payload.part() && p.kind == payload.kind && p.hardware == payload.hardware
        };
        let from = theirs.manifest.payloads.iter().position(same);
        let chunks = ours.chunks_of(payload);
        // Where the old release has no such part, all of it is new.
        let (base, base_chunks) = match from {
            Some(n) => (&old.images[n], theirs.chunks_of(&theirs.manifest.payloads[n])),
            None => (&new.images[index], &[][..]),
        };
        let mut found = pairs((base, base_chunks), (&new.images[index], chunks))?;
        if from.is_none() {
            found.iter_mut().for_each(|pair| (pair.old, pair.same) = (Vec::new(), false));
        }
        costs.extend(ops::write(&found, (base, &new.images[index]), &mut encoder, &done)?);
        payloads.push(DeltaPayload {
            kind: payload.kind.clone(),
            size: payload.size,
            from: from.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
            from_size: from.map_or(0, |n| theirs.manifest.payloads[n].size),
        });
    }
    drop(progress);
    let (stored, hashes, stored_len) = encoder.finish()?.finish()?;
    let too_long = |_| Failure::new(ReasonCode::DeltaInvalid, "the new release's head is too long");
    let manifest = DeltaManifest {
        format: 2,
        product: ours.manifest.product.clone(),
        security_epoch: ours.manifest.security_epoch,
        stored: stored_len,
        head: u32::try_from(head.len()).map_err(too_long)?,
        table: u32::try_from(table.len()).map_err(too_long)?,
        table_prefix: prefix,
        windows: WINDOWS,
        requires: Requires { updater: DELTA_UPDATER.to_owned() },
        from: end(theirs),
        to: end(ours),
        payloads,
    };
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.extra + cost.differ));
    Ok((Unverified::of_delta(&manifest, &hashes)?, Made { stored, stored_len, costs }))
}

/// Whether each device keeps the old release's whole table in its slot record: where every payload is for
/// every device, and the record has room.
fn every_device_has_the_table(old: &Release) -> bool {
    let all: Vec<usize> = (0..old.manifest.payloads.len()).collect();
    let record = old.record(&all, MAX_RECORD_LEN).map_or(0, |record| record.len());
    let without = old.record(&all, old.head_bytes_without_table().len() + 36 + 4 * all.len());
    let known = old.manifest.payloads.iter().all(|p| p.hardware.is_empty() && p.part().is_some());
    known && record > without.map_or(usize::MAX, |record| record.len())
}

pub(super) fn end(release: &Release) -> DeltaEnd {
    DeltaEnd {
        version: release.manifest.version.clone(),
        release_counter: release.manifest.release_counter,
        digest: release.body_digest(),
    }
}

/// One frame of one segment, so that a decoder needs no window.
pub(super) fn compress(table: &[u8], prefix: &[u8]) -> Result<Vec<u8>> {
    let failed = |code| {
        Failure::new(ReasonCode::Internal, format!("zstd: {}", zstd_safe::get_error_name(code)))
    };
    let mut context = CCtx::create();
    // Both fit a window, so that the end of the table still sees the begin of the prefix.
    let log = usize::BITS - (table.len() + prefix.len()).leading_zeros();
    let set = [
        CParameter::CompressionLevel(19),
        CParameter::WindowLog(log.clamp(17, 27)),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
    ];
    set.into_iter().try_for_each(|p| context.set_parameter(p).map(drop)).map_err(failed)?;
    if !prefix.is_empty() {
        context.ref_prefix(prefix).map_err(failed)?;
    }
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(table.len()));
    context.compress2(&mut out, table).map_err(failed)?;
    Ok(out)
}

/// Makes the delta, signs it with each key that is named, proves it and gives it its name. Returns its length,
/// and the last key.
pub(super) fn write(
    old: &Unpacked,
    new: &Unpacked,
    target: &Path,
    level: i32,
    keys: &[KeyWords],
) -> Result<(u64, Option<PublicKey>)> {
    let (mut head, made) = make(old, new, target, level)?;
    let mut last = None;
    for words in keys {
        if let Some(key) = &words.key {
            last = Some(signer::sign(&mut head, key, words)?);
        }
    }
    let len = place(&head, made, (old, new), target, last.as_ref())?;
    Ok((len, last))
}

/// Proves that the delta makes the new release, then gives it its name. Returns its length.
fn place(
    head: &Unverified,
    mut made: Made,
    releases: (&Unpacked, &Unpacked),
    output: &Path,
    signer: Option<&PublicKey>,
) -> Result<u64> {
    let begin = made.stored.seek(SeekFrom::Start(0));
    begin.map_err(|e| file::failure(output, &e))?;
    prove(head, &made.stored, releases).map_err(|f| {
        let detail = format!("the delta fails its own check: {}", f.detail());
        Failure::new(ReasonCode::Internal, detail)
    })?;
    assemble(head, (Payload::Packed, made.stored, 0), output, signer)
}

fn prove(head: &Unverified, stored: &File, (old, new): (&Unpacked, &Unpacked)) -> Result<()> {
    let delta = head.clone().parse_unverified_delta()?;
    let mut input: Box<dyn Read> = Box::new(BufReader::with_capacity(1 << 20, stored));
    let table = old.release.table_bytes();
    let (found, blocks) = release_head(&delta, &mut input, Some(table))?;
    let release = found.parse_unverified()?;
    same_release(&delta, &release)?;
    if release.head_bytes() != new.release.head_bytes() {
        return Err(Failure::new(ReasonCode::Internal, "the new release's head is another one"));
    }
    let total = release.manifest.payloads.iter().map(|p| p.size).sum();
    let (progress, mut sum) = (Progress::new("checking", total), 0);
    let mut read = |payload: usize, at: u64, buf: &mut [u8]| {
        let from = delta.manifest.payloads[payload].from;
        let image = from.and_then(|n| old.images.get(n as usize));
        image
            .ok_or_else(|| Failure::new(ReasonCode::Internal, "there is no old image"))?
            .read(at, buf)
    };
    let mut done = |len: u64| {
        sum += len;
        progress.at(sum);
        Ok(())
    };
    rebuild(&delta, &release, blocks, &mut input, &mut read, &mut done)
}
