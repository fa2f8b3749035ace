//! Hands out spans of stored bytes, one at a time, from a file or from a stream.

use super::buffers::Buffers;
use super::check::check;
use super::small;
use super::spans::Span;
use crate::artifact::{Chunk, Codec};
use crate::model::{Failure, ReasonCode, Result};
use crate::source::{Fetch, Input};
use crate::sys::{AlignedBuf, spare};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// What a worker takes: a span, its stored bytes (in the worker's own buffer), and an empty
/// buffer for its plain bytes.
pub(super) struct Ticket<'a> {
    /// Its place among all spans.
    pub(super) index: usize,
    pub(super) span: &'a Span,
    pub(super) plain: AlignedBuf,
    /// Where more can be asked for.
    pub(super) source: Option<Arc<dyn Fetch>>,
}

/// Where the stored bytes come from.
pub(super) enum Supply<'a> {
    /// Any part, in any order.
    File(Arc<dyn Fetch>),
    /// Once, in order.
    Stream(Tape<'a>),
}

impl<'a> Supply<'a> {
    /// `table` is the whole artifact's: a stream carries all of it.
    pub(super) fn new(input: Input, table: &'a [Chunk]) -> Supply<'a> {
        match input {
            Input::Seekable(source) => Supply::File(source),
            Input::Stream(reader) => {
                Supply::Stream(Tape { reader, table, next: 0, skipped: Vec::new() })
            }
        }
    }

    /// After the last span: a stream must end where the signed table ends.
    pub(super) fn finish(&mut self) -> Result<()> {
        match self {
            Supply::File(_) => Ok(()),
            Supply::Stream(tape) => tape.finish(),
        }
    }
}

/// The one place where workers queue.
pub(super) struct Feed<'a, 's> {
    spans: &'a [Span],
    /// The payload's first chunk in the artifact's table.
    first_chunk: usize,
    queue: Mutex<Queue<'s>>,
}

struct Queue<'a> {
    next: usize,
    supply: Supply<'a>,
}

impl<'a, 's> Feed<'a, 's> {
    pub(super) fn new(spans: &'a [Span], first_chunk: usize, supply: Supply<'s>) -> Feed<'a, 's> {
        Feed { spans, first_chunk, queue: Mutex::new(Queue { next: 0, supply }) }
    }

    /// The next span, its stored bytes in `stored` where it is fetched; `None` when all are taken or
    /// nobody wants more. The buffer comes before the number: so the lowest span in flight always has one,
    /// and those that wait for their turn never hold the last.
    pub(super) fn take(
        &self,
        buffers: &Buffers,
        stored: &mut Vec<u8>,
    ) -> Result<Option<Ticket<'a>>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let index = queue.next;
        let Some(span) = self.spans.get(index) else {
            return Ok(None);
        };
        let Some(plain) = buffers.take() else {
            return Ok(None);
        };
        queue.next += 1;
        let source = match &mut queue.supply {
            Supply::Stream(tape) => {
                spare::resize(stored, small(span.stored.end - span.stored.start))?;
                tape.read(self.first_chunk + span.chunks.start, span.chunks.len(), stored)?;
                None
            }
            Supply::File(source) => Some(Arc::clone(source)),
        };
        drop(queue);
        match &source {
            Some(source) if !span.copied => {
                spare::resize(stored, small(span.stored.end - span.stored.start))?;
                source.read_at(span.stored.start, stored)?;
            }
            _ => {}
        }
        Ok(Some(Ticket { index, span, plain, source }))
    }

    /// Gives the supply back when every worker is done.
    pub(super) fn into_supply(self) -> Supply<'s> {
        let queue = self.queue.into_inner();
        queue.unwrap_or_else(PoisonError::into_inner).supply
    }
}

/// A stream of stored chunks, and how far it has been read.
pub(super) struct Tape<'a> {
    reader: Box<dyn Read + Send>,
    table: &'a [Chunk],
    next: usize,
    skipped: Vec<u8>,
}

impl Tape<'_> {
    /// Fills `stored` with `count` chunks from `first`, passing what lies before.
    fn read(&mut self, first: usize, count: usize, stored: &mut [u8]) -> Result<()> {
        self.pass_until(first)?;
        self.fill(first, stored)?;
        self.next = first + count;
        Ok(())
    }

    /// Reads chunks that nobody needs (they stand in the slot, or are for other hardware). They
    /// are hashed all the same: a damaged artifact is refused whatever the slot held before.
    fn pass_until(&mut self, index: usize) -> Result<()> {
        while self.next < index {
            let chunk = self.table[self.next];
            if chunk.codec != Codec::Zero {
                let mut skipped = std::mem::take(&mut self.skipped);
                spare::resize(&mut skipped, chunk.stored_len as usize)?;
                self.fill(self.next, &mut skipped)?;
                check(self.next, &chunk, &skipped)?;
                self.skipped = skipped;
            }
            self.next += 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.pass_until(self.table.len())?;
        // Not `read_exact`: it says "unexpected end" of a stream that has ended, and so does a body
        // that is cut before the end that it announced.
        loop {
            return match self.reader.read(&mut [0]) {
                Ok(0) => Ok(()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => Err(lost(self.next, &e)),
                Ok(_) => Err(Failure::new(
                    ReasonCode::TrailingBytes,
                    "the stream goes on after the last signed byte",
                )),
            };
        }
    }

    fn fill(&mut self, chunk: usize, buf: &mut [u8]) -> Result<()> {
        let read = self.reader.read_exact(buf);
        read.map_err(|e| lost(chunk, &e))
    }
}

/// A stream that ended too early has lost its sender, as one that failed has: both may bring the
/// rest the next time.
fn lost(chunk: usize, error: &std::io::Error) -> Failure {
    let detail = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => format!("the stream ended at or after chunk {chunk}"),
        _ => format!("chunk {chunk}: {error}"),
    };
    Failure::new(ReasonCode::SourceLost, detail)
}
