//! What the readers of all kinds share: where an image stands, and what stands at a path.

use crate::model::{Failure, ReasonCode, Result};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a name in a root filesystem stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A folder.
    Folder,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A device, a socket or a FIFO.
    Other,
}

impl What {
    /// By the type in a mode (`S_IFMT`).
    pub(super) fn of_mode(mode: u32) -> What {
        match mode & 0xf000 {
            0x4000 => What::Folder,
            0x8000 => What::File,
            0xa000 => What::Link,
            _ => What::Other,
        }
    }
}

/// What is known of a file without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// What it is.
    pub what: What,
    /// Its permission bits, 12 of them.
    pub mode: u32,
    /// The number of its owner.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// Bytes of a regular file.
    pub len: u64,
}

/// What stands at a path that leads through no link.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) about: About,
    /// Where a symbolic link points.
    pub(super) target: Option<String>,
}

/// An image in a file, or a piece of one.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: File,
    /// For people.
    pub(super) name: PathBuf,
    /// Where other programs find the file for as long as this process has it open.
    pub(super) path: PathBuf,
    pub(super) start: u64,
    pub(super) len: u64,
}

impl Part {
    pub(super) fn new(file: File, name: &Path, start: u64, len: u64) -> Part {
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Part { file, name: name.to_owned(), path: path.into(), start, len }
    }

    /// `None` for what lies outside, or cannot be read.
    pub(super) fn read(&self, at: u64, buf: &mut [u8]) -> Option<()> {
        let end = at.checked_add(u64::try_from(buf.len()).ok()?)?;
        if end > self.len {
            return None;
        }
        self.file.read_exact_at(buf, self.start.checked_add(at)?).ok()
    }

    /// A file system in which `what` cannot be followed.
    pub(super) fn broken(&self, what: &str) -> Failure {
        let text = format!("{}: the file system cannot be read: {what}", self.name.display());
        Failure::new(ReasonCode::NotAnImage, text)
    }

    pub(super) fn too_long(&self, path: &str, limit: u64) -> Failure {
        self.broken(&format!("/{path} is longer than {limit} bytes"))
    }
}

/// How much of a file is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    /// All of it; a longer one is an error.
    All(u64),
    /// At most so many bytes of its beginning.
    Head(u64),
}

impl Want {
    /// How many bytes of a file of `len` bytes are read; `None` where it is too long.
    pub(super) fn of(self, len: u64) -> Option<u64> {
        match self {
            Want::All(limit) => Some(len).filter(|len| *len <= limit),
            Want::Head(limit) => Some(len.min(limit)),
        }
    }

    pub(super) fn limit(self) -> u64 {
        match self {
            Want::All(limit) | Want::Head(limit) => limit,
        }
    }
}

/// The parts of a path without a root: `etc/x`; an empty one is the root itself.
pub(super) fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// The names that lie in `folder`, of all paths of a listing.
pub(super) fn below<'a>(folder: &str, all: impl Iterator<Item = &'a String>) -> Vec<String> {
    let begin = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let names = all.filter_map(|path| path.strip_prefix(&begin));
    names.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect()
}

/// The result of a reader that says only that it failed.
pub(super) fn or_broken<T>(part: &Part, what: &str, found: Option<T>) -> Result<T> {
    found.ok_or_else(|| part.broken(what))
}
