//! Where the larger files of an ext4 image begin and end: places to cut it, so that a file which is the
//! same in two releases is the same chunks in both; and places in its tables of inodes, which are so alike
//! inside that their content alone cuts them late. Nothing depends on it but how much they share: an
//! image that is broken or strange is cut by its content alone.

use crate::rootfs::ext4::{Ext4, u16_at, u32_at};
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

/// The offsets at which extents of files of at least 16 KiB begin and end, and each 64 KiB in the tables of
/// inodes, but not where a table begins; ascending. None, where this is no ext4 image that can be read to
/// its end.
pub(super) fn cuts(image: &mut (impl Read + Seek), len: u64) -> Vec<u64> {
    let read = |at, buf: &mut [u8]| {
        image.seek(SeekFrom::Start(at)).ok()?;
        image.read_exact(buf).ok()
    };
    let found = Ext4::open(len, read).and_then(|mut ext4| of_files(&mut ext4));
    let mut cuts = found.unwrap_or_default();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn of_files<R: FnMut(u64, &mut [u8]) -> Option<()>>(ext4: &mut Ext4<R>) -> Option<Vec<u64>> {
    let (mut cuts, all) = (Vec::new(), ext4.inodes.min(INODES));
    for number in 0..all.div_ceil(ext4.inodes_per_group) {
        let group = ext4.group(number)?;
        if group.unused {
            continue;
        }
        let count = ext4.inodes_per_group.min(all - number * ext4.inodes_per_group);
        // In pieces: a table can be as long as its image.
        let (len, step) = (ext4.inode_len, (1 << 20) / ext4.inode_len);
        for first in (0..count).step_by(usize::try_from(step).ok()?) {
            let some = step.min(count - first);
            let at = group.inodes.checked_add(first * len)?;
            let inodes = ext4.bytes(at, some * len)?;
            let pieces = (at..at + some * len).step_by(usize::try_from(INODE_PIECE).ok()?);
            cuts.extend(pieces.skip(usize::from(first == 0)));
            for inode in inodes.chunks_exact(usize::try_from(len).ok()?) {
                if is_larger_file(inode)? {
                    let runs = ext4.runs(inode)?;
                    cuts.extend(runs.iter().flat_map(|run| [run.at, run.at + run.len]));
                }
                if cuts.len() > 2 * EXTENTS {
                    return None;
                }
            }
        }
    }
    Some(cuts)
}

/// Whether it is a file of some length that is in use.
fn is_larger_file(inode: &[u8]) -> Option<bool> {
    let regular = u16_at(inode, 0)? & 0xf000 == 0x8000 && u16_at(inode, 26)? > 0;
    let size = u32_at(inode, 108)? << 32 | u32_at(inode, 4)?;
    Some(regular && size >= LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::ext4::tangled;
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
    fn a_tree_of_extents_that_leads_to_itself_ends() {
        assert_eq!(cuts_of(&tangled(1, 1, 1, true)), [5 << 12, 6 << 12]);
        assert!(cuts_of(&tangled(4, 340, 1, true)).is_empty());
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
