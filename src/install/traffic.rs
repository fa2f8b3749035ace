//! Bytes on their way into a slot, counted by all who move them.

use super::part::PartOrder;
use crate::event::Moved;
use crate::source::Source;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The counters of one writing.
pub(super) struct Traffic {
    /// What counts the bytes of its answers; none where no network is involved.
    received: Option<Box<dyn Fn() -> u64 + Send + Sync>>,
    started: Instant,
    /// Stored bytes that are to be used.
    to_fetch: u64,
    /// Image bytes that stand already.
    kept: u64,
    /// Stored bytes that were used.
    fetched: AtomicU64,
    /// Image bytes that were copied and are right.
    copied: AtomicU64,
    /// Image bytes that were written.
    written: AtomicU64,
}

impl Traffic {
    /// Nothing has moved yet.
    pub(super) fn new(source: &Source, parts: &[PartOrder], to_fetch: u64) -> Traffic {
        let received = source.counter();
        let kept = parts.iter().map(PartOrder::kept).sum();
        let [fetched, copied, written] = [0; 3].map(AtomicU64::new);
        Traffic { received, started: Instant::now(), to_fetch, kept, fetched, copied, written }
    }

    /// A chunk with so many stored bytes is decoded.
    pub(super) fn use_stored(&self, bytes: u64) {
        self.fetched.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A chunk is copied and right.
    pub(super) fn copy(&self, bytes: u64) {
        self.copied.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A span is written.
    pub(super) fn write(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Stored bytes used, and image bytes copied.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.fetched.load(Ordering::Relaxed), self.copied.load(Ordering::Relaxed))
    }

    /// How it stands now.
    pub(super) fn moved(&self) -> Moved {
        let (used, copied) = self.totals();
        let received = self.received.as_ref().map_or(0, |received| received());
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = used.saturating_mul(1000) / millis;
        let left = self.to_fetch.saturating_sub(used);
        Moved {
            fetched: used.max(received),
            reused: self.kept + copied,
            written: self.written.load(Ordering::Relaxed),
            rate,
            seconds_left: if left == 0 { Some(0) } else { left.checked_div(rate) },
        }
    }
}
