//! A delta as a source: whether the release that it is made from runs here, and whether all of it is right.

use super::world::World;
use crate::artifact::{Delta, DeltaPayload, Installed, Release, Unverified};
use crate::delta::{check_blocks, nothing_follows, rebuild, release_head, same_release};
use crate::disk::BlockDevice;
use crate::event::Sink;
use crate::install::{FromDelta, check_delta};
use crate::model::{Digest, Failure, ReasonCode, Result, SlotId};
use crate::source::{Sequential, Source};
use crate::sys::stop;
use crate::trust::{Trust, Verified};
use std::io::Read;

/// Reads the new release's head out of a delta whose own head has just been read from `source`. Nothing is
/// decoded before the delta's signatures are verified and the release that it needs is known to run.
/// `DELTA_BASE` where it does not. `makes` becomes the release that it is signed to make, in any case.
pub(super) fn open(
    world: &World,
    head: Unverified,
    source: &mut Source,
    trust: &Trust,
    makes: &mut Option<Digest>,
) -> Result<(Verified<Release>, FromDelta)> {
    let delta = head.verify_delta(trust)?;
    *makes = Some(delta.manifest.to.digest);
    let from = &delta.manifest.from;
    let booted = world.booted()?;
    let installed = world.installed(booted);
    let running = installed.as_ref().filter(|running| running.body_digest == from.digest);
    let Some(running) = running else {
        let runs = world.named(booted);
        let detail = format!(
            "it makes {} from {}, and {runs} runs here",
            delta.manifest.to.version, from.version
        );
        return Err(
            Failure::new(ReasonCode::DeltaBase, detail).with_next(next(&from.version.to_string()))
        );
    };
    reads_what_runs(&delta, running)?;
    let table = table(running);
    let (head, blocks) = match source {
        Source::Stream(stream) => release_head(&delta, stream, table.as_deref())?,
        Source::Local(file) => {
            let mut input = Sequential::starting_at(file, delta.stored_offset());
            release_head(&delta, &mut input, table.as_deref())?
        }
        Source::Ranges(bytes) => {
            let mut input = Sequential::starting_at(&**bytes, delta.stored_offset());
            release_head(&delta, &mut input, table.as_deref())?
        }
    };
    let release = head.verify(trust)?;
    same_release(&delta, &release)?;
    Ok((release, FromDelta { delta, blocks }))
}

/// Checks all of a delta: its bytes, every op, and with the slot that runs (where it has all old images)
/// every chunk that comes out. `DELTA_BASE`, `DELTA_INVALID`, `CHUNK_CORRUPT`, and what the source says.
pub(super) fn check(
    world: &World,
    (release, from): (&Release, &FromDelta),
    source: &mut Source,
    slot: Option<SlotId>,
    sink: &dyn Sink,
) -> Result<()> {
    if let Some(bytes) = source.ranges() {
        check_delta(bytes, from, sink)?;
    }
    let parts = slot.map(|slot| world.parts(slot)).transpose()?;
    let offset = from.offset();
    let mut input: Box<dyn Read + '_> = match source {
        Source::Stream(stream) => Box::new(stream),
        Source::Local(file) => Box::new(Sequential::starting_at(file, offset)),
        Source::Ranges(bytes) => Box::new(Sequential::starting_at(&**bytes, offset)),
    };
    let blocks = from.blocks.clone();
    let mut done = |_: u64| stop::look();
    match parts {
        None => check_blocks(&from.delta, blocks, &mut input, &mut done)?,
        Some(parts) => {
            let mut read = |payload: usize, at: u64, buf: &mut [u8]| {
                let name = release.manifest.payloads[payload].part();
                let part = parts.iter().find(|part| Some(&part.name) == name.as_ref());
                let none = || Failure::new(ReasonCode::DeltaBase, "the slot has no such part");
                part.ok_or_else(none)?.device.read_at(at, buf)
            };
            rebuild(&from.delta, release, blocks, &mut input, &mut read, &mut done)?;
        }
    }
    nothing_follows(&mut input)
}

/// The old images are those of the manifest that `from` names. `DELTA_INVALID` where they have other lengths: ops
/// may read as far as is said.
fn reads_what_runs(delta: &Delta, running: &Installed) -> Result<()> {
    let old = |n: u32| running.manifest.payloads.get(n as usize);
    let all = &delta.manifest.payloads;
    let right =
        |p: &DeltaPayload| p.from.is_none_or(|n| old(n).map(|o| o.size) == Some(p.from_size));
    match all.iter().all(right) {
        true => Ok(()),
        false => {
            let detail = "it reads other images than its base has";
            Err(Failure::new(ReasonCode::DeltaInvalid, detail))
        }
    }
}

fn next(version: &str) -> String {
    format!("Install the full artifact; this delta is for devices that run {version}.")
}

/// The whole chunk table of what runs, as shipped, where its record has it.
fn table(running: &Installed) -> Option<Vec<u8>> {
    let whole = running.payloads.len() == running.manifest.payloads.len();
    let chunks = running.chunks.as_ref().filter(|_| whole)?;
    Some(chunks.iter().flat_map(|chunk| chunk.to_bytes()).collect())
}
