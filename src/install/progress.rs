//! Progress of one phase, at most twenty times a second.

use crate::event::{Event, Phase, Sink};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(50);

/// Counts bytes of one phase from any number of threads.
pub(super) struct Progress<'a> {
    sink: &'a dyn Sink,
    phase: Phase,
    total: u64,
    done: AtomicU64,
    last: Mutex<Instant>,
}

impl<'a> Progress<'a> {
    /// Announces the phase.
    pub(super) fn start(sink: &'a dyn Sink, phase: Phase, total: u64) -> Progress<'a> {
        sink.emit(&Event::PhaseStarted { phase, total });
        Progress { sink, phase, total, done: AtomicU64::new(0), last: Mutex::new(Instant::now()) }
    }

    /// `bytes` more are behind us.
    pub(super) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= INTERVAL {
            *last = Instant::now();
            self.sink.emit(&Event::Progress { phase: self.phase, done, total: self.total });
        }
    }

    /// The phase ended well.
    pub(super) fn end(self) {
        self.sink.emit(&Event::PhaseEnded { phase: self.phase, done: self.done.into_inner() });
    }
}
