//! Everything that happens, in order: to the journal, to whoever follows, and the last of it kept.

use crate::event::{Event, Sink};
use crate::request::Numbered;
use crate::sys::{clock, systemd};
use std::collections::VecDeque;
use std::io::{Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How much is kept for those who come later.
const KEPT: usize = 128;

/// A follower that is so far behind is let go; it may come again and say what it has seen.
const BEHIND: usize = 64;

/// At most five a second.
const PROGRESS: Duration = Duration::from_millis(200);

/// Where all events of the daemon go.
#[derive(Default)]
pub struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    kept: VecDeque<Numbered>,
    number: u64,
    followers: Vec<Rope>,
    pace: Pace,
}

/// Our end of a follower's line: what he is told, and the bell that says so.
struct Rope {
    /// Lives as long as the follower.
    held: Weak<()>,
    told: SyncSender<Numbered>,
    bell: UnixStream,
}

impl Rope {
    /// False if he is too far behind, or gone.
    fn tell(&self, told: &Numbered) -> bool {
        let taken = self.told.try_send(told.clone()).is_ok();
        // A bell that is full has rung.
        let _ = (&self.bell).write(b"!");
        taken
    }
}

/// Everything from a moment on.
pub struct Follower {
    /// Dropped with it: it says whether the other end is still held.
    _holds: Arc<()>,
    told: Receiver<Numbered>,
    bell: UnixStream,
}

impl Follower {
    /// The next event. `wait` returns when there is something at the bell, and false where it is
    /// no use to wait any longer; `None` then, and for a follower that was let go.
    pub fn next(&self, wait: impl Fn(&UnixStream) -> Result<bool>) -> Option<Numbered> {
        loop {
            match self.told.try_recv() {
                Ok(told) => return Some(told),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if !wait(&self.bell).unwrap_or(false) => return None,
                // Emptied before the next look, so that no ring is lost.
                Err(TryRecvError::Empty) => {
                    let _ = (&self.bell).read(&mut [0; 256]);
                }
            }
        }
    }
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

    /// What is kept with a higher number than `after`. A number that is not reached yet was
    /// counted by a daemon that is gone: then all of it.
    pub fn kept(&self, after: u64) -> Vec<Numbered> {
        kept(&self.inner(), after)
    }

    /// The same, and everything from now on.
    pub fn follow(&self, after: u64) -> Result<(Vec<Numbered>, Follower)> {
        let (here, there) = UnixStream::pair()?;
        here.set_nonblocking(true)?;
        there.set_nonblocking(true)?;
        let (sender, receiver) = sync_channel(BEHIND);
        let holds = Arc::new(());
        let held = Arc::downgrade(&holds);
        let mut inner = self.inner();
        // Days may go by until the next event: a follower that has left must not keep a descriptor
        // until then.
        inner.followers.retain(|rope| rope.held.strong_count() > 0);
        inner.followers.push(Rope { held, told: sender, bell: here });
        let follower = Follower { _holds: holds, told: receiver, bell: there };
        Ok((kept(&inner, after), follower))
    }
}

fn kept(inner: &Inner, after: u64) -> Vec<Numbered> {
    let after = if after > inner.number { 0 } else { after };
    inner.kept.iter().filter(|n| n.number > after).cloned().collect()
}

impl Sink for Hub {
    fn emit(&self, event: &Event) {
        systemd::progress();
        let mut inner = self.inner();
        if !inner.pace.admits(event) {
            return;
        }
        let event = event.shown();
        inner.number += 1;
        let (number, at) = (inner.number, clock::unix_seconds());
        let told = Numbered { v: 1, number, at, event: event.clone() };
        inner.followers.retain(|f| f.tell(&told));
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

    /// All that is there already.
    fn there(follower: &Follower) -> usize {
        std::iter::from_fn(|| follower.next(|_| Ok(false))).count()
    }

    #[test]
    fn who_comes_late_gets_what_is_kept_and_then_what_comes() {
        let hub = Hub::default();
        (0..KEPT + 10).for_each(|n| hub.emit(&warning(n)));
        let (kept, from_now) = hub.follow(20).unwrap();
        assert_eq!(kept.first().map(|n| n.number), Some(21));
        assert_eq!(kept.len(), KEPT + 10 - 20);
        std::thread::scope(|scope| {
            let next = scope.spawn(move || {
                let (_here, there) = UnixStream::pair().unwrap();
                from_now.next(|bell| crate::sys::unix::wait_unless_gone(bell, &there))
            });
            std::thread::sleep(Duration::from_millis(50));
            hub.emit(&warning(1_000));
            assert_eq!(next.join().unwrap().map(|n| n.event), Some(warning(1_000)));
        });
        assert_eq!(hub.kept(1_000_000).len(), KEPT, "a number of another life");
    }

    #[test]
    fn progress_is_told_five_times_a_second_and_not_kept() {
        let hub = Hub::default();
        let (_, followed) = hub.follow(0).unwrap();
        let phase = crate::event::Phase::Write;
        (0..10_000).for_each(|done| {
            hub.emit(&Event::Progress { phase, done, total: 10_000, moved: None })
        });
        assert!((1..20).contains(&there(&followed)));
        assert_eq!(hub.kept(0), []);
    }

    #[test]
    fn who_has_left_keeps_nothing_of_ours_while_nothing_happens() {
        let hub = Hub::default();
        let (_, stays) = hub.follow(0).unwrap();
        (0..100).for_each(|_| drop(hub.follow(0).unwrap()));
        let ropes = hub.inner().followers.len();
        assert!(ropes <= 2, "{ropes} ropes, one of which is held");
        hub.emit(&warning(1));
        assert_eq!(there(&stays), 1, "and who stays is told");
    }

    #[test]
    fn a_follower_that_does_not_read_is_let_go() {
        let hub = Hub::default();
        let (_, slow) = hub.follow(0).unwrap();
        (0..BEHIND * 2).for_each(|n| hub.emit(&warning(n)));
        assert_eq!(there(&slow), BEHIND);
        let ended = slow.next(|_| panic!("it waits for what never comes"));
        assert_eq!(ended, None, "and then the line ends");
    }
}
