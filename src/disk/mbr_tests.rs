//! DOS tables, whole and broken.

use super::TableKind;
use super::conformance::Random;
use super::table_tests::{LEN, claims, invariants, put32, read};
use crate::model::ReasonCode;

/// A DOS table: (type, first sector, sectors) per primary entry.
fn mbr(entries: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    put32(&mut bytes, 440, 0x1a2b_3c4d);
    link(&mut bytes, 0, entries);
    bytes
}

fn link(bytes: &mut [u8], sector: usize, entries: &[(u8, u32, u32)]) {
    let at = sector * 512;
    for (i, (kind, start, count)) in entries.iter().enumerate() {
        let entry = at + 446 + 16 * i;
        bytes[entry + 4] = *kind;
        put32(bytes, entry + 8, *start);
        put32(bytes, entry + 12, *count);
    }
    bytes[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
}

#[test]
fn dos_partitions_are_found_by_signature_and_number() {
    let mut bytes = mbr(&[(0x0c, 64, 64), (0, 0, 0), (0x83, 2048, 2048), (0x05, 8192, 4096)]);
    link(&mut bytes, 8192, &[(0x83, 64, 1024), (0x05, 2048, 2048)]);
    link(&mut bytes, 8192 + 2048, &[(0x83, 64, 512)]);
    let table = read(&bytes).unwrap();
    assert_eq!(table.kind, TableKind::Mbr);
    let names: Vec<&str> = table.partitions.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["mbr:1a2b3c4d-1", "mbr:1a2b3c4d-3", "mbr:1a2b3c4d-5", "mbr:1a2b3c4d-6"]);
    let last = table.by_name("mbr:1a2b3c4d-6").unwrap();
    assert_eq!(last.range(), (8192 + 2048 + 64) * 512..(8192 + 2048 + 64 + 512) * 512);
    assert_eq!(last.uuid, "1a2b3c4d-06");
    let mut unsigned = mbr(&[(0x83, 64, 64)]);
    put32(&mut unsigned, 440, 0);
    assert!(read(&unsigned).unwrap().warnings[0].contains("signature"));
}

/// A disk with sectors of 4096 bytes counts in them, and its links stand eight times as far.
#[test]
fn logical_partitions_on_sectors_of_4096_bytes_are_found() {
    let mut bytes = mbr(&[(0x0c, 8, 8), (0x05, 1024, 512)]);
    link(&mut bytes, 1024 * 8, &[(0x83, 8, 128), (0x05, 256, 256)]);
    link(&mut bytes, (1024 + 256) * 8, &[(0x83, 8, 64)]);
    let table = read(&bytes).unwrap();
    let last = table.by_name("mbr:1a2b3c4d-6").unwrap();
    assert_eq!(last.range(), (1024 + 256 + 8) * 4096..(1024 + 256 + 8 + 64) * 4096);
}

#[test]
fn dos_tables_that_lie_are_refused() {
    let sectors = u32::try_from(LEN / 512).unwrap();
    for (name, entries) in [
        ("overlap", vec![(0x83, 64, 64), (0x83, 127, 10)]),
        ("over the table", vec![(0x83, 0, 10)]),
        ("two extended", vec![(0x05, 64, 64), (0x0f, 256, 64)]),
        ("extended over a primary", vec![(0x83, 64, 64), (0x05, 100, 64)]),
        ("extended without a link", vec![(0x05, 4096, 64)]),
    ] {
        let failure = read(&mbr(&entries)).expect_err(name);
        assert_eq!(failure.code(), ReasonCode::LayoutInvalid, "{name}: {failure}");
    }
    for (name, entry) in [
        ("beyond the disk", (0x83, 64, sectors)),
        ("last number", (0x83, u32::MAX, u32::MAX)),
        ("extended beyond the disk", (0x05, 64, u32::MAX)),
    ] {
        let failure = read(&mbr(&[entry])).expect_err(name);
        assert_eq!(failure.code(), ReasonCode::DiskTooSmall, "{name}: {failure}");
    }
    let mut circle = mbr(&[(0x05, 4096, 4096)]);
    link(&mut circle, 4096, &[(0x83, 64, 64), (0x05, 1024, 64)]);
    link(&mut circle, 4096 + 1024, &[(0x83, 64, 64), (0x05, 1024, 64)]);
    let failure = read(&circle).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::LayoutInvalid);
    assert!(failure.detail().contains("turn back"), "{failure}");
    let mut random = Random(99);
    let mut base = mbr(&[(0x83, 64, 64), (0x05, 256, 256)])[..512 << 9].to_vec();
    link(&mut base, 256, &[(0x83, 64, 64), (0x05, 128, 128)]);
    link(&mut base, 256 + 128, &[(0x83, 64, 64)]);
    assert_eq!(read(&base).unwrap().partitions.len(), 3);
    for _ in 0..3000 {
        let mut bytes = base.clone();
        for _ in 0..3 {
            let at = [0, 256 * 512, 384 * 512][random.below(3)] + 440 + random.below(70);
            bytes[at] = random.next().to_le_bytes()[0];
        }
        if let Ok(table) = read(&bytes) {
            invariants(&table, base.len() as u64);
        }
    }
}

#[test]
fn what_a_dos_table_names_is_what_is_found_in_it() {
    let mut bytes = mbr(&[(0x0c, 64, 64), (0xef, 2048, 2048), (0x05, 8192, 4096)]);
    link(&mut bytes, 8192, &[(0x83, 64, 1024), (0x05, 2048, 2048)]);
    link(&mut bytes, 8192 + 2048, &[(0x83, 64, 512)]);
    let found: Vec<_> = read(&bytes).unwrap().partitions.iter().map(|p| (p.start, p.len)).collect();
    assert_eq!((found.len(), claims(&bytes)), (4, found));
}
