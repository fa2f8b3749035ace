//! Where the disk of a device is: named, or the one that carries the running root.

use crate::disk::Disk;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::mounts::{self, DeviceNumber};
use std::path::{Path, PathBuf};

/// What `[device] disk` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskPlace {
    /// `auto`: the disk that the running root lies on, whatever node it has in this boot.
    Running,
    /// A block device, or an image file.
    At(PathBuf),
}

impl DiskPlace {
    /// What a configuration says, relative paths from `folder`; nothing is `auto`.
    pub fn read(written: Option<PathBuf>, folder: &Path) -> DiskPlace {
        match written {
            Some(path) if path != Path::new("auto") => DiskPlace::At(folder.join(path)),
            _ => DiskPlace::Running,
        }
    }

    /// The path that was named; `None` for `auto`.
    pub fn named(&self) -> Option<&Path> {
        match self {
            DiskPlace::Running => None,
            DiskPlace::At(path) => Some(path),
        }
    }

    /// The path of the disk in this boot. `DISK_MISSING` where `/` lies on no partition, or on those
    /// of two disks.
    pub fn path(&self) -> Result<PathBuf> {
        match self {
            DiskPlace::Running => running().map(|(_, node)| node),
            DiskPlace::At(path) => Ok(path.clone()),
        }
    }

    /// Opens the disk for reading.
    pub fn open(&self) -> Result<Disk> {
        Disk::open(&self.path()?)
    }
}

impl std::fmt::Display for DiskPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DiskPlace::Running => f.write_str("auto"),
            DiskPlace::At(path) => path.display().fmt(f),
        }
    }
}

/// The one disk that the running root lies on, and its node.
pub fn running() -> Result<(DeviceNumber, PathBuf)> {
    let missing = |why: String| Failure::new(ReasonCode::DiskMissing, why);
    let root = mounts::root().reason(ReasonCode::DiskMissing, "finding `/`")?;
    let disks = root.devices.iter().filter_map(|device| mounts::disk_of(*device));
    let mut disks: Vec<DeviceNumber> = disks.map(|(disk, _)| disk).collect();
    disks.sort();
    disks.dedup();
    let [disk] = disks[..] else {
        let what = if disks.is_empty() { "no partition of a disk" } else { "two disks" };
        let why = format!("`/` is {}, on {what}: name the disk in `[device] disk`", root.said);
        return Err(missing(why));
    };
    let node = mounts::node_of(disk).ok_or_else(|| missing(format!("disk {disk} has no node")))?;
    Ok((disk, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_named_or_the_one_that_runs() {
        let read = |text: &str| DiskPlace::read(Some(PathBuf::from(text)), Path::new("/dev"));
        assert_eq!(read("auto"), DiskPlace::Running);
        assert_eq!(DiskPlace::read(None, Path::new("/dev")).to_string(), "auto");
        assert_eq!(read("mmcblk0").named(), Some(Path::new("/dev/mmcblk0")));
        assert_eq!(read("/x/auto").path().unwrap(), Path::new("/x/auto"));
    }
}
