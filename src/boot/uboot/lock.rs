//! The lock of libubootenv, so that `fw_setenv` and this program never write at once.

use crate::model::{Failure, ReasonCode, Result};
use crate::sys::blk::{try_lock, unlock};
use crate::sys::files;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where libubootenv keeps it.
pub(super) const LOCK_PATH: &str = "/var/lock/fw_printenv.lock";

/// Longer than any environment takes to write.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// The lock, held until dropped.
#[derive(Debug)]
pub(super) struct EnvLock {
    file: Option<File>,
}

impl Drop for EnvLock {
    fn drop(&mut self) {
        // Closing it is not enough: a program that is being started has it too until it runs.
        if let Some(file) = &self.file {
            unlock(file);
        }
    }
}

impl EnvLock {
    /// Takes the lock, waiting until `deadline` has passed: `BUSY` then. Where `needed` is false
    /// (an image of an ordinary user) a lock that may not be opened is done without; a folder
    /// that does not exist locks nobody, so there is nothing to wait for.
    pub(super) fn take(path: &Path, deadline: Duration, needed: bool) -> Result<EnvLock> {
        // For reading first: that is enough for a lock, the file belongs to whoever came first,
        // and in a sticky folder the kernel refuses O_CREAT on another user's file.
        let file = match files::own(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => files::own_to_change(path, 0o644),
            other => other,
        };
        let file = match file {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound || !needed => {
                return Ok(EnvLock { file: None });
            }
            Err(e) => {
                let why = format!("opening the lock {}: {e}", path.display());
                return Err(Failure::new(ReasonCode::Io, why));
            }
        };
        let started = Instant::now();
        loop {
            match try_lock(&file) {
                Ok(true) => return Ok(EnvLock { file: Some(file) }),
                Ok(false) if started.elapsed() < deadline => {
                    crate::sys::stop::look()?;
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(false) => {
                    let why = format!("another program holds {}", path.display());
                    return Err(Failure::new(ReasonCode::Busy, why));
                }
                Err(e) => {
                    let why = format!("locking {}: {e}", path.display());
                    return Err(Failure::new(ReasonCode::Io, why));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_waited_for_and_then_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let wait = Duration::from_millis(60);
        let held = EnvLock::take(&path, wait, true).unwrap();
        let started = Instant::now();
        let second = EnvLock::take(&path, wait, true).unwrap_err();
        assert_eq!(second.code(), ReasonCode::Busy);
        assert!(started.elapsed() >= wait);
        let (held_path, free_after) = (path.clone(), Duration::from_millis(30));
        let waiter = std::thread::spawn(move || {
            EnvLock::take(&held_path, Duration::from_secs(20), true).map(drop)
        });
        std::thread::sleep(free_after);
        drop(held);
        waiter.join().unwrap().unwrap();
        // As a program has it that is being started.
        let held = EnvLock::take(&path, wait, true).unwrap();
        let _same = held.file.as_ref().unwrap().try_clone().unwrap();
        drop(held);
        EnvLock::take(&path, Duration::ZERO, true).unwrap();
        // No such folder: nobody can hold it.
        assert!(EnvLock::take(&dir.path().join("no/lock"), wait, true).is_ok());
        // Something that cannot be opened: an error for a device only.
        let circle = dir.path().join("circle");
        std::os::unix::fs::symlink(&circle, &circle).unwrap();
        assert!(EnvLock::take(&circle, wait, true).is_err());
        assert!(EnvLock::take(&circle, wait, false).is_ok());
    }
}
