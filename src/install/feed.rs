//! Hands out spans of stored bytes, one at a time, from any offset or from a stream.

use super::buffers::Buffers;
use super::check::check;
use super::rebuild::{Play, span_len};
use super::small;
use super::spans::{Span, Work};
use crate::artifact::{Chunk, check_pages};
use crate::delta::Piece;
use crate::model::{Failure, ReasonCode, Result};
use crate::source::{ByteStream, Fetch, Source};
use crate::sys::{AlignedBuf, spare};
use std::io::Read;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What a worker takes: a span, its stored bytes (in the worker's own buffer), and an empty
/// buffer for its plain bytes.
pub(super) struct Ticket<'a, 's> {
    /// Its place among all spans.
    pub(super) index: usize,
    pub(super) span: &'a Span,
    pub(super) plain: AlignedBuf,
    /// Where more can be asked for.
    pub(super) source: Option<&'s dyn Fetch>,
    /// Whether `plain` waits for old bytes.
    pub(super) rebuilt: bool,
}

/// Where what is made of a span goes: behind so many bytes of its buffer, and which old bytes it needs.
pub(super) type Into<'a> = (usize, &'a mut Vec<Piece>);

/// Where the stored bytes come from.
pub(super) enum Supply<'a> {
    /// Any part, in any order.
    Ranges(&'a dyn Fetch),
    /// Any part, in any order; and what is wanted comes by itself, in the order of the spans.
    Wanted(Wanted<'a>),
    /// Once, in order.
    Stream(Tape<'a>),
    /// Made of the bytes of the slot that runs, in order.
    Delta(Play<'a>),
}

/// What is fetched over a network, as it comes.
pub(super) struct Wanted<'a> {
    /// Exactly the stored bytes of the spans that are fetched.
    bytes: Box<dyn Read + Send + 'a>,
    /// Where a chunk is asked for that could not be copied.
    source: &'a dyn Fetch,
}

impl<'a> Supply<'a> {
    /// `table` is the whole artifact's, and so are its page hashes: a stream carries all of it. `wanted`:
    /// the stored bytes of all spans that are fetched, in their order.
    pub(super) fn new(
        source: &'a mut Source,
        table: &'a [Chunk],
        pages: &'a [u8],
        wanted: &[Range<u64>],
    ) -> Result<Supply<'a>> {
        Ok(match source {
            Source::Local(file) => Supply::Ranges(file),
            Source::Ranges(bytes) => {
                let source = &**bytes;
                match source.in_order(wanted)? {
                    Some(bytes) => Supply::Wanted(Wanted { bytes, source }),
                    None => Supply::Ranges(source),
                }
            }
            Source::Stream(stream) => {
                Supply::Stream(Tape { stream, table, pages, next: 0, skipped: Vec::new() })
            }
        })
    }

    /// After the last span: a stream must end where the signed table ends.
    pub(super) fn finish(&mut self) -> Result<()> {
        match self {
            Supply::Ranges(_) | Supply::Wanted(_) => Ok(()),
            Supply::Stream(tape) => tape.finish(),
            Supply::Delta(play) => play.finish(),
        }
    }
}

/// The one place where workers queue.
pub(super) struct Feed<'a, 's> {
    work: &'a Work,
    /// The payload's first chunk in the artifact's table.
    first_chunk: usize,
    /// For each span: how many before it are fetched.
    ranks: Vec<usize>,
    /// The next strand to be handed out.
    strand: AtomicUsize,
    queue: Mutex<Queue<'s>>,
    turned: Condvar,
}

struct Queue<'a> {
    /// Which of the fetched spans comes next, where they come in order.
    turn: usize,
    closed: bool,
    supply: Supply<'a>,
}

impl<'a, 's> Feed<'a, 's> {
    pub(super) fn new(work: &'a Work, first_chunk: usize, supply: Supply<'s>) -> Feed<'a, 's> {
        let queue = Mutex::new(Queue { turn: 0, closed: false, supply });
        let mut fetched = 0;
        let ranks = work.spans.iter().map(|span| {
            fetched += usize::from(!span.copied);
            fetched - usize::from(!span.copied)
        });
        let (ranks, strand) = (ranks.collect(), AtomicUsize::new(0));
        Feed { work, first_chunk, ranks, strand, queue, turned: Condvar::new() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<'s>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next spans that belong together, for one worker; `None` when all are taken. In order.
    pub(super) fn strand(&self) -> Option<Range<usize>> {
        self.work.strands.get(self.strand.fetch_add(1, Ordering::Relaxed)).cloned()
    }

    /// A span with its stored bytes in `stored`, where it is fetched; `None` when nobody wants more.
    /// What comes in order is read in the order of the spans: each waits for its turn, and has its buffer by
    /// then.
    pub(super) fn take(
        &self,
        index: usize,
        buffers: &Buffers,
        stored: &mut Vec<u8>,
        (lead, pieces): Into<'_>,
    ) -> Result<Option<Ticket<'a, 's>>> {
        let span = &self.work.spans[index];
        let Some(mut plain) = buffers.take(index) else {
            return Ok(None);
        };
        let mut queue = self.queue();
        let source = match &queue.supply {
            Supply::Ranges(source) => Some(*source),
            Supply::Wanted(wanted) => Some(wanted.source),
            Supply::Stream(_) | Supply::Delta(_) => None,
        };
        if span.copied {
            return Ok(Some(Ticket { index, span, plain, source, rebuilt: false }));
        }
        let rebuilt = matches!(queue.supply, Supply::Delta(_));
        if !rebuilt {
            spare::resize(stored, small(span.stored.end - span.stored.start))?;
        }
        if let Supply::Ranges(bytes) = queue.supply {
            drop(queue);
            bytes.read_at(span.stored.start, stored)?;
            return Ok(Some(Ticket { index, span, plain, source, rebuilt }));
        }
        let rank = self.ranks[index];
        let waiting = |queue: &mut Queue| queue.turn != rank && !queue.closed;
        queue = self.turned.wait_while(queue, waiting).unwrap_or_else(PoisonError::into_inner);
        if queue.closed {
            return Ok(None);
        }
        let first = self.first_chunk + span.chunks.start;
        match &mut queue.supply {
            Supply::Ranges(_) => {}
            Supply::Wanted(wanted) => {
                wanted.bytes.read_exact(stored).map_err(|e| lost(first, &e))?;
            }
            Supply::Stream(tape) => tape.read(first, span.chunks.len(), stored)?,
            Supply::Delta(play) => {
                let out = &mut plain[lead..lead + span_len(&span.image)];
                play.bring((self.first_chunk, span.image.start), out, pieces)?;
            }
        }
        queue.turn += 1;
        self.turned.notify_all();
        Ok(Some(Ticket { index, span, plain, source, rebuilt }))
    }

    /// Nobody waits for a turn any more.
    pub(super) fn close(&self) {
        self.queue().closed = true;
        self.turned.notify_all();
    }

    /// Gives the supply back when every worker is done.
    pub(super) fn into_supply(self) -> Supply<'s> {
        let queue = self.queue.into_inner();
        queue.unwrap_or_else(PoisonError::into_inner).supply
    }
}

/// A stream of stored chunks, and how far it has been read.
pub(super) struct Tape<'a> {
    stream: &'a mut ByteStream,
    table: &'a [Chunk],
    /// What comes before the first chunk; empty once it has been read.
    pages: &'a [u8],
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
        let pages = std::mem::take(&mut self.pages);
        if !pages.is_empty() {
            let mut found = vec![0; pages.len()];
            self.fill(self.next, &mut found)?;
            check_pages(pages, &found)?;
        }
        while self.next < index {
            let chunk = self.table[self.next];
            if !chunk.is_zero() {
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
            return match self.stream.read(&mut [0]) {
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
        let read = self.stream.read_exact(buf);
        read.map_err(|e| lost(chunk, &e))
    }
}

/// A stream that ended too early has lost its sender, as one that failed has: both may bring the
/// rest the next time.
fn lost(chunk: usize, error: &std::io::Error) -> Failure {
    if let Some(own) = error.get_ref().and_then(|e| e.downcast_ref::<Failure>()) {
        return Failure::new(own.code(), format!("chunk {chunk}: {}", own.detail()));
    }
    let detail = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => format!("the stream ended at or after chunk {chunk}"),
        _ => format!("chunk {chunk}: {error}"),
    };
    Failure::new(ReasonCode::SourceLost, detail)
}
