//! The descriptor of a medium, and a part of it as a file.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// What is read at once.
const BLOCK: u64 = 32 << 10;

/// An open medium.
#[derive(Debug)]
pub(super) struct Disk {
    file: &'static File,
    len: u64,
    /// How many reads and writes succeed before the medium is gone; for tests of exactly that.
    left: Cell<Option<u64>>,
    failed: Cell<bool>,
}

impl Disk {
    pub(super) fn new(mut file: &'static File, unplug: Option<u64>) -> Result<Disk> {
        let len = file.seek(SeekFrom::End(0))?;
        Ok(Disk { file, len, left: Cell::new(unplug), failed: Cell::new(false) })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buf` from `offset`; nothing past the end is there.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let inside = offset.checked_add(buf.len() as u64).is_some_and(|end| end <= self.len);
        let read = self.is_there().and_then(|()| self.file.read_exact_at(buf, offset));
        read.inspect_err(|_| self.failed.set(self.failed.get() || inside))
    }

    /// Whether something that the medium has could not be read: then it is the medium that failed,
    /// and not what stands on it.
    pub(super) fn failed(&self) -> bool {
        self.failed.get()
    }

    fn is_there(&self) -> Result<()> {
        match self.left.get() {
            Some(0) => return Err(Error::other("the medium is gone")),
            Some(left) => self.left.set(Some(left - 1)),
            None => {}
        }
        Ok(())
    }

    pub(super) fn write(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.is_there()?;
        self.file.write_all_at(buf, offset)
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data()
    }
}

/// What a [`Part`] is asked to note instead of to read: the places of a file's content.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Reads into the buffer at this address are noted and not done.
    mark: Cell<usize>,
    places: RefCell<Vec<Range<u64>>>,
}

impl Notes {
    pub(super) fn begin(&self, buf: &[u8]) {
        self.mark.set(buf.as_ptr().addr());
        self.places.borrow_mut().clear();
    }

    pub(super) fn end(&self) -> Vec<Range<u64>> {
        self.mark.set(0);
        self.places.take()
    }

    pub(super) fn pieces(&self) -> usize {
        self.places.borrow().len()
    }

    fn note(&self, place: Range<u64>) {
        let mut places = self.places.borrow_mut();
        match places.last_mut() {
            Some(last) if last.end == place.start => last.end = place.end,
            _ => places.push(place),
        }
    }
}

/// A part of a medium as the file that a file system's library wants. It can do a bounded number
/// of things: a library that turns in circles comes to an end.
#[derive(Debug)]
pub(super) struct Part {
    disk: Rc<Disk>,
    range: Range<u64>,
    at: u64,
    held: Vec<u8>,
    held_from: u64,
    left: u64,
    writes: bool,
    notes: Rc<Notes>,
}

impl Part {
    pub(super) fn new(disk: Rc<Disk>, range: Range<u64>, steps: u64, writes: bool) -> Part {
        let range = range.start..range.end.min(disk.len());
        let notes = Rc::default();
        Part { disk, range, at: 0, held: Vec::new(), held_from: 0, left: steps, writes, notes }
    }

    pub(super) fn notes(&self) -> Rc<Notes> {
        self.notes.clone()
    }

    fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    fn step(&mut self) -> Result<()> {
        let turns = || Error::other("it turns in circles");
        self.left = self.left.checked_sub(1).ok_or_else(turns)?;
        Ok(())
    }
}

fn small(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl Read for Part {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.step()?;
        let there = buf.len().min(small(self.len().saturating_sub(self.at)));
        if there == 0 {
            return Ok(0);
        }
        if buf.as_ptr().addr() == self.notes.mark.get() {
            let from = self.range.start + self.at;
            self.notes.note(from..from + there as u64);
            self.at += there as u64;
            return Ok(there);
        }
        let held = self.held_from..self.held_from + self.held.len() as u64;
        if !held.contains(&self.at) {
            self.held_from = self.at - self.at % BLOCK;
            let mut fresh = std::mem::take(&mut self.held);
            fresh.resize(small(BLOCK.min(self.len() - self.held_from)), 0);
            self.disk.read(self.range.start + self.held_from, &mut fresh)?;
            self.held = fresh;
        }
        let skip = small(self.at - self.held_from);
        let there = there.min(self.held.len() - skip);
        buf[..there].copy_from_slice(&self.held[skip..skip + there]);
        self.at += there as u64;
        Ok(there)
    }
}

impl Write for Part {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        self.step()?;
        if !self.writes {
            return Err(Error::new(ErrorKind::PermissionDenied, "this medium is only read"));
        }
        let there = buf.len().min(small(self.len().saturating_sub(self.at)));
        if there == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "outside"));
        }
        self.held.clear();
        self.disk.write(self.range.start + self.at, &buf[..there])?;
        self.at += there as u64;
        Ok(there)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.step()?;
        let found = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
        };
        let outside = || Error::new(ErrorKind::InvalidInput, "outside");
        self.at = found.filter(|at| *at <= self.len()).ok_or_else(outside)?;
        Ok(self.at)
    }
}
