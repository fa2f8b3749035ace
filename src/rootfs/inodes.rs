//! Files of an ext2/3/4 image by their paths.

use super::ext4::{Ext4, FOLDER, HAS_EXTENTS, entries, u16_at, u32_at};
use super::part::{About, Node, Part, Want, What, or_broken, parts};
use crate::model::Result;

const ROOT: u64 = 2;
/// The inode flag INLINE_DATA: the bytes stand in the inode and its attributes.
const INLINE: u64 = 0x1000_0000;
/// Longer targets of links stand in a block of their own.
const SHORT: u64 = 60;
const TARGET: u64 = 4096;

/// An image as this file reads it.
pub(super) struct Tree<R>(Ext4<R>);

/// Reads an image at a place.
pub(super) type Read<'a> = Box<dyn FnMut(u64, &mut [u8]) -> Option<()> + 'a>;

pub(super) fn tree(part: &Part) -> Result<Tree<Read<'_>>> {
    let read: Read<'_> = Box::new(|at, buf| part.read(at, buf));
    or_broken(part, "its superblock", Ext4::open(part.len, read)).map(Tree)
}

pub(super) fn node(part: &Part, path: &str) -> Result<Option<Node>> {
    let mut tree = tree(part)?;
    let Some(inode) = or_broken(part, path, tree.inode(path))? else { return Ok(None) };
    or_broken(part, path, tree.node(&inode)).map(Some)
}

pub(super) fn list(part: &Part, path: &str) -> Result<Vec<String>> {
    let mut tree = tree(part)?;
    let inode = or_broken(part, path, tree.inode(path).flatten())?;
    let names = or_broken(part, path, tree.names(&inode))?;
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

pub(super) fn read(part: &Part, path: &str, want: Want) -> Result<Vec<u8>> {
    let mut tree = tree(part)?;
    let inode = or_broken(part, path, tree.inode(path).flatten())?;
    let len = or_broken(part, path, length(&inode))?;
    let Some(len) = want.of(len) else { return Err(part.too_long(path, want.limit())) };
    or_broken(part, path, tree.content(&inode, len))
}

fn length(inode: &[u8]) -> Option<u64> {
    Some(u32_at(inode, 108)? << 32 | u32_at(inode, 4)?)
}

fn what(inode: &[u8]) -> Option<What> {
    Some(What::of_mode(u32::try_from(u16_at(inode, 0)?).ok()?))
}

/// `None` means broken, and `Some(None)` that nothing is there.
impl<R: FnMut(u64, &mut [u8]) -> Option<()>> Tree<R> {
    pub(super) fn numbered(&mut self, number: u64) -> Option<Vec<u8>> {
        self.0.inode(number)
    }

    fn inode(&mut self, path: &str) -> Option<Option<Vec<u8>>> {
        let mut inode = self.0.inode(ROOT)?;
        for part in parts(path) {
            if what(&inode)? != What::Folder {
                return Some(None);
            }
            let names = self.names(&inode)?;
            let Some((number, _)) = names.into_iter().find(|(_, name)| name == part) else {
                return Some(None);
            };
            inode = self.0.inode(number)?;
        }
        Some(Some(inode))
    }

    pub(super) fn names(&mut self, inode: &[u8]) -> Option<Vec<(u64, String)>> {
        let len = length(inode).filter(|len| *len <= FOLDER)?;
        let (bytes, mut names) = (self.content(inode, len)?, Vec::new());
        let block = usize::try_from(self.0.block).ok()?;
        bytes.chunks(block).try_for_each(|block| entries(block, &mut names))?;
        Some(names)
    }

    pub(super) fn node(&mut self, inode: &[u8]) -> Option<Node> {
        let number = |low, high| {
            let number = u16_at(inode, high)? << 16 | u16_at(inode, low)?;
            u32::try_from(number).ok()
        };
        let about = About {
            what: what(inode)?,
            mode: u32::try_from(u16_at(inode, 0)?).ok()? & 0o7777,
            uid: number(2, 120)?,
            gid: number(24, 122)?,
            len: length(inode)?,
        };
        let target = match about.what {
            What::Link if about.len < SHORT => {
                inode.get(40..40 + usize::try_from(about.len).ok()?)?.to_vec()
            }
            What::Link => self.content(inode, Some(about.len).filter(|len| *len <= TARGET)?)?,
            _ => return Some(Node { about, target: None }),
        };
        Some(Node { about, target: Some(String::from_utf8_lossy(&target).into_owned()) })
    }

    /// The first `len` bytes of a file; what no block stands for reads as zeros.
    pub(super) fn content(&mut self, inode: &[u8], len: u64) -> Option<Vec<u8>> {
        let flags = u32_at(inode, 32)?;
        if flags & INLINE != 0 {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        let runs = match flags & HAS_EXTENTS != 0 {
            true => {
                let runs = self.0.runs(inode)?;
                runs.iter().map(|run| (run.of_file, run.at, run.len)).collect()
            }
            false => self.map(inode, len.div_ceil(self.0.block))?,
        };
        for (of_file, at, run) in runs {
            let from = of_file.checked_mul(self.0.block)?;
            let run = run.min(len.saturating_sub(from));
            if run > 0 {
                let place = usize::try_from(from).ok()?;
                let read = self.0.bytes(at, run)?;
                bytes.get_mut(place..place + read.len())?.copy_from_slice(&read);
            }
        }
        Some(bytes)
    }

    /// The blocks of a file of ext2 and ext3: twelve, then those that one, two and three levels name.
    fn map(&mut self, inode: &[u8], count: u64) -> Option<Vec<(u64, u64, u64)>> {
        let (mut runs, mut next) = (Vec::new(), 0);
        for (place, depth) in [0; 12].into_iter().chain([1, 2, 3]).enumerate() {
            let block = u32_at(inode, 40 + 4 * place)?;
            self.level(block, depth, count, &mut next, &mut runs)?;
        }
        Some(runs)
    }

    fn level(
        &mut self,
        block: u64,
        depth: u32,
        count: u64,
        next: &mut u64,
        runs: &mut Vec<(u64, u64, u64)>,
    ) -> Option<()> {
        if *next >= count {
            return Some(());
        }
        let words = self.0.block / 4;
        if block == 0 {
            *next = next.checked_add(words.checked_pow(depth)?)?;
            return Some(());
        }
        let at = block.checked_mul(self.0.block)?;
        if depth == 0 {
            runs.push((*next, at, self.0.block));
            *next += 1;
            return Some(());
        }
        for word in self.0.bytes(at, self.0.block)?.chunks_exact(4) {
            self.level(u32_at(word, 0)?, depth - 1, count, next, runs)?;
        }
        Some(())
    }
}
