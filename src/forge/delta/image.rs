//! The images of an artifact, as files that are read in any order: no image stands in memory.

use super::super::file;
use super::super::progress::Progress;
use crate::artifact::{Chunk, Decoder, History, Release, read_head};
use crate::model::{Digest, Failure, ReasonCode, Result};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The image of one payload.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) file: Arc<File>,
    /// Bytes.
    pub(super) len: u64,
}

/// A run of bytes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) at: u64,
    pub(super) len: u64,
}

impl Extent {
    pub(super) fn end(self) -> u64 {
        self.at + self.len
    }
}

impl Image {
    pub(super) fn of(file: File, len: u64) -> Image {
        Image { file: Arc::new(file), len }
    }

    pub(super) fn read(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        let read = self.file.read_exact_at(buf, at);
        read.map_err(|e| Failure::new(ReasonCode::Io, format!("an unpacked image: {e}")))
    }

    /// A reader of all of it, in steps that are worth a call.
    pub(super) fn reader(&self) -> impl Read + '_ {
        BufReader::with_capacity(1 << 20, FromBegin { image: self, at: 0 })
    }

    /// The digest of the bytes of all these runs, back to back. A file may be longer than memory.
    pub(super) fn digest(&self, runs: &[Extent]) -> Result<Digest> {
        const STEP: u64 = 1 << 20;
        let (mut hash, mut block) = (Sha256::new(), Vec::new());
        for run in runs {
            let mut at = run.at;
            while at < run.end() {
                let step = STEP.min(run.end() - at);
                block.resize(size(step), 0);
                self.read(at, &mut block)?;
                hash.update(&block);
                at += step;
            }
        }
        Ok(Digest(hash.finalize().into()))
    }

    /// The bytes of all these runs, back to back.
    pub(super) fn bytes(&self, runs: &[Extent]) -> Result<Vec<u8>> {
        let len: u64 = runs.iter().map(|run| run.len).sum();
        let mut bytes = vec![0; size(len)];
        let mut rest = &mut bytes[..];
        for run in runs {
            let (part, after) = rest.split_at_mut(size(run.len));
            self.read(run.at, part)?;
            rest = after;
        }
        Ok(bytes)
    }
}

struct FromBegin<'a> {
    image: &'a Image,
    at: u64,
}

impl Read for FromBegin<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let left = self.image.len - self.at;
        let want = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        self.image.file.read_exact_at(&mut buf[..want], self.at)?;
        self.at += want as u64;
        Ok(want)
    }
}

/// A length that is known to be that of something in memory.
pub(super) fn size(len: u64) -> usize {
    usize::try_from(len).expect("because images of this host fit its address space")
}

/// An artifact, unpacked.
pub(super) struct Unpacked {
    pub(super) release: Release,
    /// One for each payload.
    pub(super) images: Vec<Image>,
    /// Its length, bytes.
    pub(super) len: u64,
}

/// Unpacks an artifact into files without names beside `near`. Every chunk is held against its hash;
/// signatures are not checked: the devices do that.
pub(super) fn unpack(path: &Path, near: &Path) -> Result<Unpacked> {
    let opened = file::open(path)?;
    let len = opened.metadata().map_err(|e| file::failure(path, &e))?.len();
    let mut input = BufReader::with_capacity(1 << 20, opened);
    let unpacked = read_head(&mut input).and_then(|head| {
        let release = head.parse_unverified()?;
        release.pass_pages(&mut input)?;
        let total = release.manifest.payloads.iter().map(|p| p.size).sum();
        let progress = Progress::new("unpacking", total);
        let (mut images, mut done) = (Vec::new(), 0);
        for payload in &release.manifest.payloads {
            let image = file::scratch(near)?;
            image.set_len(payload.size).map_err(|e| file::failure(near, &e))?;
            let chunks = release.chunks_of(payload);
            write_image(&image, chunks, &mut input, |n| {
                done += n;
                progress.at(done);
            })
            .map_err(|f| f.at("unpacking"))?;
            images.push(Image::of(image, payload.size));
        }
        Ok(Unpacked { release, images, len })
    });
    unpacked.map_err(|f: Failure| f.at(path.display()))
}

/// The image of these chunks, whose stored bytes come next in `input`; `done` is told how many bytes each made.
pub(in crate::forge) fn write_image(
    image: &File,
    chunks: &[Chunk],
    input: &mut dyn Read,
    mut done: impl FnMut(u64),
) -> Result<()> {
    let mut decoder = Decoder::new()?;
    let mut history = History::of(chunks);
    let (mut stored, mut plain, mut at) = (Vec::new(), Vec::new(), 0u64);
    for chunk in chunks {
        if !chunk.is_zero() {
            stored.resize(chunk.stored_len as usize, 0);
            input.read_exact(&mut stored).map_err(|e| {
                Failure::new(ReasonCode::Truncated, format!("the artifact's payload: {e}"))
            })?;
            plain.resize(chunk.plain_len as usize, 0);
            decoder.decode(chunk, history.context(chunk)?, &stored, &mut plain)?;
            history.push(&plain)?;
            image.write_all_at(&plain, at).map_err(|e| {
                Failure::new(ReasonCode::NoSpace, format!("unpacking an image: {e}"))
            })?;
        }
        at += u64::from(chunk.plain_len);
        done(u64::from(chunk.plain_len));
    }
    Ok(())
}

/// What an artifact is called in an answer: its version, and the app before that.
pub(super) fn named(artifact: &Unpacked) -> String {
    let manifest = &artifact.release.manifest;
    match &manifest.app {
        Some(app) => format!("{app} {}", manifest.version),
        None => manifest.version.to_string(),
    }
}
