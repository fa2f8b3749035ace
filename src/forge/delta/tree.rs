//! The files of an ext4 image with their paths and the places of their bytes, without a mount. An image
//! that is broken or strange has no files here, and is compared as bytes.
//!
//! Layout: kernel.org, "ext4 Data Structures and Algorithms".

use super::image::{Extent, Image, size};
use std::collections::HashSet;

/// Files and folders, at the most.
const ENTRIES: usize = 4 << 20;
/// The deepest extent tree that the kernel accepts.
const DEPTH: u64 = 5;
/// A folder is at most so long, bytes.
const FOLDER: u64 = 256 << 20;

/// A regular file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: String,
    /// Whole blocks, in the order of the file; holes are left out.
    pub(super) runs: Vec<Extent>,
}

/// All regular files that have bytes; `None` where this is no ext4 image that can be read to its end.
pub(super) fn files(image: &Image) -> Option<Vec<Found>> {
    Ext4::open(image)?.walk()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u16::from_le_bytes(*bytes.get(at..at + 2)?.first_chunk()?).into())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_le_bytes(*bytes.get(at..at + 4)?.first_chunk()?).into())
}

struct Ext4<'a> {
    image: &'a Image,
    block: u64,
    inodes: u64,
    inodes_per_group: u64,
    inode_len: u64,
    descriptor_len: u64,
    descriptors: u64,
}

/// What an inode is.
enum Node {
    Folder(Vec<Extent>),
    File(Vec<Extent>),
    Other,
}

impl<'a> Ext4<'a> {
    fn open(image: &'a Image) -> Option<Ext4<'a>> {
        let mut ext4 = Ext4 {
            image,
            block: 1024,
            inodes: 0,
            inodes_per_group: 0,
            inode_len: 128,
            descriptor_len: 32,
            descriptors: 0,
        };
        let superblock = ext4.read(1024, 1024)?;
        let s = &superblock[..];
        if u16_at(s, 56)? != 0xef53 {
            return None;
        }
        ext4.block = 1024 << u32_at(s, 24).filter(|log| *log <= 6)?;
        ext4.inodes = u32_at(s, 0)?;
        ext4.inodes_per_group = u32_at(s, 40).filter(|n| *n > 0)?;
        if u32_at(s, 76)? > 0 {
            ext4.inode_len = u16_at(s, 88).filter(|n| (128..=4096).contains(n))?;
        }
        // Feature 64bit.
        if u32_at(s, 96)? & 0x80 != 0 {
            ext4.descriptor_len = u16_at(s, 254).filter(|n| (32..=1024).contains(n))?;
        }
        ext4.descriptors = (u32_at(s, 20)? + 1) * ext4.block;
        Some(ext4)
    }

    fn read(&self, at: u64, len: u64) -> Option<Vec<u8>> {
        if at.checked_add(len)? > self.image.len {
            return None;
        }
        let mut bytes = vec![0; size(len)];
        self.image.read(at, &mut bytes).ok()?;
        Some(bytes)
    }

    fn walk(&self) -> Option<Vec<Found>> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut waiting = vec![(2u64, String::new())];
        while let Some((inode, path)) = waiting.pop() {
            // A second name of the same file has the same bytes.
            if !seen.insert(inode) || seen.len() > ENTRIES {
                continue;
            }
            match self.node(inode)? {
                Node::File(runs) if !runs.is_empty() => found.push(Found { path, runs }),
                Node::File(_) | Node::Other => {}
                Node::Folder(runs) => {
                    let mut names = Vec::new();
                    for run in runs {
                        let bytes = self.read(run.at, run.len)?;
                        bytes.chunks(size(self.block)).try_for_each(|b| entries(b, &mut names))?;
                    }
                    names.sort_unstable_by(|a, b| b.1.cmp(&a.1));
                    waiting
                        .extend(names.into_iter().map(|(n, name)| (n, format!("{path}/{name}"))));
                }
            }
        }
        Some(found)
    }

    fn node(&self, inode: u64) -> Option<Node> {
        let index = inode.checked_sub(1).filter(|n| *n < self.inodes)?;
        let (group, place) = (index / self.inodes_per_group, index % self.inodes_per_group);
        let descriptor = self.read(
            self.descriptors.checked_add(group * self.descriptor_len)?,
            self.descriptor_len,
        )?;
        let high = if self.descriptor_len >= 64 { u32_at(&descriptor, 40)? } else { 0 };
        let table = (high << 32 | u32_at(&descriptor, 8)?).checked_mul(self.block)?;
        let bytes = self.read(table.checked_add(place * self.inode_len)?, self.inode_len)?;
        let (mode, flags) = (u16_at(&bytes, 0)? & 0xf000, u32_at(&bytes, 32)?);
        // Extents; what stands in the inode itself, or in an old block map, is compared as bytes.
        let mut runs = Vec::new();
        if flags & 0x80000 != 0 {
            self.extents(bytes.get(40..100)?, DEPTH, &mut runs)?;
        }
        Some(match mode {
            0x4000 if runs.iter().map(|(_, run)| run.len).sum::<u64>() <= FOLDER => {
                Node::Folder(in_order(runs))
            }
            0x8000 => Node::File(in_order(runs)),
            _ => Node::Other,
        })
    }

    /// One node of an extent tree: where each run stands in the file, and in the image.
    fn extents(&self, node: &[u8], most: u64, runs: &mut Vec<(u64, Extent)>) -> Option<()> {
        let (count, depth) = (u16_at(node, 2)?, u16_at(node, 6)?);
        if u16_at(node, 0)? != 0xf30a || depth > most || runs.len() > ENTRIES {
            return None;
        }
        for n in 0..size(count) {
            let entry = node.get(12 + 12 * n..24 + 12 * n)?;
            if depth > 0 {
                let at = u16_at(entry, 8)? << 32 | u32_at(entry, 4)?;
                let child = self.read(at.checked_mul(self.block)?, self.block)?;
                if u16_at(&child, 6)? + 1 != depth {
                    return None;
                }
                self.extents(&child, most.checked_sub(1)?, runs)?;
                continue;
            }
            let blocks = u16_at(entry, 4)?;
            // Above this it is room that reads as zeros.
            if blocks > 0x8000 || blocks == 0 {
                continue;
            }
            let at = (u16_at(entry, 6)? << 32 | u32_at(entry, 8)?).checked_mul(self.block)?;
            let run = Extent { at, len: blocks * self.block };
            if at.checked_add(run.len)? > self.image.len {
                return None;
            }
            runs.push((u32_at(entry, 0)?, run));
        }
        Some(())
    }
}

fn in_order(mut runs: Vec<(u64, Extent)>) -> Vec<Extent> {
    runs.sort_unstable_by_key(|(at, _)| *at);
    let mut joined: Vec<Extent> = Vec::new();
    for (_, run) in runs {
        match joined.last_mut() {
            Some(last) if last.end() == run.at => last.len += run.len,
            _ => joined.push(run),
        }
    }
    joined
}

/// The entries of one block of a folder.
fn entries(block: &[u8], names: &mut Vec<(u64, String)>) -> Option<()> {
    let mut at = 0;
    while at + 8 <= block.len() {
        let (inode, len) = (u32_at(block, at)?, size(u16_at(block, at + 4)?));
        let name_len = usize::from(*block.get(at + 6)?);
        if len < 8 || names.len() > ENTRIES {
            return Some(());
        }
        let name = block.get(at + 8..at + 8 + name_len)?;
        if inode != 0 && name_len > 0 && name != b"." && name != b".." {
            names.push((inode, String::from_utf8_lossy(name).into_owned()));
        }
        at += len;
    }
    Some(())
}
