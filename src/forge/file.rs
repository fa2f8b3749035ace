//! Files: opened with a reason when they cannot be, replaced in one step.

use crate::model::{Failure, ReasonCode, Result};
use crate::sys::blk::try_lock;
use crate::sys::{files, unnamed};
use crate::trust::{MAX_TRUST_LEN, Trust};
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read};
use std::os::unix::fs::MetadataExt;
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
    /// It has the name `temporary` meanwhile: the filesystem has no files without a name.
    named: bool,
}

impl Replacement {
    pub(super) fn of(target: &Path) -> Result<Replacement> {
        let temporary = beside(target, "tmp");
        let unnamed = unnamed::create(folder(target)).map_err(|e| failure(target, &e))?;
        let named = unnamed.is_none();
        let file = match unnamed {
            Some(file) => file,
            None => held(&temporary, target)?,
        };
        Ok(Replacement { file, temporary, target: target.to_owned(), named })
    }

    /// The name that it will have.
    pub(super) fn path(&self) -> &Path {
        &self.target
    }

    /// Puts it in its place, on the medium.
    pub(super) fn finish(mut self) -> Result<()> {
        self.file.sync_all().map_err(|e| failure(&self.target, &e))?;
        let placed = match self.named {
            true => std::fs::rename(&self.temporary, &self.target),
            false => unnamed::publish(&self.file, &self.temporary, &self.target),
        };
        placed.map_err(|e| failure(&self.target, &e))?;
        self.named = false;
        synced(folder(&self.target))
    }
}

/// Has the names of a folder on the medium.
pub(super) fn synced(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| failure(folder, &e))
}

/// Of a millisecond each.
const TRIES: u32 = 1000;

/// A file under a name for the time until it is whole, for filesystems that have no files without one
/// (vfat, some overlays): locked for as long as it is written. What a build that was ended has left
/// there holds no lock, and is removed first.
fn held(temporary: &Path, target: &Path) -> Result<File> {
    remove_left_over(target);
    for _ in 0..TRIES {
        let file = create(temporary)?;
        // Another build that takes it for one that was left has it for a moment. Without locks nothing
        // is removed either.
        if matches!(try_lock(&file), Ok(false)) {
            std::thread::sleep(std::time::Duration::from_millis(1));
            continue;
        }
        // Or it has removed it already.
        let named = std::fs::metadata(temporary).map(|about| (about.dev(), about.ino()));
        let about = file.metadata().map_err(|e| failure(temporary, &e))?;
        if named.is_ok_and(|named| named == (about.dev(), about.ino())) {
            return Ok(file);
        }
    }
    let detail = format!("{}: another build writes it", temporary.display());
    Err(Failure::new(ReasonCode::Busy, detail))
}

fn remove_left_over(target: &Path) {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let begin = format!(".{name}.");
    let is_ours = |name: &str| {
        let rest = name.strip_prefix(&begin);
        let number = rest.and_then(|r| r.strip_suffix(".tmp").or(r.strip_suffix(".payload")));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let Ok(entries) = std::fs::read_dir(folder(target)) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_str().is_some_and(is_ours)) {
        // What cannot be opened or removed is no reason to build nothing.
        if let Ok(file) = files::own(&entry.path())
            && matches!(try_lock(&file), Ok(true))
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if self.named {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn folder(target: &Path) -> &Path {
    target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn create(path: &Path) -> Result<File> {
    let mut how = File::options();
    how.read(true).write(true).create(true).truncate(true);
    how.open(path).map_err(|e| failure(path, &e))
}

/// `.NAME.PID.what.tmp` in the folder of `target`: two builds at once do not meet.
fn beside(target: &Path, what: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{}.{what}", std::process::id()))
}

/// A scratch file beside `target`, or in the folder for such files where that is standard output; it
/// is gone when it is closed.
pub(super) fn scratch(target: &Path) -> Result<File> {
    let elsewhere = std::env::temp_dir().join("surefoot-forge");
    let target = if is_standard(target) { &elsewhere } else { target };
    if let Some(file) = unnamed::create(folder(target)).map_err(|e| failure(folder(target), &e))? {
        return Ok(file);
    }
    let path = beside(target, "payload");
    let file = held(&path, target)?;
    std::fs::remove_file(&path).map_err(|e| failure(&path, &e))?;
    Ok(file)
}

/// `-` stands for standard input, and for standard output.
pub(super) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// What is to be read: a file, or standard input.
pub(super) fn input(path: &Path) -> Result<Box<dyn Read>> {
    if !is_standard(path) {
        return Ok(Box::new(open(path)?));
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let detail = "`-` reads an artifact from standard input, which is a terminal";
        return Err(Failure::new(ReasonCode::Usage, detail));
    }
    Ok(Box::new(stdin.lock()))
}

/// Whether an artifact can be written there at all, before anything is done for it. What is no
/// ordinary file is never replaced by one: `-o /dev/stdout` of root would take it from all others.
pub(super) fn may_be_written(target: &Path) -> Result<()> {
    let usage = |detail: String| Err(Failure::new(ReasonCode::Usage, detail));
    if is_standard(target) {
        return match std::io::stdout().is_terminal() {
            true => usage("`-o -` writes to standard output, which is a terminal".into()),
            false => Ok(()),
        };
    }
    match std::fs::metadata(target) {
        Ok(about) => match files::not_a_file(about.file_type()) {
            Some(what) => {
                usage(format!("{} {what}; `-o -` writes to standard output", target.display()))
            }
            None => Ok(()),
        },
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_ended_build_has_left_is_removed_by_the_next_and_what_is_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let target = at("x.surefoot");
        // A process that was ended holds no lock; one that writes does.
        let strangers =
            [".x.surefoot.12.bak", ".y.surefoot.12.tmp", ".x.surefoot..tmp", "x.surefoot.12.tmp"];
        for name in strangers.iter().chain(&[".x.surefoot.12.tmp", ".x.surefoot.34.tmp"]) {
            std::fs::write(at(name), "left").unwrap();
        }
        let busy = at(".x.surefoot.56.tmp");
        let other = held(&busy, &at("z.surefoot")).unwrap();
        let mine = held(&at(".x.surefoot.78.tmp"), &target).unwrap();
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(folder.path())
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let mut expected: Vec<_> = strangers.iter().map(|n| (*n).to_owned()).collect();
        expected.extend([".x.surefoot.56.tmp".to_owned(), ".x.surefoot.78.tmp".to_owned()]);
        expected.sort();
        assert_eq!(names(), expected);
        drop((mine, other));
        drop(held(&at(".x.surefoot.90.tmp"), &target).unwrap());
        assert!(!names().contains(&".x.surefoot.56.tmp".to_owned()));
    }
}
