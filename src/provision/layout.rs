//! Where everything stands on a new disk. Pure.

use crate::model::{ByteLen, Failure, ReasonCode, Result};

const MIB: u64 = 1 << 20;

/// Where the two copies of the environment stand, bytes.
pub const ENV_OFFSETS: [u64; 2] = [4 * MIB, 8 * MIB];

/// How long each copy is, bytes.
pub const ENV_LEN: u64 = 16 << 10;

/// The name of the partition that carries the boot script.
pub const BOOT_PARTITION: &str = "boot";

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
    /// In the order of the table.
    pub partitions: [Place; 4],
}

impl Layout {
    /// Two slots of `slot_size` bytes each on a disk of `disk_size` bytes, or of what is needed.
    /// `data` is last and takes the rest. Both sizes must be whole MiB.
    pub fn new(slot_size: u64, disk_size: Option<u64>) -> Result<Layout> {
        let refuse = |text: String| Err(Failure::new(ReasonCode::Usage, text));
        if slot_size < 2 * MIB || !slot_size.is_multiple_of(MIB) || slot_size > 1 << 40 {
            return refuse(format!(
                "a slot of {}: it must be a whole number of MiB, from 2M to 1024G",
                ByteLen(slot_size)
            ));
        }
        let slots = BOOT_START + BOOT_LEN;
        let data = slots + 2 * slot_size;
        let least = data + DATA_LEN + TAIL;
        let size = disk_size.unwrap_or(least);
        if size < least || !size.is_multiple_of(MIB) {
            return refuse(format!(
                "a disk of {}: it must be a whole number of MiB, at least {}",
                ByteLen(size),
                ByteLen(least)
            ));
        }
        let place = |name, start, len| Place { name, start, len };
        Ok(Layout {
            size,
            partitions: [
                place(BOOT_PARTITION, BOOT_START, BOOT_LEN),
                place("rootfs-a", slots, slot_size),
                place("rootfs-b", slots + slot_size, slot_size),
                place("data", data, size - TAIL - data),
            ],
        })
    }

    /// Where slot a stands.
    pub fn slot_a(&self) -> &Place {
        &self.partitions[1]
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
        for (slot, disk) in [(2, None), (128, None), (1024, Some(4096))] {
            let layout = Layout::new(slot * MIB, disk.map(|d| d * MIB)).unwrap();
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
        for (slot, disk) in [
            (0, None),
            (MIB, None),
            (2 * MIB + 1, None),
            (2 * MIB, Some(60 * MIB)),
            (2 * MIB, Some(100 * MIB + 1)),
            (u64::MAX - MIB + 1, None),
        ] {
            let refused = Layout::new(slot, disk).unwrap_err();
            assert_eq!(refused.code(), ReasonCode::Usage, "{slot} {disk:?}");
        }
    }
}
