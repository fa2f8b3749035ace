//! A delta as a source: whether the release that it is made from runs here, and what stands in for it
//! where it does not help.

use super::installation::Installation;
use super::unfinished::{Origin, fetch};
use super::world::World;
use crate::artifact::{Installed, Release, Unverified};
use crate::delta::{check_blocks, nothing_follows, rebuild, release_head, same_release};
use crate::disk::BlockDevice;
use crate::event::Sink;
use crate::install::{FromDelta, check_delta};
use crate::model::{Failure, ReasonCode, Result, SlotId};
use crate::source::{Sequential, Source};
use crate::sys::stop;
use crate::trust::{Trust, Verified};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Reads the new release's head out of a delta whose own head has just been read from `source`. Nothing is
/// decoded before the delta's signatures are verified and the release that it needs is known to run.
/// `DELTA_BASE` where it does not.
pub(super) fn open(
    world: &World,
    head: Unverified,
    source: &mut Source,
    trust: &Trust,
) -> Result<(Verified<Release>, FromDelta)> {
    let delta = head.verify_delta(trust)?;
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

fn next(version: &str) -> String {
    format!("Install the full artifact; this delta is for devices that run {version}.")
}

/// The whole chunk table of what runs, as shipped, where its record has it.
fn table(running: &Installed) -> Option<Vec<u8>> {
    let whole = running.payloads.len() == running.manifest.payloads.len();
    let chunks = running.chunks.as_ref().filter(|_| whole)?;
    Some(chunks.iter().flat_map(|chunk| chunk.to_bytes()).collect())
}

/// Whether another way may bring what a delta did not: what it is made from is not here, or it is damaged.
pub(super) fn may_fall_back(code: ReasonCode) -> bool {
    matches!(
        code,
        ReasonCode::DeltaBase
            | ReasonCode::DeltaInvalid
            | ReasonCode::ChunkCorrupt
            | ReasonCode::Truncated
            | ReasonCode::TrailingBytes
    )
}

/// What the full artifact beside a delta is called: `X.surefoot` beside `X.from-VERSION.delta.surefoot`.
fn full_name(delta: &str) -> Option<String> {
    let (stem, from) = delta.strip_suffix(".delta.surefoot")?.rsplit_once(".from-")?;
    let named = !from.contains('/') && !stem.is_empty() && !stem.ends_with('/');
    named.then(|| format!("{stem}.surefoot"))
}

/// Where the full artifact is that lies beside what is installed. A file is looked for; whether a server
/// has one is seen when it is asked. What was offered under one name only is fetched from nowhere else:
/// its offer names the full artifact itself.
pub(super) fn full_beside(source: &Source, ask: &Installation) -> Option<Origin> {
    match &ask.url {
        Some(url) if ask.expected.is_none() => full_name(url).map(Origin::Url),
        Some(_) => None,
        None => full_file(&source.path()?).map(Origin::File),
    }
}

fn full_file(delta: &Path) -> Option<PathBuf> {
    let full = delta.with_file_name(full_name(delta.file_name()?.to_str()?)?);
    full.is_file().then_some(full)
}

/// Opens the full artifact, and what is asked of it; its name for people, without what a URL may hide.
pub(super) fn open_full(
    world: &World,
    full: &Origin,
    ask: Installation,
) -> Result<(Source, Installation, String)> {
    match full {
        Origin::File(path) => Ok((Source::open(path)?, ask, path.display().to_string())),
        Origin::Url(url) => {
            let name = url.rsplit('/').next().unwrap_or_default().to_owned();
            let ask = Installation { url: Some(url.clone()), ..ask };
            Ok((fetch(world, url, false)?, ask, name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_artifact_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let delta = at("x-2.0.from-1.0.from-9.delta.surefoot");
        assert_eq!(full_file(&delta), None, "it is not there");
        std::fs::write(at("x-2.0.from-1.0.surefoot"), "").unwrap();
        assert_eq!(full_file(&delta), Some(at("x-2.0.from-1.0.surefoot")));
        for other in ["x.surefoot", "x.delta.surefoot", "x.from-1.surefoot"] {
            assert_eq!(full_file(&at(other)), None, "{other}");
        }
    }

    #[test]
    fn and_on_a_server_by_its_url() {
        let full = |url: &str| full_name(url);
        let delta = "https://h.example/a/x-2.0.from-1.0.delta.surefoot";
        assert_eq!(full(delta).as_deref(), Some("https://h.example/a/x-2.0.surefoot"));
        let others = [
            "https://h.example/x.surefoot",
            "https://h.example/x.from-1.0.delta.surefoot?token=a",
            "https://h.example/a.from-1/x.delta.surefoot",
            "https://h.example/.from-1.delta.surefoot",
        ];
        for other in others {
            assert_eq!(full(other), None, "{other}");
        }
    }
}
