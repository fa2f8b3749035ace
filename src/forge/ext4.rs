//! Where the larger files of an ext4 image begin and end: places to cut it, so that a file which is the
//! same in two releases is the same chunks in both; and places in its tables of inodes, which are so alike
//! inside that their content alone cuts them late. Nothing depends on it but how much they share: an
//! image that is broken or strange is cut by its content alone.
//!
//! Layout: kernel.org, "ext4 Data Structures and Algorithms".

use std::io::{Read, Seek, SeekFrom};

/// Files below this stay in a chunk with their neighbours.
const LEAST: u64 = 16 << 10;
/// A table of inodes is cut each so many bytes: one changed inode is in a chunk of that length, not of four
/// times the average.
const INODE_PIECE: u64 = 64 << 10;
/// Inodes that are looked at, at the most: what an image of 32 GiB has with one for each 16 KiB.
const INODES: u64 = 2 << 20;
/// Extents of all files, at the most.
const EXTENTS: usize = 2 << 20;
/// The deepest extent tree that the kernel accepts.
const DEPTH: u16 = 5;

/// The offsets at which extents of files of at least 16 KiB begin and end, and each 64 KiB in the tables of
/// inodes, but not where a table begins; ascending. None, where this is no ext4 image that can be read to
/// its end.
pub(super) fn cuts(image: &mut (impl Read + Seek), len: u64) -> Vec<u64> {
    let found = Ext4::open(image, len).and_then(|mut ext4| ext4.cuts());
    let mut cuts = found.unwrap_or_default();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    let found = bytes.get(at..at + 2)?.first_chunk()?;
    Some(u16::from_le_bytes(*found).into())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    let found = bytes.get(at..at + 4)?.first_chunk()?;
    Some(u32::from_le_bytes(*found).into())
}

struct Ext4<'a, R> {
    image: &'a mut R,
    len: u64,
    block: u64,
    inodes: u64,
    inodes_per_group: u64,
    inode_len: u64,
    descriptor_len: u64,
    descriptors: u64,
    cuts: Vec<u64>,
}

impl<'a, R: Read + Seek> Ext4<'a, R> {
    fn open(image: &'a mut R, len: u64) -> Option<Ext4<'a, R>> {
        let mut ext4 = Ext4 {
            image,
            len,
            block: 1024,
            inodes: 0,
            inodes_per_group: 0,
            inode_len: 128,
            descriptor_len: 32,
            descriptors: 0,
            cuts: Vec::new(),
        };
        let superblock = ext4.read(1024, 1024)?;
        let s = &superblock[..];
        if u16_at(s, 56)? != 0xef53 {
            return None;
        }
        let log = u32_at(s, 24).filter(|log| *log <= 6)?;
        ext4.block = 1024 << log;
        ext4.inodes = u32_at(s, 0)?.min(INODES);
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

    fn read(&mut self, at: u64, len: u64) -> Option<Vec<u8>> {
        if at.checked_add(len)? > self.len {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.image.seek(SeekFrom::Start(at)).ok()?;
        self.image.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    fn cuts(&mut self) -> Option<Vec<u64>> {
        for group in 0..self.inodes.div_ceil(self.inodes_per_group) {
            let at = self.descriptors + group * self.descriptor_len;
            let descriptor = self.read(at, self.descriptor_len)?;
            // INODE_UNINIT: there is none in this group.
            if u16_at(&descriptor, 18)? & 1 != 0 {
                continue;
            }
            let high = if self.descriptor_len >= 64 { u32_at(&descriptor, 40)? } else { 0 };
            let table = (high << 32 | u32_at(&descriptor, 8)?).checked_mul(self.block)?;
            let count = self.inodes_per_group.min(self.inodes - group * self.inodes_per_group);
            // In pieces: a table can be as long as its image.
            let step = (1 << 20) / self.inode_len;
            for first in (0..count).step_by(usize::try_from(step).ok()?) {
                let some = step.min(count - first);
                let at = table.checked_add(first * self.inode_len)?;
                let inodes = self.read(at, some * self.inode_len)?;
                let end = at + some * self.inode_len;
                let pieces = (at..end).step_by(usize::try_from(INODE_PIECE).ok()?);
                self.cuts.extend(pieces.skip(usize::from(first == 0)));
                for inode in inodes.chunks_exact(usize::try_from(self.inode_len).ok()?) {
                    self.file(inode)?;
                }
            }
        }
        Some(std::mem::take(&mut self.cuts))
    }

    /// The extents of one inode, if it is a larger file that is in use and has some.
    fn file(&mut self, inode: &[u8]) -> Option<()> {
        let regular = u16_at(inode, 0)? & 0xf000 == 0x8000 && u16_at(inode, 26)? > 0;
        let size = u32_at(inode, 108)? << 32 | u32_at(inode, 4)?;
        let extents = u32_at(inode, 32)? & 0x80000 != 0;
        if regular && extents && size >= LEAST {
            self.extents(inode.get(40..100)?, DEPTH)?;
        }
        Some(())
    }

    /// One node of an extent tree; each level below must say that it is one.
    fn extents(&mut self, node: &[u8], most: u16) -> Option<()> {
        let (count, depth) = (usize::try_from(u16_at(node, 2)?).ok()?, u16_at(node, 6)?);
        if u16_at(node, 0)? != 0xf30a || depth > most.into() || self.cuts.len() > 2 * EXTENTS {
            return None;
        }
        for n in 0..count {
            let entry = node.get(12 + 12 * n..24 + 12 * n)?;
            if depth > 0 {
                let at = u16_at(entry, 8)? << 32 | u32_at(entry, 4)?;
                let child = self.read(at.checked_mul(self.block)?, self.block)?;
                if u16_at(&child, 6)? + 1 != depth {
                    return None;
                }
                self.extents(&child, most.checked_sub(1)?)?;
                continue;
            }
            let len = u16_at(entry, 4)?;
            // Above this it is room that reads as zeros.
            if len > 0x8000 {
                continue;
            }
            let start = (u16_at(entry, 6)? << 32 | u32_at(entry, 8)?).checked_mul(self.block)?;
            let end = start.checked_add(len * self.block)?;
            if end > self.len {
                return None;
            }
            self.cuts.extend([start, end]);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::process::Command;

    /// An image by mke2fs: a large file, one in many pieces, and small ones.
    fn image(words: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let noise: Vec<u8> =
            (0..100_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        std::fs::write(root.join("large"), &noise).unwrap();
        for n in 0..50 {
            std::fs::write(root.join(format!("small{n}")), vec![n; 3000]).unwrap();
        }
        // Holes make extents: more than the four that an inode has room for.
        let mut pieces = vec![0; 200 * 8192];
        pieces.chunks_mut(8192).for_each(|piece| piece[..4096].fill(7));
        std::fs::write(root.join("pieces"), &pieces).unwrap();
        let path = folder.path().join("image");
        let made = Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-b", "4096"])
            .args(words)
            .arg("-d")
            .args([root.as_os_str(), path.as_os_str()])
            .arg("16M")
            .status();
        assert!(made.unwrap().success());
        std::fs::read(path).unwrap()
    }

    fn cuts_of(image: &[u8]) -> Vec<u64> {
        cuts(&mut Cursor::new(image), image.len() as u64)
    }

    #[test]
    fn larger_files_are_found_where_they_stand_and_smaller_ones_are_not() {
        for words in [&[][..], &["-O", "^64bit"], &["-O", "^metadata_csum,^has_journal"]] {
            let image = image(words);
            let cuts = cuts_of(&image);
            assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]));
            let begins = (0..100_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).take(4096);
            let begins: Vec<u8> = begins.collect();
            let large = image.chunks(4096).position(|block| block == begins).unwrap() as u64;
            assert!(cuts.contains(&(large * 4096)), "{cuts:?}");
            let small = image.chunks(4096).position(|b| b[..3000] == [33; 3000]).unwrap() as u64;
            assert!(!cuts.contains(&(small * 4096)));
            // The first group's descriptor is in the second block.
            let table = u32_at(&image, 4096 + 8).unwrap() * 4096;
            assert!(cuts.contains(&(table + INODE_PIECE)), "{table} {cuts:?}");
        }
    }

    #[test]
    fn a_broken_image_is_cut_by_its_content() {
        let good = image(&[]);
        assert!(cuts_of(&good[..1 << 20]).is_empty(), "cut short");
        assert!(cuts_of(&[0; 4096]).is_empty());
        assert!(cuts_of(&[]).is_empty());
        let (mut state, mut bad) = (9u64, good.clone());
        // Any byte of the superblock, the descriptors and the inodes may be anything.
        for _ in 0..300 {
            let mut changed = Vec::new();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = match state >> 62 {
                    0 => 1024 + (state >> 20) as usize % 1024,
                    1 => 4096 + (state >> 20) as usize % 64,
                    _ => (state >> 20) as usize % (2 << 20),
                };
                changed.push((at, bad[at]));
                bad[at] = state.to_be_bytes()[1];
            }
            let cuts = cuts_of(&bad);
            assert!(cuts.iter().all(|cut| *cut <= bad.len() as u64));
            changed.into_iter().rev().for_each(|(at, byte)| bad[at] = byte);
        }
    }
}
