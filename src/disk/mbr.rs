//! DOS partition tables, read only. They count in the logical sectors of the device, which no field of
//! theirs tells: a device says it, of an image both sizes are tried. On a device the kernel's own
//! partitions are compared before anything is written.

use super::{BlockDevice, Partition, PartitionTable, TableKind};
use crate::model::{Failure, ReasonCode, Result};

/// What sectors there are, the usual one first.
const SECTORS: [u64; 2] = [512, 4096];

/// More logical partitions than the kernel would name.
const LOGICAL_MAX: u32 = 60;

/// The first sector of a disk or of an extended partition's links.
pub(super) struct BootRecord {
    signature: u32,
    pub(super) entries: [Entry; 4],
}

#[derive(Clone, Copy)]
pub(super) struct Entry {
    kind: u8,
    /// In sectors; of a logical partition from its link, of a link from the extended partition.
    pub(super) start: u32,
    pub(super) count: u32,
}

impl Entry {
    fn parse(bytes: &[u8]) -> Entry {
        let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        Entry { kind: bytes[4], start: number(8), count: number(12) }
    }

    pub(super) fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    pub(super) fn is_used(self) -> bool {
        self.kind != 0 && self.count != 0
    }

    /// Whether it only says that a GPT is there.
    pub(super) fn is_protective(self) -> bool {
        self.kind == 0xee
    }

    /// Whether it is an EFI system partition.
    pub(super) fn is_firmware(self) -> bool {
        self.kind == 0xef
    }
}

impl BootRecord {
    /// `None` without the closing 55 aa.
    pub(super) fn parse(sector: &[u8; 512]) -> Option<BootRecord> {
        (sector[510..] == [0x55, 0xaa]).then(|| BootRecord {
            signature: u32::from_le_bytes([0, 1, 2, 3].map(|i| sector[440 + i])),
            entries: [0, 1, 2, 3].map(|i| Entry::parse(&sector[446 + 16 * i..][..16])),
        })
    }

    /// True if it only stands in front of a GPT.
    pub(super) fn is_protective(&self) -> bool {
        self.entries.iter().any(|e| e.is_protective())
    }

    /// True if it names partitions beside the protective entry.
    pub(super) fn is_hybrid(&self) -> bool {
        self.entries.iter().any(|e| e.is_used() && !e.is_protective())
    }
}

fn partition(signature: u32, number: u32, entry: Entry, base: u64, sector: u64) -> Partition {
    Partition {
        number,
        name: format!("mbr:{signature:08x}-{number}"),
        start: (base + u64::from(entry.start)) * sector,
        len: u64::from(entry.count) * sector,
        uuid: format!("{signature:08x}-{number:02x}"),
        type_id: format!("{:02x}", entry.kind),
    }
}

/// The partitions that `boot` names, logical ones included (from number 5).
pub(super) fn read(device: &dyn BlockDevice, boot: &BootRecord) -> Result<PartitionTable> {
    let told = device.sector_size().filter(|s| SECTORS.contains(s));
    let sizes: &[u64] = told.as_ref().map_or(&SECTORS[..], std::slice::from_ref);
    let mut first = None;
    for sector in sizes {
        let table = read_in(device, boot, *sector).and_then(|table| {
            super::partition::check(&table, device.len())?;
            Ok(table)
        });
        match table {
            Ok(table) => return Ok(table),
            Err(failure) => drop(first.get_or_insert(failure)),
        }
    }
    Err(first.unwrap_or_else(|| Failure::new(ReasonCode::TableUnreadable, "no sector size fits")))
}

fn read_in(device: &dyn BlockDevice, boot: &BootRecord, sector: u64) -> Result<PartitionTable> {
    let mut table = PartitionTable {
        partitions: Vec::new(),
        kind: TableKind::Mbr,
        reserved: std::iter::once(0..sector).collect(),
        warnings: Vec::new(),
    };
    if boot.signature == 0 {
        let why = "the disk has no signature; give it one: `sfdisk --disk-id DISK 0x…`";
        table.warnings.push(why.to_owned());
    }
    let mut extended = None;
    for (entry, number) in boot.entries.iter().zip(1..) {
        if entry.is_extended() {
            if extended.replace(*entry).is_some() {
                let why = "two extended partitions";
                return Err(Failure::new(ReasonCode::LayoutInvalid, why));
            }
        } else if entry.is_used() {
            let found = partition(boot.signature, number, *entry, 0, sector);
            table.partitions.push(found);
        }
    }
    if let Some(extended) = extended {
        read_logical(device, boot.signature, extended, sector, &mut table)?;
    }
    Ok(table)
}

fn read_logical(
    device: &dyn BlockDevice,
    signature: u32,
    extended: Entry,
    sector: u64,
    table: &mut PartitionTable,
) -> Result<()> {
    let invalid = |why: &str| Err(Failure::new(ReasonCode::LayoutInvalid, why));
    let base = u64::from(extended.start);
    let end = base + u64::from(extended.count);
    if end * sector > device.len() {
        return invalid("the extended partition leaves the disk");
    }
    let whole = base * sector..end * sector;
    let inside = |p: &Partition| p.start < whole.end && whole.start < p.start + p.len;
    if table.partitions.iter().any(inside) {
        return invalid("a primary partition overlaps the extended one");
    }
    let mut link = base;
    for number in 5..5 + LOGICAL_MAX {
        let mut bytes = [0; 512];
        device.read_at(link * sector, &mut bytes)?;
        let Some(record) = BootRecord::parse(&bytes) else {
            return invalid("a link of the extended partition is damaged");
        };
        table.reserved.push(link * sector..(link + 1) * sector);
        let [own, next, ..] = record.entries;
        if own.is_used() {
            let found = partition(signature, number, own, link, sector);
            if found.start + found.len > end * sector {
                return invalid("a logical partition leaves the extended one");
            }
            table.partitions.push(found);
        }
        if !next.is_used() {
            return Ok(());
        }
        let following = base + u64::from(next.start);
        // Only forward: a chain that turns back never ends.
        if following <= link || following >= end {
            return invalid("the links of the extended partition turn back or leave it");
        }
        link = following;
    }
    invalid("too many logical partitions")
}

/// How many bytes a disk lacks of what its MBR names; `None` where that is not what is wrong.
pub(super) fn missing(device: &dyn BlockDevice) -> Option<u64> {
    let mut first = [0; 512];
    device.read_at(0, &mut first).ok()?;
    let boot = BootRecord::parse(&first).filter(|boot| !boot.is_protective())?;
    let sector = device.sector_size().unwrap_or(512);
    let ends = boot
        .entries
        .iter()
        .filter(|e| e.is_used())
        .map(|e| u64::from(e.start) + u64::from(e.count));
    (ends.max()? * sector).checked_sub(device.len()).filter(|bytes| *bytes > 0)
}
