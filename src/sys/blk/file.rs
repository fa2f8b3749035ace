//! Locks, and the two things an environment needs beside reading and writing.

use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Makes a new file of `len` zero bytes, durable with its name. Fails if it exists.
pub fn create_file(path: &Path, len: u64) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_len(len)?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Opens a medium that is somebody else's, a block device or a file, through the page cache. For
/// writing only if nobody has it mounted or writes to it (`ResourceBusy`, `WouldBlock`).
pub fn open_foreign(path: &Path, write: bool) -> Result<File> {
    // Looked at before: opening a pipe would wait for its other end.
    let kind = std::fs::metadata(path)?.file_type();
    if !kind.is_block_device() && !kind.is_file() {
        let why = "neither a block device nor an ordinary file";
        return Err(Error::new(ErrorKind::InvalidInput, why));
    }
    let alone = if write && kind.is_block_device() { libc::O_EXCL } else { 0 };
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK | alone;
    super::patiently(if write { &super::GRACE } else { &[] }, || {
        let file = OpenOptions::new().read(true).write(write).custom_flags(flags).open(path)?;
        if write && kind.is_file() && !super::try_lock(&file)? {
            return Err(Error::new(ErrorKind::WouldBlock, "locked by another program"));
        }
        Ok(file)
    })
}

const SYSFS: &str = "/sys/block";

/// An eMMC boot partition made writable; protected again when dropped.
#[derive(Debug)]
pub struct ForceRo {
    switch: PathBuf,
}

impl ForceRo {
    /// Lifts the protection of `/dev/mmcblkNbootM`, by whatever link it is named; `None` for any
    /// other path, and where it is not protected.
    pub fn lift(device: &Path) -> Result<Option<ForceRo>> {
        ForceRo::lift_in(Path::new(SYSFS), device)
    }

    /// Whether a path names an eMMC boot partition, and its protection could be lifted for a
    /// write; `None` for any other path.
    pub fn may_lift(device: &Path) -> Option<Result<()>> {
        let switch = ForceRo::switch(Path::new(SYSFS), device)?;
        Some(crate::sys::host::may_write(&switch))
    }

    /// The switch of an eMMC boot partition; `None` for any other path. The name of the node
    /// itself tells, as a link may have any name.
    fn switch(sysfs: &Path, device: &Path) -> Option<PathBuf> {
        let node = std::fs::canonicalize(device).unwrap_or_else(|_| device.to_owned());
        let name = node.file_name()?.to_str()?;
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        let (card, part) = name.strip_prefix("mmcblk")?.split_once("boot")?;
        (digits(card) && digits(part)).then(|| sysfs.join(name).join("force_ro"))
    }

    fn lift_in(sysfs: &Path, device: &Path) -> Result<Option<ForceRo>> {
        let Some(switch) = ForceRo::switch(sysfs, device) else {
            return Ok(None);
        };
        match std::fs::read_to_string(&switch)?.trim() {
            "0" => Ok(None),
            "1" => {
                std::fs::write(&switch, "0")?;
                Ok(Some(ForceRo { switch }))
            }
            _ => Err(Error::new(ErrorKind::InvalidData, "force_ro is neither 0 nor 1")),
        }
    }
}

impl Drop for ForceRo {
    fn drop(&mut self) {
        // Nobody could act on a failure here, and the partition is only less protected.
        let _ = std::fs::write(&self.switch, "1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protection_is_lifted_only_for_boot_partitions_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let switch = dir.path().join("mmcblk0boot1/force_ro");
        std::fs::create_dir(switch.parent().unwrap()).unwrap();
        std::fs::write(&switch, "1\n").unwrap();
        let state = || std::fs::read_to_string(&switch).unwrap();
        let lift = |path: &str| ForceRo::lift_in(dir.path(), Path::new(path)).unwrap();
        assert!(lift("/dev/mmcblk0p1").is_none());
        assert!(lift("/dev/mmcblkboot1").is_none());
        assert!(lift("/dev/sda").is_none());
        assert_eq!(state(), "1\n");
        let lifted = lift("/dev/mmcblk0boot1").unwrap();
        assert_eq!(state(), "0");
        assert!(lift("/dev/mmcblk0boot1").is_none(), "already lifted");
        drop(lifted);
        assert_eq!(state(), "1");
        // A link has any name; the node that it leads to tells.
        let link = dir.path().join("bootenv");
        std::os::unix::fs::symlink(dir.path().join("mmcblk0boot1"), &link).unwrap();
        drop(ForceRo::lift_in(dir.path(), &link).unwrap().expect("a boot partition"));
        let missing = ForceRo::lift_in(dir.path(), Path::new("/dev/mmcblk7boot0"));
        assert!(missing.is_err());
    }

    #[test]
    fn a_file_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uboot-redund.env");
        create_file(&path, 16384).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 16384);
        assert!(create_file(&path, 1).is_err());
    }
}
