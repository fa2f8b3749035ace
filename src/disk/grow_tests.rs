//! The first boot's growth against every cut: at each write, after each byte of the sectors that change, with whatever
//! of the unflushed sectors on the medium.

#![expect(clippy::cast_possible_truncation, reason = "offsets of small disks")]

use super::fake::{FakeDevice, Survivors, gpt_disk, gpt_disk_with};
use super::table_tests::put32;
use super::{BlockDevice, Partition, growth, read_table};
use crate::model::ReasonCode;
use gpt::disk::LogicalBlockSize;

const MIB: u64 = 1 << 20;
const IMAGE: u64 = 4 * MIB;
const HALF: u64 = MIB / 2;
/// Where the last partition begins, and where it ends in the image.
const DATA: [u64; 2] = [5 * HALF, 7 * HALF];
const PARTITIONS: [(&str, u64, u64); 4] = [
    ("boot", MIB, HALF / 2),
    ("rootfs-a", 3 * HALF, HALF / 2),
    ("rootfs-b", 4 * HALF, HALF / 2),
    ("data", DATA[0], DATA[1] - DATA[0]),
];

/// An image on a larger disk, with bytes in every partition and between them.
fn flashed(image: Vec<u8>, disk: u64) -> Vec<u8> {
    let (from, to) = (MIB as usize, DATA[1] as usize);
    let mut disk = {
        let mut bytes = image;
        bytes.resize(disk as usize, 0);
        bytes
    };
    for (at, byte) in disk[from..to].iter_mut().enumerate() {
        *byte = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0];
    }
    disk
}

fn gpt(disk: u64) -> Vec<u8> {
    flashed(gpt_disk(IMAGE, &PARTITIONS), disk)
}

fn mbr(disk: u64, last: (u32, u32)) -> Vec<u8> {
    let mut bytes = flashed(vec![0; IMAGE as usize], disk);
    bytes[440..444].copy_from_slice(b"sign");
    for (i, (start, count)) in [(2048, 512), (3072, 512), (4096, 512), last].iter().enumerate() {
        bytes[446 + 16 * i + 4] = 0x83;
        put32(&mut bytes, 446 + 16 * i + 8, *start);
        put32(&mut bytes, 446 + 16 * i + 12, *count);
    }
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// What must never change: the partitions but for the last one's end, and all bytes of the disk between the table and the
/// end of what the image had.
fn kept(bytes: &[u8]) -> (Vec<Partition>, Vec<u8>) {
    let table = read_table(&FakeDevice::new(bytes.to_vec())).unwrap();
    let mut partitions = table.partitions;
    let last = partitions.iter_mut().find(|p| p.start == DATA[0]).unwrap();
    assert!((MIB..=bytes.len() as u64 - DATA[0]).contains(&last.len), "{last:?}");
    last.len = 0;
    (partitions, bytes[MIB as usize..DATA[1] as usize].to_vec())
}

fn grow(device: &FakeDevice) -> crate::model::Result<bool> {
    let growth = growth(device, "data")?;
    growth.write(device)?;
    Ok(growth.is_needed())
}

/// Cuts everywhere, and judges each disk and what the same program makes of it.
fn cut_everywhere(before: &[u8], tears: &[usize]) -> usize {
    let whole = FakeDevice::new(before.to_vec());
    assert!(grow(&whole).unwrap());
    let (after, writes) = (whole.contents(), whole.counts().writes);
    assert!(!grow(&whole).unwrap(), "a second time there is nothing to do");
    assert_eq!(whole.contents(), after);
    let (mut tried, same) = (0, kept(before));
    assert!(kept(&after) == same);
    for write in 1..=writes {
        for tear in tears {
            for survivors in
                (0..4).map(Survivors::Some).chain([Survivors::Nothing, Survivors::Everything])
            {
                let device = FakeDevice::new(before.to_vec());
                device.cut_at_write(write, *tear);
                grow(&device).unwrap_err();
                device.power_on(survivors);
                let what = format!("write {write}, {tear} bytes of it, {survivors:?}");
                assert!(kept(&device.contents()) == same, "{what}");
                grow(&device).unwrap_or_else(|failure| panic!("{what}: {failure}"));
                assert!(device.contents() == after, "{what}: the same again ends in the same");
                tried += 1;
            }
        }
    }
    tried
}

/// The primary copy alone, without a look at the backup: what a kernel believes without `gpt` on its command line.
fn primary_is_whole(bytes: &[u8]) -> bool {
    let copy = super::gpt::read_copy(&FakeDevice::new(bytes.to_vec()), 512, 1);
    copy.unwrap().is_ok()
}

#[test]
fn a_gpt_that_is_cut_at_any_byte_keeps_its_partitions_and_ends_right() {
    let tears = [0, 1, 16, 20, 47, 50, 75, 90, 92, 512, 700, 16_000];
    let tried = cut_everywhere(&gpt(6 * MIB), &tears);
    assert!(tried >= 400, "{tried}");
    // A disk that is larger by less than the table: the new backup is written over the old one.
    cut_everywhere(&gpt(IMAGE + 4096), &tears);
}

#[test]
fn between_whole_sectors_the_primary_is_whole_at_every_moment() {
    let before = gpt(6 * MIB);
    let whole = FakeDevice::new(before.clone());
    let growth = growth(&whole, "data").unwrap();
    let mut sectors = Vec::new();
    for (at, bytes) in &growth.writes {
        sectors.extend(bytes.chunks(512).enumerate().map(|(i, s)| (*at as usize + 512 * i, s)));
    }
    let mut disk = before;
    assert!(sectors.len() > 60);
    for (at, sector) in sectors {
        disk[at..at + 512].copy_from_slice(sector);
        assert!(primary_is_whole(&disk), "after the sector at {at}");
    }
}

/// A table with its backup at the end of a disk that the last partition does not fill.
fn moved(disk: u64) -> Vec<u8> {
    let mut bytes = flashed(gpt_disk(IMAGE, &PARTITIONS), disk);
    let table = gpt_disk(disk, &PARTITIONS);
    for range in [0..34 * 512, (disk - 33 * 512) as usize..disk as usize] {
        bytes[range.clone()].copy_from_slice(&table[range]);
    }
    bytes
}

#[test]
fn a_damaged_primary_is_mended_before_the_backup_is_written_over() {
    for damaged in [512 + 20, 1024 + 130] {
        let mut before = moved(6 * MIB);
        before[damaged] ^= 0xff;
        assert!(!primary_is_whole(&before));
        cut_everywhere(&before, &[0, 20, 90, 512, 700, 16_000]);
    }
    let mut before = moved(6 * MIB);
    before[512..1024].fill(0);
    cut_everywhere(&before, &[0, 90, 512]);
}

#[test]
fn a_growth_that_was_cut_off_is_told_from_one_that_never_began() {
    let torn = |bytes: Vec<u8>| growth(&FakeDevice::new(bytes), "data").unwrap().is_torn();
    assert!(!torn(gpt(6 * MIB)) && !torn(moved(6 * MIB)));
    let whole = FakeDevice::new(gpt(6 * MIB));
    grow(&whole).unwrap();
    assert!(!torn(whole.contents()));
    for write in 1..=whole.counts().writes {
        let device = FakeDevice::new(gpt(6 * MIB));
        device.cut_at_write(write, 20);
        grow(&device).unwrap_err();
        device.power_on(Survivors::Everything);
        // Its mark is the backup at the new end, which the first two writes make; the last but one leaves nothing that counts.
        assert_eq!(torn(device.contents()), write > 2, "{write}");
    }
    // An MBR has no second copy: its mark is a file system that is longer than its partition.
    let ext4 = |blocks: u32, count: u32| {
        let mut disk = mbr(6 * MIB, (5120, count));
        let at = DATA[0] as usize + 1024;
        put32(&mut disk, at + 4, blocks);
        put32(&mut disk, at + 24, 0);
        disk[at + 56..at + 58].copy_from_slice(&[0x53, 0xef]);
        disk
    };
    assert!(!torn(mbr(6 * MIB, (5120, 2048))) && !torn(ext4(1024, 2048)));
    assert!(torn(ext4(1024, 2047)));
}

#[test]
fn what_is_grown_is_what_other_tools_read() {
    let device = FakeDevice::new(gpt(6 * MIB));
    grow(&device).unwrap();
    let disk =
        gpt::GptConfig::new().open_from_device(std::io::Cursor::new(device.contents())).unwrap();
    let last = &disk.partitions()[&4];
    assert_eq!((last.name.as_str(), last.first_lba), ("data", DATA[0] / 512));
    assert_eq!(last.last_lba, 5 * MIB / 512 - 1, "up to the last whole MiB before the backup");
    assert_eq!(disk.primary_header().unwrap().backup_lba, 6 * MIB / 512 - 1);
    assert_eq!(disk.backup_header().unwrap().last_usable, 6 * MIB / 512 - 34);
    let table = read_table(&device).unwrap();
    assert!(table.warnings.is_empty(), "{:?}", table.warnings);
}

#[test]
fn large_sectors_grow_too() {
    let image = gpt_disk_with(IMAGE, &PARTITIONS, LogicalBlockSize::Lb4096);
    let device = FakeDevice::new(flashed(image, 8 * MIB));
    let before = kept(&device.contents());
    assert!(grow(&device).unwrap());
    assert!(kept(&device.contents()) == before);
    assert_eq!(read_table(&device).unwrap().by_name("data").unwrap().len, 7 * MIB - DATA[0]);
}

#[test]
fn a_disk_without_names_grows_by_one_sector_and_no_torn_number_shortens_it() {
    cut_everywhere(&mbr(6 * MIB, (5120, 2048)), &[0, 506, 507, 508, 509, 510, 512]);
    for (old, disk) in
        [(6144, 24), (0x0004_f000, 4000), (0x0104_f800, 70_000), (0x0004_0000, 30_436)]
    {
        let most = disk * 2048 - 24576;
        let new = super::grow::untorn(old, most, 2048);
        let (o, n) = (u32::to_le_bytes(old), u32::to_le_bytes(new));
        for landed in 0..=4 {
            let mixed: Vec<u8> = n[..landed].iter().chain(&o[landed..]).copied().collect();
            let mixed = u32::from_le_bytes([0, 1, 2, 3].map(|i| mixed[i]));
            assert!((old..=most).contains(&mixed), "{old:x} {new:x} {landed}");
        }
        assert!(most - new <= 64 * 2048, "{old:x}: {most:x} {new:x}");
    }
}

#[test]
fn what_is_laid_out_otherwise_is_left_alone() {
    let refused = |bytes: Vec<u8>, name: &str, code: ReasonCode, said: &str| {
        let device = FakeDevice::new(bytes);
        let failure = growth(&device, name).unwrap_err();
        assert_eq!(failure.code(), code, "{failure}");
        assert!(failure.detail().contains(said), "{failure}");
        assert_eq!(device.counts().writes, 0);
    };
    refused(gpt(6 * MIB), "rootfs-b", ReasonCode::GrowthRefused, "`data`, number 4");
    let mut hybrid = gpt(6 * MIB);
    hybrid[462 + 4] = 0x83;
    put32(&mut hybrid, 462 + 8, 2048);
    put32(&mut hybrid, 462 + 12, 2048);
    refused(hybrid, "data", ReasonCode::GrowthRefused, "hybrid");
    let mut other = gpt(6 * MIB);
    let backup = gpt_disk(IMAGE, &PARTITIONS[..3]);
    let end = IMAGE as usize;
    other[end - 33 * 512..end].copy_from_slice(&backup[end - 33 * 512..]);
    refused(other, "data", ReasonCode::GrowthRefused, "differ");
    // A bootloader may lie at 8 KiB, and the entries behind it.
    let mut elsewhere = moved(6 * MIB);
    let header = elsewhere.len() - 512;
    put32(&mut elsewhere, header + 40, 2048);
    put32(&mut elsewhere, header + 16, 0);
    let sum = crc32fast::hash(&elsewhere[header..header + 92]);
    put32(&mut elsewhere, header + 16, sum);
    elsewhere[512..1024].fill(0);
    refused(elsewhere, "data", ReasonCode::GrowthRefused, "its entries lay");
    refused(mbr(6 * MIB, (2560, 256)), "data", ReasonCode::GrowthRefused, "number 3");
    refused(
        gpt(6 * MIB)[..3 * MIB as usize].to_vec(),
        "data",
        ReasonCode::DiskTooSmall,
        "1 MiB too small",
    );
    refused(mbr(6 * MIB, (5120, 16384)), "data", ReasonCode::DiskTooSmall, "5 MiB too small");
    refused(vec![0; 8192], "data", ReasonCode::TableUnreadable, "no partition table");
}

#[test]
fn a_disk_that_the_image_fills_has_nothing_to_grow() {
    let device = FakeDevice::new(gpt_disk(IMAGE, &PARTITIONS));
    assert!(!grow(&device).unwrap(), "{:?}", growth(&device, "data"));
    assert_eq!(device.len(), IMAGE);
}
