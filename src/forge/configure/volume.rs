//! One file in the root of a FAT file system, changed so that a cut at any moment leaves every other file as it was, and this
//! one whole: the old one, none, or the new one. What the library would write is collected in memory first; it goes to the
//! medium in an order of our own, with a flush between: what was free before, the table, the folder. What a cut can leave
//! behind besides is space that is counted as used, which `fsck.fat -a` gives back.

use crate::disk::BlockDevice;
use crate::firstboot::taken;
use crate::model::{Failure, ReasonCode, Result};
use fatfs::{FileSystem, FsOptions};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Read, Result as IoResult, Seek, SeekFrom, Write};
use std::rc::Rc;

/// The unit in which changes are kept and written: no FAT has smaller sectors.
const SECTOR: u64 = 512;
const PIECE: u64 = 32 << 10;

/// What the library may do at most: it follows chains that turn in circles without an end.
const STEPS: u64 = 4_000_000;

type Changes = BTreeMap<u64, Vec<u8>>;

/// A file of at most `limit` bytes; `None` where there is none.
pub(super) fn read_file(
    device: &dyn BlockDevice,
    name: &str,
    limit: u64,
) -> IoResult<Option<Vec<u8>>> {
    let volume = FileSystem::new(Overlay::new(device, Rc::default()), FsOptions::new())?;
    let file = match volume.root_dir().open_file(name) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(len) if len <= limit => Ok(Some(bytes)),
        _ => Err(Error::other(format!("{name} is longer than {limit} bytes"))),
    }
}

/// Has the file hold `content`, or not be there. Nothing of what an old one held is left on the medium.
pub(super) fn written_part(
    device: &dyn BlockDevice,
    name: &str,
    content: Option<&[u8]>,
) -> Result<()> {
    let told = |e: Error| {
        // The library has no kind for it.
        let full = e.to_string().contains("No space left");
        let code = if full { ReasonCode::NoSpace } else { ReasonCode::Io };
        Failure::new(code, format!("{name} on the boot partition: {e}"))
    };
    let table_end = table_end(device)?;
    let erased = changes(device, |volume| {
        let mut file = match volume.root_dir().open_file(name) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        let mut old = Vec::new();
        Read::by_ref(&mut file).read_to_end(&mut old)?;
        file.rewind()?;
        file.write_all(&taken(old.len()))
    })
    .map_err(told)?;
    if !erased.is_empty() {
        // Before anything is lost it is known that there is room for the new one.
        changes(device, |volume| {
            volume.root_dir().remove(name)?;
            content.map_or(Ok(()), |new| volume.root_dir().create_file(name)?.write_all(new))
        })
        .map_err(told)?;
        // Its first line tells that the rest counts no more.
        let first = |bytes: &[u8]| bytes.starts_with(b"# taken\n");
        write(device, erased.iter().filter(|(_, bytes)| first(bytes)))?;
        write(device, erased.iter().filter(|(_, bytes)| !first(bytes)))?;
        let removed = changes(device, |volume| volume.root_dir().remove(name)).map_err(told)?;
        // The entry goes first, its last sector before the others: it is the one that counts.
        write(device, removed.range(table_end..).rev())?;
        write(device, removed.range(..table_end))?;
    }
    let Some(content) = content else { return Ok(()) };
    // Which sectors are of the folder shows where an empty file is made.
    let create = |volume: &Volume<'_>| volume.root_dir().create_file(name).map(drop);
    let named = changes(device, create).map_err(told)?;
    let folder: BTreeSet<u64> = named.range(table_end..).map(|(at, _)| *at).collect();
    let made = changes(device, |volume| {
        let mut file = volume.root_dir().create_file(name)?;
        file.write_all(content)?;
        file.flush()
    })
    .map_err(told)?;
    write(device, made.range(table_end..).filter(|(at, _)| !folder.contains(at)))?;
    write(device, made.range(..table_end))?;
    write(device, made.range(table_end..).filter(|(at, _)| folder.contains(at)))
}

/// Where the tables of the clusters end, bytes: what is before it is no folder and no content.
fn table_end(device: &dyn BlockDevice) -> Result<u64> {
    let mut head = [0; 512];
    device.read_at(0, &mut head)?;
    let short = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let long = short(36) | short(38) << 16;
    let table = if short(22) == 0 { long } else { short(22) };
    Ok(short(11) * (short(14) + u64::from(head[16]) * table))
}

/// Writes sectors in this order, and returns when they are on the medium.
fn write<'c>(
    device: &dyn BlockDevice,
    sectors: impl Iterator<Item = (&'c u64, &'c Vec<u8>)>,
) -> Result<()> {
    for (at, bytes) in sectors {
        device.write_at(*at, bytes)?;
    }
    device.flush()
}

type Volume<'d> = FileSystem<Overlay<'d>>;

/// What `deed` would change, sector by sector; those that it leaves as they are are not in it.
fn changes(
    device: &dyn BlockDevice,
    deed: impl FnOnce(&Volume<'_>) -> IoResult<()>,
) -> IoResult<Changes> {
    let held = Rc::new(RefCell::new(Changes::new()));
    let volume = FileSystem::new(Overlay::new(device, held.clone()), FsOptions::new())?;
    deed(&volume)?;
    volume.unmount()?;
    let mut changes = held.take();
    let mut before = vec![0; usize::try_from(SECTOR).unwrap_or(512)];
    for at in changes.keys().copied().collect::<Vec<_>>() {
        device.read_at(at, &mut before).map_err(failed)?;
        if changes.get(&at) == Some(&before) {
            changes.remove(&at);
        }
    }
    Ok(changes)
}

fn failed(failure: Failure) -> Error {
    Error::other(failure.to_string())
}

/// A device that keeps in memory what is written to it.
struct Overlay<'d> {
    device: &'d dyn BlockDevice,
    changes: Rc<RefCell<Changes>>,
    at: u64,
    /// A piece of the device as it is, and where it begins.
    piece: (u64, Vec<u8>),
    steps: u64,
}

impl<'d> Overlay<'d> {
    fn new(device: &'d dyn BlockDevice, changes: Rc<RefCell<Changes>>) -> Overlay<'d> {
        Overlay { device, changes, at: 0, piece: (0, Vec::new()), steps: STEPS }
    }

    /// The sector at `start`, as it is after what was written.
    fn sector(&mut self, start: u64) -> IoResult<Vec<u8>> {
        if let Some(bytes) = self.changes.borrow().get(&start) {
            return Ok(bytes.clone());
        }
        let (from, held) = &mut self.piece;
        if start < *from || start + SECTOR > *from + held.len() as u64 {
            *from = start - start % PIECE;
            let len = PIECE.min(self.device.len().saturating_sub(*from));
            held.resize(usize::try_from(len).unwrap_or(0), 0);
            self.device.read_at(*from, held).map_err(failed)?;
        }
        let skip = usize::try_from(start - *from).unwrap_or(usize::MAX);
        let there = held.get(skip..).unwrap_or_default();
        let whole = usize::try_from(SECTOR).unwrap_or(512);
        there.get(..whole).map(<[u8]>::to_vec).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// The sector that holds the next byte, that byte's place in it, and how much of `len` is in it.
    fn place(&mut self, len: usize) -> IoResult<(u64, usize, usize)> {
        let turns = || Error::other("the file system turns in circles");
        self.steps = self.steps.checked_sub(1).ok_or_else(turns)?;
        let skip = usize::try_from(self.at % SECTOR).unwrap_or(0);
        let left = usize::try_from(self.device.len().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = usize::try_from(SECTOR).unwrap_or(512) - skip;
        Ok((self.at - self.at % SECTOR, skip, len.min(room).min(left)))
    }
}

impl Read for Overlay<'_> {
    fn read(&mut self, buf: &mut [u8]) -> IoResult<usize> {
        let (start, skip, len) = self.place(buf.len())?;
        if len > 0 {
            let sector = self.sector(start)?;
            buf[..len].copy_from_slice(&sector[skip..skip + len]);
            self.at += len as u64;
        }
        Ok(len)
    }
}

impl Write for Overlay<'_> {
    fn write(&mut self, buf: &[u8]) -> IoResult<usize> {
        let (start, skip, len) = self.place(buf.len())?;
        if len > 0 {
            let mut sector = self.sector(start)?;
            sector[skip..skip + len].copy_from_slice(&buf[..len]);
            self.changes.borrow_mut().insert(start, sector);
            self.at += len as u64;
        }
        Ok(len)
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

impl Seek for Overlay<'_> {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        let found = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.device.len().checked_add_signed(by),
        };
        let inside = found.filter(|at| *at <= self.device.len());
        self.at = inside.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "outside"))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::fake::{FakeDevice, Survivors};
    use fatfs::{FatType, FormatVolumeOptions};
    use std::io::Cursor;

    const NAME: &str = "provision.toml";

    /// A file system with a boot script and a large file in it.
    fn fat(kind: FatType, mib: usize) -> Vec<u8> {
        let mut bytes = vec![0; mib << 20];
        let options = FormatVolumeOptions::new().fat_type(kind);
        let small = kind != FatType::Fat12;
        let options = if small { options.bytes_per_cluster(512) } else { options };
        fatfs::format_volume(Cursor::new(bytes.as_mut_slice()), options).unwrap();
        let volume = FileSystem::new(Cursor::new(bytes.as_mut_slice()), FsOptions::new()).unwrap();
        assert_eq!(volume.fat_type(), kind);
        for (name, len) in [("boot.scr", 3000), ("start4.elf", 300_000)] {
            let mut file = volume.root_dir().create_file(name).unwrap();
            file.write_all(&vec![name.len().to_le_bytes()[0]; len]).unwrap();
        }
        volume.unmount().unwrap();
        bytes
    }

    fn others_stand(device: &FakeDevice) {
        for (name, len) in [("boot.scr", 3000), ("start4.elf", 300_000)] {
            let bytes = read_file(device, name, 1 << 20).unwrap().unwrap();
            assert_eq!(bytes, vec![name.len().to_le_bytes()[0]; len], "{name}");
        }
    }

    fn holds(device: &FakeDevice, part: &[u8]) -> bool {
        device.contents().windows(part.len()).any(|w| w == part)
    }

    #[test]
    fn a_file_is_made_replaced_and_removed_and_nothing_of_it_is_left() {
        for (kind, mib) in [(FatType::Fat12, 3), (FatType::Fat16, 4), (FatType::Fat32, 34)] {
            let device = FakeDevice::new(fat(kind, mib));
            let clean = device.contents();
            let long = [b"format = 1\n# secret-one ".as_slice(), &[b'x'; 5000]].concat();
            for content in [&long[..], b"format = 1\n", b"format = 1\nid = 'secret-two'\n"] {
                written_part(&device, NAME, Some(content)).unwrap();
                assert_eq!(read_file(&device, NAME, 1 << 16).unwrap().unwrap(), content);
                others_stand(&device);
            }
            assert!(!holds(&device, b"secret-one") && holds(&device, b"secret-two"));
            written_part(&device, NAME, None).unwrap();
            assert_eq!(read_file(&device, NAME, 1 << 16).unwrap(), None);
            assert!(!holds(&device, b"secret-two"));
            // Nothing is allocated that was free.
            let end = usize::try_from(table_end(&device).unwrap()).unwrap();
            let start = 512 * usize::from(u16::from_le_bytes([clean[14], clean[15]]));
            assert!(device.contents()[start..end] == clean[start..end], "{kind:?}");
            let counts = device.counts().writes;
            written_part(&device, NAME, None).unwrap();
            assert_eq!(device.counts().writes, counts, "there is nothing to write");
        }
    }

    #[test]
    fn a_cut_at_any_write_leaves_the_old_file_none_or_the_new_one() {
        let old = [b"format = 1\nid = 'old'\n#".as_slice(), &[b'o'; 1500]].concat();
        let new = [b"format = 1\nid = 'new'\n#".as_slice(), &[b'n'; 2500]].concat();
        for (kind, mib, seeds) in [(FatType::Fat16, 3, 0..3), (FatType::Fat32, 34, 1..2)] {
            for before in [None, Some(&old)] {
                let start = FakeDevice::new(fat(kind, mib));
                if let Some(before) = before {
                    written_part(&start, NAME, Some(before)).unwrap();
                }
                let start = start.contents();
                let whole = FakeDevice::new(start.clone());
                written_part(&whole, NAME, Some(&new)).unwrap();
                let writes = whole.counts().writes;
                assert!(writes >= 6, "{writes}");
                for (nth, seed) in
                    (1..=writes).flat_map(|n| seeds.clone().map(move |seed| (n, seed)))
                {
                    let device = FakeDevice::new(start.clone());
                    device.cut_at_write(nth, 512 * usize::from(seed != 0));
                    written_part(&device, NAME, Some(&new)).unwrap_err();
                    device.power_on(Survivors::Some(seed));
                    others_stand(&device);
                    // A chain that was let go reads as an error, or as nothing: never as a half.
                    if let Ok(Some(found)) = read_file(&device, NAME, 1 << 16) {
                        let taken = found.is_empty() || found.starts_with(b"# taken\n");
                        let kept = before.is_some_and(|old| found == *old);
                        assert!(taken || kept || found == new, "{kind:?} cut {nth}, {seed}");
                    }
                    written_part(&device, NAME, Some(&new)).unwrap();
                    assert_eq!(read_file(&device, NAME, 1 << 16).unwrap().unwrap(), new);
                    others_stand(&device);
                }
            }
        }
    }

    #[test]
    fn a_full_file_system_is_told_and_keeps_what_it_has() {
        let device = FakeDevice::new(fat(FatType::Fat12, 1));
        let large = vec![1; 900_000];
        let failure = written_part(&device, NAME, Some(&large)).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::NoSpace, "{failure}");
        assert_eq!(device.counts().writes, 0);
        others_stand(&device);
        let zeros = FakeDevice::new(vec![0; 1 << 20]);
        assert!(read_file(&zeros, NAME, 10).is_err());
    }
}
