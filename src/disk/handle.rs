//! The disk of a device: read by everybody, written in parts by those who may.

use super::medium::{Medium, rehearse_writing};
use super::{BlockDevice, Partition, PartitionTable, Window, read_table};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::blk::{Access, Identity};
use crate::sys::mounts::{self, DeviceNumber};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The disk that carries the slots: a block device, or an image file that stands for one. Open
/// for reading only; nothing here locks or writes until a part is asked for.
pub struct Disk {
    path: PathBuf,
    reader: Arc<dyn BlockDevice>,
    kind: Kind,
}

enum Kind {
    Device(DeviceNumber),
    /// Opened for writing once, under a lock, and shared while anybody needs it.
    Image(Identity, Mutex<Weak<Medium>>),
    /// Handed in, already writable: a simulator's or a test's.
    Given(Option<Identity>, Arc<dyn BlockDevice>),
}

impl Disk {
    /// Opens a block device or an image file for reading.
    pub fn open(path: &Path) -> Result<Disk> {
        let medium = Medium::open(path, Access::Read)?;
        let kind = match medium.identity() {
            Identity::Device(rdev) => Kind::Device(DeviceNumber::from_rdev(rdev)),
            file => Kind::Image(file, Mutex::new(Weak::new())),
        };
        Ok(Disk { path: path.to_owned(), reader: Arc::new(medium), kind })
    }

    /// A disk that is open already: everything goes through `device`. Where `path` exists, other
    /// names of that file are recognised as this disk.
    pub fn given(path: &Path, device: Arc<dyn BlockDevice>) -> Disk {
        Disk {
            path: path.to_owned(),
            reader: Arc::new(ReadOnly(device.clone())),
            kind: Kind::Given(Identity::of(path).ok(), device),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True for an image file and for a disk handed in; false for a device of this machine.
    pub fn is_image(&self) -> bool {
        !matches!(self.kind, Kind::Device(_))
    }

    /// The device number, for a device of this machine.
    pub fn number(&self) -> Option<DeviceNumber> {
        match self.kind {
            Kind::Device(number) => Some(number),
            _ => None,
        }
    }

    /// The whole disk for reading; it refuses every write.
    pub fn reader(&self) -> Arc<dyn BlockDevice> {
        self.reader.clone()
    }

    /// A partition for reading.
    pub fn read_partition(&self, partition: &Partition) -> Result<Window> {
        Window::new(self.reader(), partition.start, partition.len)
    }

    /// The partition table as it stands now.
    pub fn table(&self) -> Result<PartitionTable> {
        read_table(&*self.reader).map_err(|f| f.at(self.path.display()))
    }

    /// Whether `path` is another name of this disk.
    pub fn is(&self, path: &Path) -> bool {
        let Ok(other) = Identity::of(path) else {
            return path == self.path;
        };
        match &self.kind {
            Kind::Device(number) => {
                matches!(other, Identity::Device(rdev) if DeviceNumber::from_rdev(rdev) == *number)
            }
            Kind::Image(identity, _) => other == *identity,
            Kind::Given(identity, _) => identity.map_or(path == self.path, |i| i == other),
        }
    }

    /// Why a partition must not be written now: mounted, swap, under another device.
    pub fn in_use(&self, partition: &Partition) -> Result<Option<String>> {
        let result = match &self.kind {
            Kind::Device(disk) => match self.kernel_partition(*disk, partition)? {
                Some(found) => mounts::in_use(found.device),
                None => mounts::in_use(*disk),
            },
            Kind::Image(..) => mounts::image_in_use(&self.path, partition.range()),
            Kind::Given(..) => Ok(None),
        };
        result.reason(ReasonCode::Io, "asking the kernel what is mounted")
    }

    /// The kernel's partition with exactly these bytes. `None`: the kernel knows no partitions of
    /// this disk at all. A kernel that sees other partitions than the table is refused.
    fn kernel_partition(
        &self,
        disk: DeviceNumber,
        partition: &Partition,
    ) -> Result<Option<mounts::KernelPartition>> {
        let known = mounts::partitions_of(disk);
        let range = partition.range();
        let overlaps = |p: &&mounts::KernelPartition| {
            p.start < range.end && range.start < p.start.saturating_add(p.len)
        };
        let mut there = known.iter().filter(overlaps);
        match (there.next(), there.next()) {
            (None, _) if known.is_empty() => Ok(None),
            (Some(p), None) if p.start == partition.start && p.len == partition.len => {
                Ok(Some(p.clone()))
            }
            _ => Err(Failure::new(
                ReasonCode::LayoutInvalid,
                format!(
                    "{}: the kernel sees other partitions than the table says; reboot or run partprobe",
                    self.path.display()
                ),
            )),
        }
    }

    /// Whether a partition could be held alone and written: opens its node as a writer would, but
    /// for reading, and asks the kernel whether it may be written.
    pub fn rehearse(&self, partition: &Partition) -> Result<()> {
        if let Some(why) = self.in_use(partition)? {
            let text = format!("partition {} is {why}", partition.name);
            return Err(Failure::new(ReasonCode::SlotMounted, text));
        }
        let disk = match &self.kind {
            Kind::Device(disk) => disk,
            Kind::Image(..) => return rehearse_writing(&self.path),
            Kind::Given(..) => return Ok(()),
        };
        let found = self.kernel_partition(*disk, partition)?;
        let node = found.map_or_else(|| self.path.clone(), |f| f.node);
        rehearse_writing(&node)?;
        Medium::open(&node, Access::ReadAlone).map(drop)
    }

    /// A partition for writing, held alone: the partition's own node with O_EXCL on a device, the
    /// locked image file otherwise. Only the key to the inactive slot and those who make whole
    /// disks call this.
    pub(crate) fn open_partition(&self, partition: &Partition) -> Result<Window> {
        self.opened(partition, Access::WriteAlone)
    }

    /// The same of the boot partition while it is mounted for reading: the kernel's file system holds it, so that it cannot be
    /// had alone.
    pub(crate) fn open_mounted_partition(&self, partition: &Partition) -> Result<Window> {
        self.opened(partition, Access::WriteShared)
    }

    fn opened(&self, partition: &Partition, access: Access) -> Result<Window> {
        let Kind::Device(disk) = &self.kind else {
            return Window::new(self.writable()?, partition.start, partition.len);
        };
        match self.kernel_partition(*disk, partition)? {
            Some(found) => {
                let medium = Medium::open(&found.node, access)?;
                let same = matches!(medium.identity(), Identity::Device(rdev) if DeviceNumber::from_rdev(rdev) == found.device);
                if !same || medium.len() != partition.len {
                    return Err(Failure::new(
                        ReasonCode::LayoutInvalid,
                        format!("{} is not the partition it was", found.node.display()),
                    ));
                }
                Window::new(Arc::new(medium), 0, partition.len)
            }
            None => {
                let medium = Medium::open(&self.path, access)?;
                Window::new(Arc::new(medium), partition.start, partition.len)
            }
        }
    }

    /// The disk for writing outside its partitions (the bootloader environment): the locked image,
    /// or the whole device without a lock, as its partitions are in use.
    pub(crate) fn writable(&self) -> Result<Arc<dyn BlockDevice>> {
        match &self.kind {
            Kind::Given(_, device) => Ok(device.clone()),
            Kind::Device(_) => Ok(Arc::new(Medium::open(&self.path, Access::WriteShared)?)),
            Kind::Image(identity, shared) => {
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(medium) = shared.upgrade() {
                    return Ok(medium);
                }
                let medium = Arc::new(Medium::open(&self.path, Access::WriteAlone)?);
                if medium.identity() != *identity {
                    return Err(Failure::new(
                        ReasonCode::DiskMissing,
                        format!("{} was replaced while it was in use", self.path.display()),
                    ));
                }
                *shared = Arc::downgrade(&medium);
                Ok(medium)
            }
        }
    }
}

/// A device that refuses every write.
struct ReadOnly(Arc<dyn BlockDevice>);

impl ReadOnly {
    fn refuse(&self) -> Result<()> {
        let why = "a write through a handle that only reads";
        Err(Failure::new(ReasonCode::Internal, why))
    }
}

impl BlockDevice for ReadOnly {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn block_size(&self) -> usize {
        self.0.block_size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buf)
    }
    fn is_hole(&self, offset: u64, len: u64) -> bool {
        self.0.is_hole(offset, len)
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        self.refuse()
    }
    fn zero(&self, _: u64, _: u64) -> Result<()> {
        self.refuse()
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
