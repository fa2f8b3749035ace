//! A root filesystem that is a folder of the build host. Its links were followed before: by `root`.

use super::part::{About, Node, Want, What};
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::files;
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn failed(path: &Path, error: &Error) -> Failure {
    Failure::new(ReasonCode::Io, format!("{}: {error}", path.display()))
}

pub(super) fn node(root: &Path, path: &str) -> Result<Option<Node>> {
    let path = root.join(path);
    let found = match std::fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(failed(&path, &e)),
    };
    let what = What::of_mode(found.mode());
    let about = About {
        what,
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        len: found.len(),
    };
    let target = match what {
        What::Link => {
            let target = std::fs::read_link(&path).map_err(|e| failed(&path, &e))?;
            Some(target.to_string_lossy().into_owned())
        }
        _ => None,
    };
    Ok(Some(Node { about, target }))
}

pub(super) fn list(root: &Path, path: &str) -> Result<Vec<String>> {
    let path = root.join(path);
    let entries = std::fs::read_dir(&path).map_err(|e| failed(&path, &e))?;
    entries
        .map(|entry| {
            let entry = entry.map_err(|e| failed(&path, &e))?;
            Ok(entry.file_name().to_string_lossy().into_owned())
        })
        .collect()
}

pub(super) fn read(root: &Path, path: &str, want: Want) -> Result<Vec<u8>> {
    let path = root.join(path);
    let file = files::foreign(&path).map_err(|e| failed(&path, &e))?;
    match want {
        Want::All(limit) => files::bytes(file, limit)
            .map_err(|e| Failure::new(ReasonCode::NotAnImage, format!("{} {e}", path.display()))),
        Want::Head(limit) => {
            let mut bytes = Vec::new();
            file.take(limit).read_to_end(&mut bytes).map_err(|e| failed(&path, &e))?;
            Ok(bytes)
        }
    }
}
