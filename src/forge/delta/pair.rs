//! Which bytes of the old image each part of the new one is compared with.

use super::image::{Extent, Image, size};
use super::layout::{areas, within};
use super::tree::{self, Found};
use crate::artifact::Chunk;
use crate::model::Result;
use std::collections::HashMap;

/// The unit in which zeros and metadata are looked for, bytes.
const BLOCK: u64 = 4096;
/// New bytes without a path that are compared at once.
const PIECE: u64 = 32 << 20;
/// Old bytes that they are compared with, at the most.
const AREA: u64 = 96 << 20;

/// New bytes, and the old ones that they are compared with.
#[derive(Debug)]
pub(super) struct Pair {
    /// What it is, for people.
    pub(super) name: String,
    pub(super) new: Vec<Extent>,
    /// None: all of it is new.
    pub(super) old: Vec<Extent>,
    /// The bytes are the same, one by one.
    pub(super) same: bool,
}

/// Pairs of all bytes of the new image that are not zeros, by the files of an ext4 image where both are
/// one, else by the chunks that both have and then by place, each part of a read-only image for itself.
pub(super) fn pairs(
    (old, old_chunks): (&Image, &[Chunk]),
    (new, new_chunks): (&Image, &[Chunk]),
) -> Result<Vec<Pair>> {
    match (tree::files(old), tree::files(new)) {
        (Some(theirs), Some(ours)) if !ours.is_empty() => by_files((old, &theirs), (new, &ours)),
        _ => by_chunks((old, old_chunks), (new, new_chunks)),
    }
}

/// The path with its runs of digits masked: the next version of the same file, often.
pub(super) fn masked(path: &str) -> String {
    let (mut out, mut digits) = (String::new(), false);
    for letter in path.chars() {
        if !letter.is_ascii_digit() {
            out.push(letter);
        } else if !digits {
            out.push('#');
        }
        digits = letter.is_ascii_digit();
    }
    out
}

fn len_of(runs: &[Extent]) -> u64 {
    runs.iter().map(|run| run.len).sum()
}

fn by_files(
    (old, theirs): (&Image, &[Found]),
    (new, ours): (&Image, &[Found]),
) -> Result<Vec<Pair>> {
    let (mut by_hash, mut by_path, mut by_mask) = (HashMap::new(), HashMap::new(), HashMap::new());
    for (n, file) in theirs.iter().enumerate() {
        by_hash.insert(old.digest(&file.runs)?.0, n);
        by_path.insert(file.path.as_str(), n);
        by_mask.entry(masked(&file.path)).or_insert_with(Vec::new).push(n);
    }
    let mut pairs = Vec::new();
    for file in ours {
        let same = by_hash.get(&new.digest(&file.runs)?.0).copied();
        let near = |found: &Vec<usize>| {
            let ours = len_of(&file.runs);
            found.iter().copied().min_by_key(|n| len_of(&theirs[*n].runs).abs_diff(ours))
        };
        let other = same
            .or_else(|| by_path.get(file.path.as_str()).copied())
            .or_else(|| by_mask.get(&masked(&file.path)).and_then(near));
        let old = other.map_or(Vec::new(), |n| theirs[n].runs.clone());
        let pair =
            Pair { name: file.path.clone(), new: file.runs.clone(), old, same: same.is_some() };
        split(pair, &mut pairs);
    }
    // What is no file's: inodes, folders, bitmaps, the journal.
    let owned = |files: &[Found]| files.iter().flat_map(|f| f.runs.clone()).collect::<Vec<_>>();
    let rest = Pair {
        name: "metadata of the filesystem".to_owned(),
        new: data_outside(new, owned(ours))?,
        old: data_outside(old, owned(theirs))?,
        same: false,
    };
    split(rest, &mut pairs);
    Ok(pairs)
}

fn by_chunks(
    (old, old_chunks): (&Image, &[Chunk]),
    (new, new_chunks): (&Image, &[Chunk]),
) -> Result<Vec<Pair>> {
    let places = |chunks: &[Chunk]| {
        let mut at = 0;
        let place = |chunk: &Chunk| {
            at += u64::from(chunk.plain_len);
            Extent { at: at - u64::from(chunk.plain_len), len: chunk.plain_len.into() }
        };
        chunks.iter().map(place).collect::<Vec<_>>()
    };
    let (old_places, new_places) = (places(old_chunks), places(new_chunks));
    let theirs: HashMap<[u8; 32], Extent> =
        old_chunks.iter().zip(&old_places).map(|(chunk, at)| (chunk.plain.0, *at)).collect();
    let (mut pairs, mut new_known, mut known) = (Vec::new(), Vec::new(), HashMap::new());
    for (chunk, place) in new_chunks.iter().zip(&new_places) {
        let Some(other) = theirs.get(&chunk.plain.0).filter(|_| !chunk.is_zero()) else { continue };
        let (name, same) = ("chunks of both".to_owned(), true);
        pairs.push(Pair { name, new: vec![*place], old: vec![*other], same });
        new_known.push(*place);
        known.insert(other.at, *other);
    }
    let (ours, theirs) =
        (data_outside(new, new_known)?, data_outside(old, known.into_values().collect())?);
    for (old_area, area) in areas(old, new) {
        let (new, old) = (within(&ours, area), within(&theirs, old_area));
        split(Pair { name: area.name.to_owned(), new, old, same: false }, &mut pairs);
    }
    Ok(pairs)
}

/// The runs of an image that are in none of `known` and not zeros, as whole blocks as far as they go.
fn data_outside(image: &Image, mut known: Vec<Extent>) -> Result<Vec<Extent>> {
    known.sort_unstable_by_key(|run| run.at);
    known.push(Extent { at: image.len, len: 0 });
    let (mut runs, mut at) = (Vec::<Extent>::new(), 0);
    let mut block = vec![0; size(BLOCK)];
    for run in known {
        while at < run.at {
            let len = (BLOCK - at % BLOCK).min(run.at - at);
            let bytes = &mut block[..size(len)];
            image.read(at, bytes)?;
            if bytes.iter().any(|byte| *byte != 0) {
                match runs.last_mut() {
                    Some(last) if last.end() == at => last.len += len,
                    _ => runs.push(Extent { at, len }),
                }
            }
            at += len;
        }
        at = at.max(run.end());
    }
    Ok(runs)
}

/// Pairs that are too long to be compared at once become several: each new part with the old bytes
/// around the same place.
pub(super) fn split(pair: Pair, pairs: &mut Vec<Pair>) {
    let (new, old) = (len_of(&pair.new), len_of(&pair.old));
    if pair.same || pair.old.is_empty() || (new <= 2 * PIECE && old <= AREA) {
        if new > 0 {
            pairs.push(pair);
        }
        return;
    }
    let mut at = 0;
    while at < new {
        let len = PIECE.min(new - at);
        let middle = u128::from(at + len / 2) * u128::from(old) / u128::from(new);
        let middle = u64::try_from(middle).unwrap_or(old);
        let from = middle.saturating_sub(AREA / 2).min(old.saturating_sub(AREA));
        let (new, old) = (cut(&pair.new, at, len), cut(&pair.old, from, AREA));
        pairs.push(Pair { name: pair.name.clone(), new, old, same: false });
        at += len;
    }
}

/// The bytes `from..from + len` of these runs, back to back.
fn cut(runs: &[Extent], from: u64, len: u64) -> Vec<Extent> {
    let (mut out, mut before) = (Vec::new(), 0);
    for run in runs {
        let start = from.max(before);
        let end = from.saturating_add(len).min(before + run.len);
        if start < end {
            out.push(Extent { at: run.at + (start - before), len: end - start });
        }
        before += run.len;
    }
    out
}
