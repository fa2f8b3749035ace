//! Which partitions make up the slots.

use super::record::RECORD_LEN;
use super::{FIRST_LEN, PartName, SlotNames};
use crate::disk::{Partition, PartitionTable};
use crate::model::{
    BOOT_PARTITION, Failure, Identifier, PART_BOOT, PART_ROOTFS, ReasonCode, Result, SlotId,
};
use std::ops::Range;

/// One part of a slot: what a release calls it, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name in manifests: `rootfs`, `boot` or another.
    pub name: Identifier,
    /// Its partition.
    pub partition: Partition,
}

/// The parts of both slots, found in a table that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    a: Vec<Part>,
    b: Vec<Part>,
}

impl Layout {
    /// Finds the named partitions. `SLOT_MISSING` if one does not exist; `LAYOUT_INVALID` if one
    /// is named twice, is too small for its first 128 KiB, or is the first of a slot and too small
    /// to carry a record.
    pub fn find(table: &PartitionTable, names: &SlotNames) -> Result<Layout> {
        let invalid = |why: String| Err(Failure::new(ReasonCode::LayoutInvalid, why));
        let find = |names: &[PartName]| -> Result<Vec<Part>> {
            let one = |n: &PartName| {
                let partition = find_one(table, &n.partition)?;
                Ok(Part { name: n.part.clone(), partition })
            };
            names.iter().map(one).collect()
        };
        let layout = Layout { a: find(names.of(SlotId::A))?, b: find(names.of(SlotId::B))? };
        let mut seen: Vec<&Partition> = Vec::new();
        for partition in layout.all() {
            if seen.iter().any(|s| s.number == partition.number) {
                return invalid(format!("partition {} is named twice", partition.name));
            }
            seen.push(partition);
        }
        for slot in [&layout.a, &layout.b] {
            for (index, Part { partition, .. }) in slot.iter().enumerate() {
                let record = if index == 0 { RECORD_LEN } else { 0 };
                if partition.len < FIRST_LEN + record {
                    return invalid(format!("partition {} is too small", partition.name));
                }
            }
        }
        Ok(layout)
    }

    /// The parts of a slot, at least one; the first carries the record.
    pub fn parts(&self, slot: SlotId) -> &[Part] {
        match slot {
            SlotId::A => &self.a,
            SlotId::B => &self.b,
        }
    }

    /// The partition of a slot that carries the record.
    pub fn first(&self, slot: SlotId) -> &Partition {
        &self.parts(slot)[0].partition
    }

    /// Refuses slots that a boot script sees differently: it finds partitions by their names and not
    /// by `[slots]`. It loads itself from `boot`, the kernel of slot a from `boot-a` where the disk
    /// has one, and its root filesystem from `rootfs-a`. An update of anything else would write what
    /// the running slot needs, or leave an old kernel before a new root. Where the table has no such name
    /// (MBR) the script goes by the numbers, in hexadecimal, that `variable` of the bootloader has.
    /// `LAYOUT_INVALID`.
    pub fn agrees_with_boot_script(
        &self,
        table: &PartitionTable,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<()> {
        let invalid = |why: String| Err(Failure::new(ReasonCode::LayoutInvalid, why));
        for slot in [SlotId::A, SlotId::B] {
            let name = format!("surefoot_part_{slot}");
            let mut roots =
                self.parts(slot).iter().filter(|part| part.name.as_str() == PART_ROOTFS);
            let root = of_slot(PART_ROOTFS, slot);
            if !table.partitions.iter().any(|partition| partition.name == root)
                && let Some(Part { partition, .. }) = roots.next()
                && let Some(number) = variable(&name)
                && u32::from_str_radix(number.trim_start_matches("0x"), 16) != Ok(partition.number)
            {
                return invalid(format!(
                    "the boot script takes partition {number} for slot {slot}, as `{name}` says, and `slots.{slot}` names {}",
                    partition.name
                ));
            }
            let mut whys = self.parts(slot).iter().filter_map(|part| contradiction(slot, part));
            if let Some(why) = whys.next() {
                return invalid(why);
            }
            let boot = of_slot(PART_BOOT, slot);
            let of_slots = self.all().any(|partition| partition.name == boot);
            if !of_slots && table.partitions.iter().any(|partition| partition.name == boot) {
                return invalid(format!(
                    "the boot script loads the kernel of slot {slot} from the partition {boot}, and `slots.{slot}` does not name it"
                ));
            }
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Partition> {
        self.a.iter().chain(&self.b).map(|part| &part.partition)
    }

    /// The slot that a partition, given by its place in the disk, belongs to.
    pub fn slot_at(&self, start: u64, len: u64) -> Option<SlotId> {
        [SlotId::A, SlotId::B].into_iter().find(|slot| {
            let mut parts = self.parts(*slot).iter().map(|part| &part.partition);
            parts.any(|p| p.start == start && p.len == len)
        })
    }

    /// Refuses a layout in which a slot lies over one of `ranges` of the same disk (the copies of
    /// the bootloader environment): writing the slot would destroy them.
    pub fn keeps_clear_of(&self, ranges: &[Range<u64>]) -> Result<()> {
        for partition in self.all() {
            let own = partition.range();
            if let Some(hit) = ranges.iter().find(|r| r.start < own.end && own.start < r.end) {
                return Err(Failure::new(
                    ReasonCode::LayoutInvalid,
                    format!(
                        "the environment at bytes {}..{} lies in slot partition {}",
                        hit.start, hit.end, partition.name
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// What a boot script calls the partition of a part.
fn of_slot(part: &str, slot: SlotId) -> String {
    format!("{part}-{}", slot.letter())
}

/// Why a boot script sees this part of this slot differently.
fn contradiction(slot: SlotId, Part { name, partition }: &Part) -> Option<String> {
    let (other, own) = (slot.other(), partition.name.as_str());
    if own == BOOT_PARTITION {
        return Some(format!(
            "partition {own} holds the boot script of both slots, and `slots.{slot}` names it"
        ));
    }
    let known = [PART_BOOT, PART_ROOTFS];
    if known.iter().chain(&[name.as_str()]).any(|name| own == of_slot(name, other)) {
        return Some(format!(
            "partition {own} is of slot {other} by its name, and `slots.{slot}` names it"
        ));
    }
    let part = known.into_iter().find(|known| own == of_slot(known, slot))?;
    let why = || {
        format!(
            "partition {own} is the part `{part}` by its name, and `slots.{slot}` says `{name}`"
        )
    };
    (name.as_str() != part).then(why)
}

fn find_one(table: &PartitionTable, name: &str) -> Result<Partition> {
    let wanted = |p: &Partition| match name.strip_prefix("partuuid:") {
        Some(uuid) => p.uuid.eq_ignore_ascii_case(uuid),
        None if name.starts_with("mbr:") => p.name.eq_ignore_ascii_case(name),
        None => p.name == name,
    };
    let twice = |what: &str, (first, second): (u32, u32)| {
        let why = format!("partitions {first} and {second} have one {what}");
        Err(Failure::new(ReasonCode::LayoutInvalid, why))
    };
    let found = match table.only(wanted) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let why = format!("there is no partition `{name}`");
            return Err(Failure::new(ReasonCode::SlotMissing, why));
        }
        Err(both) => return twice(&format!("name, `{name}`"), both),
    };
    // The kernel finds its root by the id, whatever name `[slots]` uses.
    match table.only(|p| p.uuid == found.uuid) {
        Err(both) => twice("unique id", both),
        Ok(_) => Ok(found.clone()),
    }
}
