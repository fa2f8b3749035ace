//! Partitions as values, and the checks that every table must pass.

use crate::model::{Failure, ReasonCode, Result};

/// Which kind of table a disk carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// GUID partition table.
    Gpt,
    /// DOS partition table, sectors of 512 bytes.
    Mbr,
}

/// One partition, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1: the `2` of `mmcblk0p2`.
    pub number: u32,
    /// Its GPT name; for MBR `mbr:SIGNATURE-NUMBER`.
    pub name: String,
    /// Offset in the disk, bytes.
    pub start: u64,
    /// Length, bytes.
    pub len: u64,
    /// `partuuid:…` without the prefix, lower case; for MBR `SIGNATURE-NUMBER`.
    pub uuid: String,
    /// The type: a GUID in lower case, or two hexadecimal digits for MBR.
    pub type_id: String,
}

impl Partition {
    /// The bytes of the disk it covers.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.start..self.start + self.len
    }
}

/// A partition table that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionTable {
    /// The partitions, by number.
    pub partitions: Vec<Partition>,
    /// Which kind.
    pub kind: TableKind,
    /// The bytes that belong to the table itself, in which nothing else may stand.
    pub reserved: Vec<std::ops::Range<u64>>,
    /// What a person should repair although the table could be read.
    pub warnings: Vec<String>,
}

impl PartitionTable {
    /// The one partition for which `wanted` holds; `None` if there is none, and both numbers if there
    /// are two.
    pub fn only(
        &self,
        wanted: impl Fn(&Partition) -> bool,
    ) -> std::result::Result<Option<&Partition>, (u32, u32)> {
        let mut found = self.partitions.iter().filter(|p| wanted(p));
        match (found.next(), found.next()) {
            (Some(first), Some(second)) => Err((first.number, second.number)),
            (first, _) => Ok(first),
        }
    }

    /// The partition of that name, exactly.
    pub fn by_name(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.name == name)
    }
}

pub(super) fn check(table: &PartitionTable, disk: u64) -> Result<()> {
    let invalid = |why: String| Err(Failure::new(ReasonCode::LayoutInvalid, why));
    let parts = &table.partitions;
    for (i, p) in parts.iter().enumerate() {
        let name = format!("partition {} `{}`", p.number, p.name);
        match p.start.checked_add(p.len) {
            Some(end) if end <= disk && p.len > 0 => {}
            _ => return invalid(format!("{name} leaves the disk")),
        }
        if table.reserved.iter().any(|r| meet(r, &p.range())) {
            return invalid(format!("{name} lies over the partition table"));
        }
        for other in &parts[..i] {
            let both = format!("{name} and partition {}", other.number);
            if meet(&p.range(), &other.range()) {
                return invalid(format!("{both} overlap"));
            }
        }
    }
    Ok(())
}

fn meet(a: &std::ops::Range<u64>, b: &std::ops::Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
