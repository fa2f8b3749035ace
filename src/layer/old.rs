//! The files of layers that are here already, as one row of bytes.

use super::list::{FileList, SourceDigest};
use crate::artifact::PatchSource;
use crate::model::{Digest, Failure, ReasonCode, Result, printable};
use crate::sys::below::Below;
use crate::sys::{files, stop};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An old file: a run of bytes of an open one.
#[derive(Debug, Clone)]
pub struct OldFile {
    /// The open file.
    pub file: Arc<File>,
    /// Where it begins there.
    pub start: u64,
    /// Its length, bytes.
    pub len: u64,
}

/// Where the files of layers are found.
pub trait OldFiles {
    /// Opens an ordinary file of a layer. `DELTA_BASE` where there is none.
    fn open(&self, layer: &Digest, path: &[u8]) -> Result<OldFile>;
}

/// The folders in which an engine keeps the contents of its layers.
#[derive(Debug, Clone, Default)]
pub struct LayerFolders {
    folders: BTreeMap<Digest, PathBuf>,
}

impl LayerFolders {
    /// The layers of one image with their folders, both from the lowest. Where there are not as many folders as layers,
    /// the engine has not said which is which, and none is taken.
    pub fn add(&mut self, layers: &[Digest], folders: &[PathBuf]) {
        if layers.len() == folders.len() {
            self.folders.extend(layers.iter().copied().zip(folders.iter().cloned()));
        }
    }
}

impl OldFiles for LayerFolders {
    fn open(&self, layer: &Digest, path: &[u8]) -> Result<OldFile> {
        let folder = self.folders.get(layer).ok_or_else(|| base(layer, "it is not here"))?;
        let path = Path::new(OsStr::from_bytes(path));
        let shown = printable(&path.to_string_lossy(), 200);
        let failed = |e: std::io::Error| base(layer, &format!("`{shown}`: {e}"));
        // No link is followed on the way: what the layer's own links lead to is not of this layer.
        let held = Below::hold(folder, path).map_err(failed)?;
        let file = files::foreign(&held.place()).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        Ok(OldFile { file: Arc::new(file), start: 0, len })
    }
}

fn base(layer: &Digest, why: &str) -> Failure {
    let layer = &layer.to_string()[..12];
    let detail = format!("layer {layer} cannot be used to make another one: {why}");
    Failure::new(ReasonCode::DeltaBase, detail).with_next("Install the whole bundle.")
}

/// Files that are held open.
const OPEN: usize = 4;
/// Bytes that are hashed at once.
const STEP: usize = 64 << 10;

/// The files of a list, one behind the other.
pub struct OldBytes<'a> {
    list: FileList,
    sources: &'a [PatchSource],
    from: &'a dyn OldFiles,
    /// Where each of them ends.
    ends: Vec<u64>,
    open: VecDeque<(usize, OldFile)>,
}

impl<'a> OldBytes<'a> {
    /// Opens every file once and hashes it, before any of it is used. `DELTA_BASE` where one is missing, or the files
    /// of a layer are not what was signed: the engine's store is damaged, or has been changed.
    pub fn check(
        list: FileList,
        sources: &'a [PatchSource],
        from: &'a dyn OldFiles,
        from_size: u64,
    ) -> Result<OldBytes<'a>> {
        let mut old =
            OldBytes { list, sources, from, ends: Vec::new(), open: VecDeque::with_capacity(OPEN) };
        let mut digests: Vec<_> = sources.iter().map(|_| SourceDigest::new()).collect();
        let (mut block, mut end) = (vec![0; STEP], 0u64);
        for index in 0..old.list.len() {
            stop::look()?;
            let (layer, file) = old.opened(index)?;
            let digest = digests.get_mut(layer).ok_or_else(lost)?;
            digest.file(file.len);
            end = end.saturating_add(file.len);
            if end > from_size {
                let layer = &sources.get(layer).ok_or_else(lost)?.layer;
                return Err(base(layer, "its files are longer than those that were signed"));
            }
            let mut at = 0;
            while at < file.len {
                // At most 64 KiB, so it fits.
                let some = usize::try_from((file.len - at).min(STEP as u64)).unwrap_or(0);
                let read = file.file.read_exact_at(&mut block[..some], file.start + at);
                let source = &sources.get(layer).ok_or_else(lost)?.layer;
                read.map_err(|e| base(source, &format!("reading a file: {e}")))?;
                digest.bytes(&block[..some]);
                at += some as u64;
            }
            old.ends.push(end);
        }
        for (source, digest) in sources.iter().zip(digests) {
            if digest.finish() != source.sha256 {
                return Err(base(&source.layer, "its files are not those that were signed"));
            }
        }
        match end == from_size {
            true => Ok(old),
            false => Err(Failure::new(ReasonCode::DeltaInvalid, "old files of another length")),
        }
    }

    /// Where each file ends in the row of them.
    pub fn ends(&self) -> &[u64] {
        &self.ends
    }

    fn opened(&self, index: usize) -> Result<(usize, OldFile)> {
        let (layer, path) = self.list.get(index).ok_or_else(lost)?;
        let source = self.sources.get(layer).ok_or_else(lost)?;
        Ok((layer, self.from.open(&source.layer, path)?))
    }

    /// Fills `buf` with the bytes from `at` on.
    pub fn read(&mut self, mut at: u64, mut buf: &mut [u8]) -> Result<()> {
        while !buf.is_empty() {
            let index = self.ends.partition_point(|end| *end <= at);
            let end = *self.ends.get(index).ok_or_else(lost)?;
            let start = if index == 0 { 0 } else { self.ends[index - 1] };
            let some = usize::try_from(end - at).unwrap_or(usize::MAX).min(buf.len());
            let (part, rest) = buf.split_at_mut(some);
            let file = self.held(index)?;
            let read = file.file.read_exact_at(part, file.start + (at - start));
            read.map_err(|e| {
                let detail = format!("a file that a layer is made from has changed: {e}");
                Failure::new(ReasonCode::DeltaBase, detail)
            })?;
            at += some as u64;
            buf = rest;
        }
        Ok(())
    }

    fn held(&mut self, index: usize) -> Result<&OldFile> {
        if let Some(found) = self.open.iter().position(|(held, _)| *held == index) {
            return self.open.get(found).map(|(_, file)| file).ok_or_else(lost);
        }
        let file = self.opened(index)?.1;
        if self.open.len() == OPEN {
            self.open.pop_front();
        }
        self.open.push_back((index, file));
        self.open.back().map(|(_, file)| file).ok_or_else(lost)
    }
}

fn lost() -> Failure {
    Failure::new(ReasonCode::Internal, "a file behind the last one of a list")
}
