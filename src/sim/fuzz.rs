//! Properties that compare rooms, for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use crate::disk::{BlockDevice, TableKind, read_table};
use crate::model::{Failure, ReasonCode, Result};
use crate::stick::fuzz as stick;
use std::io::{Cursor, Read, Result as IoResult, Seek, SeekFrom, Write};

struct Mem(Vec<u8>);
impl BlockDevice for Mem {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn block_size(&self) -> usize {
        512
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let Some(end) = offset.checked_add(buf.len() as u64).filter(|e| *e <= self.len()) else {
            return Err(Failure::new(ReasonCode::Io, "outside"));
        };
        buf.copy_from_slice(&self.0[offset as usize..end as usize]);
        Ok(())
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        panic!("a table is only read")
    }
    fn zero(&self, _: u64, _: u64) -> Result<()> {
        panic!("a table is only read")
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
#[derive(Debug)]
struct Ro(Cursor<Vec<u8>>);
impl Read for Ro {
    fn read(&mut self, b: &mut [u8]) -> IoResult<usize> {
        self.0.read(b)
    }
}
impl Seek for Ro {
    fn seek(&mut self, p: SeekFrom) -> IoResult<u64> {
        self.0.seek(p)
    }
}
impl Write for Ro {
    fn write(&mut self, _: &[u8]) -> IoResult<usize> {
        Err(std::io::Error::other("ro"))
    }
    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().unwrap())
}
fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().unwrap())
}

/// Makes both checksums of the header at sector `at` right.
fn fix(disk: &mut [u8], sector: usize, at: usize) {
    if disk.len() < (at + 1) * sector || &disk[at * sector..at * sector + 8] != b"EFI PART" {
        return;
    }
    let h = at * sector;
    let (entries, count, size) =
        (u64_at(disk, h + 72), u64::from(u32_at(disk, h + 80)), u64::from(u32_at(disk, h + 84)));
    let range = entries
        .checked_mul(sector as u64)
        .and_then(|s| Some(s..s.checked_add(count.checked_mul(size)?)?));
    if let Some(r) = range.filter(|r| r.end <= disk.len() as u64) {
        let crc = crc32fast::hash(&disk[r.start as usize..r.end as usize]);
        disk[h + 88..h + 92].copy_from_slice(&crc.to_le_bytes());
    }
    let len = (u32_at(disk, h + 12) as usize).clamp(92, sector);
    disk[h + 16..h + 20].fill(0);
    let crc = crc32fast::hash(&disk[h..h + len]);
    disk[h + 16..h + 20].copy_from_slice(&crc.to_le_bytes());
}

// [flags][sectors u16] then records [sector u16][offset/2 u8][len u8][bytes]
/// A partition table: our reader, the stick's reader and the library see the same partitions.
pub fn disk_table(data: &[u8]) {
    if data.len() < 3 {
        return;
    }
    let (flags, sectors) = (data[0], usize::from(u16::from_le_bytes([data[1], data[2]])) % 4096);
    let mut disk = vec![0u8; sectors * 512];
    let mut rest = &data[3..];
    while rest.len() > 4 {
        let lba = u16::from_le_bytes([rest[0], rest[1]]);
        let lba = if lba & 0x8000 != 0 {
            sectors.saturating_sub(usize::from(lba & 0x7fff))
        } else {
            usize::from(lba)
        };
        let len = usize::from(rest[3]).min(rest.len() - 4);
        let at = lba * 512 + usize::from(rest[2]) * 2;
        if at + len <= disk.len() {
            disk[at..at + len].copy_from_slice(&rest[4..4 + len])
        }
        rest = &rest[4 + len..];
    }
    if flags & 1 != 0 {
        for s in [512, 4096] {
            fix(&mut disk, s, 1);
            let end = disk.len() / s;
            if end > 2 {
                fix(&mut disk, s, end - 1)
            }
        }
    }
    let mem = Mem(disk);
    let len = mem.len();
    let places = stick::places(len, &mut |at, buf| {
        mem.read_at(at, buf).map_err(|_| std::io::Error::other("x"))
    });
    if let Ok(p) = &places {
        assert!(p.len() <= 8 && p.iter().all(|r| r.start < r.end && r.end <= len));
    }
    let Ok(table) = read_table(&mem) else { return };
    for p in &table.partitions {
        assert!(p.range().end <= len && p.len > 0);
    }
    let first: [u8; 512] = mem.0[..512].try_into().unwrap();
    let places = places.expect("a disk that one reader reads is no error for the other");
    if stick::volume(&first) {
        return;
    }
    let ours: Vec<_> = table.partitions.iter().map(|p| p.range()).collect();
    let clean = table.warnings.iter().all(|w| w.contains("no signature"));
    let few = clean
        && !ours.is_empty()
        && ours.len() <= 8
        && ours.iter().all(|r| r.start > 0)
        && table.partitions.iter().all(|p| p.number <= 128);
    if few {
        let (mut a, mut b) = (ours.clone(), places.clone());
        a.sort_by_key(|r| r.start);
        b.sort_by_key(|r| r.start);
        assert_eq!(a, b, "the stick's reader sees other {:?} partitions", table.kind);
    }
    if clean && table.kind == TableKind::Gpt {
        for size in [gpt::disk::LogicalBlockSize::Lb512, gpt::disk::LogicalBlockSize::Lb4096] {
            let s: u64 = size.into();
            if !len.is_multiple_of(s) || &mem.0[s as usize..s as usize + 8] != b"EFI PART" {
                continue;
            }
            let Ok(found) = gpt::GptConfig::new()
                .writable(false)
                .logical_block_size(size)
                .open_from_device(Ro(Cursor::new(mem.0.clone())))
            else {
                continue;
            };
            let mut theirs: Vec<_> = found
                .partitions()
                .iter()
                .filter(|(_, p)| p.is_used())
                .map(|(n, p)| (*n, p.first_lba * s, (p.last_lba + 1) * s))
                .collect();
            theirs.sort();
            let mut mine: Vec<_> =
                table.partitions.iter().map(|p| (p.number, p.start, p.start + p.len)).collect();
            mine.sort();
            assert_eq!(theirs, mine, "the gpt crate sees other partitions");
        }
    }
}

/// Texts of the system and names of strangers.
pub fn misc(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data);
    match mode % 6 {
        0 => {
            for m in crate::sys::mounts::parse_mountinfo(&text) {
                let _ = m.device.to_string();
            }
        }
        1 => crate::health::fuzz::units(&text),
        2 => {
            let _ = crate::inhibit::fuzz::systemd(data);
        }
        3 => {
            let _ = (
                crate::health::fuzz::url(&text),
                crate::slot::slot_on_command_line(&text),
                crate::slot::filesystem(data),
            );
        }
        4 => {
            let named: Vec<_> = text
                .lines()
                .enumerate()
                .map(|(number, name)| crate::stick::Named {
                    name: name.to_owned(),
                    len: name.len() as u64,
                    number,
                })
                .collect();
            for one in &crate::stick::gather(&named) {
                assert!(one.name.chars().all(|c| !c.is_control()));
            }
            let _ = crate::stick::is_artifact(&text);
        }
        _ => {
            let p = crate::model::printable(&text, 80);
            assert!(p.chars().count() <= 81 && p.chars().all(|c| !c.is_control()));
            assert_eq!(crate::model::printable(&p, 81), p.trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_reader_sees_the_same_partitions() {
        crate::model::corpus::run("disk_table", super::disk_table);
    }

    #[test]
    fn texts_of_the_system_and_names_of_strangers_are_read_or_refused() {
        crate::model::corpus::run("misc", super::misc);
    }
}
