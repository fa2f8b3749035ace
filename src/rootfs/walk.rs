//! All entries of an ext2/3/4 image, for those who make another one of it.

use super::inodes::{Tree, tree};
use super::part::{About, Part, What, or_broken};
use crate::model::Result;
use std::collections::HashSet;

/// Entries, at the most.
const ENTRIES: usize = 4 << 20;

/// One name in an image.
#[derive(Debug, Clone)]
pub struct Entry {
    /// `etc/passwd`; empty for the root folder.
    pub path: String,
    /// What stands there.
    pub about: About,
    /// Two names of one file have the same number.
    pub number: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Where a link points.
    pub target: Option<String>,
    /// Of a device node: whether it is a block device, its major and its minor number.
    pub device: Option<(bool, u32, u32)>,
    /// It is a FIFO.
    pub fifo: bool,
    /// It has extended attributes in a block of their own.
    pub attributes: bool,
}

/// Reads all of a file.
pub type ReadFile<'a> = dyn FnMut() -> Result<Vec<u8>> + 'a;

/// Gives each entry to `each`, a folder before what is in it, with a function that reads a file.
pub(super) fn walk(
    part: &Part,
    each: &mut dyn FnMut(Entry, &mut ReadFile<'_>) -> Result<()>,
) -> Result<()> {
    let mut tree = tree(part)?;
    let (mut waiting, mut count) = (vec![(String::new(), 2)], 0);
    let mut folders = HashSet::new();
    while let Some((path, number)) = waiting.pop() {
        count += 1;
        let inode = or_broken(part, &path, tree.numbered(number))?;
        let entry = or_broken(part, &path, tree.entry(&path, number, &inode))?;
        if count > ENTRIES || entry.about.what == What::Folder && !folders.insert(number) {
            return Err(part.broken(&path));
        }
        if entry.about.what == What::Folder {
            let names = or_broken(part, &path, tree.names(&inode))?;
            let mut names: Vec<_> = names
                .into_iter()
                .map(|(number, name)| match path.is_empty() {
                    true => (name, number),
                    false => (format!("{path}/{name}"), number),
                })
                .collect();
            names.sort_unstable_by(|a, b| b.cmp(a));
            waiting.extend(names);
        }
        let len = entry.about.len;
        each(entry, &mut || or_broken(part, &path, tree.content(&inode, len)))?;
    }
    Ok(())
}

impl<R: FnMut(u64, &mut [u8]) -> Option<()>> Tree<R> {
    fn entry(&mut self, path: &str, number: u64, inode: &[u8]) -> Option<Entry> {
        use super::ext4::{u16_at, u32_at};
        let node = self.node(inode)?;
        let kind = u16_at(inode, 0)? & 0xf000;
        let device = match kind {
            0x2000 | 0x6000 => {
                // The old form in the first word, or the new one in the second.
                let (old, new) = (u32_at(inode, 40)?, u32_at(inode, 44)?);
                let (major, minor) = match old {
                    0 => (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xfff00),
                    old => (old >> 8 & 0xff, old & 0xff),
                };
                Some((kind == 0x6000, u32::try_from(major).ok()?, u32::try_from(minor).ok()?))
            }
            _ => None,
        };
        Some(Entry {
            path: path.to_owned(),
            about: node.about,
            number,
            mtime: u32_at(inode, 16)?,
            target: node.target,
            device,
            fifo: kind == 0x1000,
            attributes: u32_at(inode, 104)? != 0,
        })
    }
}
