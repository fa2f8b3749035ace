//! Disks, partitions and image files as the kernel offers them: past the page cache where that is
//! accepted, honest about it where it is not (DESIGN 9.13, 9.14). Errors are the kernel's own.

mod direct;
mod file;
mod ioctl;
mod number;
mod zero;

pub use file::{ForceRo, create_file, open_foreign};
pub use ioctl::{resize_ext4, resize_partition, share, try_lock, unlock};

use crate::sys::power::{self, Deed};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use number::as_u64;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What one unaligned request copies at a time.
const BOUNCE: usize = 1 << 20;

/// Direct writes to image files use this unit: no file system asks for more.
const FILE_BLOCK: usize = 4096;

/// How a disk, partition or image file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For reading only.
    Read,
    /// For reading only, and nobody else may have it: whether [`Access::WriteAlone`] would do.
    ReadAlone,
    /// For writing, and nobody else may: O_EXCL on a block device (refused while it or a part of
    /// it is mounted), an exclusive lock on a file. Held until dropped.
    WriteAlone,
    /// For writing a part of a disk whose other parts are in use. No lock of any kind.
    WriteShared,
}

/// Which file or device an open file is; survives renames and second names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The device number of a block device.
    Device(u64),
    /// File system and inode of a file.
    File(u64, u64),
}

impl Identity {
    /// The identity of what `path` names.
    pub fn of(path: &Path) -> Result<Identity> {
        Ok(Identity::from(&std::fs::metadata(path)?))
    }
}

impl From<&Metadata> for Identity {
    fn from(m: &Metadata) -> Identity {
        if m.file_type().is_block_device() {
            Identity::Device(m.rdev())
        } else {
            Identity::File(m.dev(), m.ino())
        }
    }
}

/// An open disk, partition or image file. All methods take `&self` and may be called from several
/// threads; two writers must not share a byte.
#[derive(Debug)]
pub struct Blk {
    file: File,
    identity: Identity,
    len: u64,
    block: usize,
    direct: AtomicBool,
    /// Whether the page cache may hold what the medium does not (only without O_DIRECT).
    dirty: AtomicBool,
    /// Two writes that share a block read, change and write it one after the other.
    edges: Mutex<()>,
}

impl Drop for Blk {
    fn drop(&mut self) {
        if matches!(self.identity, Identity::File(..)) {
            unlock(&self.file);
        }
    }
}

/// Milliseconds between the tries to open what another process holds: 1.3 s in all. A program that
/// another thread starts just now has our descriptors until it runs, and holds with them a partition
/// that we have let go. On a loaded machine that takes a while: 0.1 s was too short where 46 threads
/// wanted to run.
const GRACE: [u64; 8] = [20, 20, 20, 20, 20, 160, 320, 720];

/// Pauses of [`GRACE`] for a process that only looks: 0.1 s. It looks again later anyway, and a person
/// may wait for it.
const LOOKS: usize = 5;

/// Opens once, and once more after each pause for as long as another process holds it.
fn patiently<T>(pauses: &[u64], open: impl Fn() -> Result<T>) -> Result<T> {
    for pause in pauses {
        match open() {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::ResourceBusy) => {
                std::thread::sleep(Duration::from_millis(*pause));
            }
            other => return other,
        }
    }
    open()
}

impl Blk {
    /// Opens what `path` names; it must be a block device or an ordinary file and must exist (a
    /// missing device node is never created as a file). A second writer of a file is told
    /// `WouldBlock`; a mounted device says `ResourceBusy`.
    pub fn open(path: &Path, access: Access) -> Result<Blk> {
        let pauses = match access {
            Access::WriteAlone => &GRACE[..],
            Access::ReadAlone => &GRACE[..LOOKS],
            Access::Read | Access::WriteShared => &[],
        };
        patiently(pauses, || Blk::open_now(path, access))
    }

    fn open_now(path: &Path, access: Access) -> Result<Blk> {
        let before = std::fs::metadata(path)?;
        let is_device = before.file_type().is_block_device();
        if !is_device && !before.is_file() {
            let why = "neither a block device nor an ordinary file";
            return Err(Error::new(ErrorKind::InvalidInput, why));
        }
        let mut flags = OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let alone = matches!(access, Access::WriteAlone | Access::ReadAlone);
        if is_device && alone {
            flags |= OFlag::O_EXCL;
        }
        let open = |flags: OFlag| {
            OpenOptions::new()
                .read(true)
                .write(matches!(access, Access::WriteAlone | Access::WriteShared))
                .custom_flags(flags.bits())
                .open(path)
        };
        let (file, direct) = match open(flags | OFlag::O_DIRECT) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => (open(flags)?, false),
            other => (other?, true),
        };
        let after = file.metadata()?;
        if Identity::from(&before) != Identity::from(&after) {
            let why = "it was replaced while it was opened";
            return Err(Error::new(ErrorKind::ResourceBusy, why));
        }
        if !is_device && alone && !try_lock(&file)? {
            return Err(Error::new(ErrorKind::WouldBlock, "locked by another program"));
        }
        let (len, block) =
            if is_device { ioctl::device_geometry(&file)? } else { (after.len(), FILE_BLOCK) };
        let blk = Blk {
            file,
            identity: Identity::from(&after),
            len,
            block,
            direct: AtomicBool::new(direct),
            dirty: AtomicBool::new(false),
            edges: Mutex::new(()),
        };
        // The last, partial block of a file cannot be written directly without making it longer.
        if direct && !len.is_multiple_of(as_u64(block)) {
            blk.leave_direct()?;
        }
        Ok(blk)
    }

    /// Size in bytes when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True for an empty file.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The unit of direct writes, bytes: the device's logical block size; 4096 for a file.
    pub fn block_size(&self) -> usize {
        self.block
    }

    /// Which device or file it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether reads and writes go past the page cache.
    pub fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Relaxed)
    }

    /// Goes on through the page cache: some file systems accept O_DIRECT at open and refuse it
    /// at the first transfer.
    fn leave_direct(&self) -> Result<()> {
        let flags = OFlag::from_bits_retain(fcntl(&self.file, FcntlArg::F_GETFL)?);
        fcntl(&self.file, FcntlArg::F_SETFL(flags - OFlag::O_DIRECT))?;
        self.direct.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn check(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("bytes {offset}+{len} leave the {} there are", self.len),
            )),
        }
    }

    /// Fills `buf` from `offset`, from the medium: directly, or after the page cache was written
    /// and dropped.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check(offset, as_u64(buf.len()))?;
        if self.is_direct() {
            match self.read_direct(offset, buf) {
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => self.leave_direct()?,
                other => return other,
            }
        }
        self.drop_cache(offset, as_u64(buf.len()))?;
        self.file.read_exact_at(buf, offset)
    }

    /// Writes all of `buf` at `offset`. What is not whole blocks is read, changed and written.
    pub fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.check(offset, as_u64(buf.len()))?;
        if self.is_direct() {
            match self.write_direct(offset, buf) {
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => self.leave_direct()?,
                other => return other,
            }
        }
        let result = power::writing(Deed::Write(&self.file, offset), buf, |part| {
            self.file.write_all_at(part, offset)
        });
        self.dirty.store(true, Ordering::SeqCst);
        result
    }

    /// Returns when everything written before is on the medium, the device's own cache included.
    pub fn sync(&self) -> Result<()> {
        // Clean only from here on: a write that comes during the sync marks it again.
        self.dirty.store(false, Ordering::SeqCst);
        let result = power::telling(Deed::Sync(&self.file), || self.file.sync_data());
        if result.is_err() {
            self.dirty.store(true, Ordering::SeqCst);
        }
        result
    }

    /// Has the kernel read the partition table of a whole disk again; `ResourceBusy` where a part of it is in use.
    pub fn reread_partitions(&self) -> Result<()> {
        ioctl::reread_partitions(&self.file)
    }

    /// Makes the next buffered read of the range come from the medium. Nothing to do with
    /// O_DIRECT.
    pub fn drop_cache(&self, offset: u64, len: u64) -> Result<()> {
        if self.is_direct() {
            return Ok(());
        }
        if self.dirty.load(Ordering::SeqCst) {
            self.sync()?;
        }
        // Only whole pages are dropped, so ask for those at the edges too.
        let page = as_u64(crate::sys::aligned::ALIGNMENT);
        let start = offset - offset % page;
        let count = (offset + len).next_multiple_of(page) - start;
        ioctl::forget(&self.file, start, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_tried_again_and_any_other_failure_is_told_at_once() {
        let tries = std::cell::Cell::new(0);
        let after = |failures, kind: ErrorKind| {
            tries.set(0);
            patiently(&[1, 1, 1], || {
                tries.set(tries.get() + 1);
                if tries.get() > failures { Ok(()) } else { Err(kind.into()) }
            })
        };
        for held in [ErrorKind::WouldBlock, ErrorKind::ResourceBusy] {
            assert!(after(3, held).is_ok());
            assert_eq!((after(4, held).unwrap_err().kind(), tries.get()), (held, 4));
        }
        assert!(after(1, ErrorKind::NotFound).is_err());
        assert_eq!(tries.get(), 1);
    }

    #[test]
    fn what_is_held_is_no_other_writers_and_no_looks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        std::fs::write(&path, [0; 4_096]).unwrap();
        let held = Blk::open(&path, Access::WriteAlone).unwrap();
        let kept =
            |opened: Result<()>| assert_eq!(opened.unwrap_err().kind(), ErrorKind::WouldBlock);
        kept(Blk::open(&path, Access::ReadAlone).map(drop));
        kept(Blk::open(&path, Access::WriteAlone).map(drop));
        kept(open_foreign(&path, true).map(drop));
        drop(held);
        open_foreign(&path, true).unwrap();
    }

    #[test]
    fn what_is_let_go_is_free_although_another_process_has_the_same_open_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        std::fs::write(&path, [0; 4_096]).unwrap();
        let held = Blk::open(&path, Access::WriteAlone).unwrap();
        // As a program has it that is being started.
        let _same = held.file.try_clone().unwrap();
        drop(held);
        Blk::open_now(&path, Access::WriteAlone).unwrap();
    }
}
