//! `/dev/surefoot/disk`, `/dev/surefoot/data` and so on: the disk that the running root lies on and its
//! partitions, and never those of another disk, whatever identifiers it carries.

use crate::model::{
    BOOT_PARTITION, Failure, PART_BOOT, PART_ROOTFS, ReasonCode, Result, SlotId, WithReason, paths,
};
use crate::slot;
use crate::sys::blk::Identity;
use crate::sys::mounts::{DeviceNumber, KernelPartition, partitions_of};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the links are, below `/dev`.
fn folder() -> &'static str {
    paths::LINKS.trim_start_matches("/dev/")
}

/// The link to the whole disk.
const DISK: &str = "disk";

/// The partition that outlives updates.
pub(super) const DATA: &str = "data";

/// The links to partitions that there may be. The first four are the partitions 1 to 4 of a disk whose table has no names.
fn names() -> [String; 6] {
    let of = |part: &str, slot: SlotId| format!("{part}-{slot}");
    let [a, b] = [SlotId::A, SlotId::B];
    [
        BOOT_PARTITION.to_owned(),
        of(PART_ROOTFS, a),
        of(PART_ROOTFS, b),
        DATA.to_owned(),
        of(PART_BOOT, a),
        of(PART_BOOT, b),
    ]
}

/// Which of these partitions of one disk has which name. A name that two of them carry is nobody's.
fn named(partitions: &[KernelPartition]) -> Vec<(String, &KernelPartition)> {
    let nameless = partitions.iter().all(|p| p.name.is_none());
    let is = |index: usize, name: &str, p: &KernelPartition| match nameless {
        true => index < 4 && p.number == index as u64 + 1,
        false => p.name.as_deref() == Some(name),
    };
    let mut found = Vec::new();
    for (index, name) in names().into_iter().enumerate() {
        let mut these = partitions.iter().filter(|p| is(index, &name, p));
        if let (Some(only), None) = (these.next(), these.next()) {
            found.push((name, only));
        }
    }
    found
}

/// The partition of a disk with this number, as the kernel has it.
pub(super) fn of_disk(disk: DeviceNumber, number: u32) -> Option<KernelPartition> {
    partitions_of(disk).into_iter().find(|p| p.number == u64::from(number))
}

/// The link to a block device, as udev wants it: `surefoot/data`. `None` for one that is not of the disk that runs.
pub fn name_of(node: &Path) -> Option<String> {
    let Ok(Identity::Device(number)) = Identity::of(node) else { return None };
    let number = DeviceNumber::from_rdev(number);
    let (disk, _) = slot::running().ok()?;
    if number == disk {
        return Some(format!("{}/{DISK}", folder()));
    }
    let partitions = partitions_of(disk);
    let (name, _) = named(&partitions).into_iter().find(|(_, p)| p.device == number)?;
    Some(format!("{}/{name}", folder()))
}

/// Makes all links below `dev`, for a system without udev, and takes away those that are not right any
/// more. Says what leads where, a line for each.
pub fn link(dev: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let (disk, node) = slot::running()?;
    let partitions = partitions_of(disk);
    let folder = dev.join(folder());
    let io = |what: &str| format!("{what} {}", folder.display());
    fs::create_dir_all(&folder).reason(ReasonCode::Io, io("making"))?;
    let found = named(&partitions).into_iter().map(|(name, p)| (name, p.node.clone()));
    let found: Vec<_> = std::iter::once((DISK.to_owned(), node)).chain(found).collect();
    let gone = names().into_iter().filter(|name| found.iter().all(|(is, _)| is != name));
    for name in gone {
        match fs::remove_file(folder.join(&name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Failure::new(ReasonCode::Io, format!("{}: {e}", io("cleaning"))));
            }
            _ => {}
        }
    }
    let made = found.into_iter().map(|(name, node)| {
        let (path, beside) = (folder.join(&name), folder.join(format!("{name}.new")));
        let _left_by_a_cut = fs::remove_file(&beside);
        symlink(&node, &beside)
            .and_then(|()| fs::rename(&beside, &path))
            .reason(ReasonCode::Io, format!("linking {}", path.display()))?;
        Ok((path, node))
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: u64, name: Option<&str>) -> KernelPartition {
        KernelPartition {
            device: DeviceNumber { major: 179, minor: number },
            node: PathBuf::from(format!("/dev/mmcblk0p{number}")),
            number,
            name: name.map(str::to_owned),
            start: 0,
            len: 0,
        }
    }

    fn told(partitions: &[KernelPartition]) -> Vec<String> {
        named(partitions).into_iter().map(|(name, p)| format!("{name}={}", p.number)).collect()
    }

    #[test]
    fn partitions_are_named_by_their_table_or_else_by_their_numbers() {
        let gpt = [(1, "boot"), (2, "data"), (7, "rootfs-a"), (4, "other"), (5, "boot-b")];
        let gpt: Vec<_> = gpt.iter().map(|(n, name)| partition(*n, Some(name))).collect();
        assert_eq!(told(&gpt), ["boot=1", "rootfs-a=7", "data=2", "boot-b=5"]);
        let mbr: Vec<_> = [1, 2, 3, 4, 5].iter().map(|n| partition(*n, None)).collect();
        assert_eq!(told(&mbr), ["boot=1", "rootfs-a=2", "rootfs-b=3", "data=4"]);
    }

    #[test]
    fn a_name_that_two_partitions_carry_is_nobodys() {
        let twice = [partition(1, Some("data")), partition(2, Some("data")), partition(3, None)];
        assert!(told(&twice).is_empty(), "and a partition without a name has none by its number");
    }
}
