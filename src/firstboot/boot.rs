//! The boot partition: what is laid there for this device, read, and written over once it is taken. Nothing is mounted; where a
//! system has it mounted for writing already, its files are used.

use super::caged::Place;
use super::links::of_disk;
use super::volume;
use super::work::Work;
use crate::device::World;
use crate::disk::Partition;
use crate::model::{BOOT_PARTITION, Failure, ReasonCode, Result, WithReason};
use crate::sys::mounts::KernelPartition;
use crate::sys::{durable, files, host, mounts};
use std::path::PathBuf;

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
        let on = |node: &KernelPartition| mounts.into_iter().find(|m| m.device == node.device);
        let mount = node.as_ref().and_then(on);
        Ok(Some(match mount.filter(|mount| host::writable(mount.point.as_ref())) {
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

    /// Writes over a file that is taken, at its own length.
    pub(super) fn erase(&self, name: &str) -> Result<()> {
        match self {
            Boot::Folder(folder) => {
                let path = folder.join(name);
                let told = |e: std::io::Error| Failure::new(ReasonCode::Io, format!("{name}: {e}"));
                let len = std::fs::metadata(&path).map_err(told)?.len();
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                durable::overwrite(&path, &super::provision::taken(len))
            }
            Boot::Part(world, part, node) => {
                let erasure = Boot::place(world, part, node.as_ref()).erasure(name)?;
                volume::erase(&world.disk.open_partition(part)?, &erasure)
            }
        }
    }
}
