//! Writing a new image file.

use super::layout::{Layout, MIB, Place};
use super::table::{DiskId, ranges, write_table};
use super::{fat, layout::in_mib};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::slot::record::{RECORD_LEN, encode_record};
use crate::sys::files;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Who counts the boots of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// U-Boot itself (CONFIG_BOOTCOUNT_ENV).
    Uboot,
    /// The boot script, on a stock U-Boot.
    Script,
}

impl Counter {
    /// The factory environment for boards of this kind: `name=value` lines.
    pub fn factory_environment(self) -> &'static str {
        match self {
            Counter::Uboot => include_str!("../../uboot-scripts/factory-env-uboot.txt"),
            Counter::Script => include_str!("../../uboot-scripts/factory-env-script.txt"),
        }
    }
}

/// Bytes of a file, open for reading.
#[derive(Debug)]
pub struct Image {
    /// Read from its beginning.
    pub file: File,
    /// Bytes.
    pub len: u64,
    /// Which of its bytes must reach a medium, as start and length; `None` for all. What lies outside reads
    /// as zeros and may be anything.
    pub needed: Option<Vec<(u64, u64)>>,
}

impl Image {
    /// All of a file.
    pub fn open(path: &Path) -> Result<Image> {
        let file = files::foreign(path).reason(ReasonCode::NoSuchFile, path.display())?;
        let len = file.metadata().map_err(io)?.len();
        Ok(Image { file, len, needed: None })
    }
}

/// What a new disk carries.
#[derive(Debug)]
pub struct Card<'a> {
    /// What its identifiers are made from.
    pub id: DiskId,
    /// Outside of the partitions: where, and what.
    pub pieces: &'a [(u64, Vec<u8>)],
    /// The files of `boot`, by their paths in it.
    pub boot_files: &'a [(String, Vec<u8>)],
    /// What stands in partitions, by their names. An image of slot a leaves the place of the slot record.
    pub images: &'a [(&'static str, Image)],
    /// The payload of the slot record of slot a: what says which release stands there.
    pub record: Option<&'a [u8]>,
}

/// Makes the image file. It must not exist: no disk, and nothing that somebody may need, is ever
/// written over. What is left after a failure is removed.
pub fn make(path: &Path, layout: &Layout, card: &Card<'_>) -> Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .reason(ReasonCode::Io, format!("making {}", path.display()))?;
    let made = lay(&file, layout, card, &|_| ()).and_then(|_| file.sync_all().map_err(io));
    made.map_err(|failure| {
        let _ = std::fs::remove_file(path);
        failure.at(path.display())
    })
}

/// Fills a file that is empty. Returns what must reach a medium that holds anything: start and length, in
/// order, none touching another. `done` is told how many bytes were copied.
pub fn lay(
    file: &File,
    layout: &Layout,
    card: &Card<'_>,
    done: &dyn Fn(u64),
) -> Result<Vec<(u64, u64)>> {
    file.set_len(layout.size).reason(ReasonCode::NoSpace, "reserving its length")?;
    let fat = fat::format(layout.boot().len, card.id.word("boot"), card.boot_files)
        .map_err(|f| f.at("boot"))?;
    write_table(file, layout, card.id, fat.fat32)?;
    let mut needed = ranges(layout);
    for (at, bytes) in card.pieces {
        file.write_all_at(bytes, *at).map_err(io)?;
        needed.push((*at, bytes.len() as u64));
    }
    let boot = layout.boot();
    copy(file, boot.start, &mut fat.bytes.as_slice(), boot.len, done)?;
    needed.push((boot.start, boot.len));
    for place in &layout.partitions {
        // What an earlier disk had there would be taken for a file system, or for the record of a release.
        needed.push((place.start, place.len.min(MIB)));
        needed.push((place.start + place.len - place.len.min(MIB), place.len.min(MIB)));
    }
    let first = layout.slot_a().next().map(|place| place.name);
    for (name, image) in card.images {
        let missing = || Failure::new(ReasonCode::Internal, format!("there is no {name}"));
        let place = layout.place(name).ok_or_else(missing)?;
        let room = place.len - if Some(*name) == first { RECORD_LEN } else { 0 };
        fits(place, room, image)?;
        let whole = [(0, image.len)];
        for (at, len) in image.needed.as_deref().unwrap_or(&whole) {
            let mut from = Piece { file: &image.file, at: *at };
            copy(file, place.start + at, &mut from, *len, done)?;
            needed.push((place.start + at, *len));
        }
    }
    if let (Some(payload), Some(place)) = (card.record, layout.slot_a().next()) {
        let at = place.start + place.len - RECORD_LEN;
        file.write_all_at(&encode_record(payload)?, at).map_err(io)?;
    }
    Ok(joined(needed))
}

fn fits(place: &Place, room: u64, image: &Image) -> Result<()> {
    if image.len > room {
        let text = format!(
            "{}: {} do not fit: it has room for {} and lacks {}",
            place.name,
            in_mib(image.len),
            in_mib(room),
            in_mib(image.len - room)
        );
        return Err(Failure::new(ReasonCode::TooBig, text));
    }
    Ok(())
}

/// In order, those that touch as one.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.retain(|(_, len)| *len > 0);
    ranges.sort_unstable();
    let mut out: Vec<(u64, u64)> = Vec::new();
    for (start, len) in ranges {
        match out.last_mut() {
            Some(last) if start <= last.0 + last.1 => last.1 = last.1.max(start + len - last.0),
            _ => out.push((start, len)),
        }
    }
    out
}

fn io(error: std::io::Error) -> Failure {
    crate::sys::durable::io_failure("write", Path::new("the image"), &error)
}

/// A file from a place on, whatever its own place is.
struct Piece<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Piece<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// Copies `len` bytes, or all that there are, into a file that reads as zeros; zeros are left out.
fn copy(to: &File, start: u64, from: &mut dyn Read, len: u64, done: &dyn Fn(u64)) -> Result<()> {
    const BLOCK: usize = 64 << 10;
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    while at < len {
        let want = usize::try_from(len - at).map_or(BLOCK, |left| left.min(BLOCK));
        let mut filled = 0;
        while filled < want {
            match from.read(&mut block[filled..want]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(io(e)),
            }
        }
        let now = &block[..filled];
        if now != &ZEROS[..filled] {
            to.write_all_at(now, start + at).map_err(io)?;
        }
        done(filled as u64);
        if filled < want {
            return Ok(());
        }
        at += filled as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{TableKind, open_image_writable, read_table};
    use crate::provision::{Plan, mbr_signature};
    use crate::slot::record::decode_record;

    fn sparse(len: u64, at: u64) -> Image {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len).unwrap();
        file.write_all_at(b"image", at).unwrap();
        Image { file, len, needed: None }
    }

    #[test]
    fn both_tables_read_back_and_the_same_id_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let id = DiskId::From([7; 32]);
        for table in [TableKind::Gpt, TableKind::Mbr] {
            let plan = Plan { table, ..Plan::small(4 * MIB) };
            let layout = Layout::new(&plan).unwrap();
            let files = [("boot.scr".to_owned(), b"script".to_vec())];
            let disk = |name: &str| {
                let images = [("rootfs-a", sparse(3 * MIB, 3 * MIB - 5)), ("data", sparse(MIB, 9))];
                let pieces = [(4 << 20, vec![7; 100])];
                let card = Card {
                    id,
                    pieces: &pieces,
                    boot_files: &files,
                    images: &images,
                    record: Some(b"r"),
                };
                let path = dir.path().join(format!("{name}{table:?}"));
                make(&path, &layout, &card).unwrap();
                (std::fs::read(&path).unwrap(), path)
            };
            let ((bytes, path), (again, _)) = (disk("a"), disk("b"));
            assert!(bytes == again, "{table:?}");
            let found = read_table(open_image_writable(&path).unwrap().as_ref()).unwrap();
            assert_eq!(found.partitions.len(), 4);
            for (place, found) in layout.partitions.iter().zip(&found.partitions) {
                assert_eq!((place.start, place.len), (found.start, found.len));
                match table {
                    TableKind::Gpt => assert_eq!(place.name, found.name),
                    TableKind::Mbr => assert_eq!(
                        found.uuid,
                        format!("{}-{:02x}", mbr_signature(id), found.number)
                    ),
                }
            }
            let slot = layout.place("rootfs-a").unwrap();
            let (start, end) =
                (usize::try_from(slot.start).unwrap(), usize::try_from(slot.end()).unwrap());
            assert_eq!(&bytes[start + (3 << 20) - 5..start + (3 << 20)], b"image");
            assert_eq!(decode_record(&bytes[end - (1 << 20)..end]), Ok(&b"r"[..]));
        }
    }

    #[test]
    fn what_must_reach_a_used_card_is_told_and_the_rest_is_zero() {
        let layout = Layout::new(&Plan { disk: Some(200 * MIB), ..Plan::small(32 * MIB) }).unwrap();
        let file = tempfile::tempfile().unwrap();
        let (mut root, mut data) = (sparse(2 * MIB, 5), sparse(50 * MIB, 9 << 20));
        data.needed = Some(vec![(8 << 20, 2 << 20)]);
        root.needed = None;
        let images = [("rootfs-a", root), ("data", data)];
        let card = Card {
            id: DiskId::Random,
            pieces: &[],
            boot_files: &[],
            images: &images,
            record: None,
        };
        let needed = lay(&file, &layout, &card, &|_| ()).unwrap();
        let mib = |(start, len): &(u64, u64)| (start >> 20, len >> 20);
        let found: Vec<_> = needed.iter().map(mib).collect();
        // Table; boot and the image of slot a; ends of both slots and the beginning of what follows; data.
        assert_eq!(found, [(0, 1), (16, 34), (79, 2), (111, 2), (120, 2), (198, 2)]);
        let mut bytes = vec![0; 200 << 20];
        file.read_exact_at(&mut bytes, 0).unwrap();
        for (start, len) in needed {
            bytes[usize::try_from(start).unwrap()..usize::try_from(start + len).unwrap()].fill(0);
        }
        assert!(bytes.iter().all(|b| *b == 0));
        let big = [("rootfs-a", sparse(32 * MIB, 0))];
        let refused = lay(&file, &layout, &Card { images: &big, ..card }, &|_| ()).unwrap_err();
        assert!(refused.detail().contains("lacks 1 MiB"), "{refused}");
    }
}
