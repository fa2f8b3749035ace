//! The partition table: both copies, names, order, alignment, and that both slots have room for the same releases.

use super::judge::WHOLE;
use crate::disk::{Disk, Partition, PartitionTable, TableKind};
use crate::inspect::Diagnosis;
use crate::model::{BOOT_PARTITION, ByteLen, Failure, PART_BOOT, ReasonCode, Result, SlotId};
use crate::rootfs::Root;
use crate::slot::{Layout, Part, SlotNames};
use std::path::Path;

const TOPIC: &str = "partitions";
const MIB: u64 = 1 << 20;

fn invalid(text: impl AsRef<str>) -> Failure {
    let next = "Build the image again: `surefoot-forge image`.";
    Failure::new(ReasonCode::LayoutInvalid, text).with_next(next)
}

/// The table, where one can be read.
pub(super) fn look(disk: &Disk, out: &mut Diagnosis) -> Option<PartitionTable> {
    let table = match disk.table() {
        Ok(table) => table,
        Err(failure) => {
            out.block(TOPIC, &failure.with_next(WHOLE));
            return None;
        }
    };
    for warning in &table.warnings {
        // A larger card than the image is no fault: the first boot moves the backup to its end.
        match warning.contains("not at the end") {
            true => {
                let remedy = "Nothing to do: the first start of the device moves it.".to_owned();
                out.notice(TOPIC, warning.clone(), remedy);
            }
            false => {
                let failure = Failure::new(ReasonCode::TableUnreadable, warning);
                let next = "Build or flash the image again; `sgdisk -v` names what is wrong.";
                out.block(TOPIC, &failure.with_next(next));
            }
        }
    }
    let uneven = table.partitions.iter().filter(|p| !p.start.is_multiple_of(MIB));
    for partition in uneven {
        let text =
            format!("partition {} `{}` begins at no whole MiB", partition.number, partition.name);
        let remedy = "Place it at a whole MiB: a card writes more and wears faster otherwise.";
        out.warn(TOPIC, text, remedy.to_owned());
    }
    if table.kind == TableKind::Gpt && table.by_name(BOOT_PARTITION).is_none() {
        out.block(TOPIC, &invalid(format!("there is no partition `{BOOT_PARTITION}`")));
    }
    if let Some(data) = data(&table)
        && let Some(last) = table.partitions.iter().max_by_key(|p| p.start)
        && last.number != data.number
    {
        let text = format!("partition {} `{}` stands behind `data`", last.number, last.name);
        let remedy = "Make `data` the last one: only then can the first start grow it to the end of the disk.";
        out.warn(TOPIC, text, remedy.to_owned());
    }
    Some(table)
}

/// The data partition: by its name, or the fourth where there are no names.
pub(super) fn data(table: &PartitionTable) -> Option<&Partition> {
    match table.kind {
        TableKind::Gpt => table.by_name("data"),
        TableKind::Mbr => table.partitions.iter().find(|p| p.number == 4),
    }
}

/// The root filesystem of slot a, by the name or the number that it has on a disk of ours.
pub(super) fn is_root_a(partition: &Partition) -> bool {
    let name = format!("rootfs-{}", SlotId::A);
    partition.name == name || (partition.name.starts_with("mbr:") && partition.number == 2)
}

/// A partition as a file system whose files can be read.
pub(super) fn opened(path: &Path, partition: &Partition) -> Result<Root> {
    Root::open_part(path, partition.start, Some(partition.len))
}

/// The slots that the settings name.
pub(super) fn slots(
    table: &PartitionTable,
    names: &SlotNames,
    out: &mut Diagnosis,
) -> Option<Layout> {
    let layout = match Layout::find(table, names) {
        Ok(layout) => layout,
        Err(failure) => {
            out.block(TOPIC, &failure);
            return None;
        }
    };
    let [a, b] = [SlotId::A, SlotId::B].map(|slot| layout.parts(slot));
    for (first, second) in a.iter().zip(b) {
        let (here, there) = (first.partition.len, second.partition.len);
        if here != there {
            let text = format!(
                "{} has {} and {} has {}: a release that fits one slot may not fit the other",
                first.partition.name,
                ByteLen(here),
                second.partition.name,
                ByteLen(there)
            );
            out.block(TOPIC, &invalid(text));
        }
    }
    if a.iter().skip(1).any(|part| part.name.as_str() == PART_BOOT) {
        let remedy = "Name it first in `slots.a` and `slots.b`: docs/integrator.md.";
        out.warn(TOPIC, "boot is not the first part".to_owned(), remedy.to_owned());
    }
    if !out.has(TOPIC) {
        let all = |parts: &[Part]| ByteLen(parts.iter().map(|p| p.partition.len).sum()).to_string();
        out.good(TOPIC, format!("slot a has {}, slot b {}", all(a), all(b)));
    }
    Some(layout)
}
