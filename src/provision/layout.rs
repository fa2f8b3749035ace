//! Where everything stands on a new disk. Pure.

use crate::disk::TableKind;
use crate::model::{BOOT_PARTITION, Failure, ReasonCode};

/// Bytes of a MiB.
pub const MIB: u64 = 1 << 20;

/// Where the two copies of the environment stand unless it is said otherwise, bytes.
pub const ENV_OFFSETS: [u64; 2] = [4 * MIB, 8 * MIB];

/// How long each copy is unless it is said otherwise, bytes.
pub const ENV_LEN: u64 = 16 << 10;

const BOOT_START: u64 = 16 * MIB;
/// Behind the last partition of a GPT: the backup of the table, rounded up.
const TAIL: u64 = MIB;
/// Protective MBR, header and 128 entries of a GPT.
const GPT_HEAD: u64 = 34 * 512;
/// What the file systems of most build hosts hold as one file, and ext4 with blocks of 4 KiB.
const DISK_MAX: u64 = 16 << 40;
/// Sectors that an MBR can count.
const MBR_MAX: u64 = 512 << 32;

/// What stands outside of the partitions: a copy of the environment, a raw piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// For people: `environment copy 1`.
    pub what: String,
    /// The key of the recipe that says it.
    pub key: &'static str,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// What a disk is to have. All sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The kind of table.
    pub table: TableKind,
    /// Of `boot`.
    pub boot: u64,
    /// Of each root filesystem's partition.
    pub slot: u64,
    /// Of each slot's boot part, if slots have one.
    pub boot_part: Option<u64>,
    /// The least of `data`, which takes the rest.
    pub data: u64,
    /// Of the disk; what is needed if `None`.
    pub disk: Option<u64>,
    /// Where `boot` begins, instead of 16 MiB.
    pub boot_at: Option<u64>,
    /// Where the root filesystems begin, instead of one behind the other.
    pub slots_at: Option<[u64; 2]>,
    /// Where `data` begins, instead of behind the rest.
    pub data_at: Option<u64>,
    /// What no partition may lie over.
    pub reserved: Vec<Reserved>,
}

impl Plan {
    /// A GPT with these slots and small `boot` and `data`, and the two copies of the environment.
    pub fn small(slot: u64) -> Plan {
        let copy = |(n, start): (usize, u64)| Reserved {
            what: format!("environment copy {n}"),
            key: "boot.environment",
            start,
            len: ENV_LEN,
        };
        Plan {
            table: TableKind::Gpt,
            boot: 32 * MIB,
            slot,
            boot_part: None,
            data: 16 * MIB,
            disk: None,
            boot_at: None,
            slots_at: None,
            data_at: None,
            reserved: ENV_OFFSETS.into_iter().enumerate().map(copy).collect(),
        }
    }
}

impl Plan {
    /// The largest slots that a disk of this size has room for, with everything else of the plan.
    pub fn most(&self, disk: u64) -> u64 {
        let tail = if self.table == TableKind::Gpt { TAIL } else { 0 };
        let parts = 2 * self.boot_part.unwrap_or(0);
        let rest = self.boot_at.unwrap_or(BOOT_START) + self.boot + parts + self.data + tail;
        disk.saturating_sub(rest) / 2
    }
}

/// Why there is no such disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The key of the recipe that must change: `root.slot-size`.
    pub key: &'static str,
    /// What is wrong, one sentence with sizes in MiB.
    pub text: String,
}

impl Misfit {
    fn new(key: &'static str, text: String) -> Misfit {
        Misfit { key, text }
    }

    /// For a program without a recipe.
    pub fn failure(self) -> Failure {
        Failure::new(ReasonCode::Usage, self.text)
    }
}

/// One partition to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name in the table, where that has names.
    pub name: &'static str,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

impl Place {
    /// First byte behind it.
    pub fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// The whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The kind of table.
    pub table: TableKind,
    /// Bytes; a whole number of MiB, as SD emulations want it.
    pub size: u64,
    /// In the order of the table: [`BOOT_PARTITION`] first, `data` last, those of the slots between.
    pub partitions: Vec<Place>,
}

/// A length for people: whole MiB where it is one.
pub fn in_mib(len: u64) -> String {
    match (len / MIB, len % MIB) {
        (whole, 0) => format!("{whole} MiB"),
        (_, _) if len.is_multiple_of(1024) && len < MIB => format!("{} KiB", len / 1024),
        (0, _) => format!("{len} bytes"),
        (_, _) => {
            let tenths = (u128::from(len) * 10).div_ceil(u128::from(MIB));
            format!("{}.{} MiB", tenths / 10, tenths % 10)
        }
    }
}

/// `least` is in MiB, `most` in GiB.
fn whole(
    key: &'static str,
    what: &str,
    size: u64,
    (least, most): (u64, u64),
) -> Result<(), Misfit> {
    if size < least * MIB || !size.is_multiple_of(MIB) || size > most << 30 {
        let text = format!(
            "{what} of {}: it must be a whole number of MiB, from {least} MiB to {most} GiB",
            in_mib(size)
        );
        return Err(Misfit::new(key, text));
    }
    Ok(())
}

impl Layout {
    /// The disk that a plan means, or the first thing that does not fit.
    pub fn new(plan: &Plan) -> Result<Layout, Misfit> {
        whole("root.slot-size", "a slot", plan.slot, (2, 1024))?;
        whole("boot.size", "a boot partition", plan.boot, (1, 4))?;
        whole("data.size", "a data partition", plan.data, (1, 1024))?;
        if let Some(len) = plan.boot_part {
            whole("root.boot-part", "a boot part", len, (2, 4))?;
        }
        if plan.table == TableKind::Mbr && plan.boot_part.is_some() {
            let text = "an MBR has four partitions, and slots with a boot part need six".to_owned();
            return Err(Misfit::new("disk.table", text));
        }
        let places = [("boot.at", plan.boot_at), ("data.at", plan.data_at)].into_iter();
        let slots = plan.slots_at.into_iter().flatten().map(|at| ("root.at", Some(at)));
        for (key, at) in places.chain(slots) {
            let Some(at) = at else { continue };
            if at > 1 << 40 || !at.is_multiple_of(MIB) {
                let text = format!(
                    "a partition at {}: it must be a whole number of MiB, to 1024 GiB",
                    in_mib(at)
                );
                return Err(Misfit::new(key, text));
            }
        }
        let place = |name, start, len| Place { name, start, len };
        let mut partitions =
            vec![place(BOOT_PARTITION, plan.boot_at.unwrap_or(BOOT_START), plan.boot)];
        let mut next = partitions[0].end();
        for name in ["boot-a", "boot-b"] {
            if let Some(len) = plan.boot_part {
                partitions.push(place(name, next, len));
                next += len;
            }
        }
        for (n, name) in ["rootfs-a", "rootfs-b"].into_iter().enumerate() {
            let start = plan.slots_at.map_or(next, |at| at[n]);
            partitions.push(place(name, start, plan.slot));
            next = next.max(start + plan.slot);
        }
        let data = plan.data_at.unwrap_or(next);
        let tail = if plan.table == TableKind::Gpt { TAIL } else { 0 };
        let least = data.max(next) + plan.data + tail;
        let size = plan.disk.unwrap_or(least);
        if !size.is_multiple_of(MIB) {
            let text = format!("a disk of {size} bytes: it must be a whole number of MiB");
            return Err(Misfit::new("disk.size", text));
        }
        if size > DISK_MAX {
            let text = format!("a disk of {}: it is at most 16 TiB", in_mib(size));
            return Err(Misfit::new("disk.size", text));
        }
        if size < least {
            let parts = format!(
                "the beginning {}, boot {}, two slots of {}, data at least {}",
                in_mib(partitions[0].start),
                in_mib(plan.boot),
                in_mib(plan.slot + plan.boot_part.unwrap_or(0)),
                in_mib(plan.data)
            );
            let text = format!(
                "a disk of {} lacks {}: it needs {} ({parts})",
                in_mib(size),
                in_mib(least - size),
                in_mib(least)
            );
            return Err(Misfit::new("disk.size", text));
        }
        if plan.table == TableKind::Mbr && size > MBR_MAX {
            let text = format!("a disk of {}: an MBR counts no more than 2 TiB", in_mib(size));
            return Err(Misfit::new("disk.table", text));
        }
        partitions.push(place("data", data, (size - tail).saturating_sub(data)));
        let layout = Layout { table: plan.table, size, partitions };
        layout.nothing_overlaps(plan)?;
        Ok(layout)
    }

    fn nothing_overlaps(&self, plan: &Plan) -> Result<(), Misfit> {
        let head = if self.table == TableKind::Gpt { GPT_HEAD } else { 512 };
        let mut taken = vec![Reserved {
            what: "the partition table".to_owned(),
            key: "disk.table",
            start: 0,
            len: head,
        }];
        if self.table == TableKind::Gpt {
            taken.push(Reserved {
                what: "the end of the disk, where the backup of the partition table is".to_owned(),
                key: "disk.table",
                start: self.size - TAIL,
                len: TAIL,
            });
        }
        let parts = self.partitions.iter().map(|place| Reserved {
            what: format!("partition {}", place.name),
            key: match place.name {
                BOOT_PARTITION => "boot.at",
                "data" => "data.at",
                _ => "root.at",
            },
            start: place.start,
            len: place.len,
        });
        for one in parts.chain(plan.reserved.iter().cloned()) {
            let end = one.start.checked_add(one.len).filter(|end| *end <= self.size);
            let Some(end) = end else {
                let text = format!(
                    "{} ({} from {}) ends behind the disk of {}",
                    one.what,
                    in_mib(one.len),
                    in_mib(one.start),
                    in_mib(self.size)
                );
                return Err(Misfit::new(one.key, text));
            };
            let hit = taken.iter().find(|t| t.start < end && one.start < t.start + t.len);
            if let Some(other) = hit {
                let range =
                    |r: &Reserved| format!("{} to {}", in_mib(r.start), in_mib(r.start + r.len));
                let text = format!(
                    "{} ({}) lies over {} ({})",
                    one.what,
                    range(&one),
                    other.what,
                    range(other)
                );
                return Err(Misfit::new(one.key, text));
            }
            taken.push(one);
        }
        Ok(())
    }

    /// The parts of slot a: first the one that carries the slot record, last the root filesystem.
    pub fn slot_a(&self) -> impl DoubleEndedIterator<Item = &Place> {
        self.partitions.iter().filter(|place| place.name.ends_with("-a"))
    }

    /// Where a partition stands.
    pub fn place(&self, name: &str) -> Option<&Place> {
        self.partitions.iter().find(|place| place.name == name)
    }

    /// Where the boot partition stands.
    pub fn boot(&self) -> &Place {
        &self.partitions[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(slot: u64, boot_part: Option<u64>, disk: Option<u64>) -> Plan {
        let (boot_part, disk) = (boot_part.map(|b| b * MIB), disk.map(|d| d * MIB));
        Plan { boot_part, disk, ..Plan::small(slot * MIB) }
    }

    #[test]
    fn nothing_overlaps_and_the_environment_is_alone() {
        for (slot, boot, disk) in [
            (2, None, None),
            (128, None, None),
            (1024, None, Some(4096)),
            (128, Some(16), None),
            (2, Some(2), Some(80)),
        ] {
            let layout = Layout::new(&plan(slot, boot, disk)).unwrap();
            let names: Vec<_> = layout.slot_a().map(|place| place.name).collect();
            assert_eq!(names.len(), 1 + usize::from(boot.is_some()));
            assert_eq!((names[0] == "boot-a", names.last()), (boot.is_some(), Some(&"rootfs-a")));
            let mut end = ENV_OFFSETS[1] + 4 * MIB;
            for place in &layout.partitions {
                assert!(place.start >= end, "{place:?}");
                assert!(place.start % (4 * MIB) == 0 || slot % 4 != 0, "{place:?}");
                end = place.end();
            }
            assert_eq!(end + TAIL, layout.size);
        }
        let unit = |offset: u64| offset / (4 * MIB);
        assert!(unit(ENV_OFFSETS[0]) != unit(ENV_OFFSETS[1]));
        assert!(ENV_OFFSETS.iter().all(|o| o + 4 * MIB <= BOOT_START && o % (4 * MIB) == 0));
    }

    #[test]
    fn odd_sizes_are_refused_by_the_key_that_says_them() {
        let small = Plan::small(2 * MIB);
        let piece =
            |start, len| Reserved { what: "u-boot".to_owned(), key: "boot.raw", start, len };
        let with =
            |one| Plan { reserved: [small.reserved.clone(), vec![one]].concat(), ..small.clone() };
        let mbr = Plan { table: TableKind::Mbr, ..small.clone() };
        for (plan, key, word) in [
            (Plan::small(0), "root.slot-size", "0 MiB"),
            (Plan::small(MIB), "root.slot-size", "1 MiB"),
            (Plan::small(2 * MIB + 1), "root.slot-size", "whole number"),
            (Plan::small(u64::MAX - MIB + 1), "root.slot-size", "1024 GiB"),
            (plan(2, None, Some(60)), "disk.size", "lacks 9 MiB"),
            (Plan { disk: Some(100 * MIB + 1), ..small.clone() }, "disk.size", "whole number"),
            (Plan { disk: Some(1 << 45), ..small.clone() }, "disk.size", "16 TiB"),
            (Plan { boot: 5 << 30, ..small.clone() }, "boot.size", "4 GiB"),
            (plan(2, Some(1), None), "root.boot-part", "1 MiB"),
            (plan(2, Some(16), Some(80)), "disk.size", "lacks 21 MiB"),
            (Plan { boot_part: Some(2 * MIB), ..mbr.clone() }, "disk.table", "four"),
            (Plan { disk: Some(3 << 41), ..mbr.clone() }, "disk.table", "2 TiB"),
            (
                Plan { boot_at: Some(4 * MIB), ..small.clone() },
                "boot.environment",
                "partition boot (4 MiB to 36 MiB)",
            ),
            (
                Plan { slots_at: Some([16 * MIB, 64 * MIB]), ..small.clone() },
                "root.at",
                "partition boot",
            ),
            (Plan { data_at: Some(49 * MIB), ..small.clone() }, "data.at", "partition rootfs-a"),
            (Plan { data: 0, ..small.clone() }, "data.size", "0 MiB"),
            (with(piece(8 << 10, 1)), "boot.raw", "partition table (0 MiB to 17 KiB)"),
            (with(piece(32 << 10, 4 * MIB)), "boot.raw", "environment copy 0 (4 MiB to 4.1 MiB)"),
            (with(piece(u64::MAX, 2)), "boot.raw", "behind the disk"),
            (with(piece(69 * MIB - 512, 512)), "boot.raw", "the end of the disk"),
            (with(piece(68 * MIB - 512, 1024)), "boot.raw", "lies over"),
        ] {
            let misfit = Layout::new(&plan).unwrap_err();
            assert_eq!(misfit.key, key, "{misfit:?}");
            assert!(misfit.text.contains(word), "{misfit:?}");
        }
        assert!(Layout::new(&with(piece(32 << 10, 2 * MIB))).is_ok());
        let own_start = Plan { reserved: vec![piece(8 << 10, 1 << 20)], ..mbr };
        assert_eq!(Layout::new(&own_start).unwrap().size, 68 * MIB);
    }
}
