//! A folder of the build host as a tree.

use super::tree::{Item, Tree, What};
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::host;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Files and folders, at the most.
const ENTRIES: usize = 4 << 20;

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(ReasonCode::NoSuchFile, format!("{}: {error}", path.display()))
}

/// All that is below `root`; every time of change is `mtime`: that of a file on the build host says when it
/// was copied there. What belongs to a caller who is not root belongs to root in the tree.
pub(super) fn read(root: &Path, mtime: u64) -> Result<Tree> {
    let (mut tree, mut names) = (Tree::new(mtime), HashMap::new());
    let (mut waiting, mut count) = (vec![String::new()], 0usize);
    while let Some(folder) = waiting.pop() {
        let path = root.join(&folder);
        let entries = std::fs::read_dir(&path).map_err(|e| failed(&path, &e))?;
        let mut here = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| failed(&path, &e))?.file_name();
            let name = name.into_string().map_err(|name| {
                let text = format!("{}: the name {name:?} is not UTF-8", path.display());
                Failure::new(ReasonCode::NotAnImage, text)
            })?;
            here.push(name);
        }
        here.sort();
        count += here.len();
        if count > ENTRIES {
            let text = format!("{} has more than {ENTRIES} files", root.display());
            return Err(Failure::new(ReasonCode::NotAnImage, text));
        }
        for name in here {
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let path = root.join(&name);
            let found = std::fs::symlink_metadata(&path).map_err(|e| failed(&path, &e))?;
            let Some(what) = what(&path, &found, &name, &mut names)? else { continue };
            if what == What::Folder {
                waiting.push(name.clone());
            }
            tree.put(&name, item(what, &found, mtime))?;
        }
    }
    let found = std::fs::metadata(root).map_err(|e| failed(root, &e))?;
    tree.put("", item(What::Folder, &found, mtime))?;
    Ok(tree)
}

fn item(what: What, found: &Metadata, mtime: u64) -> Item {
    let me = host::user_id();
    let uid = if found.uid() == me { 0 } else { found.uid() };
    // A group that is the caller's own goes with the user.
    let gid = if me != 0 && found.uid() == me { 0 } else { found.gid() };
    let len = if matches!(what, What::File(_)) { found.len() } else { 0 };
    Item { len, uid, gid, ..Item::new(what, found.mode() & 0o7777, mtime) }
}

/// `None` for a socket, which means nothing outside of the system that made it.
fn what(
    path: &Path,
    found: &Metadata,
    name: &str,
    names: &mut HashMap<(u64, u64), String>,
) -> Result<Option<What>> {
    let kind = found.file_type();
    Ok(Some(if kind.is_dir() {
        What::Folder
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path).map_err(|e| failed(path, &e))?;
        let target = target.into_os_string().into_string().map_err(|target| {
            let text = format!("{}: its target {target:?} is not UTF-8", path.display());
            Failure::new(ReasonCode::NotAnImage, text)
        })?;
        What::Link(target)
    } else if kind.is_file() {
        if found.nlink() > 1 {
            let key = (found.dev(), found.ino());
            if let Some(first) = names.get(&key) {
                return Ok(Some(What::Same(first.clone())));
            }
            names.insert(key, name.to_owned());
        }
        What::File(path.to_owned())
    } else if kind.is_fifo() {
        What::Fifo
    } else if kind.is_char_device() || kind.is_block_device() {
        let (major, minor) = host::device_number(found.rdev());
        What::Device { block: kind.is_block_device(), major, minor }
    } else {
        return Ok(None);
    }))
}
