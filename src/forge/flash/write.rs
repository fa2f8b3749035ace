//! Writes an image to a disk so that every byte of it reads back, whatever the disk held before; and so that a disk of which
//! only a part is written does not boot: what makes it one, its first MiB, is taken away first and written last.

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

/// What a block on the disk must read as.
enum Expected {
    Bytes(Digest),
    Zeros,
    /// It was read already.
    Seen,
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
    fits(least, target)?;
    target.zero(0, HEAD.min(target.len()))?;
    target.flush()?;

    let (mut done, mut expected) = (Done::default(), vec![Expected::Seen]);
    done.len = head as u64;
    let progress = Progress::new("writing", source.len.unwrap_or(least));
    loop {
        let at = done.len;
        match source.next(&mut buf)? {
            Next::End => break,
            Next::Bytes(len) => {
                fits(at + len as u64, target)?;
                target.write_at(at, &buf[..len])?;
                expected.push(Expected::Bytes(Digest::of(&buf[..len])));
                done.len += len as u64;
                done.written += len as u64;
            }
            Next::Zeros(len) => {
                fits(at + len as u64, target)?;
                done.len += len as u64;
                expected.push(match zeros_stand(target, at, &mut buf[..len])? {
                    true => {
                        done.zero_already += len as u64;
                        Expected::Seen
                    }
                    false => {
                        target.zero(at, len as u64)?;
                        done.zeroed += len as u64;
                        Expected::Zeros
                    }
                });
            }
        }
        progress.at(done.len);
    }
    drop(progress);
    // Behind the image: the backup of a table that the disk had before.
    if target.len() > done.len {
        let from = done.len.max(target.len().saturating_sub(HEAD));
        target.zero(from, target.len() - from)?;
    }
    target.flush()?;
    read_back(target, &expected, done.len, &mut buf)?;

    // The rest of the first block, and then what makes it a disk.
    let split = head.min(usize::try_from(HEAD).unwrap_or(head));
    for part in [split..head, 0..split].into_iter().filter(|part| !part.is_empty()) {
        target.write_at(part.start as u64, &first[part.clone()])?;
        target.flush()?;
        let there = &mut buf[..part.len()];
        target.read_at(part.start as u64, there)?;
        if *there != first[part.clone()] {
            return Err(differs(part.start as u64));
        }
        done.written += part.len() as u64;
    }
    Ok(done)
}

fn fits(len: u64, target: &dyn BlockDevice) -> Result<()> {
    let room = target.len();
    if len <= room {
        return Ok(());
    }
    let (needs, has) = (len.div_ceil(MIB), room / MIB);
    let text = format!(
        "the image needs {needs} MiB, and the disk has {has} MiB: {} MiB too few",
        needs - has
    );
    Err(Failure::new(ReasonCode::DiskTooSmall, text))
}

/// The length of a disk with this beginning, by its GPT: one sector behind its backup.
fn said(first: &[u8]) -> Option<u64> {
    let header = first.get(512..1024).filter(|header| header.starts_with(b"EFI PART"))?;
    let last = u64::from_le_bytes(header[32..40].try_into().ok()?);
    last.checked_add(1)?.checked_mul(512)
}

/// Whether the disk has zeros there already: most of a new card has, and reading is faster than writing.
fn zeros_stand(target: &dyn BlockDevice, at: u64, buf: &mut [u8]) -> Result<bool> {
    if target.is_hole(at, buf.len() as u64) {
        return Ok(true);
    }
    target.read_at(at, buf)?;
    Ok(is_zero(buf))
}

fn read_back(
    target: &dyn BlockDevice,
    expected: &[Expected],
    len: u64,
    buf: &mut AlignedBuf,
) -> Result<()> {
    let progress = Progress::new("reading back", len);
    for (number, expected) in (0u64..).zip(expected) {
        let at = number * BLOCK as u64;
        let part = &mut buf[..usize::try_from(len - at).unwrap_or(BLOCK).min(BLOCK)];
        let same = match expected {
            Expected::Seen => continue,
            Expected::Zeros => {
                target.read_at(at, part)?;
                is_zero(part)
            }
            Expected::Bytes(digest) => {
                target.read_at(at, part)?;
                Digest::of(part) == *digest
            }
        };
        if !same {
            return Err(differs(at));
        }
        progress.at(at + part.len() as u64);
    }
    Ok(())
}

fn differs(at: u64) -> Failure {
    let text = format!("at MiB {} the disk returns other bytes than were written", at / MIB);
    Failure::new(ReasonCode::ReadBack, text).with_next(
        "Try another card and another reader: this one does not hold what is written to it.",
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
            // The first writes take it away, the last brings it: a sector may be torn from either.
            let whole = disk == image;
            let gone = is_zero(&head[512..1024]) || head[512..1024] == image[512..1024];
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
        assert_eq!(said(&[&[0; 512][..], b"EFI PART", &[0; 504]].concat()), Some(512));
        assert_eq!(said(&[0; 1024]), None);
    }
}
