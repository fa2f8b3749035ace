//! The files of a native or command app: a folder of the build host, one file behind the other.

use crate::bundle::{MAX_FILES, MAX_TREE_LEN, NativeFile};
use crate::forge::file;
use crate::model::{ByteLen, Digest, Failure, ReasonCode, Result};
use crate::sys::files;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

fn refused(path: &Path, why: impl AsRef<str>) -> Failure {
    Failure::new(ReasonCode::AppInvalid, format!("{}: {}", path.display(), why.as_ref()))
}

/// What a folder holds, ordered by path, and its bytes in a file without a name near `near`.
pub(super) fn read(folder: &Path, near: &Path) -> Result<(Vec<NativeFile>, File, u64)> {
    let (mut paths, mut waiting) = (Vec::new(), vec![String::new()]);
    while let Some(below) = waiting.pop() {
        let here = folder.join(&below);
        for entry in std::fs::read_dir(&here).map_err(|e| file::failure(&here, &e))? {
            let entry = entry.map_err(|e| file::failure(&here, &e))?;
            let name = entry.file_name().into_string();
            let name = name.map_err(|_| refused(&entry.path(), "its name is not UTF-8"))?;
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let kind = entry.file_type().map_err(|e| file::failure(&here, &e))?;
            match (kind.is_dir(), kind.is_file()) {
                (true, _) => waiting.push(path),
                (_, true) => paths.push(path),
                _ => return Err(refused(&entry.path(), "only files and folders are carried")),
            }
            if paths.len() > MAX_FILES || waiting.len() > MAX_FILES {
                return Err(refused(folder, format!("more than {MAX_FILES} files or folders")));
            }
        }
    }
    // Every folder is listed in another order on another machine.
    paths.sort();
    let mut out = BufWriter::with_capacity(1 << 20, file::scratch(near)?);
    let (mut all, mut total) = (Vec::new(), 0u64);
    for path in paths {
        let place = folder.join(&path);
        let mut input = files::foreign(&place).map_err(|e| file::failure(&place, &e))?;
        let about = input.metadata().map_err(|e| file::failure(&place, &e))?;
        let (mut hash, mut size, mut block) = (Sha256::new(), 0u64, vec![0; 64 * 1024]);
        loop {
            let n = input.read(&mut block).map_err(|e| file::failure(&place, &e))?;
            if n == 0 {
                break;
            }
            hash.update(&block[..n]);
            size += n as u64;
            if total.saturating_add(size) > MAX_TREE_LEN {
                return Err(refused(folder, format!("more than {}", ByteLen(MAX_TREE_LEN))));
            }
            out.write_all(&block[..n]).map_err(|e| file::failure(near, &e))?;
        }
        total += size;
        let executable = about.permissions().mode() & 0o111 != 0;
        all.push(NativeFile { path, size, executable, sha256: Digest(hash.finalize().into()) });
    }
    let file = out.into_inner().map_err(|e| file::failure(near, e.error()))?;
    Ok((all, file, total))
}

/// One of the files that stand one behind the other in `tree`.
pub(super) fn read_one(files: &[NativeFile], tree: &File, wanted: &NativeFile) -> Result<Vec<u8>> {
    let before = files.iter().take_while(|file| file.path != wanted.path);
    let at = before.map(|file| file.size).sum();
    let len = usize::try_from(wanted.size);
    let len = len.map_err(|_| Failure::new(ReasonCode::TooBig, wanted.path.as_str()))?;
    let mut bytes = vec![0; len];
    let read = tree.read_exact_at(&mut bytes, at);
    read.map_err(|e| Failure::new(ReasonCode::Io, format!("{}: {e}", wanted.path)))?;
    Ok(bytes)
}
