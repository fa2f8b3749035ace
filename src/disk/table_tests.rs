//! Partition tables, whole and broken, each defect under its name.

use super::conformance::Random;
use super::fake::{FakeDevice, gpt_disk, gpt_disk_with};
use super::{PartitionTable, TableKind, read_claims, read_table};
use crate::model::{ReasonCode, Result};
use gpt::disk::LogicalBlockSize;

pub(super) const LEN: usize = 8 << 20;
const MIB: u64 = 1 << 20;

pub(super) fn read(bytes: &[u8]) -> Result<PartitionTable> {
    read_table(&FakeDevice::new(bytes.to_vec()))
}

fn good() -> Vec<u8> {
    gpt_disk(
        LEN as u64,
        &[("boot", MIB, MIB), ("rootfs-a", 2 * MIB, MIB), ("rootfs-b", 4 * MIB, 2 * MIB)],
    )
}

pub(super) fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

const PRIMARY: usize = 512;
const BACKUP: usize = LEN - 512;
const ENTRIES: usize = 1024;
const BACKUP_ENTRIES: usize = LEN - 512 - 16384;

/// Makes the checksums of a header and its entries good again, so that only the defect is left.
fn seal(bytes: &mut [u8], header: usize, entries: usize) {
    let crc = crc32fast::hash(&bytes[entries..entries + 16384]);
    put32(bytes, header + 88, crc);
    put32(bytes, header + 16, 0);
    let crc = crc32fast::hash(&bytes[header..header + 92]);
    put32(bytes, header + 16, crc);
}

/// A change of both copies, sealed.
fn changed(change: impl Fn(&mut [u8], usize, usize)) -> Vec<u8> {
    let mut bytes = good();
    for (header, entries) in [(PRIMARY, ENTRIES), (BACKUP, BACKUP_ENTRIES)] {
        change(&mut bytes, header, entries);
        seal(&mut bytes, header, entries);
    }
    bytes
}

pub(super) fn invariants(table: &PartitionTable, len: u64) {
    for (i, p) in table.partitions.iter().enumerate() {
        assert!(p.len > 0 && p.start + p.len <= len, "{p:?}");
        for q in &table.partitions[..i] {
            assert!(p.start + p.len <= q.start || q.start + q.len <= p.start);
        }
    }
}

#[test]
fn both_sector_sizes_read_as_the_gpt_crate_reads_them() {
    for size in [LogicalBlockSize::Lb512, LogicalBlockSize::Lb4096] {
        let parts = [("rootfs-a", 2 * MIB, MIB), ("é ü", 4 * MIB, 8192)];
        let bytes = gpt_disk_with(LEN as u64, &parts, size);
        let ours = read(&bytes).unwrap();
        assert_eq!(ours.kind, TableKind::Gpt);
        assert!(ours.warnings.is_empty());
        let mut cursor = std::io::Cursor::new(bytes);
        let config = gpt::GptConfig::new().logical_block_size(size);
        let theirs = config.open_from_device(&mut cursor).unwrap();
        assert_eq!(ours.partitions.len(), theirs.partitions().len());
        for p in &ours.partitions {
            let q = &theirs.partitions()[&p.number];
            assert_eq!(p.name, q.name);
            assert_eq!(p.uuid, q.part_guid.to_string());
            assert_eq!(p.type_id, q.part_type_guid.guid.to_string());
            assert_eq!(p.start, q.bytes_start(size).unwrap());
            assert_eq!(p.len, q.bytes_len(size).unwrap());
        }
    }
}

#[test]
fn one_torn_copy_is_a_warning_and_two_are_an_error() {
    let base = good();
    let whole = read(&base).unwrap();
    let damages = [PRIMARY + 40, ENTRIES + 130, BACKUP + 40, BACKUP_ENTRIES + 130];
    for damage in damages {
        let mut bytes = base.clone();
        bytes[damage] ^= 0xff;
        let table = read(&bytes).unwrap();
        assert_eq!(table.partitions, whole.partitions, "byte {damage}");
        assert_eq!(table.warnings.len(), 1, "byte {damage}");
    }
    for first in [PRIMARY + 40, ENTRIES + 130] {
        for second in [BACKUP + 40, BACKUP_ENTRIES + 130] {
            let mut bytes = base.clone();
            bytes[first] ^= 0xff;
            bytes[second] ^= 0xff;
            let failure = read(&bytes).unwrap_err();
            assert_eq!(failure.code(), ReasonCode::TableUnreadable, "{failure}");
        }
    }
}

#[test]
fn a_larger_card_than_the_image_warns_and_a_smaller_one_is_refused() {
    let mut larger = good();
    larger.resize(LEN + (1 << 20), 0);
    let table = read(&larger).unwrap();
    assert_eq!(table.partitions.len(), 3);
    assert!(table.warnings[0].contains("end of the disk"), "{:?}", table.warnings);
    let failure = read(&good()[..LEN / 2]).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::DiskTooSmall);
}

#[test]
fn copies_that_differ_are_named_and_the_primary_counts() {
    let mut bytes = good();
    bytes[BACKUP_ENTRIES + 56] = b'X';
    seal(&mut bytes, BACKUP, BACKUP_ENTRIES);
    let table = read(&bytes).unwrap();
    assert!(table.by_name("boot").is_some());
    assert!(table.warnings[0].contains("differ"), "{:?}", table.warnings);
}

#[test]
fn no_protective_record_no_table() {
    let mut bytes = good();
    bytes[510] = 0;
    assert_eq!(read(&bytes).unwrap_err().code(), ReasonCode::TableUnreadable);
    assert_eq!(read(&[0; 8192]).unwrap_err().code(), ReasonCode::TableUnreadable);
    assert_eq!(read(&[0; 512]).unwrap_err().code(), ReasonCode::TableUnreadable);
    let mut hybrid = good();
    hybrid[446 + 16 + 4] = 0x0c;
    put32(&mut hybrid, 446 + 16 + 12, 2048);
    assert!(read(&hybrid).unwrap().warnings[0].contains("hybrid"));
}

/// A change of the bytes, given the offset of a header and of its entries.
type Change = fn(&mut [u8], usize, usize);

#[test]
fn headers_that_lie_under_a_good_checksum_are_refused() {
    let cases: &[(&str, Change)] = &[
        ("signature", |b, h, _| b[h] = b'e'),
        ("revision", |b, h, _| put32(b, h + 8, 2)),
        ("header of 91 bytes", |b, h, _| put32(b, h + 12, 91)),
        ("header of 513 bytes", |b, h, _| put32(b, h + 12, 513)),
        ("header of 4 GiB", |b, h, _| put32(b, h + 12, u32::MAX)),
        ("another place", |b, h, _| put64(b, h + 24, 7)),
        ("entries of 256 bytes", |b, h, _| put32(b, h + 84, 256)),
        ("entries of 0 bytes", |b, h, _| put32(b, h + 84, 0)),
        ("no entries", |b, h, _| put32(b, h + 80, 0)),
        ("1025 entries", |b, h, _| put32(b, h + 80, 1025)),
        ("512 GiB of entries", |b, h, _| put32(b, h + 80, u32::MAX)),
        ("entries at the boot record", |b, h, _| put64(b, h + 72, 0)),
        ("entries over the header", |b, h, _| put64(b, h + 72, 1)),
        ("entries beyond the disk", |b, h, _| put64(b, h + 72, 1 << 40)),
        ("entries at the last number", |b, h, _| put64(b, h + 72, u64::MAX)),
        ("entries in the usable range", |b, h, _| put64(b, h + 72, 40)),
        ("usable range reversed", |b, h, _| put64(b, h + 40, u64::MAX)),
        ("usable range beyond the disk", |b, h, _| put64(b, h + 48, 1 << 40)),
        ("usable range over the header", |b, h, _| put64(b, h + 40, 0)),
    ];
    for (name, change) in cases {
        let failure = read(&changed(*change)).expect_err(name);
        assert_eq!(failure.code(), ReasonCode::TableUnreadable, "{name}: {failure}");
    }
}

#[test]
fn entries_that_lie_under_a_good_checksum_are_refused() {
    let cases: &[(&str, Change)] = &[
        ("overlap", |b, _, e| put64(b, e + 40, 4 * 2048)),
        ("first after last", |b, _, e| put64(b, e + 32, 5 * 2048)),
        ("beyond the usable range", |b, _, e| put64(b, e + 256 + 40, 16383)),
        ("over the table", |b, _, e| put64(b, e + 32, 1)),
        ("last number", |b, _, e| put64(b, e + 256 + 40, u64::MAX)),
    ];
    for (name, change) in cases {
        let failure = read(&changed(*change)).expect_err(name);
        assert_eq!(failure.code(), ReasonCode::LayoutInvalid, "{name}: {failure}");
    }
    // Two partitions without a name are no conflict; the numbers keep their gaps.
    let bytes = changed(|b, _, e| {
        b[e + 56..e + 128].fill(0);
        b[e + 128 + 56..e + 256].fill(0);
        b.copy_within(e + 256..e + 384, e + 384);
        b[e + 256..e + 384].fill(0);
    });
    let numbers: Vec<u32> = read(&bytes).unwrap().partitions.iter().map(|p| p.number).collect();
    assert_eq!(numbers, [1, 2, 4]);
}

#[test]
fn thousands_of_broken_tables_never_panic_and_never_yield_a_bad_layout() {
    let mut random = Random(0xdead_beef);
    // Small, as it is copied for each round.
    const LEN: usize = 256 << 10;
    const BACKUP: usize = LEN - 512;
    const BACKUP_ENTRIES: usize = BACKUP - 16384;
    let kib = |n: u64| n * 1024;
    let parts = [
        ("boot", kib(32), kib(32)),
        ("rootfs-a", kib(64), kib(32)),
        ("rootfs-b", kib(128), kib(64)),
    ];
    let base = gpt_disk(LEN as u64, &parts);
    let (mut fine, mut refused) = (0, 0);
    for round in 0..6000 {
        let mut bytes = base.clone();
        for _ in 0..=random.below(4) {
            let area = [0, PRIMARY, ENTRIES, BACKUP, BACKUP_ENTRIES][random.below(5)];
            let at = area
                + random.below(if area == 0 { 512 } else { 92 })
                + 128 * random.below(4) * usize::from(area > PRIMARY && area != BACKUP);
            let value = [0, 1, 0x7f, 0x80, 0xff, random.next().to_le_bytes()[0]][random.below(6)];
            let len = [1, 4, 8][random.below(3)].min(LEN - at);
            bytes[at..at + len].fill(value);
        }
        // Most of them with good checksums: the checks behind those are what is tried.
        if round % 4 != 0 {
            seal(&mut bytes, PRIMARY, ENTRIES);
            seal(&mut bytes, BACKUP, BACKUP_ENTRIES);
        }
        match read(&bytes) {
            Ok(table) => {
                invariants(&table, LEN as u64);
                fine += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(fine > 500 && refused > 500, "{fine} {refused}");
}

#[test]
fn a_sector_that_cannot_be_read_costs_one_copy_and_not_the_disk() {
    let bytes = good();
    let whole = read(&bytes).unwrap();
    for (worn, damaged) in [
        (PRIMARY, "primary"),
        (ENTRIES + 5_000, "primary"),
        (BACKUP, "backup"),
        (BACKUP_ENTRIES, "backup"),
    ] {
        let device = FakeDevice::new(bytes.clone());
        device.wear_out(worn as u64);
        let table = read_table(&device).unwrap();
        assert_eq!(table.partitions, whole.partitions);
        let warned = |w: &String| w.contains(damaged) && w.contains("it cannot be read");
        assert!(table.warnings.iter().any(warned), "{:?}", table.warnings);
    }
    let device = FakeDevice::new(bytes.clone());
    device.wear_out(PRIMARY as u64);
    device.wear_out(BACKUP as u64);
    let failure = read_table(&device).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::TableUnreadable, "{failure}");
}

/// The places that a table names, as of a stranger's medium.
pub(super) fn claims(bytes: &[u8]) -> Vec<(u64, u64)> {
    let mut read = |at: u64, buf: &mut [u8]| {
        let at = usize::try_from(at).unwrap();
        let found = bytes.get(at..at + buf.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(found);
        Ok(())
    };
    let first = bytes[..512].try_into().unwrap();
    read_claims(&first, &mut read).iter().map(|c| (c.start, c.len)).collect()
}

#[test]
fn a_good_table_names_what_is_found_and_a_torn_one_still_names_it() {
    for size in [LogicalBlockSize::Lb512, LogicalBlockSize::Lb4096] {
        let parts = [("a", 2 * MIB, MIB), ("b", 4 * MIB, 8192)];
        let mut bytes = gpt_disk_with(LEN as u64, &parts, size);
        let table = read(&bytes).unwrap();
        let found: Vec<_> = table.partitions.iter().map(|p| (p.start, p.len)).collect();
        assert_eq!(found, [(2 * MIB, MIB), (4 * MIB, 8192)]);
        assert_eq!(claims(&bytes), found);
        // No checksum is asked: both copies are damaged, and the places are those of the first.
        let at = if size == LogicalBlockSize::Lb512 { 512 } else { 4096 };
        bytes[at + 60] ^= 1;
        bytes[LEN - 4096..].fill(0xa5);
        assert_eq!(read(&bytes).unwrap_err().code(), ReasonCode::TableUnreadable);
        assert_eq!(claims(&bytes), found);
    }
}

#[test]
fn a_gpt_that_lies_names_places_and_nothing_panics() {
    let lie = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = good();
        change(&mut bytes);
        claims(&bytes)
    };
    let first = (2 * MIB, MIB);
    assert_eq!(lie(&|b| put64(b, ENTRIES + 32, u64::MAX)).first(), Some(&first));
    assert_eq!(lie(&|b| put64(b, ENTRIES + 40, 0)).first(), Some(&first));
    // The entries are nowhere, or have another form: what the first sector says is all there is.
    let protective: [(u64, u64); 0] = [];
    assert_eq!(lie(&|b| put64(b, PRIMARY + 72, u64::MAX)), protective);
    assert_eq!(lie(&|b| put32(b, PRIMARY + 84, 256)), protective);
    assert_eq!(lie(&|b| put32(b, PRIMARY + 80, u32::MAX)).len(), 3);
}
