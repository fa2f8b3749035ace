//! A delta of a bundle: for each layer that devices do not have, a patch that makes its archive from the files of
//! layers that they have.

use super::super::assemble::{Payload, assemble};
use super::super::file;
use super::super::key_words::KeyWords;
use super::super::progress::Progress;
use super::super::signer;
use super::archives::{Archives, OldLayer, Place, between, files_of};
use super::image::{Extent, Image, Unpacked, size};
use super::make::{compress, end};
use super::ops::{self, Cost};
use super::pair::{Pair, split};
use super::stored::{Encoder, Stored, WINDOWS};
use crate::artifact::{
    APP_UPDATER, BundleDeltaManifest, DELTA_BLOCK_LEN, FromBundle, PatchSource, PayloadKind,
    PayloadPatch, PayloadPlan, Requires, Unverified,
};
use crate::bundle::parse_document;
use crate::layer::{
    MAX_FILES, MAX_PATH, MAX_PREFIX, Making, SourceDigest, bundle_head, patch_offset, same_bundle,
};
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result, WithReason};
use crate::trust::PublicKey;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shorter files are not listed: their name costs as much as they do.
const LEAST: u64 = 64;
/// Bytes of the paths of a list, at the most.
const PATHS: usize = 4 << 20;

/// What devices have: the layers of bundles, and the places in which their engines keep them.
pub(super) struct OnDevices<'a> {
    bundles: Vec<&'a Unpacked>,
    archives: Archives,
    chains: HashSet<Vec<Digest>>,
}

impl<'a> OnDevices<'a> {
    pub(super) fn of(bundles: Vec<&'a Unpacked>) -> Result<OnDevices<'a>> {
        let (mut archives, mut known) = (Archives::default(), HashSet::new());
        let mut chains = HashSet::new();
        for bundle in &bundles {
            for (payload, image) in bundle.release.manifest.payloads.iter().zip(&bundle.images) {
                if payload.kind == PayloadKind::Layer && known.insert(payload.sha256.0) {
                    archives.add(OldLayer::of(payload.sha256, image.clone())?);
                }
            }
            for layers in images(bundle)? {
                chains.extend((1..=layers.len()).map(|n| layers[..n].to_vec()));
            }
        }
        Ok(OnDevices { bundles, archives, chains })
    }
}

/// The layers of each image of a bundle.
pub(super) fn images(bundle: &Unpacked) -> Result<Vec<Vec<Digest>>> {
    let first = bundle.images.first().filter(|image| image.len <= crate::bundle::MAX_DOCUMENT_LEN);
    let none = || Failure::new(ReasonCode::AppInvalid, "the bundle has no document");
    let image = first.ok_or_else(none)?;
    let document = parse_document(&image.bytes(&[Extent { at: 0, len: image.len }])?)?;
    Ok(document.images.into_values().map(|image| image.layers).collect())
}

/// What was made besides the head.
pub(super) struct Made {
    stored: File,
    pub(super) stored_len: u64,
    /// What is not the same in both, the dearest first.
    pub(super) costs: Vec<Cost>,
}

/// Makes the delta to `new`, without a signature.
pub(super) fn make(
    old: &OnDevices<'_>,
    new: &Unpacked,
    near: &Path,
    level: i32,
) -> Result<(Unverified, Made)> {
    let ours = &new.release;
    let app = ours.manifest.app.clone();
    let app = app.ok_or_else(|| Failure::new(ReasonCode::Internal, "a bundle of no app"))?;
    let mut here: HashMap<Digest, bool> = HashMap::new();
    for layers in images(new)? {
        for (n, layer) in layers.iter().enumerate() {
            // An engine has a layer only above the same ones.
            let has = old.chains.contains(&layers[..=n]);
            here.entry(*layer).and_modify(|all| *all &= has).or_insert(has);
        }
    }
    let mut prefix = Vec::new();
    for bundle in &old.bundles {
        prefix.extend_from_slice(bundle.release.body_bytes());
        prefix.extend_from_slice(bundle.release.table_bytes());
    }
    if prefix.len() > MAX_PREFIX {
        prefix.clear();
    }
    let mut stored = Stored::new(near)?;
    let head = ours.head_bytes();
    let packed = compress(&head, &prefix)?;
    stored.write(&packed)?;
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
    for (payload, image) in ours.manifest.payloads.iter().zip(&new.images) {
        let layer = payload.kind == PayloadKind::Layer;
        let has = layer && here.get(&payload.sha256).copied().unwrap_or(false);
        let patch = match has {
            true => None,
            false => {
                let found = layer.then_some(&old.archives);
                let (after, patch, cost) = patch(found, image, (stored, level), near, &done)?;
                stored = after;
                costs.extend(cost);
                Some(patch)
            }
        };
        let (kind, size, sha256) = (payload.kind.clone(), payload.size, payload.sha256);
        payloads.push(PayloadPlan { kind, size, sha256, patch });
    }
    drop(progress);
    let (stored, hashes, stored_len) = stored.finish()?;
    let long = |len: usize| u32::try_from(len).reason(ReasonCode::TooBig, "the bundle's head");
    let from = |bundle: &&Unpacked| {
        let (found, digest) = (&bundle.release.manifest, bundle.release.body_digest());
        let named = |app: &Identifier| FromBundle {
            app: app.clone(),
            version: found.version.clone(),
            digest,
        };
        found.app.as_ref().map(named)
    };
    let manifest = BundleDeltaManifest {
        format: 3,
        product: ours.manifest.product.clone(),
        app,
        security_epoch: ours.manifest.security_epoch,
        stored: stored_len,
        head: long(packed.len())?,
        head_len: long(head.len())?,
        head_sha256: Digest::of(&head),
        head_prefix: !prefix.is_empty(),
        windows: WINDOWS,
        requires: Requires { updater: APP_UPDATER.to_owned() },
        to: end(ours),
        from: old.bundles.iter().filter_map(from).collect(),
        payloads,
    };
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.extra + cost.differ));
    Ok((Unverified::of_bundle_delta(&manifest, &hashes)?, Made { stored, stored_len, costs }))
}

/// The old files that a layer is made from, in the order in which they are first used.
#[derive(Default)]
struct Used {
    files: Vec<Place>,
    /// Where each of them begins in the row.
    starts: HashMap<Place, u64>,
    ends: Vec<u64>,
    paths: usize,
}

impl Used {
    fn take(&mut self, place: Place, archives: &Archives) -> Option<u64> {
        if let Some(start) = self.starts.get(&place) {
            return Some(*start);
        }
        let file = archives.file(place);
        let room = self.files.len() < MAX_FILES && self.paths + file.path.len() <= PATHS;
        if !room || file.path.len() > MAX_PATH {
            return None;
        }
        let start = self.ends.last().copied().unwrap_or(0);
        self.paths += file.path.len();
        self.files.push(place);
        self.ends.push(start + file.run.len);
        self.starts.insert(place, start);
        Some(start)
    }
}

/// Writes the patch of one payload behind what is stored already.
fn patch(
    old: Option<&Archives>,
    image: &Image,
    (mut stored, level): (Stored, i32),
    near: &Path,
    done: &(dyn Fn(u64) + Sync),
) -> Result<(Stored, PayloadPatch, Vec<Cost>)> {
    let none = Archives::default();
    let archives = old.unwrap_or(&none);
    let (mut used, mut pairs, mut known) = (Used::default(), Vec::new(), Vec::new());
    let new_files = if archives.layers.is_empty() { Vec::new() } else { files_of(image)? };
    for file in new_files.iter().filter(|file| file.run.len >= LEAST) {
        let Some((place, same)) = archives.like(file) else { continue };
        let len = archives.file(place).run.len;
        if len < LEAST {
            continue;
        }
        let Some(at) = used.take(place, archives) else { continue };
        let (name, old) =
            (String::from_utf8_lossy(&file.path).into_owned(), vec![Extent { at, len }]);
        split(Pair { name, new: vec![file.run], old, same }, &mut pairs);
        known.push(file.run);
    }
    let rest = Pair {
        name: "headers of the archive, and files that are new".to_owned(),
        new: between(image, &known)?,
        old: Vec::new(),
        same: false,
    };
    if !rest.new.is_empty() {
        pairs.push(rest);
    }
    let row = file::scratch(near)?;
    let (list, sources) = listed(&used, archives, &row)?;
    let before = stored.len;
    let packed = if list.is_empty() { Vec::new() } else { compress(&list, &[])? };
    stored.write(&packed)?;
    let from_size = used.ends.last().copied().unwrap_or(0);
    let mut encoder = Encoder::with_files(stored, level, used.ends)?;
    let costs = ops::write(&pairs, (&Image::of(row, from_size), image), &mut encoder, done)?;
    let stored = encoder.finish()?;
    let long = |len: usize| u32::try_from(len).reason(ReasonCode::TooBig, "a list of files");
    let patch = PayloadPatch {
        stored: stored.len - before,
        list: long(packed.len())?,
        list_len: long(list.len())?,
        from_size,
        sources,
    };
    Ok((stored, patch, costs))
}

/// The list of used files; their bytes go to `row`, one behind the other.
fn listed(used: &Used, archives: &Archives, row: &File) -> Result<(Vec<u8>, Vec<PatchSource>)> {
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    let mut digests: Vec<(usize, SourceDigest)> = Vec::new();
    let (mut list, mut before, mut at) = (Vec::new(), &[][..], 0);
    for place in &used.files {
        let number = *numbers.entry(place.0).or_insert_with(|| {
            digests.push((place.0, SourceDigest::new()));
            digests.len() - 1
        });
        let file = archives.file(*place);
        let bytes = archives.bytes(*place)?;
        let failed = |e| Failure::new(ReasonCode::NoSpace, format!("a scratch file: {e}"));
        row.write_all_at(&bytes, at).map_err(failed)?;
        at += bytes.len() as u64;
        digests[number].1.file(bytes.len() as u64);
        digests[number].1.bytes(&bytes);
        let shared = before.iter().zip(&file.path).take_while(|(a, b)| a == b).count();
        for n in [number, shared, file.path.len() - shared] {
            leb128(&mut list, n);
        }
        list.extend_from_slice(&file.path[shared..]);
        before = &file.path;
    }
    let source = |(layer, digest): (usize, SourceDigest)| PatchSource {
        layer: archives.layers[layer].digest,
        sha256: digest.finish(),
    };
    Ok((list, digests.into_iter().map(source).collect()))
}

fn leb128(out: &mut Vec<u8>, mut number: usize) {
    while number >= 128 {
        out.push(low(number) | 128);
        number >>= 7;
    }
    out.push(low(number));
}

/// The lowest seven bits.
fn low(number: usize) -> u8 {
    u8::try_from(number & 127).unwrap_or(127)
}

/// Makes the delta, signs it with each key that is named, proves it and gives it its name. Returns its length,
/// and the last key.
pub(super) fn write(
    old: &OnDevices<'_>,
    new: &Unpacked,
    target: &Path,
    level: i32,
    keys: &[KeyWords],
) -> Result<(u64, Option<PublicKey>)> {
    let (mut head, mut made) = make(old, new, target, level)?;
    let mut last = None;
    for words in keys {
        if let Some(key) = &words.key {
            last = Some(signer::sign(&mut head, key, words)?);
        }
    }
    prove(&head, &made, old, new).map_err(|f| {
        let detail = format!("the delta fails its own check: {}", f.detail());
        Failure::new(ReasonCode::Internal, detail)
    })?;
    let begin = made.stored.seek(SeekFrom::Start(0));
    begin.map_err(|e| file::failure(target, &e))?;
    let len = assemble(&head, (Payload::Packed, made.stored, 0), target, last.as_ref())?;
    Ok((len, last))
}

/// Makes every payload as a device does.
pub(super) fn prove(
    head: &Unverified,
    made: &Made,
    old: &OnDevices<'_>,
    new: &Unpacked,
) -> Result<()> {
    let delta = head.clone().parse_unverified_bundle_delta()?;
    let mut find = |from: &FromBundle| {
        let bundle = old.bundles.iter().find(|b| b.release.body_digest() == from.digest)?;
        Some([bundle.release.body_bytes(), bundle.release.table_bytes()].concat())
    };
    let reader = |at: u64| {
        let image = (&made.stored).seek(SeekFrom::Start(at));
        image.map_err(|e| Failure::new(ReasonCode::Io, format!("a scratch file: {e}")))?;
        Ok::<_, Failure>(BufReader::with_capacity(size(DELTA_BLOCK_LEN.into()), &made.stored))
    };
    let found = bundle_head(&delta, &mut reader(0)?, &mut find)?;
    if found.to_bytes() != new.release.head_bytes() {
        return Err(Failure::new(ReasonCode::Internal, "the bundle's head is another one"));
    }
    same_bundle(&delta, &found.parse_unverified()?)?;
    let total = delta.manifest.payloads.iter().map(|p| p.size).sum();
    let (progress, mut sum) = (Progress::new("checking", total), 0);
    for (index, plan) in delta.manifest.payloads.iter().enumerate() {
        if plan.patch.is_some() {
            let input = reader(patch_offset(&delta, index) - delta.stored_offset())?;
            let mut making = Making::begin(&delta, index, Box::new(input), &old.archives)?;
            let copied = std::io::copy(&mut making, &mut std::io::sink());
            copied.map_err(|e| {
                let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<Failure>());
                let other = || Failure::new(ReasonCode::Internal, e.to_string());
                inner.cloned().unwrap_or_else(other)
            })?;
        }
        sum += plan.size;
        progress.at(sum);
    }
    Ok(())
}
