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
use super::feed::{Feed, Supply, Ticket};
use super::held::Held;
use super::lay::lead;
use super::line::{Line, STORED_WINDOW};
use super::medium::{CHUNK_READ, MediumReader, WAITING_THREADS};
use super::origin::{Origin, Other};
use super::progress::Progress;
use super::readers::{Readers, read_back_failed};
use super::small;
use super::spans::{Places, SPAN_MAX, Span, Work};
use super::traffic::Traffic;
use crate::artifact::Decoder;
use crate::delta::{Piece, WINDOW, carry_out};
use crate::disk::BlockDevice;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::source::Fetch;
use crate::sys::{AlignedBuf, spare, stop};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::mpsc::channel;

/// The most plain buffers.
const BUFFERS_MAX: usize = 2 * WAITING_THREADS;

/// Stored bytes that have to be fetched again after a cut, at the most, from a source that is
/// slower than the medium (DESIGN 9.9). A chunk is never stored longer than it is, so this many
/// image bytes are as many stored ones at the most: those in the buffers, those written and not
/// yet enough to be flushed, and the span that makes them enough.
pub(super) const FETCHED_AGAIN_MAX: u64 = 16 << 20;
const _: () = {
    let in_buffers = (BUFFERS_MAX * SPAN_MAX) as u64;
    assert!(in_buffers + STORED_WINDOW + SPAN_MAX as u64 <= FETCHED_AGAIN_MAX);
};

/// Contexts longer than this are held by one worker less.
const LONG_CONTEXT: usize = 2 << 20;

/// How many workers there are: what they hold stays below the memory budget for every signed table.
fn workers(work: &Work) -> usize {
    if work.context > LONG_CONTEXT || work.rebuilt { WAITING_THREADS - 1 } else { WAITING_THREADS }
}

/// Plain buffers: one in each worker's hands, as many decoded and waiting for their turn.
fn buffers(work: &Work) -> usize {
    2 * workers(work)
}

/// What a run takes, with some room for what is small: buffers, stacks, and what workers and readers
/// hold.
pub(super) fn memory(work: &Work) -> usize {
    (buffers(work) + 2 * WAITING_THREADS) * (SPAN_MAX + (64 << 10))
        + 2 * WAITING_THREADS * spare::STACK
        + workers(work) * (Held::memory(work.context) + 2 * CHUNK_READ)
        + (2 << 20)
}

/// What the workers share.
pub(super) struct Pipeline<'a> {
    pub(super) device: &'a dyn BlockDevice,
    pub(super) places: &'a Places<'a>,
    pub(super) work: &'a Work,
    pub(super) readers: Readers<'a>,
    pub(super) progress: &'a Progress<'a>,
    pub(super) origins: &'a [Origin],
    pub(super) other: Option<Other<'a>>,
    pub(super) traffic: &'a Traffic,
    /// Bytes of the old image that a delta may read.
    pub(super) old_len: u64,
}

impl<'a> Pipeline<'a> {
    /// Writes all but the first 128 KiB, flushes it and reads it back. Returns those 128 KiB, and
    /// the supply for whatever it still has. `first_chunk` is the payload's first in the table.
    pub(super) fn run<'s>(
        &self,
        first_chunk: usize,
        supply: Supply<'s>,
    ) -> Result<(AlignedBuf, Supply<'s>)> {
        let spans = &self.work.spans;
        let room = SPAN_MAX + 2 * self.device.block_size();
        let buffers = Buffers::new(buffers(self.work).min(spans.len()), room)?;
        let feed = Feed::new(self.work, first_chunk, supply);
        let (written, to_read) = channel();
        let to_read = Mutex::new(to_read);
        let line = Line::new(self.device, self.places, spans, &self.readers, written)?;
        let carried = stop::carried();
        let works = || {
            let end = End(&line, &buffers, &feed);
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
                let worker = match n < self::workers(self.work) {
                    true => spare::scoped(scope, "write", || carried.over(works)).map(drop),
                    false => Ok(()),
                };
                if n == 0 {
                    (readers, workers) = (reader, worker);
                }
            }
            if let Err(failure) = readers.and(workers) {
                self.readers.fail(failure);
                drop(End(&line, &buffers, &feed));
            }
        });
        self.readers.go_on()?;
        Ok((line.into_first()?, feed.into_supply()))
    }

    /// The life of one worker: until all spans are taken, or something has failed.
    fn work(&self, feed: &Feed<'a, '_>, line: &Line, buffers: &Buffers) -> Result<()> {
        let mut hands = Hands::new(self.work.context)?;
        while let Some(strand) = feed.strand() {
            for index in strand {
                let into = (lead(self.device, &self.work.spans[index]), &mut hands.pieces);
                let Some(mut ticket) = feed.take(index, buffers, &mut hands.stored, into)? else {
                    return Ok(());
                };
                self.readers.go_on()?;
                match ticket.rebuilt {
                    true => self.rebuild(&mut hands, &mut ticket)?,
                    false => self.bring(&mut hands, &mut ticket)?,
                }
                line.add(ticket.index, ticket.plain);
                self.write(line, buffers)?;
            }
        }
        Ok(())
    }

    /// Writes what can be written now.
    fn write(&self, line: &Line, buffers: &Buffers) -> Result<()> {
        while let Some(ready) = line.ready()? {
            let placed = ready.placed;
            if !placed.bytes.is_empty() {
                self.device.write_at(placed.at, &ready.buffer[placed.bytes])?;
            }
            buffers.give(ready.buffer);
            line.written(ready.index);
            let image = &self.work.spans[ready.index].image;
            self.traffic.write(image.end - image.start);
            self.progress.add(image.end - image.start);
        }
        Ok(())
    }

    /// Brings the old bytes of a span that a delta has begun; each chunk has its hash compared.
    fn rebuild(&self, hands: &mut Hands<'a>, ticket: &mut Ticket<'_, '_>) -> Result<()> {
        let wrong = |detail: String| Failure::new(ReasonCode::DeltaBase, detail);
        let span = ticket.span;
        let lead = lead(self.device, span);
        let own = &mut ticket.plain[lead..lead + small(span.image.end - span.image.start)];
        let old = self.other.ok_or_else(|| wrong("there is no old image".to_owned()))?;
        let window = match &mut hands.window {
            Some(window) => window,
            none => none.insert(AlignedBuf::try_new(WINDOW)?),
        };
        let mut read = |at: u64, buf: &mut [u8]| {
            stop::look()?;
            // What cannot be read there is in the full artifact.
            let read = old.device.read_at(at, buf);
            read.map_err(|f| wrong(format!("the slot that runs: {}", f.detail())))
        };
        let bounds = (self.old_len, old.device.block_size() as u64);
        let pieces = &mut hands.pieces;
        self.traffic.copy(pieces.iter().map(|piece| u64::from(piece.len())).sum());
        carry_out(pieces, own, bounds, window, &mut read)?;
        for index in span.chunks.clone() {
            let plain = &own[self.within(span, index)];
            if Digest::of(plain) != self.places.chunks[index].plain {
                let detail = "does not come out as signed: the slot that runs has changed";
                return Err(wrong(format!("chunk {index} {detail}")));
            }
            self.readers.remember(index, plain);
        }
        Ok(())
    }

    /// Puts the plain bytes of a span's chunks into its buffer; each has had its hash compared.
    fn bring(&self, hands: &mut Hands<'a>, ticket: &mut Ticket<'_, '_>) -> Result<()> {
        let span = ticket.span;
        let lead = lead(self.device, span);
        let all = lead + small(span.image.end - span.image.start);
        let own = &mut ticket.plain[lead..all];
        // Those of a copied span that are not right are asked for together.
        let mut missing = Vec::new();
        if span.copied {
            missing = span.chunks.clone().filter(|i| !self.copied(hands, span, *i, own)).collect();
            self.fetch(hands, &missing, ticket.source)?;
        }
        let (mut missing, mut used) = (missing.into_iter().peekable(), 0);
        for index in span.chunks.clone() {
            let chunk = &self.places.chunks[index];
            let (before, rest) = own.split_at_mut(self.within(span, index).start);
            let plain = &mut rest[..chunk.plain_len as usize];
            if !span.copied || missing.next_if_eq(&index).is_some() {
                let stored = used..used + chunk.stored_len as usize;
                used = stored.end;
                self.decode(hands, (span, index), stored, before, plain)?;
            } else {
                self.traffic.copy(u64::from(chunk.plain_len));
            }
            self.readers.remember(index, plain);
        }
        if span.keep_from < span.chunks.end {
            let all = &ticket.plain[lead..all];
            self.hold(hands, span, span.keep_from..span.chunks.end, all)?;
        }
        Ok(())
    }

    /// Decodes a chunk whose stored bytes are in `hands.stored`; `before` are the plain bytes of its
    /// span up to it.
    fn decode(
        &self,
        hands: &mut Hands<'a>,
        (span, index): (&Span, usize),
        stored: Range<usize>,
        before: &[u8],
        plain: &mut [u8],
    ) -> Result<()> {
        self.traffic.use_stored(stored.len() as u64);
        let chunk = &self.places.chunks[index];
        let context = match self.places.context(index) {
            None => &[][..],
            Some(first) if first >= span.chunks.start => {
                &before[self.places.data_between(span.chunks.start, first)..]
            }
            Some(first) => {
                self.hold(hands, span, self.work.reach[index]..index, before)?;
                hands.held.from(first, self.places)
            }
        };
        let decoded = hands.decoder.decode(chunk, context, &hands.stored[stored], plain);
        decoded.map_err(|f| f.at(format_args!("chunk {index}")))
    }

    /// Holds the plain bytes of `chunks`: what the spans before have brought is held already, `before`
    /// are those of this span, and what stands is read from the slot and has its hash compared.
    fn hold(
        &self,
        hands: &mut Hands<'a>,
        span: &Span,
        chunks: Range<usize>,
        before: &[u8],
    ) -> Result<()> {
        hands.held.begin_at(chunks.start, self.places);
        while hands.held.end() < chunks.end {
            let index = hands.held.end();
            let chunk = &self.places.chunks[index];
            if chunk.is_zero() {
                hands.held.add(&[])?;
            } else if index >= span.chunks.start {
                let at = self.places.data_between(span.chunks.start, index);
                hands.held.add(&before[at..at + chunk.plain_len as usize])?;
            } else if self.origins[index] == Origin::Stands {
                let mut plain = Vec::new();
                spare::resize(&mut plain, chunk.plain_len as usize)?;
                let image = self.places.of(index);
                let reader = Hands::reader(&mut hands.slot, self.device)?;
                read_into(reader, image, &mut plain)?;
                if Digest::of(&plain) != chunk.plain {
                    return Err(read_back_failed(self.places, index));
                }
                hands.held.add(&plain)?;
            } else {
                let detail =
                    format!("chunk {index} is a context and was brought by another worker");
                return Err(Failure::new(ReasonCode::Internal, detail));
            }
        }
        Ok(())
    }

    /// Where a chunk lies among the plain bytes of its span.
    fn within(&self, span: &Span, index: usize) -> Range<usize> {
        let image = self.places.of(index);
        small(image.start - span.image.start)..small(image.end - span.image.start)
    }

    /// Asks the artifact for the stored bytes of these chunks, in one question.
    fn fetch(&self, hands: &mut Hands, chunks: &[usize], source: Option<&dyn Fetch>) -> Result<()> {
        let Some(first) = chunks.first() else { return Ok(()) };
        let Some(source) = source else {
            let detail = format!("chunk {first} was to be copied while a stream is read");
            return Err(Failure::new(ReasonCode::Internal, detail));
        };
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for index in chunks {
            let bytes = self.places.stored(&(*index..index + 1));
            match ranges.last_mut() {
                Some(last) if last.end == bytes.start => last.end = bytes.end,
                _ => ranges.push(bytes),
            }
        }
        let len = ranges.iter().map(|bytes| bytes.end - bytes.start).sum();
        spare::resize(&mut hands.stored, small(len))?;
        source.read_ranges(&ranges, &mut hands.stored)
    }

    /// Copies a chunk into the plain bytes of its span, and says whether it is the one that was signed. A
    /// medium that fails there has no say: the artifact has every chunk.
    fn copied(&self, hands: &mut Hands<'a>, span: &Span, index: usize, own: &mut [u8]) -> bool {
        let plain = &mut own[self.within(span, index)];
        let (Origin::CopyFrom { slot, at }, Some(other)) = (self.origins[index], self.other) else {
            return false;
        };
        let end = at.checked_add(plain.len() as u64).filter(|end| *end <= other.device.len());
        let (true, Some(end)) = (slot == other.slot, end) else {
            return false;
        };
        let reader = Hands::reader(&mut hands.other, other.device);
        let copied = reader.and_then(|reader| read_into(reader, at..end, plain));
        copied.is_ok() && Digest::of(plain) == self.places.chunks[index].plain
    }
}

/// Reads `range` of a medium; `plain` has its length.
fn read_into(reader: &mut MediumReader, range: Range<u64>, plain: &mut [u8]) -> Result<()> {
    let mut done = 0;
    reader.each(range, |bytes| {
        plain[done..done + bytes.len()].copy_from_slice(bytes);
        done += bytes.len();
        Ok(())
    })
}

/// What a worker holds.
struct Hands<'a> {
    decoder: Decoder,
    /// Stored bytes of the span at hand.
    stored: Vec<u8>,
    /// Contexts that reach before the span at hand.
    held: Held,
    /// Reads the slot that is written, and the one that is copied from; made when they are needed.
    slot: Option<MediumReader<'a>>,
    other: Option<MediumReader<'a>>,
    /// Old bytes, and where a delta says that they belong.
    window: Option<AlignedBuf>,
    pieces: Vec<Piece>,
}

impl<'a> Hands<'a> {
    fn new(context: usize) -> Result<Hands<'a>> {
        let (decoder, held) = (Decoder::new()?, Held::new(context));
        let (stored, pieces) = (Vec::new(), Vec::new());
        Ok(Hands { decoder, stored, held, slot: None, other: None, window: None, pieces })
    }

    fn reader<'h>(
        place: &'h mut Option<MediumReader<'a>>,
        device: &'a dyn BlockDevice,
    ) -> Result<&'h mut MediumReader<'a>> {
        let reader = match place.take() {
            Some(reader) => reader,
            None => MediumReader::of_chunks(device)?,
        };
        Ok(place.insert(reader))
    }
}

/// Lets everybody go who waits for a worker that failed, or that panicked.
struct End<'a, 'l, 's>(&'a Line<'l>, &'a Buffers, &'a Feed<'l, 's>);

impl Drop for End<'_, '_, '_> {
    fn drop(&mut self) {
        self.0.stop();
        self.1.close();
        self.2.close();
    }
}
