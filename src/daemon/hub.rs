//! Everything that happens, in order: to the journal, to whoever follows, and the last of it kept.

use crate::event::{Event, Sink};
use crate::sys::{clock, systemd};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much is kept for those who come later.
const KEPT: usize = 128;

/// A follower that is so far behind is let go; it may come again and say what it has seen.
const BEHIND: usize = 64;

/// At most five a second.
const PROGRESS: Duration = Duration::from_millis(200);

/// One event with its place in the order of this daemon's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// The version of this line's shape.
    pub v: u32,
    /// Counts from 1 in this daemon's life.
    pub number: u64,
    /// Seconds since 1970 by the clock of that moment.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Where all events of the daemon go.
#[derive(Default)]
pub struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    kept: VecDeque<Numbered>,
    number: u64,
    followers: Vec<SyncSender<Numbered>>,
    pace: Pace,
}

/// Lets progress through five times a second, and everything else always.
#[derive(Debug, Default)]
pub(super) struct Pace {
    progressed: Option<Instant>,
}

impl Pace {
    pub(super) fn admits(&mut self, event: &Event) -> bool {
        if !matches!(event, Event::Progress { .. }) {
            return true;
        }
        let due = self.progressed.is_none_or(|t| t.elapsed() >= PROGRESS);
        if due {
            self.progressed = Some(Instant::now());
        }
        due
    }
}

impl Hub {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that is kept.
    pub fn kept(&self) -> Vec<Numbered> {
        self.inner().kept.iter().cloned().collect()
    }

    /// What is kept with a higher number than `after`, and everything from now on.
    pub fn follow(&self, after: u64) -> (Vec<Numbered>, Receiver<Numbered>) {
        let mut inner = self.inner();
        let (sender, receiver) = sync_channel(BEHIND);
        inner.followers.push(sender);
        let kept = inner.kept.iter().filter(|n| n.number > after).cloned().collect();
        (kept, receiver)
    }
}

impl Sink for Hub {
    fn emit(&self, event: &Event) {
        let mut inner = self.inner();
        if !inner.pace.admits(event) {
            return;
        }
        inner.number += 1;
        let (number, at) = (inner.number, clock::unix_seconds());
        let told = Numbered { v: 1, number, at, event: event.clone() };
        inner.followers.retain(|f| f.try_send(told.clone()).is_ok());
        if !matches!(event, Event::Progress { .. }) {
            if inner.kept.len() == KEPT {
                inner.kept.pop_front();
            }
            inner.kept.push_back(told);
        }
        drop(inner);
        if let Some(told) = event.told() {
            let fields = [
                ("MESSAGE", told.line.as_str()),
                ("MESSAGE_ID", told.id),
                ("PRIORITY", told.priority),
                ("SYSLOG_IDENTIFIER", "surefoot"),
            ];
            if systemd::journal(&fields).is_err() {
                eprintln!("surefoot: {}", told.line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(n: usize) -> Event {
        Event::Warning { text: n.to_string() }
    }

    #[test]
    fn who_comes_late_gets_what_is_kept_and_then_what_comes() {
        let hub = Hub::default();
        (0..KEPT + 10).for_each(|n| hub.emit(&warning(n)));
        let (kept, from_now) = hub.follow(20);
        assert_eq!(kept.first().map(|n| n.number), Some(21));
        assert_eq!(kept.len(), KEPT + 10 - 20);
        hub.emit(&warning(1_000));
        assert_eq!(from_now.recv().unwrap().event, warning(1_000));
    }

    #[test]
    fn progress_is_told_five_times_a_second_and_not_kept() {
        let hub = Hub::default();
        let (_, followed) = hub.follow(0);
        let phase = crate::event::Phase::Write;
        (0..10_000).for_each(|done| hub.emit(&Event::Progress { phase, done, total: 10_000 }));
        assert!(followed.try_iter().count() < 20);
        assert_eq!(hub.follow(0).0, []);
    }

    #[test]
    fn a_follower_that_does_not_read_is_let_go() {
        let hub = Hub::default();
        let (_, slow) = hub.follow(0);
        (0..BEHIND * 2).for_each(|n| hub.emit(&warning(n)));
        assert_eq!(slow.iter().count(), BEHIND, "and then the line ends");
    }
}
