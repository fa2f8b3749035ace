//! FAT through `fatfs`, which believes what it reads and writes in an order of its own: it works on what is read, what it
//! would write is collected in memory, and its steps are counted.

use super::provision::taken;
use crate::disk::BlockDevice;
use crate::model::{Failure, Result};
use fatfs::{FileSystem, FsOptions};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result as IoResult, Seek, SeekFrom, Write};
use std::rc::Rc;

/// The unit in which changes are kept and written: no FAT has smaller sectors.
const SECTOR: u64 = 512;
const PIECE: u64 = 32 << 10;

/// What the library may do at most: it follows chains that turn in circles without an end.
const STEPS: u64 = 4_000_000;

/// So far behind its beginning a file is looked for the end of its clusters.
const MOST: u64 = 1 << 20;

/// Offset and bytes of each sector that changes.
pub(crate) type Changes = BTreeMap<u64, Vec<u8>>;

/// A file of at most `limit` bytes; `None` where there is none.
pub(crate) fn read_file(
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

/// What writes over the file of that name, at its own length; nothing where there is none.
pub(crate) fn erasure(device: &dyn BlockDevice, name: &str) -> IoResult<Changes> {
    changes(device, |volume| {
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
}

/// What writes over the rest of the file's clusters: a file that an editor has made shorter leaves its old end there. What it
/// has given back to the file system is out of reach.
pub(crate) fn slack(device: &dyn BlockDevice, name: &str) -> IoResult<Changes> {
    changes(device, |volume| {
        let cluster = u64::from(volume.cluster_size());
        let mut file = match volume.root_dir().open_file(name) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        let len = file.seek(SeekFrom::End(0))?;
        if len == 0 {
            return Ok(());
        }
        let free = volume.stats()?.free_clusters();
        let mut end = len.next_multiple_of(cluster);
        let mut behind = end - len;
        loop {
            std::io::copy(&mut std::io::repeat(b' ').take(behind), &mut file)?;
            // The library takes the file's own clusters first, and only then a free one.
            if free == 0 || volume.stats()?.free_clusters() != free || end > MOST {
                break;
            }
            (behind, end) = (cluster, end + cluster);
        }
        file.seek(SeekFrom::Start(len))?;
        file.truncate()
    })
}

/// Does it. Its first line, which tells that the rest counts no more, is on the medium before anything else changes.
pub(crate) fn erase(device: &dyn BlockDevice, erasure: &Changes) -> Result<()> {
    let first = |bytes: &[u8]| bytes.starts_with(b"# taken\n");
    write(device, erasure.iter().filter(|(_, bytes)| first(bytes)))?;
    write(device, erasure.iter().filter(|(_, bytes)| !first(bytes)))
}

/// Writes sectors in this order, and returns when they are on the medium.
pub(crate) fn write<'c>(
    device: &dyn BlockDevice,
    sectors: impl Iterator<Item = (&'c u64, &'c Vec<u8>)>,
) -> Result<()> {
    for (at, bytes) in sectors {
        device.write_at(*at, bytes)?;
    }
    device.flush()
}

/// An open file system.
pub(crate) type Volume<'d> = FileSystem<Overlay<'d>>;

/// What `deed` would change, sector by sector; those that it leaves as they are are not in it.
pub(crate) fn changes(
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
pub(crate) struct Overlay<'d> {
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
