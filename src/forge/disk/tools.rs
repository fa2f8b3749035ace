//! Programs of e2fsprogs, and a folder for what they read.

use crate::model::{Failure, ReasonCode, Result};
use crate::sys::blk::try_lock;
use crate::sys::files;
use crate::sys::process::{self, Ending, Invocation};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Ends a program that hangs: a root of 2 GiB takes half a minute.
const DEADLINE: Duration = Duration::from_secs(3600);

/// A folder that is gone with its end. It is locked for as long as its process lives: what one that was killed, or cut off
/// by a power cut, has left is removed by the next that makes the same disk.
pub(super) struct Scratch(PathBuf, #[expect(dead_code, reason = "holds the lock")] File);

impl Scratch {
    /// Beside `target`, where there is room for what becomes the disk.
    pub(super) fn new(target: &Path) -> Result<Scratch> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let stem = target.file_name().unwrap_or_default().to_string_lossy();
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!(".{stem}.{}.{number}.scratch", std::process::id());
            let path = std::path::absolute(target.with_file_name(name));
            let path = path.map_err(|e| failed(target, &e))?;
            remove_left_over(&path, target);
            std::fs::create_dir(&path).map_err(|e| failed(&path, &e))?;
            let lock = files::folder(&path).map_err(|e| failed(&path, &e))?;
            // Another process takes it for one that was left. Without locks nothing is removed either.
            if !matches!(try_lock(&lock), Ok(false)) {
                return Ok(Scratch(path, lock));
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A new file in it.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = files::new(path, 0o644).map_err(|e| failed(path, &e))?;
        file.write_all(bytes).map_err(|e| failed(path, &e))
    }

    /// A new file of `len` bytes of zeros.
    pub(super) fn zeros(&self, name: &str, len: u64) -> Result<PathBuf> {
        let path = self.0.join(name);
        let file = files::new(&path, 0o600).map_err(|e| failed(&path, &e))?;
        file.set_len(len).map_err(|e| failed(&path, &e))?;
        Ok(path)
    }
}

/// Folders of earlier processes for the same disk that nothing holds.
fn remove_left_over(own: &Path, target: &Path) {
    let begin = format!(".{}.", target.file_name().unwrap_or_default().to_string_lossy());
    let is_ours = |name: &str| {
        let rest = name.strip_prefix(&begin).and_then(|rest| rest.strip_suffix(".scratch"));
        rest.is_some_and(|rest| rest.split('.').all(|n| n.parse::<u32>().is_ok()))
    };
    let Some(Ok(entries)) = own.parent().map(std::fs::read_dir) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_str().is_some_and(is_ours)) {
        // What cannot be removed is no reason to build nothing.
        if let Ok(folder) = files::folder(&entry.path())
            && matches!(try_lock(&folder), Ok(true))
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ReasonCode::NoSpace,
        _ => ReasonCode::Io,
    };
    Failure::new(code, format!("{}: {error}", path.display()))
}

/// Runs one to its end, with nothing of this host's clock, language and settings; what it says on standard error.
pub(super) fn run(words: &[&str], input: &[u8], scratch: &Scratch) -> Result<String> {
    let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    // A user's PATH often has no folders of administrators.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let environment = [
        ("LC_ALL", "C"),
        ("MKE2FS_CONFIG", "/dev/null"),
        ("E2FSPROGS_FAKE_TIME", "1"),
        ("DEBUGFS_PAGER", "cat"),
        ("PATH", &path),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let call = Invocation {
        command: &command,
        folder: scratch.path(),
        environment: &environment,
        input,
        deadline: DEADLINE,
        keep: 64 << 10,
    };
    let program = words.first().copied().unwrap_or_default();
    let done = process::run(&call).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            let text = format!("{program} is not installed");
            Failure::new(ReasonCode::NoSuchFile, text).with_next("Install the package e2fsprogs.")
        }
        _ => Failure::new(ReasonCode::Io, format!("{program}: {e}")),
    })?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.ending != Ending::Exit(0) {
        let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word");
        return Err(Failure::new(ReasonCode::Io, format!("{program}: {line}")));
    }
    Ok(said)
}
