//! The files of an ext4 image with their paths and the places of their bytes, without a mount. An image
//! that is broken or strange has no files here, and is compared as bytes.

use super::image::{Extent, Image, size};
use crate::rootfs::ext4::{ENTRIES, Ext4, FOLDER, Run, entries, u16_at};
use std::collections::HashSet;

/// All paths together, bytes.
const PATHS: usize = 256 << 20;

/// A regular file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: String,
    /// Whole blocks, in the order of the file; holes are left out.
    pub(super) runs: Vec<Extent>,
}

/// All regular files that have bytes; `None` where this is no ext4 image that can be read to its end.
pub(super) fn files(image: &Image) -> Option<Vec<Found>> {
    let mut ext4 = Ext4::open(image.len, |at, buf: &mut [u8]| image.read(at, buf).ok())?;
    walk(&mut ext4)
}

/// What an inode is.
enum Node {
    Folder(Vec<Extent>),
    File(Vec<Extent>),
    Other,
}

fn walk<R: FnMut(u64, &mut [u8]) -> Option<()>>(ext4: &mut Ext4<R>) -> Option<Vec<Found>> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let (mut waiting, mut paths) = (vec![(2u64, String::new())], PATHS);
    while let Some((inode, path)) = waiting.pop() {
        // A second name of the same file has the same bytes.
        if !seen.insert(inode) || seen.len() > ENTRIES {
            continue;
        }
        match node(ext4, inode)? {
            Node::File(runs) if !runs.is_empty() => found.push(Found { path, runs }),
            Node::File(_) | Node::Other => {}
            Node::Folder(runs) => {
                let mut names = Vec::new();
                for run in runs {
                    let bytes = ext4.bytes(run.at, run.len)?;
                    bytes.chunks(size(ext4.block)).try_for_each(|b| entries(b, &mut names))?;
                }
                names.sort_unstable_by(|a, b| b.1.cmp(&a.1));
                for (inode, name) in names {
                    paths = paths.checked_sub(path.len() + 1 + name.len())?;
                    waiting.push((inode, format!("{path}/{name}")));
                }
            }
        }
    }
    Some(found)
}

fn node<R: FnMut(u64, &mut [u8]) -> Option<()>>(ext4: &mut Ext4<R>, inode: u64) -> Option<Node> {
    let bytes = ext4.inode(inode)?;
    // What stands in the inode itself, or in an old block map, is compared as bytes.
    let runs = ext4.runs(&bytes)?;
    Some(match u16_at(&bytes, 0)? & 0xf000 {
        0x4000 if runs.iter().map(|run| run.len).sum::<u64>() <= FOLDER => {
            Node::Folder(in_order(runs))
        }
        0x8000 => Node::File(in_order(runs)),
        _ => Node::Other,
    })
}

fn in_order(mut runs: Vec<Run>) -> Vec<Extent> {
    runs.sort_unstable_by_key(|run| run.of_file);
    let mut joined: Vec<Extent> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if last.end() == run.at => last.len += run.len,
            _ => joined.push(Extent { at: run.at, len: run.len }),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::ext4::tangled;
    use std::io::Write;

    fn found(bytes: &[u8]) -> Option<Vec<Found>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        files(&Image::of(file, bytes.len() as u64))
    }

    #[test]
    fn a_tree_of_extents_that_leads_to_itself_ends() {
        assert!(found(&tangled(1, 1, 1, true)).is_some());
        assert!(found(&tangled(4, 340, 1, false)).is_none(), "more nodes than blocks");
        assert!(found(&tangled(1, 1, 340, true)).is_none(), "longer than its image");
    }
}
