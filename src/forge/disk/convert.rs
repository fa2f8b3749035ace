//! `convert`: a disk with two slots out of one with a single root, as Raspberry Pi OS and Armbian are shipped. Its root
//! becomes a tree, the files of its FAT partition become firmware, and the recipe says the rest.

use super::tools::Scratch;
use super::tree::{Item, Tree, What};
use crate::disk::{Window, open_image, read_table};
use crate::forge::file;
use crate::forge::image::{self, For};
use crate::model::{Failure, ReasonCode, Result, paths};
use crate::provision::read_boot_files;
use crate::rootfs::{Entry, Root, What as Kind};
use crate::sys::files;
use std::collections::HashMap;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// What was found on the disk.
pub(super) struct Source {
    pub(super) tree: Tree,
    /// The files of the FAT partition, by their paths in it.
    pub(super) firmware: Vec<(String, Vec<u8>)>,
    /// What people must know before they ship it.
    pub(super) warnings: Vec<String>,
}

/// Kernels of a FAT partition, the better one first, and what goes with them.
const KERNELS: [&str; 3] = ["kernel8.img", "Image", "vmlinuz"];
const INITRDS: [&str; 2] = ["initramfs8", "initrd.img"];

/// Reads the disk; files are spooled into the scratch folder.
pub(super) fn source(path: &Path, scratch: &Scratch) -> Result<Source> {
    let bad = |why: &str| {
        let text = format!("{}: {why}", path.display());
        let next =
            "Give an image with one root filesystem, as Raspberry Pi OS and Armbian are shipped.";
        Failure::new(ReasonCode::NotAnImage, text).with_next(next)
    };
    let opened = image::open(path, For::Disk, scratch.path())?;
    let place = PathBuf::from(format!("/proc/self/fd/{}", opened.file.as_raw_fd()));
    let disk = open_image(&place)?;
    let table = read_table(disk.as_ref())?;
    let (mut root, mut firmware) = (None, Vec::new());
    for partition in &table.partitions {
        let found = Root::open_part(&place, partition.start, Some(partition.len));
        if let Ok(found) = found
            && found.exists("/etc")?
        {
            if root.is_some() {
                return Err(bad("it has two partitions with a root filesystem"));
            }
            root = Some(found);
        } else if let Ok(window) = Window::new(disk.clone(), partition.start, partition.len)
            && let Ok(files) = read_boot_files(&window)
        {
            firmware.extend(files);
        }
    }
    let root = root.ok_or_else(|| bad("none of its partitions is an ext4 with /etc"))?;
    let spool = scratch.path().join("converted");
    std::fs::create_dir(&spool).map_err(|e| file::failure(&spool, &e))?;
    let (mut tree, attributes) = tree(&root, &spool)?;
    let mut warnings = hazards(&root, &firmware)?;
    if attributes > 0 {
        warnings.push(format!("{attributes} files have extended attributes in a block of their own, which are not kept"));
    }
    kernel(&mut tree, &firmware, &spool, &mut warnings)?;
    Ok(Source { tree, firmware, warnings })
}

/// All of a root; and how many of its files lose attributes.
fn tree(root: &Root, spool: &Path) -> Result<(Tree, usize)> {
    let (mut tree, mut first, mut count, mut lost) = (Tree::new(0), HashMap::new(), 0, 0);
    root.walk(&mut |entry: Entry, read| {
        lost += usize::from(entry.attributes);
        let what = match (entry.about.what, &entry.target, entry.device) {
            (Kind::Folder, ..) => What::Folder,
            (Kind::Link, Some(target), _) => What::Link(target.clone()),
            (Kind::File, ..) => match first.get(&entry.number) {
                Some(path) => What::Same(String::clone(path)),
                None => {
                    first.insert(entry.number, entry.path.clone());
                    count += 1;
                    let place = spool.join(count.to_string());
                    spooled(&place, &read()?)?;
                    What::File(place)
                }
            },
            (_, _, Some((block, major, minor))) => What::Device { block, major, minor },
            _ if entry.fifo => What::Fifo,
            // A socket means nothing outside of the system that made it.
            _ => return Ok(()),
        };
        let len = if matches!(what, What::File(_)) { entry.about.len } else { 0 };
        let item = Item {
            len,
            uid: entry.about.uid,
            gid: entry.about.gid,
            ..Item::new(what, entry.about.mode, entry.mtime)
        };
        tree.put(&entry.path, item)
    })?;
    Ok((tree, lost))
}

fn spooled(place: &Path, bytes: &[u8]) -> Result<()> {
    let written = files::new(place, 0o600).and_then(|mut file| file.write_all(bytes));
    written.map_err(|e| file::failure(place, &e))
}

/// A kernel that lies on the FAT partition alone would stay the same over updates: it goes into the slot.
fn kernel(
    tree: &mut Tree,
    firmware: &[(String, Vec<u8>)],
    spool: &Path,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let pairs = [("boot/Image", &KERNELS[..]), ("boot/initrd.img", &INITRDS[..])];
    let newest = tree.iter().map(|(_, item)| item.mtime).max().unwrap_or(0);
    for (path, names) in pairs {
        if tree.resolve(path).is_some_and(|path| tree.get(&path).is_some()) {
            continue;
        }
        let found = names.iter().find_map(|name| firmware.iter().find(|(path, _)| path == name));
        if let Some((name, bytes)) = found {
            let place = spool.join(name);
            spooled(&place, bytes)?;
            let item = Item::new(What::File(place), 0o644, newest);
            tree.put(path, Item { len: bytes.len() as u64, ..item })?;
            warnings.push(format!("{name} of the boot partition was copied to /{path}: updates bring it with the root from now on"));
        }
    }
    Ok(())
}

/// What of the old disk would fail, or do harm, on the new one.
fn hazards(root: &Root, firmware: &[(String, Vec<u8>)]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let fstab = root.read_text("/etc/fstab", 1 << 20)?.unwrap_or_default();
    for (line, number) in fstab.lines().zip(1..) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [device, folder, ..] = words[..] else { continue };
        let by_id = ["UUID=", "PARTUUID=", "LABEL=", "PARTLABEL=", "/dev/"];
        if !device.starts_with('#') && by_id.iter().any(|begin| device.starts_with(begin)) {
            found.push(format!(
                "/etc/fstab line {number} mounts {folder} from {device}, which is not on the new disk: remove it, or name {}/…",
                paths::LINKS
            ));
        }
    }
    for (name, bytes) in firmware.iter().filter(|(name, _)| name == "cmdline.txt") {
        let text = String::from_utf8_lossy(bytes).into_owned();
        found.push(format!("{name} is not used any more: the boot script makes the command line; what the board needs of it goes into `surefoot_args`"));
        for word in text.split_whitespace().filter(|w| w.starts_with("init=")) {
            found.push(format!("{name} starts {word}: what that does once to a new card (growing the root, for one) must not be done to a slot"));
        }
    }
    Ok(found)
}
