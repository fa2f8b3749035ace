//! Files that are either the old or the new one after a power cut.

use super::files;
use super::power::{self, Deed};
use crate::model::{Failure, ReasonCode, Result, StateFile};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// What is set aside for a day on which somebody else has filled the disk: so many files of this
/// length. Each is good for one [`write`] of at most as many bytes.
const RESERVE_LEN: u64 = StateFile::RESERVE[0].limit;

/// With less room than this nothing is set aside: what an update needs anyway, and the reserve.
const ROOMY: u64 = 5 * 8 * RESERVE_LEN;

/// Replaces `path` with `bytes`: write beside it, fsync, rename, fsync the folder. After a cut
/// at any point the file is whole: old or new. On a full disk it takes what [`reserve`] has set
/// aside.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    match write_strictly(path, bytes) {
        Err(failure) if failure.code() == ReasonCode::NoSpace => match spare(path, bytes) {
            Some(done) => done,
            None => Err(failure),
        },
        done => done,
    }
}

/// The same, and a full disk is a full disk: `NO_SPACE`.
pub fn write_strictly(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = &beside(path);
    let told = |what: &str, error: &std::io::Error| io_failure(what, path, error);
    let open = || files::new(beside, 0o600);
    let file = power::telling(Deed::Create(beside), open).map_err(|e| told("create", &e))?;
    fill(&file, path, bytes)?;
    replace(beside, path)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    PathBuf::from(beside)
}

fn fill(file: &File, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut writer = file;
    power::writing(Deed::Write(file, 0), bytes, |part| writer.write_all(part))
        .and_then(|()| power::telling(Deed::Sync(file), || file.sync_all()))
        .map_err(|e| io_failure("write", path, &e))
}

fn replace(beside: &Path, path: &Path) -> Result<()> {
    power::acting(Deed::Rename(beside, path), || fs::rename(beside, path))
        .map_err(|e| io_failure("replace", path, &e))?;
    sync_folder(folder_of(path))
}

/// Writes into blocks that are there already. `None` where none are set aside.
fn spare(path: &Path, bytes: &[u8]) -> Option<Result<()>> {
    if bytes.len() as u64 > RESERVE_LEN {
        return None;
    }
    let beside = &beside(path);
    let folder = folder_of(path);
    let taken = StateFile::RESERVE.map(|file| file.within(folder)).into_iter().find(|reserve| {
        files::own(reserve).is_ok()
            && power::acting(Deed::Rename(reserve, beside), || fs::rename(reserve, beside)).is_ok()
    });
    taken?;
    let told = |error: &std::io::Error| io_failure("write", path, error);
    let done = files::own_to_change(beside, 0o600).map_err(|e| told(&e)).and_then(|file| {
        // Overwritten first and cut to length then: at no time does it need a block.
        fill(&file, path, bytes)?;
        file.set_len(bytes.len() as u64).and_then(|()| file.sync_all()).map_err(|e| told(&e))?;
        replace(beside, path)
    });
    Some(done)
}

/// Sets aside room in `folder` for a few writes, where there is plenty. Whatever fails is no
/// failure: the day may never come.
pub fn reserve(folder: &Path) {
    let missing =
        || StateFile::RESERVE.map(|file| file.within(folder)).into_iter().filter(|p| !p.exists());
    if missing().next().is_none() || !super::host::free_bytes(folder).is_ok_and(|f| f >= ROOMY) {
        return;
    }
    // Bytes that no filesystem compresses away or leaves out.
    let bytes: Vec<u8> =
        (0..RESERVE_LEN).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 7).to_le_bytes()[0]).collect();
    for path in missing() {
        let _ = write_strictly(&path, &bytes);
    }
}

/// How many bytes [`reserve`] has set aside in `folder`.
pub fn reserved(folder: &Path) -> u64 {
    let files = StateFile::RESERVE.into_iter().map(|file| file.within(folder));
    let lengths = files.map(fs::symlink_metadata);
    lengths.filter_map(|found| Some(found.ok()?.len())).sum()
}

/// Replaces a file that anybody may read and nobody needs after a reboot: whole at every moment,
/// and not waited for.
pub fn publish(path: &Path, bytes: &[u8]) -> Result<()> {
    publish_with(path, bytes, 0o644)
}

/// The same with another mode than 0644.
pub fn publish_with(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    // Several processes and threads may show something here, each whole.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut beside = beside(path).into_os_string();
    beside.push(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let beside = Path::new(&beside);
    let mut file = files::new(beside, 0o600).map_err(|e| io_failure("create", path, &e))?;
    // Whatever the mask of this process says.
    file.write_all(bytes)
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(beside, path))
        .map_err(|e| io_failure("write", path, &e))
}

/// Writes a file that a person has named, anew.
pub fn write_foreign(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = files::foreign_to_write(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|e| io_failure("write", path, &e))
}

/// Takes a file away, durably; one that is not there is gone already.
pub fn remove(path: &Path) -> Result<()> {
    match power::acting(Deed::Memory, || fs::remove_file(path)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io_failure("remove", path, &e)),
        _ => sync_folder(folder_of(path)),
    }
}

/// Writes over a file in place, its first 512 bytes before the rest.
pub fn overwrite(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let told = |error: &std::io::Error| io_failure("write", path, error);
    let file = files::own_to_change(path, 0o600).map_err(|e| told(&e))?;
    let (first, rest) = bytes.split_at(bytes.len().min(512));
    for (at, bytes) in [(0, first), (first.len() as u64, rest)] {
        power::writing(Deed::Write(&file, at), bytes, |part| file.write_all_at(part, at))
            .and_then(|()| power::telling(Deed::Sync(&file), || file.sync_all()))
            .map_err(|e| told(&e))?;
    }
    Ok(())
}

/// Appends one line to `path` and syncs it. A cut may leave a torn last line: readers drop it.
pub fn append_line(path: &Path, line: &str) -> Result<()> {
    let told = |what: &str, error: &std::io::Error| io_failure(what, path, error);
    let end = fs::symlink_metadata(path).map(|m| m.len());
    let open = || files::own_to_append(path, 0o600);
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

/// The whole of a file of ours, at most `limit` bytes; `None` if it does not exist. A longer file is
/// an error: nothing that this program wrote is that long.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    found(path, files::read_own(path, limit))
}

/// The same of a file that other people or programs write.
pub fn read_foreign(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    found(path, files::read_foreign(path, limit))
}

fn found(path: &Path, read: std::io::Result<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_failure("read", path, &e)),
    }
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<()> {
    let sync = || File::open(folder).and_then(|f| f.sync_all());
    power::telling(Deed::SyncFolder(folder), sync).map_err(|e| io_failure("sync", folder, &e))
}

/// Makes all that the file system of a folder was given durable, by whichever process.
pub fn sync_file_system(folder: &Path) -> Result<()> {
    let sync = || Ok(nix::unistd::syncfs(File::open(folder)?)?);
    sync().map_err(|e: std::io::Error| io_failure("sync the file system of", folder, &e))
}

/// An I/O error as a failure: a full disk has a code of its own, because a person can act on it.
pub fn io_failure(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            ReasonCode::NoSpace
        }
        // The medium is well; an ordinary user has asked.
        ErrorKind::PermissionDenied if !super::host::is_root() => ReasonCode::NotAllowed,
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
