//! Files that are either the old or the new one after a power cut.

use super::power::{self, Deed};
use crate::model::{Failure, ReasonCode, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces `path` with `bytes`: write beside it, fsync, rename, fsync the folder. After a cut
/// at any point the file is whole: old or new.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let told = |what: &str, error: &std::io::Error| io_failure(what, path, error);
    let open =
        || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(beside);
    let file = power::telling(Deed::Create(beside), open).map_err(|e| told("create", &e))?;
    power::writing(Deed::Write(&file, 0), bytes, |part| (&file).write_all(part))
        .and_then(|()| power::telling(Deed::Sync(&file), || file.sync_all()))
        .map_err(|e| told("write", &e))?;
    power::acting(Deed::Rename(beside, path), || fs::rename(beside, path))
        .map_err(|e| told("replace", &e))?;
    sync_folder(folder)
}

/// Appends one line to `path` and syncs it. A cut may leave a torn last line: readers drop it.
pub fn append_line(path: &Path, line: &str) -> Result<()> {
    let told = |what: &str, error: &std::io::Error| io_failure(what, path, error);
    let end = fs::metadata(path).map(|m| m.len());
    let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let file = match end {
        Ok(_) => open(),
        Err(_) => power::telling(Deed::Create(path), open),
    };
    let file = file.map_err(|e| told("open", &e))?;
    let (fresh, end) = (end.is_err(), end.unwrap_or(0));
    let bytes = format!("{line}\n");
    power::writing(Deed::Write(&file, end), bytes.as_bytes(), |part| (&file).write_all(part))
        .and_then(|()| power::telling(Deed::Sync(&file), || file.sync_all()))
        .map_err(|e| told("write", &e))?;
    match path.parent() {
        Some(folder) if fresh => sync_folder(folder),
        _ => Ok(()),
    }
}

/// The whole file, at most `limit` bytes of it; `None` if it does not exist. A longer file is an
/// error: nothing that this program wrote is that long.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let told = |error: &std::io::Error| io_failure("read", path, error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(told(&e)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| told(&e))?;
    if bytes.len() as u64 > limit {
        let what = format!("{} is longer than {limit} bytes", path.display());
        return Err(Failure::new(ReasonCode::Io, what));
    }
    Ok(Some(bytes))
}

fn sync_folder(folder: &Path) -> Result<()> {
    let sync = || File::open(folder).and_then(|f| f.sync_all());
    power::telling(Deed::SyncFolder(folder), sync).map_err(|e| io_failure("sync", folder, &e))
}

/// An I/O error as a failure: a full disk has a code of its own, because a person can act on it.
pub fn io_failure(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ReasonCode::NoSpace,
        _ => ReasonCode::Io,
    };
    Failure::new(code, format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        assert_eq!(read(&path, 10).unwrap(), None);
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"two");
        assert_eq!(read(&path, 2).unwrap_err().code(), ReasonCode::Io);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn lines_are_appended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append_line(&path, "a").unwrap();
        append_line(&path, "b").unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"a\nb\n");
    }

    #[test]
    fn a_full_disk_has_its_own_code() {
        let full = std::io::Error::from_raw_os_error(nix::errno::Errno::ENOSPC as i32);
        assert_eq!(io_failure("write", Path::new("x"), &full).code(), ReasonCode::NoSpace);
    }
}
