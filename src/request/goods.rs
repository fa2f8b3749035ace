//! The artifact that goes with a request: where it lies, or how it comes.

use crate::device::{FileSource, Source};
use crate::model::{Failure, ReasonCode, Result};
use crate::stick::{Served, Serving};
use crate::sys::files;
use crate::sys::unix::Patient;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// For how long an artifact that comes as a stream may pause, or nearly so.
pub const SILENCE: Duration = Duration::from_secs(120);

/// The bytes of one artifact.
pub enum Goods {
    /// A file.
    File(PathBuf),
    /// Standard input of this process.
    Stdin,
    /// A child that reads a stick, and the artifact's name there.
    Stick(Serving, String),
    /// A descriptor that was handed to this process.
    Handed(OwnedFd),
    /// Bytes as they come.
    Stream(Box<dyn Read + Send>),
}

impl Goods {
    /// `-` is standard input; anything else is a path.
    pub fn named(word: &str) -> Goods {
        match word {
            "-" => Goods::Stdin,
            path => Goods::File(path.into()),
        }
    }

    /// For this process; and where they lie, if what is open is a file. A file can be read anywhere, at
    /// the other end of a socket a process reads a stick, and a pipe is read as it comes.
    pub(super) fn open(self) -> Result<(Source, Option<PathBuf>)> {
        let fd = match self {
            Goods::File(path) => return Ok((Source::File(path), None)),
            Goods::Stdin => return Ok((Source::Stdin, None)),
            Goods::Stick(serving, name) => {
                return Ok((Source::Open(Arc::new(serving.open(&name)?)), None));
            }
            Goods::Stream(stream) => return Ok((Source::Stream(stream), None)),
            Goods::Handed(fd) => fd,
        };
        let path = files::path_of(fd.as_fd());
        let fd = match Served::handed(fd, "the stick") {
            Ok(served) => return Ok((Source::Open(Arc::new(served?)), path)),
            Err(fd) => fd,
        };
        let source = match FileSource::opened(fd.into(), "the file handed over") {
            Ok(file) => Source::Open(Arc::new(file)),
            Err(pipe) => Source::Stream(Box::new(Patient::new(pipe, SILENCE))),
        };
        Ok((source, path))
    }

    /// For another process: what it may not be able to open, it is handed.
    pub(super) fn hand<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> Result<T>) -> Result<T> {
        match self {
            Goods::File(path) => {
                let file: File = FileSource::open(path)?.into();
                act(file.as_fd())
            }
            Goods::Stdin => act(std::io::stdin().as_fd()),
            Goods::Stick(serving, _) => act(serving.socket()),
            Goods::Handed(fd) => act(fd.as_fd()),
            Goods::Stream(_) => {
                Err(Failure::new(ReasonCode::Internal, "a stream cannot be handed over"))
            }
        }
    }
}
