//! Writing the partition table of a new disk.

use super::layout::{Layout, MIB};
use crate::disk::TableKind;
use crate::model::{BOOT_PARTITION, Digest, ReasonCode, Result, WithReason};
use gpt::partition_types;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// What the identifiers of a disk are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskId {
    /// Random ones: each disk has its own.
    Random,
    /// From these bytes: the same give the same disk.
    From([u8; 32]),
}

impl DiskId {
    fn bytes(self, what: &str) -> Option<[u8; 16]> {
        let DiskId::From(seed) = self else { return None };
        let digest = Digest::of(&[&seed[..], what.as_bytes()].concat());
        digest.0.first_chunk().copied()
    }

    /// The UUID of the disk or of one of its partitions or file systems, as text; `None` for a random one.
    pub fn uuid(self, what: &str) -> Option<String> {
        let mut b = self.bytes(what)?;
        // Version 8 (custom) and the usual variant of RFC 9562.
        b[6] = b[6] & 0x0f | 0x80;
        b[8] = b[8] & 0x3f | 0x80;
        let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
        Some(format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        ))
    }

    /// The signature of an MBR, and the serial number of a FAT: never 0.
    pub fn word(self, what: &str) -> u32 {
        let bytes = self.bytes(what).unwrap_or(*b"SUREFOOT SUREFOO");
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).max(1)
    }
}

/// The disk's signature as the kernel and `[slots]` write it: 8 hexadecimal digits.
pub fn mbr_signature(id: DiskId) -> String {
    format!("{:08x}", id.word("disk"))
}

/// `fat32` says of which kind the file system in `boot` is.
pub(super) fn write_table(file: &File, layout: &Layout, id: DiskId, fat32: bool) -> Result<()> {
    match layout.table {
        TableKind::Gpt => write_gpt(file, layout, id),
        TableKind::Mbr => write_mbr(file, layout, id, fat32),
    }
}

fn write_gpt(file: &File, layout: &Layout, id: DiskId) -> Result<()> {
    let told = "writing the partition table";
    let sectors = u32::try_from(layout.size / 512 - 1).unwrap_or(u32::MAX);
    let mut device = file.try_clone().reason(ReasonCode::Io, told)?;
    gpt::mbr::ProtectiveMBR::with_lb_size(sectors)
        .overwrite_lba0(&mut device)
        .reason(ReasonCode::Io, told)?;
    let mut disk = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(gpt::disk::LogicalBlockSize::Lb512)
        .create_from_device(device, None)
        .reason(ReasonCode::Io, told)?;
    for (number, place) in (1..).zip(&layout.partitions) {
        let boot = place.name == BOOT_PARTITION;
        let kind = if boot { partition_types::BASIC } else { partition_types::LINUX_FS };
        // Attribute bit 2, legacy BIOS bootable: where U-Boot looks for a boot script first.
        let attributes = if boot { 1 << 2 } else { 0 };
        let (start, len) = (place.start / 512, place.len / 512);
        disk.add_partition_at(place.name, number, start, len, kind, attributes)
            .reason(ReasonCode::Io, told)?;
    }
    let mut partitions = disk.take_partitions();
    for partition in partitions.values_mut() {
        if let Some(uuid) = id.uuid(&format!("partition {}", partition.name)) {
            partition.part_guid = uuid.parse().reason(ReasonCode::Internal, told)?;
        }
    }
    if let Some(uuid) = id.uuid("disk") {
        disk.update_guid(Some(uuid.parse().reason(ReasonCode::Internal, told)?));
    }
    disk.update_partitions(partitions).reason(ReasonCode::Io, told)?;
    disk.write().reason(ReasonCode::Io, told)?;
    Ok(())
}

/// Source of the layout: the MBR of PCs, as Linux's `block/partitions/msdos.c` reads it.
fn write_mbr(file: &File, layout: &Layout, id: DiskId, fat32: bool) -> Result<()> {
    let mut sector = [0u8; 512];
    sector[440..444].copy_from_slice(&id.word("disk").to_le_bytes());
    for (n, place) in layout.partitions.iter().enumerate() {
        let boot = place.name == BOOT_PARTITION;
        let entry = &mut sector[446 + 16 * n..462 + 16 * n];
        // Cylinder, head and sector: beyond what they can say, for all that matters.
        entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[0] = if boot { 0x80 } else { 0 };
        entry[4] = match (boot, fat32) {
            (true, true) => 0x0c,
            (true, false) => 0x0e,
            (false, _) => 0x83,
        };
        for (at, bytes) in [(8, place.start), (12, place.len)] {
            let sectors = u32::try_from(bytes / 512).reason(ReasonCode::Internal, "MBR")?;
            entry[at..at + 4].copy_from_slice(&sectors.to_le_bytes());
        }
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    file.write_all_at(&sector, 0).reason(ReasonCode::Io, "writing the partition table")
}

/// The bytes that hold a table and that no partition has: its beginning and, of a GPT, its end.
pub(super) fn ranges(layout: &Layout) -> Vec<(u64, u64)> {
    match layout.table {
        TableKind::Gpt => vec![(0, MIB), (layout.size - MIB, MIB)],
        TableKind::Mbr => vec![(0, MIB)],
    }
}
