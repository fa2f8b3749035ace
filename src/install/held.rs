//! The plain bytes that a worker holds for the contexts of what it decodes next.

use super::spans::Places;
use crate::model::{Failure, ReasonCode, Result};
use std::ops::Range;

/// Bytes that are forgotten at once: moving what stays costs more than they do.
const SLACK: usize = 1 << 20;

/// Plain bytes of data chunks that follow each other, back to back; the zeros between them are left out.
#[derive(Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    /// Where those that count begin.
    begin: usize,
    /// Which chunks they are, runs of zeros among them.
    chunks: Range<usize>,
}

impl Held {
    /// What it takes for contexts of `context` bytes.
    pub(super) const fn memory(context: usize) -> usize {
        if context == 0 { 0 } else { context + SLACK }
    }

    /// Forgets what lies before chunk `first`; everything, where that is not among what is held.
    pub(super) fn begin_at(&mut self, first: usize, places: &Places) {
        if first < self.chunks.start || first > self.chunks.end {
            self.bytes.clear();
            (self.begin, self.chunks) = (0, first..first);
            return;
        }
        self.begin += places.data_between(self.chunks.start, first);
        self.chunks.start = first;
        if self.begin >= SLACK {
            self.bytes.drain(..self.begin);
            self.begin = 0;
        }
    }

    /// The next chunk to be added.
    pub(super) fn end(&self) -> usize {
        self.chunks.end
    }

    /// Adds the next chunk; `plain` is empty for a run of zeros.
    pub(super) fn add(&mut self, plain: &[u8]) -> Result<()> {
        let failed = |_| Failure::new(ReasonCode::NoMemory, "a context needs up to 5 MiB");
        // Not more than is needed: a vector that doubles takes twice as much.
        self.bytes.try_reserve_exact(plain.len()).map_err(failed)?;
        self.bytes.extend_from_slice(plain);
        self.chunks.end += 1;
        Ok(())
    }

    /// The plain bytes from chunk `first` to the last one.
    pub(super) fn from(&self, first: usize, places: &Places) -> &[u8] {
        let before = places.data_between(self.chunks.start, first);
        &self.bytes[self.begin + before..]
    }
}
