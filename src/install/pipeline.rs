//! The overlapping part: fetch, verify, decode, write, flush, read back, in a bounded memory.
//!
//! ```text
//!           ┌──────────────── 3 workers ─────────────────┐    ┌─── 3 readers ────┐
//! source ─▶ │ take ─▶ check, decode ─▶ in order ─▶ write │ ─▶ │ flush ─▶ compare │
//!           └──▲───────────────────────────────────┬─────┘    └──────────────────┘
//!              └────────── empty buffers ◀─────────┘
//! ```
//!
//! A worker writes what it has decoded: a write is a wait, and no thread has to be woken for it.

use super::buffers::Buffers;
use super::feed::{Feed, Supply};
use super::lay::lead;
use super::line::{Line, STORED_WINDOW};
use super::medium::WAITING_THREADS;
use super::progress::Progress;
use super::readers::Readers;
use super::spans::{Places, SPAN_MAX, Span, Work};
use crate::artifact::Decoder;
use crate::disk::BlockDevice;
use crate::model::Result;
use crate::sys::{AlignedBuf, spare, stop};
use std::sync::Mutex;
use std::sync::mpsc::channel;

/// Plain buffers: one in each worker's hands, as many decoded and waiting for their turn.
const BUFFERS: usize = 2 * WAITING_THREADS;

/// Stored bytes that have to be fetched again after a cut, at the most, from a source that is
/// slower than the medium (DESIGN 9.9). A chunk is never stored longer than it is, so this many
/// image bytes are as many stored ones at the most: those in the buffers, those written and not
/// yet enough to be flushed, and the span that makes them enough.
pub(super) const FETCHED_AGAIN_MAX: u64 = 16 << 20;
const _: () = {
    let in_buffers = (BUFFERS * SPAN_MAX) as u64;
    assert!(in_buffers + STORED_WINDOW + SPAN_MAX as u64 <= FETCHED_AGAIN_MAX);
};

/// What a run takes, with some room for what is small: buffers, stacks, and what workers and readers
/// hold.
pub(super) const MEMORY: usize = (BUFFERS + 2 * WAITING_THREADS) * (SPAN_MAX + (64 << 10))
    + 2 * WAITING_THREADS * spare::STACK
    + (2 << 20);

/// What the workers share.
pub(super) struct Pipeline<'a> {
    pub(super) device: &'a dyn BlockDevice,
    pub(super) places: &'a Places<'a>,
    pub(super) work: &'a Work,
    pub(super) readers: Readers<'a>,
    pub(super) progress: &'a Progress<'a>,
}

impl Pipeline<'_> {
    /// Writes all but the first 128 KiB, flushes it and reads it back. Returns those 128 KiB, and
    /// the supply for whatever it still has. `first_chunk` is the payload's first in the table.
    pub(super) fn run<'s>(
        &self,
        first_chunk: usize,
        supply: Supply<'s>,
    ) -> Result<(AlignedBuf, Supply<'s>)> {
        let spans = &self.work.spans;
        let room = SPAN_MAX + 2 * self.device.block_size();
        let buffers = Buffers::new(BUFFERS.min(spans.len()), room)?;
        let feed = Feed::new(spans, first_chunk, supply);
        let (written, to_read) = channel();
        let to_read = Mutex::new(to_read);
        let line = Line::new(self.device, self.places, spans, &self.readers, written)?;
        let carried = stop::carried();
        let works = || {
            let end = End(&line, &buffers);
            match self.work(&feed, &line, &buffers) {
                Ok(()) => std::mem::forget(end),
                Err(failure) => self.readers.fail(failure),
            }
        };
        std::thread::scope(|scope| {
            let reads = || carried.over(|| self.readers.read_back(&to_read));
            let (mut readers, mut workers) = (Ok(()), Ok(()));
            // One of each will do; without one there is nobody to wait for.
            for n in 0..WAITING_THREADS {
                let reader = spare::scoped(scope, "read-back", reads).map(drop);
                let worker = spare::scoped(scope, "write", || carried.over(works)).map(drop);
                if n == 0 {
                    (readers, workers) = (reader, worker);
                }
            }
            if let Err(failure) = readers.and(workers) {
                self.readers.fail(failure);
                drop(End(&line, &buffers));
            }
        });
        self.readers.go_on()?;
        Ok((line.into_first()?, feed.into_supply()))
    }

    /// The life of one worker: until all spans are taken, or something has failed.
    fn work(&self, feed: &Feed, line: &Line, buffers: &Buffers) -> Result<()> {
        let mut decoder = Decoder::new()?;
        let mut stored = Vec::new();
        while let Some(ticket) = feed.take(buffers, &mut stored)? {
            self.readers.go_on()?;
            let mut plain = ticket.plain;
            self.decode(&mut decoder, ticket.span, &stored, &mut plain)?;
            line.add(ticket.index, plain);
            while let Some(ready) = line.ready()? {
                let placed = ready.placed;
                if !placed.bytes.is_empty() {
                    self.device.write_at(placed.at, &ready.buffer[placed.bytes])?;
                }
                buffers.give(ready.buffer);
                line.written(ready.index);
                let image = &self.work.spans[ready.index].image;
                self.progress.add(image.end - image.start);
            }
        }
        Ok(())
    }

    fn decode(
        &self,
        decoder: &mut Decoder,
        span: &Span,
        mut stored: &[u8],
        plain: &mut [u8],
    ) -> Result<()> {
        let mut at = lead(self.device, span);
        for index in span.chunks.clone() {
            let chunk = &self.places.chunks[index];
            let (mine, rest) = stored.split_at(chunk.stored_len as usize);
            let end = at + chunk.plain_len as usize;
            let decoded = decoder.decode(chunk, mine, &mut plain[at..end]);
            decoded.map_err(|f| f.at(format_args!("chunk {index}")))?;
            self.readers.remember(index, &plain[at..end]);
            (stored, at) = (rest, end);
        }
        Ok(())
    }
}

/// Lets everybody go who waits for a worker that failed, or that panicked.
struct End<'a, 'l>(&'a Line<'l>, &'a Buffers);

impl Drop for End<'_, '_> {
    fn drop(&mut self) {
        self.0.stop();
        self.1.close();
    }
}
