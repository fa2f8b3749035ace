//! What an ext4 image says of itself: its groups, its inodes and their extents, without a mount. An image that is
//! broken or strange is none.
//!
//! Layout: kernel.org, "ext4 Data Structures and Algorithms".

/// Extents of one file, at the most.
const EXTENTS: usize = 4 << 20;
/// The runs of all inodes have at most so many times the bytes of the image: some files share blocks.
const SHARED: u64 = 4;
/// The deepest extent tree that the kernel accepts.
const DEPTH: u64 = 5;
/// Entries of all folders, at the most.
pub(crate) const ENTRIES: usize = 4 << 20;
/// A folder is at most so long, bytes.
pub(crate) const FOLDER: u64 = 256 << 20;
/// The inode flag EXTENTS.
pub(crate) const HAS_EXTENTS: u64 = 0x80000;

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u16::from_le_bytes(*bytes.get(at..at + 2)?.first_chunk()?).into())
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_le_bytes(*bytes.get(at..at + 4)?.first_chunk()?).into())
}

/// An image, and the function that reads it at a place.
pub(crate) struct Ext4<R> {
    read: R,
    len: u64,
    /// Bytes of a block.
    pub(crate) block: u64,
    pub(crate) inodes: u64,
    pub(crate) inodes_per_group: u64,
    /// Bytes of an inode.
    pub(crate) inode_len: u64,
    descriptor_len: u64,
    descriptors: u64,
    /// Nodes of extent trees that may still come: each has a block of its own.
    nodes: u64,
    /// Bytes of runs that may still come.
    data: u64,
}

/// The inodes of one group.
pub(crate) struct Group {
    /// Where they begin, bytes.
    pub(crate) inodes: u64,
    /// None of them is in use.
    pub(crate) unused: bool,
}

/// A run of whole blocks of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Where it stands in the file, blocks.
    pub(crate) of_file: u64,
    /// Where it stands in the image, bytes.
    pub(crate) at: u64,
    pub(crate) len: u64,
}

impl<R: FnMut(u64, &mut [u8]) -> Option<()>> Ext4<R> {
    /// Reads the superblock of an image of `len` bytes; `None` where it is of no ext4 image.
    pub(crate) fn open(len: u64, read: R) -> Option<Ext4<R>> {
        let mut ext4 = Ext4 {
            read,
            len,
            block: 1024,
            inodes: 0,
            inodes_per_group: 0,
            inode_len: 128,
            descriptor_len: 32,
            descriptors: 0,
            nodes: 0,
            data: len.saturating_mul(SHARED),
        };
        let superblock = ext4.bytes(1024, 1024)?;
        let s = &superblock[..];
        if u16_at(s, 56)? != 0xef53 {
            return None;
        }
        ext4.block = 1024 << u32_at(s, 24).filter(|log| *log <= 6)?;
        ext4.nodes = len / ext4.block;
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

    /// `None` for what lies outside of the image.
    pub(crate) fn bytes(&mut self, at: u64, len: u64) -> Option<Vec<u8>> {
        if at.checked_add(len)? > self.len {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        (self.read)(at, &mut bytes)?;
        Some(bytes)
    }

    pub(crate) fn group(&mut self, number: u64) -> Option<Group> {
        let at = self.descriptors.checked_add(number.checked_mul(self.descriptor_len)?)?;
        let descriptor = self.bytes(at, self.descriptor_len)?;
        let high = if self.descriptor_len >= 64 { u32_at(&descriptor, 40)? } else { 0 };
        let inodes = (high << 32 | u32_at(&descriptor, 8)?).checked_mul(self.block)?;
        // INODE_UNINIT.
        Some(Group { inodes, unused: u16_at(&descriptor, 18)? & 1 != 0 })
    }

    /// The bytes of an inode; 2 is the root folder's.
    pub(crate) fn inode(&mut self, number: u64) -> Option<Vec<u8>> {
        let index = number.checked_sub(1).filter(|n| *n < self.inodes)?;
        let (group, place) = (index / self.inodes_per_group, index % self.inodes_per_group);
        let table = self.group(group)?.inodes;
        self.bytes(table.checked_add(place.checked_mul(self.inode_len)?)?, self.inode_len)
    }

    /// The runs of an inode, in any order; none where its bytes stand in it, or in a block map as ext2 has.
    pub(crate) fn runs(&mut self, inode: &[u8]) -> Option<Vec<Run>> {
        let mut runs = Vec::new();
        if u32_at(inode, 32)? & HAS_EXTENTS != 0 {
            self.node(inode.get(40..100)?, DEPTH, &mut runs)?;
        }
        let len: u64 = runs.iter().map(|run| run.len).sum();
        self.data = self.data.checked_sub(len).filter(|_| len <= self.len)?;
        Some(runs)
    }

    /// One node of an extent tree; each level below must say that it is one.
    fn node(&mut self, node: &[u8], most: u64, runs: &mut Vec<Run>) -> Option<()> {
        let (count, depth) = (usize::try_from(u16_at(node, 2)?).ok()?, u16_at(node, 6)?);
        if u16_at(node, 0)? != 0xf30a || depth > most || runs.len() > EXTENTS {
            return None;
        }
        for n in 0..count {
            let entry = node.get(12 + 12 * n..24 + 12 * n)?;
            if depth > 0 {
                let at = u16_at(entry, 8)? << 32 | u32_at(entry, 4)?;
                self.nodes = self.nodes.checked_sub(1)?;
                let child = self.bytes(at.checked_mul(self.block)?, self.block)?;
                if u16_at(&child, 6)? + 1 != depth {
                    return None;
                }
                self.node(&child, most.checked_sub(1)?, runs)?;
                continue;
            }
            let blocks = u16_at(entry, 4)?;
            // Above this it is room that reads as zeros.
            if blocks > 0x8000 || blocks == 0 {
                continue;
            }
            let at = (u16_at(entry, 6)? << 32 | u32_at(entry, 8)?).checked_mul(self.block)?;
            let run = Run { of_file: u32_at(entry, 0)?, at, len: blocks * self.block };
            if at.checked_add(run.len)? > self.len {
                return None;
            }
            runs.push(run);
        }
        Some(())
    }
}

/// The entries of one block of a folder, without itself and the one above: inode and name.
pub(crate) fn entries(block: &[u8], names: &mut Vec<(u64, String)>) -> Option<()> {
    let mut at = 0;
    while at + 8 <= block.len() {
        let (inode, len) = (u32_at(block, at)?, usize::try_from(u16_at(block, at + 4)?).ok()?);
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

/// An image of twelve blocks whose root folder, and whose file with the inode 11, have a tree of extents of
/// three levels with so many entries in each node: all of them lead to the same block below. Those of the
/// leaf are data, or room that reads as zeros.
#[cfg(test)]
pub(crate) fn tangled(root: u16, inner: u16, leaf: u16, data: bool) -> Vec<u8> {
    let mut image = vec![0; 12 << 12];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    // Superblock: inodes, 4 KiB blocks, inodes in a group, magic.
    for (at, word) in [(0, 16u32), (24, 2), (40, 16), (56, 0xef53)] {
        put(1024 + at, &word.to_le_bytes());
    }
    // The table of inodes is the third block.
    put(4096 + 8, &2u32.to_le_bytes());
    let node = |count: u16, depth: u16, entry: [u8; 12]| {
        let head = [0xf30a, count, 340, depth, 0, 0].map(u16::to_le_bytes).concat();
        [head, entry.repeat(count.into())].concat()
    };
    let below = |block: u8| [0, 0, 0, 0, block, 0, 0, 0, 0, 0, 0, 0];
    let [low, high] = if data { [1, 0] } else { [1, 0x80] };
    for (inode, mode) in [(2, 0x4000u16), (11, 0x8000)] {
        let at = (2 << 12) + 128 * (inode - 1);
        for (place, bytes) in [
            (0, &mode.to_le_bytes()[..]),
            (4, &[0, 0, 1]),
            (26, &[1]),
            (32, &0x80000u32.to_le_bytes()),
            (40, &node(root, 2, below(3))),
        ] {
            put(at + place, bytes);
        }
    }
    put(3 << 12, &node(inner, 1, below(4)));
    put(4 << 12, &node(leaf, 0, [0, 0, 0, 0, low, high, 0, 0, 5, 0, 0, 0]));
    image
}
