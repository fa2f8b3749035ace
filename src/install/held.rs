//! The plain bytes that a worker holds for the contexts of what it decodes next.

use super::spans::Places;
use crate::model::{Failure, ReasonCode, Result};
use std::ops::Range;

/// Bytes that are forgotten at once, for contexts of `context` bytes: what stays is moved each time, so
/// that a byte of a long one is moved at most twice.
const fn slack(context: usize) -> usize {
    let half = context / 2;
    if half > 1 << 20 { half } else { 1 << 20 }
}

/// Plain bytes of data chunks that follow each other, back to back; the zeros between them are left out.
pub(super) struct Held {
    bytes: Vec<u8>,
    /// Of the longest context, bytes.
    context: usize,
    /// Where those that count begin.
    begin: usize,
    /// Which chunks they are, runs of zeros among them.
    chunks: Range<usize>,
}

impl Held {
    /// Nothing yet, for contexts of `context` bytes.
    pub(super) fn new(context: usize) -> Held {
        Held { bytes: Vec::new(), context, begin: 0, chunks: 0..0 }
    }

    /// What it takes for contexts of `context` bytes.
    pub(super) const fn memory(context: usize) -> usize {
        if context == 0 { 0 } else { context + slack(context) }
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
        if self.begin >= slack(self.context) {
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
        let failed = |_| Failure::new(ReasonCode::NoMemory, "a context needs up to 6 MiB");
        // All of it at once: a vector that grows may stand twice in memory.
        let room = Held::memory(self.context).saturating_sub(self.bytes.len());
        let more = plain.len().max(room);
        self.bytes.try_reserve_exact(more).map_err(failed)?;
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
