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
use super::medium::{MediumReader, STRETCH, THREADS};
use super::progress::Progress;
use super::spans::{Places, SPAN_MAX, Span, Work};
use crate::artifact::Decoder;
use crate::disk::BlockDevice;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::AlignedBuf;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Plain buffers in flight: one in each decoder's hands, one being written, the rest waiting.
const BUFFERS: usize = 6;

/// Image bytes after which what was written is flushed and read back.
const WINDOW: u64 = 32 << 20;

/// A decoded span, or why there is none.
type Decoded = Result<(usize, AlignedBuf)>;

/// What is ready to be read back.
enum Run {
    /// One chunk of zeros, before anything else.
    Settled(usize),
    /// The chunks of this range, but for settled ones.
    Written(Range<usize>),
}

/// Everything that the threads share.
pub(super) struct Pipeline<'a> {
    pub(super) device: &'a dyn BlockDevice,
    pub(super) places: &'a Places<'a>,
    pub(super) work: &'a Work,
    /// Which chunks the medium must be read back for.
    pub(super) suspect: &'a (dyn Fn(usize) -> bool + Sync),
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
        let verdict = Verdict::default();
        let first = std::thread::scope(|scope| {
            for _ in 0..THREADS {
                let filled = filled.clone();
                scope.spawn(|| self.decode(&feed, filled));
                scope.spawn(|| self.read_back(&to_read, &verdict));
            }
            drop(filled);
            // Its ends of the channels close when it returns: that is what stops the others.
            self.write(decoded, empty, written, &verdict)
        })?;
        verdict.into_result()?;
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
        verdict: &Verdict,
    ) -> Result<AlignedBuf> {
        let mut layer = Layer::new(self.device);
        for range in &self.work.zeros {
            layer.zero(range)?;
        }
        // Nothing more is written into zeros that end with their blocks. They can be long; read
        // back at once they keep nobody waiting at the end.
        self.device.flush()?;
        for index in (0..self.places.count()).filter(|i| self.is_settled(*i)) {
            let _readers_live_on = written.send(Run::Settled(index));
        }
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
                self.progress
                    .add(spans[next].image.end - spans[next].image.start);
                // Nobody needs it if every span has been taken.
                let _or_dropped = empty.try_send(buf);
                next += 1;
                verdict.go_on()?;
                let ready = self.places.ending_by(safe);
                if unread < ready && self.places.between(unread, ready) >= WINDOW {
                    self.device.flush()?;
                    let _readers_live_on = written.send(Run::Written(unread..ready));
                    unread = ready;
                }
            }
        }
        if next != spans.len() {
            let detail = format!("{next} of {} spans were decoded", spans.len());
            return Err(Failure::new(ReasonCode::Internal, detail));
        }
        self.device.flush()?;
        for run in self.places.runs_from(unread, STRETCH) {
            let _readers_live_on = written.send(Run::Written(run));
        }
        Ok(layer.into_first())
    }

    fn read_back(&self, runs: &Mutex<Receiver<Run>>, verdict: &Verdict) {
        let mut reader = MediumReader::new(self.device);
        loop {
            let next = runs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(run) = next else { return };
            let found = |index, same| match same {
                true => Ok(()),
                false => Err(read_back_failed(self.places, index)),
            };
            let suspect = self.suspect;
            let compared = match run {
                Run::Settled(index) => {
                    reader.compare(self.places, index..index + 1, suspect, found)
                }
                Run::Written(run) => {
                    let wanted = |i| suspect(i) && !self.is_settled(i);
                    reader.compare(self.places, run, wanted, found)
                }
            };
            if let Err(failure) = compared {
                verdict.fail(failure);
                return;
            }
        }
    }

    /// Whether a chunk is zeros that share no block with what is written.
    fn is_settled(&self, index: usize) -> bool {
        let block = self.device.block_size() as u64;
        let image = self.places.of(index);
        self.places.chunks[index].is_zero()
            && image.start >= FIRST_LEN
            && image.start.is_multiple_of(block)
            && image.end.is_multiple_of(block)
    }
}

/// The medium does not hold what chunk `index` says.
pub(super) fn read_back_failed(places: &Places, index: usize) -> Failure {
    let bytes = places.of(index);
    Failure::new(
        ReasonCode::ReadBack,
        format!(
            "bytes {}..{} read back differently (chunk {index})",
            bytes.start, bytes.end
        ),
    )
}

/// What the readers found, for the writer to stop at.
#[derive(Default)]
struct Verdict {
    failed: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

impl Verdict {
    fn fail(&self, failure: Failure) {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failure);
        self.failed.store(true, Ordering::Release);
    }

    fn go_on(&self) -> Result<()> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone().map_or(Ok(()), Err)
    }

    fn into_result(self) -> Result<()> {
        let failure = self
            .failure
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }
}
