//! Progress of one phase, at most twenty times a second.

use super::traffic::Traffic;
use crate::event::{Event, Moved, Phase, Sink};
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
    /// What moves meanwhile, where something does.
    traffic: Option<&'a Traffic>,
}

impl<'a> Progress<'a> {
    /// Announces the phase.
    pub(super) fn start(sink: &'a dyn Sink, phase: Phase, total: u64) -> Progress<'a> {
        sink.emit(&Event::PhaseStarted { phase, total });
        let last = Mutex::new(Instant::now());
        Progress { sink, phase, total, done: AtomicU64::new(0), last, traffic: None }
    }

    /// Announces the writing.
    pub(super) fn of(sink: &'a dyn Sink, total: u64, traffic: &'a Traffic) -> Progress<'a> {
        Progress { traffic: Some(traffic), ..Progress::start(sink, Phase::Write, total) }
    }

    /// `bytes` more are behind us.
    pub(super) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= INTERVAL {
            *last = Instant::now();
            let (phase, total, moved) = (self.phase, self.total, self.moved());
            self.sink.emit(&Event::Progress { phase, done, total, moved });
        }
    }

    fn moved(&self) -> Option<Moved> {
        self.traffic.map(Traffic::moved)
    }

    /// The phase ended well.
    pub(super) fn end(self) {
        let moved = self.moved();
        let (phase, done) = (self.phase, self.done.into_inner());
        self.sink.emit(&Event::PhaseEnded { phase, done, moved });
    }
}
