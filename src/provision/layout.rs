//! Where everything stands on a new disk. Pure.

use crate::model::{BOOT_PARTITION, ByteLen, Failure, ReasonCode, Result};

const MIB: u64 = 1 << 20;

/// Where the two copies of the environment stand, bytes.
pub const ENV_OFFSETS: [u64; 2] = [4 * MIB, 8 * MIB];

/// How long each copy is, bytes.
pub const ENV_LEN: u64 = 16 << 10;

const BOOT_START: u64 = 16 * MIB;
const BOOT_LEN: u64 = 32 * MIB;
/// The least that `data` gets.
const DATA_LEN: u64 = 16 * MIB;
/// Behind the last partition: the backup of the partition table, rounded up.
const TAIL: u64 = MIB;

/// One partition to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name in the table.
    pub name: &'static str,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// The whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Bytes; a whole number of MiB, as SD emulations want it.
    pub size: u64,
    /// In the order of the table: [`BOOT_PARTITION`] first, `data` last, those of the slots between.
    pub partitions: Vec<Place>,
}

impl Layout {
    /// Two root filesystems of `slot_size` bytes each on a disk of `disk_size` bytes, or of what is
    /// needed; where a slot has a boot part, two of `boot_part` bytes before them. `data` is last
    /// and takes the rest. All sizes must be whole MiB.
    pub fn new(slot_size: u64, boot_part: Option<u64>, disk_size: Option<u64>) -> Result<Layout> {
        let refuse = |text: String| Err(Failure::new(ReasonCode::Usage, text));
        for (what, size) in [("slot", Some(slot_size)), ("boot part", boot_part)] {
            let Some(size) = size else { continue };
            if size < 2 * MIB || !size.is_multiple_of(MIB) || size > 1 << 40 {
                return refuse(format!(
                    "a {what} of {}: it must be a whole number of MiB, from 2M to 1024G",
                    ByteLen(size)
                ));
            }
        }
        let place = |name, start, len| Place { name, start, len };
        let mut partitions = vec![place(BOOT_PARTITION, BOOT_START, BOOT_LEN)];
        let mut data = BOOT_START + BOOT_LEN;
        let boot_parts = boot_part.map(|len| [("boot-a", len), ("boot-b", len)]);
        let roots = [("rootfs-a", slot_size), ("rootfs-b", slot_size)];
        for (name, len) in boot_parts.into_iter().flatten().chain(roots) {
            partitions.push(place(name, data, len));
            data += len;
        }
        let least = data + DATA_LEN + TAIL;
        let size = disk_size.unwrap_or(least);
        if size < least || !size.is_multiple_of(MIB) {
            return refuse(format!(
                "a disk of {}: it must be a whole number of MiB, at least {}",
                ByteLen(size),
                ByteLen(least)
            ));
        }
        partitions.push(place("data", data, size - TAIL - data));
        Ok(Layout { size, partitions })
    }

    /// The parts of slot a: first the one that carries the slot record, last the root filesystem.
    pub fn slot_a(&self) -> impl DoubleEndedIterator<Item = &Place> {
        self.partitions.iter().filter(|place| place.name.ends_with("-a"))
    }

    /// Where the boot partition stands.
    pub fn boot(&self) -> &Place {
        &self.partitions[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps_and_the_environment_is_alone() {
        for (slot, boot, disk) in [
            (2, None, None),
            (128, None, None),
            (1024, None, Some(4096)),
            (128, Some(16), None),
            (2, Some(2), Some(80)),
        ] {
            let layout =
                Layout::new(slot * MIB, boot.map(|b| b * MIB), disk.map(|d| d * MIB)).unwrap();
            let names: Vec<_> = layout.slot_a().map(|place| place.name).collect();
            assert_eq!(names.len(), 1 + usize::from(boot.is_some()));
            assert_eq!((names[0] == "boot-a", names.last()), (boot.is_some(), Some(&"rootfs-a")));
            let mut end = ENV_OFFSETS[1] + 4 * MIB;
            for place in &layout.partitions {
                assert!(place.start >= end, "{place:?}");
                assert!(place.start % (4 * MIB) == 0 || slot % 4 != 0, "{place:?}");
                end = place.start + place.len;
            }
            assert_eq!(end + TAIL, layout.size);
        }
        let unit = |offset: u64| offset / (4 * MIB);
        assert!(unit(ENV_OFFSETS[0]) != unit(ENV_OFFSETS[1]));
        assert!(ENV_OFFSETS.iter().all(|o| o + 4 * MIB <= BOOT_START && o % (4 * MIB) == 0));
    }

    #[test]
    fn odd_sizes_are_refused() {
        for (slot, boot, disk) in [
            (0, None, None),
            (MIB, None, None),
            (2 * MIB + 1, None, None),
            (2 * MIB, None, Some(60 * MIB)),
            (2 * MIB, None, Some(100 * MIB + 1)),
            (u64::MAX - MIB + 1, None, None),
            (2 * MIB, Some(MIB), None),
            (2 * MIB, Some(2 * MIB + 1), None),
            (2 * MIB, Some(u64::MAX - MIB + 1), None),
            (2 * MIB, Some(16 * MIB), Some(80 * MIB)),
        ] {
            let refused = Layout::new(slot, boot, disk).unwrap_err();
            assert_eq!(refused.code(), ReasonCode::Usage, "{slot} {disk:?}");
        }
    }
}
