//! Promise: a partition table made by the tools of the field reads as they mean it; a torn copy
//! falls back with a warning, and what cannot be trusted is refused.
// Helpers outside #[test] count as shipped code for the lint; a test may panic.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use surefoot::disk::{Disk, PartitionTable, TableKind};
use surefoot::model::ReasonCode;

fn run(program: &str, args: &[&str], package: &str) -> String {
    let out = Command::new(program).args(args).output();
    let out = out.unwrap_or_else(|e| panic!("{program}: {e}; apt-get install {package}"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{program} {args:?}: {text}{errors}");
    text
}

fn read(image: &Path) -> Result<PartitionTable, ReasonCode> {
    Disk::open(image).unwrap().table().map_err(|f| f.code())
}

const LEN: u64 = 64 << 20;

fn image(dir: &Path) -> std::path::PathBuf {
    let image = dir.join("disk.img");
    let file = std::fs::File::create(&image).unwrap();
    file.set_len(LEN).unwrap();
    let path = image.to_str().unwrap();
    run(
        "sgdisk",
        &[
            "-n",
            "1:32768:+8M",
            "-c",
            "1:boot",
            "-t",
            "1:ef00",
            "-n",
            "5:49152:+8M",
            "-c",
            "5:rootfs-a",
            "-n",
            "2:65536:+8M",
            "-c",
            "2:rootfs-b",
            "-n",
            "7:81920:+8M",
            "-c",
            "7:data with a long näme 0123456789",
            path,
        ],
        "gdisk",
    );
    image
}

fn damage(image: &Path, at: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(image).unwrap();
    file.write_all_at(&[0xa5; 64], at).unwrap();
}

/// Header and entries of the primary copy, entries and header of the backup.
const PLACES: [(&str, u64); 4] = [
    ("primary header", 512 + 16),
    ("primary entries", 1024),
    ("backup entries", LEN - 512 - 16384),
    ("backup header", LEN - 512 + 16),
];

#[test]
fn what_sgdisk_makes_reads_as_sgdisk_prints_it() {
    let dir = crate::common::scratch();
    let image = image(dir.path());
    let table = read(&image).unwrap();
    assert_eq!(table.kind, TableKind::Gpt);
    assert!(table.warnings.is_empty(), "{:?}", table.warnings);
    let numbers: Vec<u32> = table.partitions.iter().map(|p| p.number).collect();
    assert_eq!(numbers, [1, 2, 5, 7]);
    for p in &table.partitions {
        let info = run("sgdisk", &["-i", &p.number.to_string(), image.to_str().unwrap()], "gdisk");
        let info = info.to_lowercase();
        for expected in [
            format!("unique guid: {}", p.uuid),
            format!("guid code: {}", p.type_id),
            format!("first sector: {} ", p.start / 512),
            format!("partition size: {} ", p.len / 512),
            format!("partition name: '{}'", p.name.to_lowercase()),
        ] {
            assert!(info.contains(&expected), "{expected} in {info}");
        }
    }
}

#[test]
fn one_torn_part_falls_back_and_both_copies_torn_are_refused() {
    let dir = crate::common::scratch();
    let whole = read(&image(dir.path())).unwrap();
    for (name, at) in PLACES {
        let image = image(dir.path());
        let mine = read(&image).unwrap();
        damage(&image, at);
        let table = read(&image).unwrap();
        assert_eq!(table.partitions, mine.partitions, "{name}");
        assert_eq!(table.partitions.len(), whole.partitions.len());
        assert_eq!(table.warnings.len(), 1, "{name}: {:?}", table.warnings);
        // sgdisk sees the damage too.
        let verify = Command::new("sgdisk").arg("-v").arg(&image).output().unwrap();
        let said = String::from_utf8_lossy(&verify.stdout).into_owned()
            + &String::from_utf8_lossy(&verify.stderr);
        let said = said.to_lowercase();
        let seen = ["caution", "warning", "problem:", "error"];
        assert!(seen.iter().any(|w| said.contains(w)), "{name}: {said}");
    }
    for first in &PLACES[..2] {
        for second in &PLACES[2..] {
            let image = image(dir.path());
            damage(&image, first.1);
            damage(&image, second.1);
            assert_eq!(read(&image), Err(ReasonCode::TableUnreadable), "{first:?} {second:?}");
        }
    }
}

#[test]
fn tables_of_other_shapes_that_sgdisk_makes() {
    let dir = crate::common::scratch();
    let path = image(dir.path());
    let image = path.to_str().unwrap();
    // More entries than usual, and entries that do not follow the header.
    run("sgdisk", &["-S", "256", image], "gdisk");
    assert_eq!(read(&path).unwrap().partitions.len(), 4);
    run("sgdisk", &["-j", "4096", image], "gdisk");
    let table = read(&path).unwrap();
    assert!(table.reserved.contains(&(4096 * 512..4096 * 512 + 32768)), "{:?}", table.reserved);
    damage(&path, 4096 * 512);
    assert_eq!(read(&path).unwrap().warnings.len(), 1);
    // The image on a larger card, then moved to its end.
    let larger = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    larger.set_len(LEN * 2).unwrap();
    let other = self::image(dir.path());
    std::fs::OpenOptions::new().write(true).open(&other).unwrap().set_len(LEN * 2).unwrap();
    assert_eq!(read(&other).unwrap().warnings.len(), 1);
    run("sgdisk", &["-e", other.to_str().unwrap()], "gdisk");
    assert!(read(&other).unwrap().warnings.is_empty());
}

#[test]
fn dos_tables_that_sfdisk_makes() {
    let dir = crate::common::scratch();
    let image = dir.path().join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(LEN).unwrap();
    let script = dir.path().join("script");
    let text = "label: dos\nlabel-id: 0x1a2b3c4d\nstart=2048, size=8192, type=c\nstart=16384, size=8192, type=83\nstart=32768, size=65536, type=5\nstart=34816, size=8192, type=83\nstart=49152, size=8192, type=83\n";
    std::fs::write(&script, text).unwrap();
    let shell = format!("sfdisk -q {} < {}", image.display(), script.display());
    run("sh", &["-c", &shell], "fdisk");
    let table = read(&image).unwrap();
    assert_eq!(table.kind, TableKind::Mbr);
    let dump = run("sfdisk", &["-d", image.to_str().unwrap()], "fdisk");
    let parts: Vec<(String, u64, u64)> =
        table.partitions.iter().map(|p| (p.name.clone(), p.start / 512, p.len / 512)).collect();
    assert_eq!(parts.len(), 4, "the extended one is no partition of its own");
    assert_eq!(parts[1], ("mbr:1a2b3c4d-2".to_owned(), 16384, 8192));
    assert_eq!(parts[3], ("mbr:1a2b3c4d-6".to_owned(), 49152, 8192));
    let flat = dump.replace(' ', "");
    for (name, start, sectors) in parts {
        let expected = format!("start={start},size={sectors}");
        assert!(flat.contains(&expected), "{name}: {expected} in {flat}");
    }
}
