//! Files: opened with a reason when they cannot be, replaced in one step.

use crate::model::{Failure, ReasonCode, Result};
use crate::sys::files;
use crate::trust::{MAX_TRUST_LEN, Trust};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What an I/O error on `path` means to the caller.
pub(super) fn failure(path: &Path, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::NotFound => ReasonCode::NoSuchFile,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            ReasonCode::NoSpace
        }
        _ => ReasonCode::Io,
    };
    Failure::new(code, format!("{}: {error}", path.display()))
}

pub(super) fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|e| failure(path, &e))?;
    // A folder opens like a file and then fails with words that help nobody.
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        let detail = format!("{}: is a folder", path.display());
        return Err(Failure::new(ReasonCode::NoSuchFile, detail));
    }
    Ok(file)
}

/// A text file of at most `limit` bytes.
pub(super) fn read_text(path: &Path, limit: usize, code: ReasonCode) -> Result<String> {
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    files::foreign_text(path, limit).map_err(|e| match e.kind() {
        ErrorKind::InvalidInput => Failure::new(code, format!("{}: {e}", path.display())),
        _ => failure(path, &e),
    })
}

/// A missing trust file is `TRUST_MISSING`: never "trust everybody".
pub(super) fn read_trust(path: &Path) -> Result<Trust> {
    let text = read_text(path, MAX_TRUST_LEN, ReasonCode::TrustInvalid).map_err(|f| {
        let missing = f.code() == ReasonCode::NoSuchFile;
        let code = if missing { ReasonCode::TrustMissing } else { f.code() };
        Failure::new(code, f.detail())
    })?;
    Trust::parse(&text).map_err(|f| f.at(path.display()))
}

/// A file that appears under its name complete, or not at all.
pub(super) struct Replacement {
    /// Where it is written.
    pub(super) file: File,
    temporary: PathBuf,
    target: PathBuf,
}

impl Replacement {
    pub(super) fn of(target: &Path) -> Result<Replacement> {
        let temporary = beside(target, "tmp");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(|e| failure(&temporary, &e))?;
        Ok(Replacement { file, temporary, target: target.to_owned() })
    }

    /// The name it has until [`Replacement::finish`].
    pub(super) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Puts it in its place, on the medium.
    pub(super) fn finish(self) -> Result<()> {
        self.file.sync_all().map_err(|e| failure(&self.temporary, &e))?;
        std::fs::rename(&self.temporary, &self.target).map_err(|e| failure(&self.target, &e))?;
        let folder = self.target.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|f| f.sync_all());
        synced.map_err(|e| failure(folder, &e))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After `finish` there is nothing of that name: nothing is removed.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// `.NAME.PID.what.tmp` in the folder of `target`: two builds at once do not meet.
fn beside(target: &Path, what: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{}.{what}", std::process::id()))
}

/// A scratch file beside `target` that is gone when it is closed.
pub(super) fn scratch(target: &Path) -> Result<File> {
    let path = beside(target, "payload");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(|e| failure(&path, &e))?;
    std::fs::remove_file(&path).map_err(|e| failure(&path, &e))?;
    Ok(file)
}
