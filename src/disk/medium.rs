//! Image files and block devices, opened.

use super::BlockDevice;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::blk::{Access, Blk, Identity};
use crate::sys::host;
use crate::sys::mounts::{self, DeviceNumber};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open image file, disk or partition.
pub(crate) struct Medium {
    blk: Blk,
    path: PathBuf,
}

impl Medium {
    /// Opens what `path` names.
    pub(crate) fn open(path: &Path, access: Access) -> Result<Medium> {
        match Blk::open(path, access) {
            Ok(blk) => Ok(Medium { blk, path: path.to_owned() }),
            Err(e) => Err(failed_open(path, access, &e)),
        }
    }

    /// Which file or device it is.
    pub(crate) fn identity(&self) -> Identity {
        self.blk.identity()
    }

    pub(super) fn place<T>(
        &self,
        doing: &str,
        offset: u64,
        result: std::io::Result<T>,
    ) -> Result<T> {
        result.map_err(|e| {
            let code = match e.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    ReasonCode::NoSpace
                }
                ErrorKind::OutOfMemory => ReasonCode::NoMemory,
                ErrorKind::InvalidInput => ReasonCode::LayoutInvalid,
                // EPERM: `blockdev --setro`, or a disk in use that the kernel protects.
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                    ReasonCode::DiskReadOnly
                }
                _ => ReasonCode::Io,
            };
            let hint = match e.kind() {
                ErrorKind::PermissionDenied if doing == "writing" => {
                    " (the kernel may forbid writes to a disk in use: CONFIG_BLK_DEV_WRITE_MOUNTED)"
                }
                _ => "",
            };
            Failure::new(
                code,
                format!("{doing} {} at byte {offset}: {e}{hint}", self.path.display()),
            )
        })
    }
}

pub(super) fn failed_open(path: &Path, access: Access, e: &std::io::Error) -> Failure {
    let code = match e.kind() {
        ErrorKind::ResourceBusy => ReasonCode::SlotMounted,
        ErrorKind::WouldBlock => ReasonCode::Busy,
        ErrorKind::ReadOnlyFilesystem => ReasonCode::DiskReadOnly,
        // A device that is protected says no more than that.
        ErrorKind::PermissionDenied if is_protected(path) => ReasonCode::DiskReadOnly,
        ErrorKind::PermissionDenied => ReasonCode::DiskDenied,
        _ => ReasonCode::DiskMissing,
    };
    let hint = match (code, access) {
        (ReasonCode::SlotMounted, _) => ": mounted or in use",
        (ReasonCode::Busy, _) => "",
        (_, Access::Read | Access::ReadAlone) => " for reading",
        (_, Access::WriteAlone | Access::WriteShared) => " for writing",
    };
    Failure::new(code, format!("cannot open {}{hint}: {e}", path.display()))
}

/// Whether the kernel refuses writes to this device.
fn is_protected(path: &Path) -> bool {
    let device = Identity::of(path);
    matches!(device, Ok(Identity::Device(rdev)) if mounts::is_read_only(DeviceNumber::from_rdev(rdev)))
}

/// Whether `path` could be written now, as far as can be seen without opening it for writing: the
/// kernel tells other programs of each such opening of a device.
pub(crate) fn rehearse_writing(path: &Path) -> Result<()> {
    if is_protected(path) {
        let why = format!("{} is read-only", path.display());
        return Err(Failure::new(ReasonCode::DiskReadOnly, why));
    }
    host::may_write(path).map_err(|e| failed_open(path, Access::WriteShared, &e))
}

impl BlockDevice for Medium {
    fn len(&self) -> u64 {
        self.blk.len()
    }
    fn block_size(&self) -> usize {
        self.blk.block_size()
    }
    fn sector_size(&self) -> Option<u64> {
        match self.blk.identity() {
            Identity::Device(_) => u64::try_from(self.blk.block_size()).ok(),
            Identity::File(..) => None,
        }
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.place("reading", offset, self.blk.read_at(offset, buf))
    }
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.place("writing", offset, self.blk.write_at(offset, buf))
    }
    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        self.place("zeroing", offset, self.blk.zero(offset, len))
    }
    fn is_hole(&self, offset: u64, len: u64) -> bool {
        self.blk.is_hole(offset, len)
    }
    fn flush(&self) -> Result<()> {
        self.place("flushing", 0, self.blk.sync())
    }
}

/// An image file for reading.
pub fn open_image(path: &Path) -> Result<Arc<dyn BlockDevice>> {
    open_device(path)
}

/// A disk, partition or image file for reading.
pub fn open_device(path: &Path) -> Result<Arc<dyn BlockDevice>> {
    Ok(Arc::new(Medium::open(path, Access::Read)?))
}

/// What a path names, for writing some of it in place while others may have it open: a file
/// under its lock, a device without one. For the bootloader environment.
pub(crate) fn open_in_place(path: &Path) -> Result<Arc<dyn BlockDevice>> {
    let access = match Identity::of(path) {
        Ok(Identity::File(..)) => Access::WriteAlone,
        _ => Access::WriteShared,
    };
    Ok(Arc::new(Medium::open(path, access)?))
}

/// An image file for writing, locked against every other writer until dropped. Only for whole
/// images outside an update (making one, the simulator); a slot is written through `Inactive`.
pub fn open_image_writable(path: &Path) -> Result<Arc<dyn BlockDevice>> {
    let medium = Medium::open(path, Access::WriteAlone)?;
    match medium.identity() {
        Identity::File(..) => Ok(Arc::new(medium)),
        Identity::Device(_) => Err(Failure::new(
            ReasonCode::DiskMissing,
            format!("{} is a device, not an image file", path.display()),
        )),
    }
}

/// A whole disk or an image file for writing, alone: nothing else may have it or a part of it. Only for a host that makes the
/// disk of a device.
#[cfg(feature = "forge")]
pub(crate) fn open_whole(path: &Path) -> Result<Arc<dyn BlockDevice>> {
    Ok(Arc::new(Medium::open(path, Access::WriteAlone)?))
}

/// Has the kernel read the partition table of a disk again.
#[cfg(feature = "forge")]
pub(crate) fn reread_partitions(path: &Path) -> Result<()> {
    let medium = Medium::open(path, Access::Read)?;
    medium.place("reading the partitions of", 0, medium.blk.reread_partitions())
}
