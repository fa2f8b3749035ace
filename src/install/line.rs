//! Spans come decoded in any order and are laid out in theirs; then they are written side by
//! side, and handed on to be read back when nothing below them is missing.

use super::FIRST_LEN;
use super::lay::{Layer, Placed, lead};
use super::readers::{Readers, Run};
use super::spans::{Places, Span};
use crate::disk::BlockDevice;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::AlignedBuf;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Image bytes after which what was written is flushed and read back.
const WINDOW: u64 = 32 << 20;

/// Stored bytes after which it is, too: what a cut loses has to be fetched again, and a slow
/// source brings few of them in a long time (`pipeline.rs` adds up what that can be).
pub(super) const STORED_WINDOW: u64 = 2 << 20;

/// The queue between decoding and writing.
pub(super) struct Line<'a> {
    device: &'a dyn BlockDevice,
    places: &'a Places<'a>,
    spans: &'a [Span],
    readers: &'a Readers<'a>,
    state: Mutex<State<'a>>,
}

struct State<'a> {
    layer: Layer<'a>,
    /// Decoded, but one before it is not.
    early: BTreeMap<usize, AlignedBuf>,
    /// The next to be laid out.
    next: usize,
    /// Laid out and not yet written.
    writing: BTreeSet<usize>,
    /// The first chunk that was not handed to the readers. Those of the first 128 KiB are read
    /// back in the last phase.
    unread: usize,
    /// Dropped when there is no more: that is what ends the readers.
    to_read: Option<Sender<Run>>,
}

/// A span that can be written now.
pub(super) struct Ready {
    pub(super) index: usize,
    pub(super) buffer: AlignedBuf,
    pub(super) placed: Placed,
}

impl<'a> Line<'a> {
    pub(super) fn new(
        device: &'a dyn BlockDevice,
        places: &'a Places<'a>,
        spans: &'a [Span],
        readers: &'a Readers<'a>,
        to_read: Sender<Run>,
    ) -> Result<Line<'a>> {
        let layer = Layer::new(device)?;
        readers.hand_out_settled(&to_read);
        let line = Line {
            device,
            places,
            spans,
            readers,
            state: Mutex::new(State {
                layer,
                early: BTreeMap::new(),
                next: 0,
                writing: BTreeSet::new(),
                unread: places.starting_below(FIRST_LEN),
                to_read: Some(to_read),
            }),
        };
        line.hand_out(&mut line.state());
        Ok(line)
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A span is decoded. Who adds one must then take what is [`Line::ready`].
    pub(super) fn add(&self, index: usize, buffer: AlignedBuf) {
        self.state().early.insert(index, buffer);
    }

    /// The next span, laid out, if it is decoded.
    pub(super) fn ready(&self) -> Result<Option<Ready>> {
        let mut state = self.state();
        let index = state.next;
        let Some(mut buffer) = state.early.remove(&index) else {
            return Ok(None);
        };
        let (span, after) = (&self.spans[index], self.spans.get(index + 1));
        let placed = state.layer.lay(span, &mut buffer, after)?;
        state.next += 1;
        state.writing.insert(index);
        Ok(Some(Ready { index, buffer, placed }))
    }

    /// A span is written.
    pub(super) fn written(&self, index: usize) {
        let mut state = self.state();
        state.writing.remove(&index);
        self.hand_out(&mut state);
    }

    /// Hands to the readers what lies below the first span that is not written.
    fn hand_out(&self, state: &mut State) {
        let missing = state.writing.first().copied().unwrap_or(state.next);
        let (ready, all) = match self.spans.get(missing) {
            // Its first block may be shared, and is not written before it.
            Some(span) => {
                let start = span.image.start - lead(self.device, span) as u64;
                (self.places.ending_by(start), false)
            }
            None => (self.places.count(), true),
        };
        let enough = ready > state.unread && {
            let stored = self.places.stored(&(state.unread..ready));
            self.places.between(state.unread, ready) >= WINDOW
                || stored.end - stored.start >= STORED_WINDOW
        };
        if let Some(to_read) = &state.to_read
            && (enough || all)
        {
            self.readers.hand_out(state.unread..ready, to_read);
            state.unread = ready;
        }
        if all {
            state.to_read = None;
        }
    }

    /// Nothing more comes.
    pub(super) fn stop(&self) {
        self.state().to_read = None;
    }

    /// The first 128 KiB, when everything is written.
    pub(super) fn into_first(self) -> Result<AlignedBuf> {
        let state = self.state.into_inner();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        if state.next != self.spans.len() || !state.writing.is_empty() {
            let detail = format!("{} of {} spans are written", state.next, self.spans.len());
            return Err(Failure::new(ReasonCode::Internal, detail));
        }
        Ok(state.layer.into_first())
    }
}
