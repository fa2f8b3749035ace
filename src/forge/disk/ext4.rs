//! A tree as an ext4 image, by `mke2fs` and `debugfs` of e2fsprogs: without a mount and without the rights of
//! root. The same tree gives the same bytes, whatever the host's folders, clock and user are.
//!
//! `debugfs` allocates in the order of its script, which is the tree's. What it cannot say (owners, modes, times,
//! counts of links) is put into the inodes afterwards: the image has no checksums of inodes, which old U-Boots
//! do not read either.

use super::large::Large;
use super::script::{BLOCK, Script, debugfs, quoted, split};
use super::tools::{Scratch, run};
use super::tree::{Item, Tree, What};
use crate::forge::progress::Progress;
use crate::model::{Failure, ReasonCode, Result};
use crate::provision::{MIB, in_mib};
use crate::rootfs::ext4::{Ext4, FOLDER, entries, u16_at, u32_at};
use crate::sys::{files, spare};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

const INODE: u64 = 256;
/// Features that every kernel and U-Boot of the last ten years reads.
const FEATURES: &str =
    "none,filetype,extent,sparse_super,large_file,huge_file,dir_nlink,extra_isize,flex_bg,ext_attr";

/// What a tree takes as an image, bytes: a whole number of MiB, with a little room.
pub(super) fn needed(tree: &Tree) -> u64 {
    let (mut blocks, mut folders) = (0u64, HashMap::<&str, u64>::new());
    for (path, item) in tree.iter() {
        let (folder, name) = split(path);
        *folders.entry(folder).or_default() += (8 + name.len() as u64).next_multiple_of(4);
        blocks += match &item.what {
            What::Folder => 1,
            // A block for the extents of a large file.
            What::File(_) => item.len.div_ceil(BLOCK) + item.len.div_ceil(64 * MIB),
            What::Link(target) => u64::from(target.len() >= 60),
            _ => 0,
        };
        blocks += u64::from(!item.attributes.is_empty());
    }
    // Folders fill their blocks to three quarters, or less where names are long.
    blocks += folders.values().map(|len| len * 3 / 2 / BLOCK).sum::<u64>();
    blocks += Large::of(tree).blocks();
    let inodes = inodes(tree) * INODE;
    let data = blocks * BLOCK + inodes;
    // Bitmaps and descriptors of each 128 MiB, backups of the superblock, and some air.
    (data + data / 64 + 2 * MIB).next_multiple_of(MIB)
}

fn inodes(tree: &Tree) -> u64 {
    let own = tree.iter().filter(|(_, item)| !matches!(item.what, What::Same(_))).count() as u64;
    (own + own / 16 + 32 + Large::of(tree).inodes()).next_multiple_of(16)
}

/// Makes the image of `tree` in `image`, a file with `len` bytes of zeros. `uuid` is its own. `TOO_BIG` where the
/// tree does not fit.
pub(super) fn make(
    tree: &Tree,
    image: &Path,
    len: u64,
    uuid: &str,
    scratch: &Scratch,
) -> Result<()> {
    let least = needed(tree);
    if least > len {
        let text = format!(
            "its files need a file system of {}, and there is room for {}: it lacks {}",
            in_mib(least),
            in_mib(len),
            in_mib(least - len)
        );
        return Err(Failure::new(ReasonCode::TooBig, text));
    }
    let inodes = inodes(tree).to_string();
    let extended = format!("hash_seed={uuid},root_owner=0:0,lazy_itable_init=0,nodiscard");
    let words = [
        "mke2fs",
        "-q",
        "-F",
        "-b",
        "4096",
        "-I",
        "256",
        "-m",
        "0",
        "-N",
        &inodes,
        "-O",
        FEATURES,
        "-U",
        uuid,
        "-L",
        "rootfs",
        "-E",
        &extended,
        &image.to_string_lossy(),
    ];
    run(&words, b"", scratch)?;
    let large = Large::of(tree);
    let script = script(tree, &large, scratch)?;
    watched(image, least, || debugfs(image, &script, scratch))?;
    let file = files::own_to_change(image, 0o600);
    let file =
        file.map_err(|e| Failure::new(ReasonCode::Io, format!("{}: {e}", image.display())))?;
    if let Some(cleared) = large.cleared()? {
        let named = Ext4::open(len, |at, buf: &mut [u8]| file.read_exact_at(buf, at).ok())
            .and_then(|mut ext4| {
                let numbers = numbers(&mut ext4)?;
                large.name(&file, &mut ext4, &numbers)
            });
        named.ok_or_else(|| broken("a folder"))?;
        debugfs(image, &cleared, scratch)?;
    }
    settle(&file, len, tree)
}

/// Shows how far the image has grown while `work` is done; `most` is about what it will have, bytes.
fn watched<T>(image: &Path, most: u64, work: impl FnOnce() -> T) -> T {
    let (end, ended) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let watch = move || {
            let progress = Progress::new("building the file system", most);
            while ended.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
                let grown = std::fs::metadata(image).map_or(0, |about| about.blocks() * 512);
                progress.at(grown.min(most));
            }
        };
        // Without a thread nothing is shown.
        let _ = spare::scoped(scope, "watch", watch);
        let done = work();
        drop(end);
        done
    })
}

fn broken(what: &str) -> Failure {
    Failure::new(ReasonCode::Internal, format!("the image that was made lacks {what}"))
}

fn script(tree: &Tree, large: &Large<'_>, scratch: &Scratch) -> Result<Script> {
    let mut script = Script::new();
    // The root is there, and so is what e2fsck finds files again in.
    let made = |(path, item): &(&str, &Item)| {
        item.what == What::Folder && !["", "lost+found"].contains(path)
    };
    for (path, _) in tree.iter().filter(made) {
        script.say(&format!("mkdir {}", quoted(&format!("/{path}"))))?;
    }
    large.prepare(&mut script)?;
    let mut say = |line: String| script.say(&line);
    let (mut here, mut values) = (None, 0);
    for (path, item) in tree.iter() {
        let (folder, name) = split(large.place(path));
        let name = quoted(name);
        let line = match &item.what {
            What::Folder | What::Same(_) => continue,
            What::File(host) => {
                let host = std::path::absolute(host).unwrap_or_else(|_| host.clone());
                format!("write {} {name}", quoted(&host.to_string_lossy()))
            }
            What::Link(target) => format!("symlink {name} {}", quoted(target)),
            What::Device { block, major, minor } => {
                format!("mknod {name} {} {major} {minor}", if *block { 'b' } else { 'c' })
            }
            What::Fifo => format!("mknod {name} p"),
        };
        if here != Some(folder) {
            say(format!("cd {}", quoted(&format!("/{folder}"))))?;
            here = Some(folder);
        }
        say(line)?;
    }
    say("cd /".to_owned())?;
    for (path, item) in tree.iter() {
        let mut place = large.place(path);
        if let What::Same(first) = &item.what {
            let first = large.place(first);
            match large.has(path) {
                true => place = first,
                false => say(format!(
                    "ln {} {}",
                    quoted(&format!("/{first}")),
                    quoted(&format!("/{path}"))
                ))?,
            }
        }
        let path = quoted(&format!("/{place}"));
        for (name, value) in &item.attributes {
            values += 1;
            let place = scratch.path().join(format!("value-{values}"));
            scratch.write(&place, value)?;
            let place = quoted(&place.to_string_lossy());
            say(format!("ea_set -f {place} {path} {}", quoted(name)))?;
        }
    }
    Ok(script)
}

/// Owners, modes, times and counts of links; and looks whether everything is there.
fn settle(file: &File, len: u64, tree: &Tree) -> Result<()> {
    let mut ext4 = Ext4::open(len, |at, buf: &mut [u8]| file.read_exact_at(buf, at).ok())
        .ok_or_else(|| broken("a superblock"))?;
    let numbers = numbers(&mut ext4).ok_or_else(|| broken("a folder"))?;
    let mut names: BTreeMap<u64, u16> = BTreeMap::new();
    for (path, item) in tree.iter() {
        let first = if let What::Same(first) = &item.what { first } else { path };
        let of = tree.get(first).ok_or_else(|| broken(first))?;
        let number = *numbers.get(path).ok_or_else(|| broken(path))?;
        let count = names.entry(number).or_default();
        *count += 1;
        let links = (of.what != What::Folder).then_some(*count);
        let (at, mut inode) = inode_of(&mut ext4, number).ok_or_else(|| broken(path))?;
        let len = || Some(u32_at(&inode, 108)? << 32 | u32_at(&inode, 4)?);
        if matches!(of.what, What::File(_)) && len() != Some(of.len) {
            let text = format!("`/{path}` has changed while it was copied");
            return Err(Failure::new(ReasonCode::Io, text));
        }
        set(&mut inode, of, links).ok_or_else(|| broken(path))?;
        file.write_all_at(&inode, at).map_err(|e| Failure::new(ReasonCode::Io, e.to_string()))?;
    }
    Ok(())
}

/// The bytes of an inode, and where they stand.
fn inode_of<R: FnMut(u64, &mut [u8]) -> Option<()>>(
    ext4: &mut Ext4<R>,
    number: u64,
) -> Option<(u64, Vec<u8>)> {
    let index = number.checked_sub(1)?;
    let (group, place) = (index / ext4.inodes_per_group, index % ext4.inodes_per_group);
    let at = ext4.group(group)?.inodes + place * ext4.inode_len;
    Some((at, ext4.inode(number)?))
}

fn set(inode: &mut [u8], item: &Item, links: Option<u16>) -> Option<()> {
    let mut put = |at: usize, bytes: &[u8]| {
        inode.get_mut(at..at + bytes.len()).map(|place| place.copy_from_slice(bytes))
    };
    let half = |word: u32, high: bool| {
        let word = word.to_le_bytes();
        if high { [word[2], word[3]] } else { [word[0], word[1]] }
    };
    let kind: u16 = match item.what {
        What::Folder => 0x4000,
        What::File(_) | What::Same(_) => 0x8000,
        What::Link(_) => 0xa000,
        What::Device { block: true, .. } => 0x6000,
        What::Device { block: false, .. } => 0x2000,
        What::Fifo => 0x1000,
    };
    put(0, &(kind | u16::try_from(item.mode & 0o7777).ok()?).to_le_bytes())?;
    put(2, &half(item.uid, false))?;
    put(120, &half(item.uid, true))?;
    put(24, &half(item.gid, false))?;
    put(122, &half(item.gid, true))?;
    // The low word, and the two bits above it that the extra field has.
    let low = item.mtime.to_le_bytes();
    let extra = u32::try_from(item.mtime >> 32 & 3).ok()?.to_le_bytes();
    for (seconds, more) in [(8, 140), (12, 132), (16, 136), (144, 148)] {
        put(seconds, &low[..4])?;
        put(more, &extra)?;
    }
    links.map_or(Some(()), |links| put(26, &links.to_le_bytes()))
}

/// The inode of each path.
fn numbers<R: FnMut(u64, &mut [u8]) -> Option<()>>(
    ext4: &mut Ext4<R>,
) -> Option<HashMap<String, u64>> {
    let mut numbers = HashMap::from([(String::new(), 2)]);
    let mut waiting = vec![(String::new(), 2)];
    while let Some((folder, number)) = waiting.pop() {
        let inode = ext4.inode(number)?;
        let mut names = Vec::new();
        let mut runs = ext4.runs(&inode)?;
        runs.sort_unstable_by_key(|run| run.of_file);
        for run in runs {
            let bytes = ext4.bytes(run.at, run.len.min(FOLDER))?;
            let block = usize::try_from(ext4.block).ok()?;
            bytes.chunks(block).try_for_each(|block| entries(block, &mut names))?;
        }
        for (number, name) in names {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if u16_at(&ext4.inode(number)?, 0)? & 0xf000 == 0x4000 {
                waiting.push((path.clone(), number));
            }
            numbers.insert(path, number);
        }
    }
    Some(numbers)
}
