//! An erofs image: its folders, links and what it does not compress; a compressed file by `fsck.erofs` of erofs-utils.
//!
//! Layout: kernel.org, "EROFS", and Linux's `fs/erofs/erofs_fs.h`. All numbers are little-endian.

use super::part::{About, Node, Part, Want, What, or_broken, parts};
use super::tool::output;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::files;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

const FOLDER: u64 = 256 << 20;
const TARGET: u64 = 4096;
const DIRENT: usize = 12;

fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + len)?;
    Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// An image.
#[derive(Debug)]
pub(super) struct Erofs {
    part: Part,
    block: u64,
    root: u64,
    /// Where inodes begin, bytes.
    inodes: u64,
}

/// What is needed of an inode.
struct Inode {
    about: About,
    /// How its bytes are laid out: 0 plain, 2 plain with the tail behind the inode.
    layout: u64,
    /// Where its whole blocks begin, bytes.
    blocks: u64,
    /// Where its tail stands, bytes.
    tail: u64,
}

impl Erofs {
    /// By its first 2 KiB.
    pub(super) fn open(part: Part, head: &[u8]) -> Result<Erofs> {
        let field = |at: usize, len| number(head, 1024 + at, len);
        let found = || {
            let block = 1 << field(12, 1).filter(|bits| (9..=16).contains(bits))?;
            Some((block, field(14, 2)?, field(40, 4)?.checked_mul(block)?))
        };
        let (block, root, inodes) = or_broken(&part, "its superblock", found())?;
        Ok(Erofs { part, block, root, inodes })
    }

    pub(super) fn node(&self, path: &str) -> Result<Option<Node>> {
        let Some(inode) = or_broken(&self.part, path, self.find(path))? else { return Ok(None) };
        let target = match inode.about.what {
            What::Link if inode.about.len <= TARGET => {
                let target = or_broken(&self.part, path, self.plain(&inode, inode.about.len))?;
                Some(String::from_utf8_lossy(&target).into_owned())
            }
            What::Link => return Err(self.part.broken(path)),
            _ => None,
        };
        Ok(Some(Node { about: inode.about, target }))
    }

    pub(super) fn list(&self, path: &str) -> Result<Vec<String>> {
        let found = self.find(path).flatten();
        let names = found.and_then(|inode| self.names(&inode));
        let names = or_broken(&self.part, path, names)?;
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    pub(super) fn read(&self, path: &str, want: Want) -> Result<Vec<u8>> {
        let inode = or_broken(&self.part, path, self.find(path).flatten())?;
        let Some(len) = want.of(inode.about.len) else {
            return Err(self.part.too_long(path, want.limit()));
        };
        match self.plain(&inode, len) {
            Some(bytes) => Ok(bytes),
            None => self.unpacked(path, want, inode.about.len),
        }
    }

    fn bytes(&self, at: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).ok().filter(|_| len <= self.part.len)?];
        self.part.read(at, &mut bytes)?;
        Some(bytes)
    }

    fn inode(&self, nid: u64) -> Option<Inode> {
        let at = self.inodes.checked_add(nid.checked_mul(32)?)?;
        let short = self.bytes(at, 32)?;
        let format = number(&short, 0, 2)?;
        let mode = u32::try_from(number(&short, 4, 2)?).ok()?;
        let long = format & 1 == 1;
        let head = if long { self.bytes(at, 64)? } else { short };
        let id = |at, len| u32::try_from(number(&head, at, len)?).ok();
        let (len, uid, gid) = match long {
            true => (number(&head, 8, 8)?, id(24, 4)?, id(28, 4)?),
            false => (number(&head, 8, 4)?, id(24, 2)?, id(26, 2)?),
        };
        let attributes = match number(&head, 2, 2)? {
            0 => 0,
            count => 12 + 4 * (count - 1),
        };
        let about = About { what: What::of_mode(mode), mode: mode & 0o7777, uid, gid, len };
        let layout = format >> 1 & 7;
        let blocks = number(&head, 16, 4)?.checked_mul(self.block)?;
        let tail = at + if long { 64 } else { 32 } + attributes;
        Some(Inode { about, layout, blocks, tail })
    }

    /// `None` means broken, and `Some(None)` that nothing is there.
    fn find(&self, path: &str) -> Option<Option<Inode>> {
        let mut inode = self.inode(self.root)?;
        for part in parts(path) {
            if inode.about.what != What::Folder {
                return Some(None);
            }
            let names = self.names(&inode)?;
            let Some((nid, _)) = names.into_iter().find(|(_, name)| name == part) else {
                return Some(None);
            };
            inode = self.inode(nid)?;
        }
        Some(Some(inode))
    }

    fn names(&self, inode: &Inode) -> Option<Vec<(u64, String)>> {
        let len = Some(inode.about.len).filter(|len| *len <= FOLDER)?;
        let mut names = Vec::new();
        for block in self.plain(inode, len)?.chunks(usize::try_from(self.block).ok()?) {
            let start = |n: usize| usize::try_from(number(block, n * DIRENT + 8, 2)?).ok();
            let count = start(0)? / DIRENT;
            for n in 0..count {
                let end = if n + 1 < count { start(n + 1)? } else { block.len() };
                let name = block.get(start(n)?..end)?;
                let name = name.split(|byte| *byte == 0).next()?;
                if name != b"." && name != b".." {
                    let nid = number(block, n * DIRENT, 8)?;
                    names.push((nid, String::from_utf8_lossy(name).into_owned()));
                }
            }
        }
        Some(names)
    }

    /// The first `len` bytes of what is not compressed.
    fn plain(&self, inode: &Inode, len: u64) -> Option<Vec<u8>> {
        let tail = match inode.layout {
            0 => 0,
            2 => inode.about.len % self.block,
            _ => return None,
        };
        let whole = inode.about.len - tail;
        let mut bytes = match whole {
            0 => Vec::new(),
            _ => self.bytes(inode.blocks, whole.min(len))?,
        };
        if len > whole {
            bytes.extend(self.bytes(inode.tail, len - whole)?);
        }
        Some(bytes)
    }

    /// A file of which this reader knows only the length: all of the image is unpacked for it.
    fn unpacked(&self, path: &str, want: Want, len: u64) -> Result<Vec<u8>> {
        let scratch = Scratch::new()?;
        let whole = self.part.start == 0;
        let image = if whole { self.part.path.clone() } else { scratch.0.join("image") };
        let failed = |e: std::io::Error| {
            Failure::new(ReasonCode::Io, format!("{}: {e}", scratch.0.display()))
        };
        if !whole {
            let mut copy = files::new(&image, 0o600).map_err(failed)?;
            for at in (0..self.part.len).step_by(1 << 20) {
                let piece = self.bytes(at, (self.part.len - at).min(1 << 20));
                let piece = or_broken(&self.part, path, piece)?;
                std::io::Write::write_all(&mut copy, &piece).map_err(failed)?;
            }
        }
        let tree = scratch.0.join("tree");
        let extract = format!("--extract={}", tree.display());
        let words = ["fsck.erofs", "--no-preserve", &extract, &image.to_string_lossy()];
        let done = output(&self.part, "erofs-utils", &words, 1 << 20);
        // A caller that is not root gets no device nodes: what is wanted may be whole all the same.
        let file = files::foreign(&tree.join(path));
        let file = match (file, done) {
            (Ok(file), _) if file.metadata().is_ok_and(|found| found.len() == len) => file,
            (_, Err(failure)) => return Err(failure),
            _ => return Err(self.part.broken(path)),
        };
        let mut bytes = Vec::new();
        let read = std::io::Read::take(file, want.limit());
        std::io::Read::read_to_end(&mut { read }, &mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

/// A folder that is gone with its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("surefoot-erofs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)
            .map_err(|e| Failure::new(ReasonCode::Io, format!("{}: {e}", path.display())))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
