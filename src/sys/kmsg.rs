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
        let mut record = vec![0; RECORD];
        loop {
            match self.file.read(&mut record) {
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
    }
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
