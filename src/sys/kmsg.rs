//! The kernel's log, record by record, and one line into it (Documentation/ABI/testing/dev-kmsg).

use nix::errno::Errno;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const DEVICE: &str = "/dev/kmsg";

/// A record with its dictionary is shorter.
const RECORD: usize = 16 * 1024;

/// The log, from its oldest record.
#[derive(Debug)]
pub struct Kmsg {
    file: File,
}

impl Kmsg {
    /// Opens it. Where `kernel.dmesg_restrict` is set, that takes CAP_SYSLOG.
    pub fn open() -> Result<Kmsg> {
        Kmsg::at(Path::new(DEVICE))
    }

    /// The same of another file that holds records.
    pub fn at(path: &Path) -> Result<Kmsg> {
        let mut how = OpenOptions::new();
        how.read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
        Ok(Kmsg { file: how.open(path)? })
    }

    /// The next record; `None` if there is none yet, an empty one if there will be none. What the
    /// kernel has overwritten before it was read is left out.
    pub fn take(&mut self) -> Result<Option<Vec<u8>>> {
        take(|record| self.file.read(record))
    }
}

/// Reads at a time that bring no record. A log that is overwritten faster than we read is waited
/// for, as one that has nothing.
const VAIN_MAX: usize = 100;

fn take(mut read: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<Option<Vec<u8>>> {
    let mut record = vec![0; RECORD];
    for _ in 0..VAIN_MAX {
        match read(&mut record) {
            Ok(n) => {
                record.truncate(n);
                return Ok(Some(record));
            }
            Err(e) if e.raw_os_error() == Some(Errno::EPIPE as i32) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

impl AsFd for Kmsg {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Says one line on the kernel's console, as an error of `surefoot`. Nobody can be told where
/// that does not work.
pub fn say(line: &str) {
    let line: String = line.chars().filter(|c| !c.is_control()).take(800).collect();
    let file = OpenOptions::new().write(true).open(DEVICE);
    let _ = file.and_then(|mut f| f.write_all(format!("<3>surefoot: {line}\n").as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_overwritten_for_ever_holds_nobody() {
        for errno in [Errno::EPIPE, Errno::EINTR] {
            let mut reads = 0;
            let taken = take(|_| {
                reads += 1;
                assert!(reads < 10_000, "it reads for ever");
                Err(errno.into())
            });
            assert_eq!(taken.unwrap(), None);
            let mut vain = 3;
            let taken = take(|record| {
                vain -= 1;
                record[0] = b'x';
                if vain > 0 { Err(errno.into()) } else { Ok(1) }
            });
            assert_eq!(taken.unwrap(), Some(b"x".to_vec()));
        }
    }

    #[test]
    fn records_come_one_by_one_and_an_end_is_told_from_a_pause() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kmsg");
        std::fs::write(&file, "6,1,0,-;one\n").unwrap();
        let mut log = Kmsg::at(&file).unwrap();
        assert_eq!(log.take().unwrap().unwrap(), b"6,1,0,-;one\n");
        assert_eq!(log.take().unwrap(), Some(Vec::new()), "a file has an end");
        // The kernel's own has none; where we may not read it there is nothing to try.
        let Ok(mut log) = Kmsg::open() else { return };
        let first = log.take().unwrap().unwrap();
        assert!(first.contains(&b';') && first.ends_with(b"\n"), "{first:?}");
        while log.take().unwrap().is_some_and(|record| !record.is_empty()) {}
    }
}
