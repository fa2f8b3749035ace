//! Writes an image to a disk so that every byte of it reads back, whatever the disk held before; and so that a disk of which
//! only a part is written does not boot: what makes it one, its first MiB, is taken away first and written last. All is read back
//! after all was written: a card with less room than it says has later blocks land on earlier ones.

use super::source::{BLOCK, Next, Source, is_zero};
use crate::disk::BlockDevice;
use crate::forge::progress::Progress;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::sys::AlignedBuf;

const MIB: u64 = 1 << 20;

/// What is taken away first: the table of partitions, and a loader before the first of them.
const HEAD: u64 = MIB;

/// What was done, bytes.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Of the image.
    pub(super) len: u64,
    /// Written as they are in the image.
    pub(super) written: u64,
    /// Made zero.
    pub(super) zeroed: u64,
    /// Zero in the image and on the disk already.
    pub(super) zero_already: u64,
}

/// What a part of the disk must read as.
enum Expected {
    Bytes(Digest),
    Zeros,
}

/// A part of the disk, of at most [`BLOCK`] bytes: where it begins and how long it is, bytes.
struct Part {
    at: u64,
    len: usize,
    expected: Expected,
}

/// `DISK_TOO_SMALL` before anything is written, as far as the image tells its length; `READ_BACK` where the disk returns
/// other bytes than were written.
pub(super) fn write(source: &mut Source<'_>, target: &dyn BlockDevice) -> Result<Done> {
    let mut buf = AlignedBuf::new(BLOCK);
    let mut first = AlignedBuf::new(BLOCK);
    let head = match source.next(&mut first)? {
        Next::Bytes(len) => len,
        Next::Zeros(_) => {
            let text = "the image begins with zeros: it is no image of a disk";
            return Err(Failure::new(ReasonCode::ImageDamaged, text));
        }
        Next::End => return Err(Failure::new(ReasonCode::ImageDamaged, "the image is empty")),
    };
    let least = source.len.or_else(|| said(&first[..head])).unwrap_or(0).max(head as u64);
    fits(least, target, "")?;
    target.zero(0, HEAD.min(target.len()))?;
    target.flush()?;

    let (mut done, mut parts) = (Done { len: head as u64, ..Done::default() }, Vec::new());
    let progress = Progress::new("writing", source.len.unwrap_or(least));
    loop {
        let at = done.len;
        let (len, expected) = match source.next(&mut buf)? {
            Next::End => break,
            Next::Bytes(len) => {
                fits(at + len as u64, target, "at least ")?;
                target.write_at(at, &buf[..len])?;
                done.written += len as u64;
                (len, Expected::Bytes(Digest::of(&buf[..len])))
            }
            Next::Zeros(len) => {
                fits(at + len as u64, target, "at least ")?;
                match zeros_stand(target, at, &mut buf[..len])? {
                    true => done.zero_already += len as u64,
                    false => {
                        target.zero(at, len as u64)?;
                        done.zeroed += len as u64;
                    }
                }
                (len, Expected::Zeros)
            }
        };
        parts.push(Part { at, len, expected });
        done.len += len as u64;
        progress.at(done.len);
    }
    drop(progress);
    // Behind the image: the backup of a table that the disk had before.
    if target.len() > done.len {
        let at = done.len.max(target.len().saturating_sub(HEAD));
        let len = target.len() - at;
        target.zero(at, len)?;
        let len = usize::try_from(len).unwrap_or(BLOCK);
        parts.push(Part { at, len, expected: Expected::Zeros });
    }
    // The rest of the first block. In place of what makes it a disk stands a mark, so that a block that lands there is seen.
    let split = head.min(usize::try_from(HEAD).unwrap_or(head));
    let mark = mark(split);
    for (at, bytes) in [(split, &first[split..head]), (0, &mark[..])] {
        if !bytes.is_empty() {
            target.write_at(at as u64, bytes)?;
            let expected = Expected::Bytes(Digest::of(bytes));
            parts.push(Part { at: at as u64, len: bytes.len(), expected });
        }
    }
    target.flush()?;
    read_back(target, &parts, done.len, &mut buf)?;

    target.write_at(0, &first[..split])?;
    target.flush()?;
    target.read_at(0, &mut buf[..split])?;
    if buf[..split] != first[..split] {
        return Err(differs(0));
    }
    done.written += head as u64;
    Ok(done)
}

/// Sectors of which no two are equal, none is zero and none is a table or a loader.
fn mark(len: usize) -> Vec<u8> {
    let mut bytes = vec![b' '; len];
    for (number, sector) in bytes.chunks_mut(512).enumerate() {
        let text = format!("surefoot: the image on this disk is not complete ({number:04})\n");
        let len = text.len().min(sector.len());
        sector[..len].copy_from_slice(&text.as_bytes()[..len]);
    }
    bytes
}

/// `bound` stands before the length that the image needs.
fn fits(len: u64, target: &dyn BlockDevice, bound: &str) -> Result<()> {
    let room = target.len();
    if len <= room {
        return Ok(());
    }
    let (needs, has) = (len.div_ceil(MIB), room / MIB);
    let text = format!(
        "the image needs {bound}{needs} MiB, and the disk has {has} MiB: {} MiB too few",
        needs - has
    );
    Err(Failure::new(ReasonCode::DiskTooSmall, text))
}

/// The least length of a disk with this beginning, bytes: one sector behind the backup of its GPT, or where the last partition
/// of its DOS table ends.
fn said(first: &[u8]) -> Option<u64> {
    for sector in [512, 4096] {
        let header = first.get(sector..sector + 512).filter(|h| h.starts_with(b"EFI PART"));
        if let Some(header) = header {
            let last = u64::from_le_bytes(header[32..40].try_into().ok()?);
            return last.checked_add(1)?.checked_mul(sector as u64);
        }
    }
    let entries = first.get(..512).filter(|record| record.ends_with(&[0x55, 0xaa]))?;
    let entries = entries[446..510].chunks_exact(16);
    // A FAT without a table ends with the same two bytes, and has other ones in the place of the entries.
    if entries.clone().any(|entry| entry[0] & 0x7f != 0) {
        return None;
    }
    let word = |entry: &[u8], at: usize| {
        entry[at..at + 4].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
    };
    let used = entries.filter(|entry| ![0, 0xee].contains(&entry[4]));
    used.map(|entry| (word(entry, 8) + word(entry, 12)) * 512).max()
}

/// Whether the disk has zeros there already: most of a new card has, and reading is faster than writing.
fn zeros_stand(target: &dyn BlockDevice, at: u64, buf: &mut [u8]) -> Result<bool> {
    if target.is_hole(at, buf.len() as u64) {
        return Ok(true);
    }
    target.read_at(at, buf)?;
    Ok(is_zero(buf))
}

/// Reads every part but the holes of a file; `len` is that of the image, bytes.
fn read_back(
    target: &dyn BlockDevice,
    parts: &[Part],
    len: u64,
    buf: &mut AlignedBuf,
) -> Result<()> {
    let progress = Progress::new("reading back", len);
    for part in parts {
        let there = &mut buf[..part.len];
        let same = match part.expected {
            Expected::Zeros => zeros_stand(target, part.at, there)?,
            Expected::Bytes(digest) => {
                target.read_at(part.at, there)?;
                Digest::of(there) == digest
            }
        };
        if !same {
            return Err(differs(part.at));
        }
        progress.at(part.at + part.len as u64);
    }
    Ok(())
}

fn differs(at: u64) -> Failure {
    let text = format!("at MiB {} the disk returns other bytes than were written", at / MIB);
    Failure::new(ReasonCode::ReadBack, text).with_next(
        "Try another card and another reader: this one does not hold what is written to it, or has less room than it says.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::fake::{FakeDevice, Survivors};
    use std::path::PathBuf;

    /// An image of nine MiB: data, zeros, a hole in one block, and a short last block.
    fn image() -> Vec<u8> {
        let mut bytes = vec![0; (9 << 20) + 512];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = match at >> 20 {
                0..=2 | 8.. => (at % 251).to_le_bytes()[0] | 1,
                _ => 0,
            };
        }
        bytes
    }

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    fn flash(path: &std::path::Path, device: &FakeDevice) -> Result<Done> {
        write(&mut Source::open(path, None).unwrap(), device)
    }

    #[test]
    fn what_the_disk_held_before_is_gone_and_what_is_zero_already_is_not_written() {
        let image = image();
        let (_dir, path) = file(&image);
        for stale in [0xa5, 0] {
            let device = FakeDevice::new(vec![stale; 12 << 20]);
            let done = flash(&path, &device).unwrap();
            let disk = device.contents();
            assert!(disk[..image.len()] == image);
            assert!(is_zero(&disk[11 << 20..]), "a backup of an old table would stand here");
            assert_eq!(done.len, image.len() as u64);
            let zero = 4 << 20;
            let expected = if stale == 0 { (0, zero) } else { (zero, 0) };
            assert_eq!((done.zeroed, done.zero_already), expected);
        }
    }

    #[test]
    fn a_disk_that_was_pulled_out_has_no_table_or_is_whole() {
        let image = image();
        let (_dir, path) = file(&image);
        let whole = FakeDevice::new(vec![0xa5; 9 << 20 | 512]);
        flash(&path, &whole).unwrap();
        let writes = whole.counts().writes;
        for nth in 1..=writes {
            let device = FakeDevice::new(vec![0xa5; 9 << 20 | 512]);
            device.cut_at_write(nth, 512);
            flash(&path, &device).unwrap_err();
            device.power_on(Survivors::Some(nth));
            let disk = device.contents();
            let head = &disk[..1 << 20];
            // The first writes take it away, then a mark stands there, the last brings it: a sector may be torn from any.
            let whole = disk == image;
            let mark = mark(1024);
            let gone = (512..1024).all(|at| [0, mark[at], image[at]].contains(&head[at]));
            let kept = nth <= 1 && head[512..1024] == [0xa5; 512];
            assert!(whole || gone || kept, "cut {nth} of {writes}");
            let new = head[512..1024] == image[512..1024];
            assert!(!new || disk[1 << 20..] == image[1 << 20..], "cut {nth} of {writes}");
        }
    }

    #[test]
    fn a_disk_that_returns_other_bytes_or_is_too_small_is_told() {
        let (_dir, path) = file(&image());
        for at in [5, 2 << 20, 5 << 20, 9 << 20] {
            let device = FakeDevice::new(vec![0; 10 << 20]);
            device.stick(at, 0xff);
            let failure = flash(&path, &device).unwrap_err();
            assert_eq!(failure.code(), ReasonCode::ReadBack, "{at}: {failure}");
        }
        let small = FakeDevice::new(vec![7; 8 << 20]);
        let failure = flash(&path, &small).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::DiskTooSmall);
        assert!(failure.detail().contains("10 MiB") && failure.detail().contains("2 MiB too few"));
        assert_eq!(small.counts().writes, 0, "nothing was written");
        let four = [&[0; 4096][..], b"EFI PART", &[0; 504]].concat();
        assert_eq!(said(&four), Some(4096));
        assert_eq!(said(&[&[0; 512][..], b"EFI PART", &[0; 504]].concat()), Some(512));
        assert_eq!(said(&[0; 1024]), None);
    }
    /// A disk that has less room than it says: addresses begin again at `wrap`. From `deaf` on it does not make zero.
    struct Bad {
        disk: FakeDevice,
        wrap: u64,
        len: u64,
        deaf: u64,
    }

    impl Bad {
        fn new(len: u64, wrap: u64, deaf: u64, stale: u8) -> Bad {
            let disk = FakeDevice::new(vec![stale; usize::try_from(wrap).unwrap()]);
            Bad { disk, wrap, len, deaf }
        }

        /// Each piece of a range: where it is, and which bytes of the range it has.
        fn pieces(&self, at: u64, len: u64) -> Vec<(u64, std::ops::Range<usize>)> {
            let (mut out, mut done) = (Vec::new(), 0);
            while done < len {
                let there = (at + done) % self.wrap;
                let now = (len - done).min(self.wrap - there);
                let range = usize::try_from(done).unwrap()..usize::try_from(done + now).unwrap();
                out.push((there, range));
                done += now;
            }
            out
        }
    }

    impl BlockDevice for Bad {
        fn len(&self) -> u64 {
            self.len
        }
        fn block_size(&self) -> usize {
            512
        }
        fn read_at(&self, at: u64, buf: &mut [u8]) -> Result<()> {
            let mut pieces = self.pieces(at, buf.len() as u64).into_iter();
            pieces.try_for_each(|(there, range)| self.disk.read_at(there, &mut buf[range]))
        }
        fn write_at(&self, at: u64, buf: &[u8]) -> Result<()> {
            let mut pieces = self.pieces(at, buf.len() as u64).into_iter();
            pieces.try_for_each(|(there, range)| self.disk.write_at(there, &buf[range]))
        }
        fn zero(&self, at: u64, len: u64) -> Result<()> {
            let heard = self.deaf.saturating_sub(at).min(len);
            let mut pieces = self.pieces(at, heard).into_iter();
            pieces.try_for_each(|(there, range)| self.disk.zero(there, range.len() as u64))
        }
        fn flush(&self) -> Result<()> {
            self.disk.flush()
        }
    }

    #[test]
    fn a_disk_with_less_room_than_it_says_and_one_that_keeps_old_bytes_are_told() {
        let image = image();
        // Only what is written last, the first MiB, lands in another place.
        let mut alone = vec![0; 9 << 20];
        alone[..1 << 20].copy_from_slice(&image[..1 << 20]);
        for (bytes, what) in [(&image, "much"), (&alone, "the first MiB alone")] {
            let (_dir, path) = file(bytes);
            for (len, wrap, deaf) in
                [(10, 5, 10), (12, 6, 12), (10, 8, 10), (12, 12, 11), (12, 12, 4)]
            {
                for stale in [0, 0xa5] {
                    let told = wrap < len || stale != 0;
                    let disk = Bad::new(len << 20, wrap << 20, deaf << 20, stale);
                    let done = write(&mut Source::open(&path, None).unwrap(), &disk);
                    let case = format!("{what}: {len} MiB, {wrap}, {deaf}, {stale}");
                    match (told, done) {
                        (true, Err(failure)) => {
                            assert_eq!(failure.code(), ReasonCode::ReadBack, "{case}: {failure}");
                        }
                        (false, Ok(_)) => {}
                        (_, other) => panic!("{case}: {other:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_packed_image_with_a_dos_table_tells_its_length_before_anything_is_written() {
        let mut image = image();
        image[..512].fill(0);
        for (entry, kind, start, count) in [(0, 0x0c, 2048u32, 2048u32), (2, 0x83, 16_384, 2049)] {
            let at = 446 + 16 * entry;
            image[at + 4] = kind;
            image[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            image[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
        }
        image[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(said(&image), Some(image.len() as u64));
        let (_dir, path) = file(&image);
        let gzip = std::process::Command::new("gzip").args(["-1", "-k"]).arg(&path).status();
        assert!(gzip.unwrap().success());
        let packed = path.with_extension("img.gz");
        let small = FakeDevice::new(vec![7; 8 << 20]);
        let failure = flash(&packed, &small).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::DiskTooSmall);
        assert!(failure.detail().contains("needs 10 MiB"), "{failure}");
        assert_eq!(small.counts().writes, 0, "nothing was written");
        flash(&packed, &FakeDevice::new(vec![7; 10 << 20])).unwrap();
        // No table: it is seen where the disk ends.
        image[510] = 0;
        std::fs::write(&path, &image).unwrap();
        let gzip = std::process::Command::new("gzip").args(["-1", "-k", "-f"]).arg(&path).status();
        assert!(gzip.unwrap().success());
        let failure = flash(&packed, &small).unwrap_err();
        assert!(failure.detail().contains("needs at least"), "{failure}");
        image[446] = 0x12;
        image[510] = 0x55;
        assert_eq!(said(&image), None, "it is no table");
    }
}
