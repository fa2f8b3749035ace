//! `delta --estimate`: what each way would cost, and what makes a delta large.

use super::super::say::{document, say};
use super::bundle::{self, OnDevices};
use super::image::{Unpacked, unpack};
use super::layout::{PACKED_BLOCKS, PACKED_TABLES};
use super::make::make;
use super::ops::Cost;
use crate::artifact::{RECORD_LEN, Release};
use crate::model::{ByteLen, Digest, Failure, ReasonCode, Result, printable};
use serde_json::json;
use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Files that are named.
const NAMED: usize = 8;
/// What costs less is not named, bytes.
const LEAST: u64 = 16 << 10;

/// From one old release.
struct Estimate {
    from: String,
    adaptive: u64,
    delta: u64,
    spoils: Vec<(String, u64, &'static str)>,
}

pub(super) fn run(paths: &[PathBuf], level: i32, as_json: bool) -> Result<()> {
    let Some((to, from)) = paths.split_last() else {
        return Err(Failure::new(ReasonCode::Usage, "--estimate OLD… NEW"));
    };
    let near = std::env::temp_dir().join("surefoot-forge");
    let new = unpack(to, &near)?;
    let mut estimates = Vec::new();
    for path in from {
        estimates.push(estimate(&unpack(path, &near)?, &new, &near, level)?);
    }
    let version = &new.release.manifest.version;
    if as_json {
        let from = estimates.iter().map(|e| {
            let spoils = e.spoils.iter().map(|(what, bytes, why)| {
                json!({ "what": printable(what, 400), "bytes": bytes, "why": why })
            });
            json!({
                "from": e.from, "adaptive": e.adaptive, "delta": e.delta,
                "spoils": spoils.collect::<Vec<_>>(),
            })
        });
        return say(&document(&json!({
            "v": 1, "to": version, "full": new.len, "from": from.collect::<Vec<_>>(),
        })));
    }
    let mut text = format!("{version}: {} in full\n", ByteLen(new.len));
    for e in estimates {
        let (adaptive, delta) = (ByteLen(e.adaptive), ByteLen(e.delta));
        let _ = writeln!(text, "from {}: {adaptive} adaptive, {delta} as a delta", e.from);
        for (what, bytes, why) in e.spoils {
            let _ = writeln!(text, "  {} new in {}: {why}", ByteLen(bytes), printable(&what, 400));
        }
    }
    say(&text)
}

fn estimate(old: &Unpacked, new: &Unpacked, near: &Path, level: i32) -> Result<Estimate> {
    let (delta, costs) = match new.release.manifest.app {
        Some(_) => {
            let devices = OnDevices::of(vec![old])?;
            let (head, made) = bundle::make(&devices, new, near, level)?;
            (head.rest_offset() + made.stored_len, made.costs)
        }
        None => {
            let (head, made) = make(old, new, near, level)?;
            (head.rest_offset() + made.stored_len, made.costs)
        }
    };
    let dear = costs.iter().filter(|cost| cost.extra + cost.differ >= LEAST).take(NAMED);
    let spoils =
        dear.map(|cost| (cost.name.clone(), cost.extra + cost.differ, why(cost))).collect();
    let from = super::image::named(old);
    Ok(Estimate { from, adaptive: adaptive(&old.release, &new.release), delta, spoils })
}

/// Bytes that a device fetches that has `old` and asks for what it has not: head, page hashes, changed
/// pages of the table, stored chunks.
pub(super) fn adaptive(old: &Release, new: &Release) -> u64 {
    let known: HashSet<Digest> = old.table.chunks.iter().map(|chunk| chunk.plain).collect();
    let mut had = known;
    let missing = new.table.chunks.iter().filter(|c| !c.is_zero() && had.insert(c.plain));
    let stored: u64 = missing.map(|chunk| u64::from(chunk.stored_len)).sum();
    let pages: HashSet<&[u8]> = old.pages().get(32..).unwrap_or(&[]).chunks_exact(16).collect();
    let changed = new.pages().get(32..).unwrap_or(&[]).chunks_exact(16);
    let records: u64 =
        changed.filter(|page| !pages.contains(page)).map(|page| u64::from(page[0])).sum();
    let head = new.head_bytes_without_table().len() + new.pages().len();
    head as u64 + records * u64::from(RECORD_LEN) + stored
}

/// Why it costs so much, as far as its bytes say.
fn why(cost: &Cost) -> &'static str {
    let begins = |magic: &[u8]| cost.begin.starts_with(magic);
    let packed = begins(&[0x1f, 0x8b])
        || begins(&[0x28, 0xb5, 0x2f, 0xfd])
        || begins(&[0xfd, b'7', b'z', b'X', b'Z'])
        || begins(b"BZh");
    match cost {
        _ if cost.name == PACKED_BLOCKS => {
            "a small change changes its compressed block to the end; store blocks as they are (`mksquashfs -noD -noF`, erofs without -z): the artifact compresses them"
        }
        _ if cost.name == PACKED_TABLES => {
            "what moves has another place in them, and they are compressed; store them as they are (`mksquashfs -noI`)"
        }
        _ if packed => {
            "it is compressed, so that a small change changes all that follows; store it as LZ4 or as it is"
        }
        _ if cost.name.starts_with("metadata") => {
            "the filesystem's own bytes; times of files that change with each build are among them: build with SOURCE_DATE_EPOCH"
        }
        Cost { paired: false, .. } => {
            "no old file has this path or these bytes: it is new, or was moved and changed"
        }
        Cost { extra, len, .. } if *extra > *len / 2 => {
            "most of it is unlike the old file: it is compressed inside, or was made anew"
        }
        _ => "it has changed",
    }
}
