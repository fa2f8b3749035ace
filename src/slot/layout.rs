//! Which partitions make up the slots.

use super::FIRST_LEN;
use super::record::RECORD_LEN;
use crate::disk::{Partition, PartitionTable};
use crate::model::{Failure, ReasonCode, Result, SlotId};
use std::ops::Range;

/// The names of the partitions of each slot, first the one that carries the slot record. A name
/// is a GPT name, `partuuid:UUID`, or `mbr:SIGNATURE-NUMBER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotNames {
    /// Slot `a`.
    pub a: Vec<String>,
    /// Slot `b`.
    pub b: Vec<String>,
}

impl Default for SlotNames {
    /// One partition each: `rootfs-a` and `rootfs-b`.
    fn default() -> Self {
        SlotNames { a: vec!["rootfs-a".to_owned()], b: vec!["rootfs-b".to_owned()] }
    }
}

/// The partitions of both slots, found in a table that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    a: Vec<Partition>,
    b: Vec<Partition>,
}

impl Layout {
    /// Finds the named partitions. `SLOT_MISSING` if one does not exist; `LAYOUT_INVALID` if a
    /// slot has none, the slots differ in their number, share one, or one is too small to carry a
    /// record.
    pub fn find(table: &PartitionTable, names: &SlotNames) -> Result<Layout> {
        let invalid = |why: String| Err(Failure::new(ReasonCode::LayoutInvalid, why));
        if names.a.is_empty() || names.a.len() != names.b.len() {
            return invalid(format!(
                "slot a has {} partitions and slot b {}; both need the same number, at least one",
                names.a.len(),
                names.b.len()
            ));
        }
        let find = |names: &[String]| -> Result<Vec<Partition>> {
            names.iter().map(|n| find_one(table, n)).collect()
        };
        let layout = Layout { a: find(&names.a)?, b: find(&names.b)? };
        let mut seen: Vec<&Partition> = Vec::new();
        for partition in layout.a.iter().chain(&layout.b) {
            if seen.iter().any(|s| s.number == partition.number) {
                return invalid(format!("partition {} is named twice", partition.name));
            }
            seen.push(partition);
        }
        for first in [&layout.a[0], &layout.b[0]] {
            if first.len < FIRST_LEN + RECORD_LEN {
                return invalid(format!("partition {} is too small", first.name));
            }
        }
        Ok(layout)
    }

    /// The partitions of a slot, at least one; the first carries the record.
    pub fn partitions(&self, slot: SlotId) -> &[Partition] {
        match slot {
            SlotId::A => &self.a,
            SlotId::B => &self.b,
        }
    }

    /// The first partition of a slot.
    pub fn first(&self, slot: SlotId) -> &Partition {
        &self.partitions(slot)[0]
    }

    /// The slot that a partition, given by its place in the disk, belongs to.
    pub fn slot_at(&self, start: u64, len: u64) -> Option<SlotId> {
        [SlotId::A, SlotId::B].into_iter().find(|slot| {
            let mut parts = self.partitions(*slot).iter();
            parts.any(|p| p.start == start && p.len == len)
        })
    }

    /// Refuses a layout in which a slot lies over one of `ranges` of the same disk (the copies of
    /// the bootloader environment): writing the slot would destroy them.
    pub fn keeps_clear_of(&self, ranges: &[Range<u64>]) -> Result<()> {
        for partition in self.a.iter().chain(&self.b) {
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
