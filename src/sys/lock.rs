//! One update at a time: an exclusive lock on a file, dropped by the kernel with the process.

use crate::model::{Failure, ReasonCode, Result};
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
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
        let open = super::files::own_to_change(path, 0o600);
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
            super::stop::look()?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Who holds a lock on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody, or there is no such file.
    Nobody,
    /// Somebody: flock(2), which does not say who, or a lock that belongs to an open file.
    Somebody,
    /// The process with this number: fcntl(2), lockf(3).
    Process(i32),
}

/// Looks whether somebody holds a lock on `path`, whatever its kind. For flock(2) there is no way
/// to look but to take it: it is taken without waiting and given back at once.
pub fn holder(path: &Path) -> std::io::Result<Holder> {
    use std::io::{Error, ErrorKind};
    match std::fs::metadata(path) {
        // To open anything else may do something: a watchdog starts.
        Ok(found) if !found.is_file() && !found.is_dir() => {
            return Err(Error::new(ErrorKind::InvalidInput, "it is neither a file nor a folder"));
        }
        Ok(_) => {}
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Holder::Nobody);
        }
        Err(e) => return Err(e),
    }
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    let mut whole = nix::libc::flock {
        l_type: i16::try_from(nix::libc::F_WRLCK).map_err(Error::other)?,
        l_whence: i16::try_from(nix::libc::SEEK_SET).map_err(Error::other)?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // Folders have no such locks.
    if fcntl(&file, FcntlArg::F_GETLK(&mut whole)).is_ok()
        && i32::from(whole.l_type) != nix::libc::F_UNLCK
    {
        // Of a lock that belongs to an open file the kernel says -1.
        return Ok(if whole.l_pid > 0 { Holder::Process(whole.l_pid) } else { Holder::Somebody });
    }
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_given_back_at_once) => Ok(Holder::Nobody),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(Holder::Somebody),
        Err((_, errno)) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_lock_is_seen_and_none_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(holder(&path).unwrap(), Holder::Nobody);
        assert!(!path.exists(), "looking makes no file");
        assert_eq!(holder(&path.join("below")).unwrap(), Holder::Nobody);
        let file = File::create(&path).unwrap();
        assert_eq!(holder(&path).unwrap(), Holder::Nobody);
        for kind in [FlockArg::LockExclusiveNonblock, FlockArg::LockSharedNonblock] {
            let held = Flock::lock(File::open(&path).unwrap(), kind).unwrap();
            assert_eq!(holder(&path).unwrap(), Holder::Somebody);
            drop(held);
            assert_eq!(holder(&path).unwrap(), Holder::Nobody);
        }
        // One that belongs to an open file: of a process' own lock it would not be told.
        let mut part = nix::libc::flock { l_type: 1, l_whence: 0, l_start: 5, l_len: 1, l_pid: 0 };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&part)).unwrap();
        assert_eq!(holder(&path).unwrap(), Holder::Somebody);
        part.l_type = 2;
        fcntl(&file, FcntlArg::F_OFD_SETLK(&part)).unwrap();
        FileLock::take(&path, Duration::ZERO).unwrap();
        assert_eq!(holder(dir.path()).unwrap(), Holder::Nobody);
        assert!(holder(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn a_lock_of_another_process_names_it() {
        use std::io::{BufRead, BufReader};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let script = "import fcntl, sys, time\nf = open(sys.argv[1], 'w')\n\
            fcntl.lockf(f, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()";
        let child = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(holder(&path).unwrap(), Holder::Process(pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(holder(&path).unwrap(), Holder::Nobody);
    }

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
