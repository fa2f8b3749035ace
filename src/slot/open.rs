//! The parts of a slot with their partitions open.

use super::{FILESYSTEM_HEAD, FIRST_LEN, Layout, Part, filesystem};
use crate::disk::{BlockDevice, Disk, Window};
use crate::model::{Identifier, PART_BOOT, PART_ROOTFS, Result, SlotId};
use crate::sys::AlignedBuf;

/// One part of a slot, open for reading, or for writing if [`super::Inactive`] gives it.
pub struct OpenPart {
    /// What a release calls it.
    pub name: Identifier,
    /// Its partition.
    pub device: Window,
}

/// Opens all parts of a slot for reading, in the order of `[slots]`.
pub fn read_parts(disk: &Disk, layout: &Layout, slot: SlotId) -> Result<Vec<OpenPart>> {
    let open = |part: &Part| {
        let device = disk.read_partition(&part.partition)?;
        Ok(OpenPart { name: part.name.clone(), device })
    };
    layout.parts(slot).iter().map(open).collect()
}

/// The part that a bootloader loads the kernel from: `boot` where a slot has it, else the root
/// filesystem. `parts`: those of a slot, by their names.
pub fn kernel_part<'a>(parts: impl Iterator<Item = &'a Identifier>) -> &'static str {
    let mut parts = parts;
    if parts.any(|name| name.as_str() == PART_BOOT) { PART_BOOT } else { PART_ROOTFS }
}

/// Whether a bootloader would find a system here: a file system to load the kernel from, and where
/// that is a part of its own, a root filesystem behind it. Both stand in the first 128 KiB, which
/// are destroyed first and written last. Whether other parts stand cannot be told from their bytes.
pub fn bootable(parts: &[OpenPart]) -> bool {
    let kernel = kernel_part(parts.iter().map(|part| &part.name));
    parts.iter().all(|part| {
        let of_the_kernel = part.name.as_str() == kernel;
        let len = match of_the_kernel {
            true => FILESYSTEM_HEAD.next_multiple_of(4096),
            false => usize::try_from(FIRST_LEN).unwrap_or(FILESYSTEM_HEAD),
        };
        if !of_the_kernel && part.name.as_str() != PART_ROOTFS {
            return true;
        }
        let mut first = AlignedBuf::new(len);
        let read = part.device.read_at(0, &mut first);
        // The kernel reads more file systems than a bootloader: any but none will do.
        let stands = || {
            if of_the_kernel { filesystem(&first).is_some() } else { first.iter().any(|b| *b != 0) }
        };
        read.is_ok() && stands()
    })
}
