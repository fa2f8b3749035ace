//! The overlapping part: decode, write, flush, read back, with a bounded number of buffers.
//!
//! ```text
//! source ─▶ 2 decoders ─▶ this thread lays spans down in order ─▶ 2 readers compare the medium
//!              ▲                    │
//!              └── empty buffers ◀──┘
//! ```

use super::FIRST_LEN;
use super::feed::Feed;
use super::lay::{Layer, lead};
use super::medium::THREADS;
use super::progress::Progress;
use super::readers::{Readers, Run};
use super::spans::{Places, SPAN_MAX, Span, Work};
use crate::artifact::Decoder;
use crate::disk::BlockDevice;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::AlignedBuf;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Plain buffers in flight: one in each decoder's hands, one being written, the rest waiting.
const BUFFERS: usize = 6;

/// Image bytes after which what was written is flushed and read back.
const WINDOW: u64 = 32 << 20;

/// A decoded span, or why there is none.
type Decoded = Result<(usize, AlignedBuf)>;

/// What the decoders and the writer share.
pub(super) struct Pipeline<'a> {
    pub(super) device: &'a dyn BlockDevice,
    pub(super) places: &'a Places<'a>,
    pub(super) work: &'a Work,
    pub(super) readers: Readers<'a>,
    pub(super) progress: &'a Progress<'a>,
}

impl Pipeline<'_> {
    /// Writes all but the first 128 KiB, flushes it and reads it back. Returns those 128 KiB.
    /// `make_feed` gets the end at which empty buffers arrive.
    pub(super) fn run<'f>(
        &self,
        make_feed: impl FnOnce(Receiver<AlignedBuf>) -> Feed<'f>,
    ) -> Result<(AlignedBuf, Feed<'f>)> {
        let (empty, buffers) = sync_channel(BUFFERS);
        let room = SPAN_MAX + 2 * self.device.block_size();
        for _ in 0..BUFFERS.min(self.work.spans.len()) {
            let _has_room = empty.send(AlignedBuf::new(room));
        }
        let feed = make_feed(buffers);
        let (filled, decoded) = sync_channel(BUFFERS);
        let (written, to_read) = channel();
        let to_read = Mutex::new(to_read);
        let first = std::thread::scope(|scope| {
            for _ in 0..THREADS {
                let filled = filled.clone();
                scope.spawn(|| self.decode(&feed, filled));
                scope.spawn(|| self.readers.read_back(&to_read));
            }
            drop(filled);
            // Its ends of the channels close when it returns: that is what stops the others.
            let first = self.write(decoded, empty, written);
            first.inspect_err(|failure| self.readers.fail(failure.clone()))
        })?;
        self.readers.go_on()?;
        Ok((first, feed))
    }

    fn decode(&self, feed: &Feed, filled: SyncSender<Decoded>) {
        let mut decoder = match Decoder::new() {
            Ok(decoder) => decoder,
            Err(failure) => return drop(filled.send(Err(failure))),
        };
        let mut stored = Vec::new();
        loop {
            let decoded = match feed.take(&mut stored) {
                Ok(None) => return,
                Ok(Some(ticket)) => {
                    let mut plain = ticket.plain;
                    let done = self.decode_span(&mut decoder, ticket.span, &stored, &mut plain);
                    done.map(|()| (ticket.index, plain))
                }
                Err(failure) => Err(failure),
            };
            let stop = decoded.is_err();
            if filled.send(decoded).is_err() || stop {
                return;
            }
        }
    }

    fn decode_span(
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
            (stored, at) = (rest, end);
        }
        Ok(())
    }

    fn write(
        &self,
        decoded: Receiver<Decoded>,
        empty: SyncSender<AlignedBuf>,
        written: Sender<Run>,
    ) -> Result<AlignedBuf> {
        let mut layer = Layer::new(self.device);
        for range in &self.work.zeros {
            layer.zero(range)?;
        }
        self.readers.hand_out_settled(&written);
        let spans = &self.work.spans;
        let mut next = 0;
        let mut early = BTreeMap::new();
        // The chunks of the first 128 KiB are read back in the last phase.
        let mut unread = self.places.starting_below(FIRST_LEN);
        for span in decoded {
            let (index, buf) = span?;
            early.insert(index, buf);
            while let Some(mut buf) = early.remove(&next) {
                let follower = spans.get(next + 1);
                let follows = follower.is_some_and(|f| f.image.start == spans[next].image.end);
                let safe = layer.lay(&spans[next], &mut buf, follows)?;
                self.progress.add(spans[next].image.end - spans[next].image.start);
                // Nobody needs it if every span has been taken.
                let _or_dropped = empty.try_send(buf);
                next += 1;
                self.readers.go_on()?;
                let ready = self.places.ending_by(safe);
                if unread < ready && self.places.between(unread, ready) >= WINDOW {
                    self.readers.hand_out(unread..ready, &written);
                    unread = ready;
                }
            }
        }
        if next != spans.len() {
            let detail = format!("{next} of {} spans were decoded", spans.len());
            return Err(Failure::new(ReasonCode::Internal, detail));
        }
        self.readers.hand_out(unread..self.places.count(), &written);
        Ok(layer.into_first())
    }
}
