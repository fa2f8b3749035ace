//! The boot partition: what is laid there for this device, read, and written over once it is taken. Nothing is mounted; where a
//! system has it mounted for writing already, its files are used.

use super::caged::Place;
use super::links::of_disk;
use super::provision::PROVISION_LIMIT;
use super::volume;
use super::work::Work;
use crate::device::World;
use crate::disk::Partition;
use crate::model::{BOOT_PARTITION, Failure, ReasonCode, Result, WithReason};
use crate::sys::mounts::KernelPartition;
use crate::sys::{durable, files, host, mounts};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The boot partition of the disk that runs.
pub(super) enum Boot<'a> {
    /// Mounted here, for writing.
    Folder(PathBuf),
    /// Not mounted, or for reading only: then no other program changes it.
    Part(&'a World, Partition, Option<KernelPartition>),
}

impl<'a> Boot<'a> {
    /// `None` where the disk has none, or nothing is to be taken from it.
    pub(super) fn open(work: &'a Work<'_>) -> Result<Option<Boot<'a>>> {
        if !work.settings.first_boot.provision {
            return Ok(None);
        }
        let world = work.world()?;
        if work.real {
            // It is the one of the disk that U-Boot has started from.
            world.booted()?;
        }
        let table = world.disk.table()?;
        let nameless = table.partitions.iter().all(|p| p.name.starts_with("mbr:"));
        let is = |p: &Partition| if nameless { p.number == 1 } else { p.name == BOOT_PARTITION };
        let Some(part) = table.partitions.into_iter().find(is) else { return Ok(None) };
        let mounts = mounts::mounts().reason(ReasonCode::Io, "asking what is mounted")?;
        let node = world.disk.number().and_then(|disk| of_disk(disk, part.number));
        let on = |node: &KernelPartition| {
            let own = mounts.into_iter().filter(|m| m.device == node.device);
            own.into_iter().find(|mount| host::writable(mount.point.as_ref()))
        };
        Ok(Some(match node.as_ref().and_then(on) {
            Some(mount) => Boot::Folder(mount.point.into()),
            None => Boot::Part(world, part, node),
        }))
    }

    /// By the node that [`Boot::erase`] writes to: the kernel keeps what is read of a disk and of its partition apart, and one would be old.
    fn place<'p>(
        world: &'p World,
        part: &Partition,
        node: Option<&'p KernelPartition>,
    ) -> Place<'p> {
        match node {
            Some(node) => Place { disk: &node.node, start: 0, len: part.len },
            None => Place { disk: world.disk.path(), start: part.start, len: part.len },
        }
    }

    /// A file of its root; `None` where there is none.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let told = || format!("reading {name} on the boot partition");
        match self {
            Boot::Folder(folder) => match files::read_foreign(&folder.join(name), limit) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                read => read.map(Some).reason(ReasonCode::Io, told()),
            },
            Boot::Part(world, part, node) => {
                Boot::place(world, part, node.as_ref()).read(name, limit)
            }
        }
    }

    /// Writes over a file that is taken, at its own length, and over what lies behind its end.
    pub(super) fn erase(&self, name: &str) -> Result<()> {
        match self {
            Boot::Folder(folder) => {
                let path = folder.join(name);
                let told = |e: std::io::Error| Failure::new(ReasonCode::Io, format!("{name}: {e}"));
                let about = std::fs::metadata(&path).map_err(told)?;
                // The file itself is written over also where what lies behind it could not be.
                let behind = slack(&path, about.len(), about.blksize()).map_err(told);
                let len = usize::try_from(about.len()).unwrap_or(usize::MAX);
                durable::overwrite(&path, &super::provision::taken(len))?;
                behind
            }
            Boot::Part(world, part, node) => {
                let place = Boot::place(world, part, node.as_ref());
                let device = match is_mounted(node.as_ref())? {
                    true => world.disk.open_mounted_partition(part),
                    false => world.disk.open_partition(part),
                }?;
                let behind =
                    place.slack(name).and_then(|slack| volume::write(&device, slack.iter()));
                let erasure = place.erasure(name)?;
                volume::erase(&device, &erasure)?;
                behind
            }
        }
    }
}

fn is_mounted(node: Option<&KernelPartition>) -> Result<bool> {
    let mounts = mounts::mounts().reason(ReasonCode::Io, "asking what is mounted")?;
    Ok(node.is_some_and(|node| mounts.iter().any(|m| m.device == node.device)))
}

/// Writes over the rest of the last cluster of a file on a FAT that is mounted: `cluster` is what `stat` calls its block. After a cut
/// the file may be longer, by blanks.
fn slack(path: &Path, len: u64, cluster: u64) -> std::io::Result<()> {
    let end = len.next_multiple_of(cluster.max(1)).min(PROVISION_LIMIT);
    let behind = usize::try_from(end.saturating_sub(len)).unwrap_or(0);
    let file = files::own_to_change(path, 0o600)?;
    file.write_all_at(&vec![b' '; behind], len)?;
    file.sync_all()?;
    file.set_len(len)?;
    file.sync_all()
}
