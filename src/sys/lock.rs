//! One update at a time: an exclusive lock on a file, dropped by the kernel with the process.

use crate::model::{Failure, ReasonCode, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A held lock. Dropping it, or the end of the process however it ends, releases it.
#[derive(Debug)]
pub struct FileLock {
    _held: Flock<File>,
}

impl FileLock {
    /// Takes the lock on `path`, creating the file; waits for `patience` at most.
    /// `BUSY` if another process holds it.
    pub fn take(path: &Path, patience: Duration) -> Result<FileLock> {
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        let mut file = open.map_err(|e| super::durable::io_failure("open the lock", path, &e))?;
        let start = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(held) => return Ok(FileLock { _held: held }),
                Err((back, errno)) if errno == nix::errno::Errno::EWOULDBLOCK => file = back,
                Err((_, errno)) => {
                    let text = format!("cannot lock {}: {errno}", path.display());
                    return Err(Failure::new(ReasonCode::Io, text));
                }
            }
            if start.elapsed() >= patience {
                let text = format!("{} is locked by another update", path.display());
                return Err(Failure::new(ReasonCode::Busy, text));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_taker_is_told_and_the_third_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::take(&path, Duration::ZERO).unwrap();
        assert_eq!(FileLock::take(&path, Duration::ZERO).unwrap_err().code(), ReasonCode::Busy);
        drop(held);
        FileLock::take(&path, Duration::ZERO).unwrap();
    }
}
