//! Writing: two files, used in turn.

use super::line::{Head, Line, Tail, head_line, paths, sequence_line, tail_line};
use super::read;
use crate::sys::slab::Slab;
use std::io::Result;
use std::path::Path;

/// The black box, open for writing.
#[derive(Debug)]
pub struct Ring {
    slabs: [Slab; 2],
    len: u64,
    now: usize,
    at: u64,
    sequence: u64,
    head: String,
}

impl Ring {
    /// Opens or makes it, in a folder that exists, with two files of `len` bytes. Goes on behind
    /// what stands.
    pub fn open(folder: &Path, len: u64) -> Result<Ring> {
        let [a, b] = paths(folder);
        let slabs = [Slab::open(&a, len)?, Slab::open(&b, len)?];
        let found = [&slabs[0], &slabs[1]].map(Slab::read);
        let [a, b] = found;
        let (a, b) = (a?, b?);
        let sequences = [&a, &b].map(|bytes| read::sequence(bytes));
        let now = usize::from(sequences[1] > sequences[0]);
        let end = [&a, &b][now].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let (at, sequence) = (u64::try_from(end).unwrap_or(len), sequences[now].unwrap_or(0));
        let mut ring = Ring { slabs, len, now, at, sequence, head: String::new() };
        if sequences == [None, None] {
            ring.now = 1;
            ring.turn()?;
        }
        Ok(ring)
    }

    /// Begins a boot's part.
    pub fn begin(&mut self, head: &Head) -> Result<()> {
        // What was torn before must not swallow it.
        let line = format!("\n{}", head_line(head));
        self.put(line.as_bytes())?;
        self.head = head_line(head);
        Ok(())
    }

    /// Adds lines.
    pub fn add<'a>(&mut self, lines: impl Iterator<Item = &'a Line>) -> Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            let line = line.written();
            let after =
                self.at.saturating_add(u64::try_from(bytes.len() + line.len()).unwrap_or(0));
            if after > self.len {
                self.put(&bytes)?;
                bytes.clear();
                self.turn()?;
            }
            bytes.extend_from_slice(line.as_bytes());
        }
        self.put(&bytes)
    }

    /// Ends the boot's part: nothing is missing behind it.
    pub fn end(&mut self, boot_id: &str, up: u64, text: &str) -> Result<()> {
        let tail = Tail { boot_id: boot_id.to_owned(), up, text: text.to_owned() };
        self.put(tail_line(&tail).as_bytes())?;
        self.sync()
    }

    /// Makes durable what was added.
    pub fn sync(&self) -> Result<()> {
        self.slabs[self.now].sync()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.at.saturating_add(len) > self.len {
            self.turn()?;
        }
        if self.at.saturating_add(len) > self.len {
            return Ok(());
        }
        self.slabs[self.now].write(self.at, bytes)?;
        self.at += len;
        Ok(())
    }

    /// Goes over to the other file. It is empty for certain before it is the newer one: else what
    /// is old in it would follow, after a cut, what is new.
    fn turn(&mut self) -> Result<()> {
        self.sync()?;
        let other = 1 - self.now;
        self.slabs[other].zero(0)?;
        self.slabs[other].sync()?;
        self.sequence += 1;
        let first = sequence_line(self.sequence) + &self.head;
        self.slabs[other].write(0, first.as_bytes())?;
        (self.now, self.at) = (other, u64::try_from(first.len()).unwrap_or(0));
        Ok(())
    }
}
