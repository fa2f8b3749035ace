//! Folders with many files. `debugfs` looks through all of a folder for each file that it puts there: 70,000 of them take minutes.
//! So their files are made under numbers in small folders, and their names are written into the folder itself by our own code;
//! the small folders, empty again, are removed by `debugfs`.

use super::script::{BLOCK, Script, quoted, split};
use super::tree::{Item, Tree, What};
use crate::model::Result;
use crate::rootfs::ext4::{Ext4, Run, u16_at, u32_at};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A folder with more files than this is a large one.
const MANY: usize = 2000;
/// Files of a small folder.
const FEW: usize = 500;

/// The large folders of a tree.
pub(super) struct Large<'t> {
    /// By the path of the folder: the files in it, without folders, in order.
    folders: BTreeMap<&'t str, Vec<(&'t str, &'t Item)>>,
    /// The folder that the small ones are in, in the root; none of the tree's.
    top: String,
    /// Where a file is made that belongs into a large folder, by its path.
    places: HashMap<&'t str, String>,
}

impl<'t> Large<'t> {
    pub(super) fn of(tree: &'t Tree) -> Large<'t> {
        let mut folders = BTreeMap::<&str, Vec<_>>::new();
        for (path, item) in tree.iter().filter(|(_, item)| item.what != What::Folder) {
            folders.entry(split(path).0).or_default().push((path, item));
        }
        folders.retain(|_, files| files.len() > MANY);
        let mut names = (0..).map(|n| format!(".{n}"));
        let top = names.find(|name| tree.get(name).is_none()).unwrap_or_default();
        // What has another file's inode is no file of its own.
        let own =
            folders.values().flatten().filter(|(_, item)| !matches!(item.what, What::Same(_)));
        let places =
            own.enumerate().map(|(n, (path, _))| (*path, format!("{top}/{}/{}", n / FEW, n % FEW)));
        Large { places: places.collect(), folders, top }
    }

    /// Blocks that are needed for a time.
    pub(super) fn blocks(&self) -> u64 {
        // A small folder has two blocks; a large one may get one more than its names fill.
        let small = self.places.len().div_ceil(FEW) * 2;
        if self.folders.is_empty() { 0 } else { (small + 2 * self.folders.len() + 2) as u64 }
    }

    /// Inodes that are needed for a time.
    pub(super) fn inodes(&self) -> u64 {
        if self.folders.is_empty() { 0 } else { self.places.len().div_ceil(FEW) as u64 + 1 }
    }

    /// Where `debugfs` finds a file: its path, or the place for the time.
    pub(super) fn place<'a>(&'a self, path: &'a str) -> &'a str {
        self.places.get(path).map_or(path, String::as_str)
    }

    /// Whether the name is written here, and not by `debugfs`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.folders.contains_key(split(path).0)
    }

    /// After all folders of the tree are made: the small ones, and room for the names.
    pub(super) fn prepare(&self, script: &mut Script) -> Result<()> {
        if self.folders.is_empty() {
            return Ok(());
        }
        script.say(&format!("mkdir {}", quoted(&format!("/{}", self.top))))?;
        for n in 0..self.places.len().div_ceil(FEW) {
            script.say(&format!("mkdir {}", quoted(&format!("/{}/{n}", self.top))))?;
        }
        for (folder, files) in &self.folders {
            let names: Vec<_> = files.iter().map(|(path, _)| (0, split(path).1, 0)).collect();
            // Its subfolders have filled some, and so has what leads up.
            for _ in 0..packed(&names).len() {
                script.say(&format!("expand_dir {}", quoted(&format!("/{folder}"))))?;
            }
        }
        Ok(())
    }

    /// Writes the names, and empties the small folders; `numbers` has the inode of each path. `None` where the image is
    /// not what the script has made.
    pub(super) fn name<R: FnMut(u64, &mut [u8]) -> Option<()>>(
        &self,
        file: &File,
        ext4: &mut Ext4<R>,
        numbers: &HashMap<String, u64>,
    ) -> Option<()> {
        let number = |path: &str| numbers.get(path).copied();
        for (folder, files) in &self.folders {
            let own = number(folder)?;
            let mut entries = vec![(own, ".", 2), (number(split(folder).0)?, "..", 2)];
            let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            // What is there already are folders.
            let mut there: Vec<_> = numbers
                .iter()
                .filter_map(|(path, n)| Some((path.strip_prefix(&below)?, *n)))
                .filter(|(name, _)| !name.is_empty() && !name.contains('/'))
                .collect();
            there.sort_unstable();
            entries.extend(there.into_iter().map(|(name, n)| (n, name, 2)));
            for (path, item) in files {
                let first = if let What::Same(first) = &item.what { first } else { *path };
                let n = number(self.place(first))?;
                let kind = match u16_at(&ext4.inode(n)?, 0)? & 0xf000 {
                    0x1000 => 5,
                    0x2000 => 3,
                    0x6000 => 4,
                    0x8000 => 1,
                    0xa000 => 7,
                    _ => return None,
                };
                entries.push((n, split(path).1, kind));
            }
            write(file, ext4, own, &packed(&entries))?;
        }
        for n in 0..self.places.len().div_ceil(FEW) {
            let own = number(&format!("{}/{n}", self.top))?;
            let entries = [(own, ".", 2), (number(&self.top)?, "..", 2)];
            write(file, ext4, own, &packed(&entries))?;
        }
        Some(())
    }

    /// Removes the small folders; `None` where there are none.
    pub(super) fn cleared(&self) -> Result<Option<Script>> {
        if self.folders.is_empty() {
            return Ok(None);
        }
        let mut script = Script::new();
        for n in 0..self.places.len().div_ceil(FEW) {
            script.say(&format!("rmdir {}", quoted(&format!("/{}/{n}", self.top))))?;
        }
        script.say(&format!("rmdir {}", quoted(&format!("/{}", self.top))))?;
        Ok(Some(script))
    }
}

/// Inode, name and kind of each entry as the blocks of a folder (kernel.org, "Linear (Classic) Directories").
fn packed(entries: &[(u64, &str, u8)]) -> Vec<Vec<u8>> {
    let block = usize::try_from(BLOCK).unwrap_or(4096);
    let (mut blocks, mut now, mut last) = (Vec::new(), Vec::with_capacity(block), 0);
    // The last entry of a block goes to its end.
    let close = |now: &mut Vec<u8>, last: usize| {
        let len = u16::try_from(block - last).unwrap_or_default();
        now.resize(block, 0);
        now[last + 4..last + 6].copy_from_slice(&len.to_le_bytes());
        std::mem::take(now)
    };
    for (number, name, kind) in entries {
        let len = (8 + name.len()).next_multiple_of(4);
        if now.len() + len > block {
            blocks.push(close(&mut now, last));
        }
        last = now.len();
        now.extend(u32::try_from(*number).unwrap_or_default().to_le_bytes());
        now.extend(u16::try_from(len).unwrap_or_default().to_le_bytes());
        now.extend([u8::try_from(name.len()).unwrap_or_default(), *kind]);
        now.extend(name.as_bytes());
        now.resize(last + len, 0);
    }
    if !now.is_empty() {
        blocks.push(close(&mut now, last));
    }
    blocks
}

/// Has a folder hold these blocks; those that it has besides are without a name.
fn write<R: FnMut(u64, &mut [u8]) -> Option<()>>(
    file: &File,
    ext4: &mut Ext4<R>,
    number: u64,
    blocks: &[Vec<u8>],
) -> Option<()> {
    let inode = ext4.inode(number)?;
    let mut runs = ext4.runs(&inode)?;
    runs.sort_unstable_by_key(|run| run.of_file);
    let places: Vec<u64> =
        runs.iter().flat_map(|run: &Run| (run.at..run.at + run.len).step_by(4096)).collect();
    if places.len() < blocks.len() || u32_at(&inode, 4)? != places.len() as u64 * BLOCK {
        return None;
    }
    let none = packed(&[(0, "", 0)]);
    let all = blocks.iter().chain(none.iter().cycle());
    places.into_iter().zip(all).try_for_each(|(at, block)| file.write_all_at(block, at).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::ext4::entries;

    #[test]
    fn names_fill_whole_blocks_and_are_found_again() {
        let names: Vec<String> =
            (0..1000).map(|n| format!("{n:0>len$}", len = 1 + n % 255)).collect();
        let said: Vec<_> = (1..).zip(&names).map(|(n, name)| (n, name.as_str(), 1)).collect();
        let blocks = packed(&said);
        let mut found = Vec::new();
        for block in &blocks {
            assert_eq!(block.len(), 4096);
            entries(block, &mut found).unwrap();
        }
        let expected: Vec<_> = (1..).zip(names).collect();
        assert!(found == expected);
        assert_eq!(packed(&[]).len(), 0);
        assert_eq!(packed(&[(0, "", 0)])[0][..8], [0, 0, 0, 0, 0, 16, 0, 0]);
    }
}
