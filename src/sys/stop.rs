//! The word that ends a piece of work, whatever it does at that moment.
//!
//! A thread carries the flag of the work that it takes part in. Each phase looks at the flag in
//! its loop, and each wait is cut into slices of [`SLICE`] with a look between them. So it is
//! certain by construction, and not by measuring, that a word is noticed within a second.

use crate::model::{Failure, Result};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// The longest time that a waiting thread goes without a look.
pub const SLICE: Duration = Duration::from_millis(200);

/// A flag that is set once at most. Clones are the same flag.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    word: Mutex<Word>,
    set: AtomicBool,
    looks: AtomicU64,
}

#[derive(Debug, Default)]
enum Word {
    #[default]
    Open,
    /// The failure that the work ends with.
    Set(Failure),
    /// The work has passed the point after which it is not stopped.
    Sealed,
}

impl Stop {
    /// Ends the work with this failure. False where it has passed the last point at which it can
    /// be stopped; the first word counts.
    pub fn set(&self, why: Failure) -> bool {
        let mut word = self.0.word.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*word, Word::Open) {
            *word = Word::Set(why);
        }
        // Also after the seal: what is only waited for need not be waited for any longer.
        self.0.set.store(true, Ordering::Release);
        matches!(*word, Word::Set(_))
    }

    /// From here on the work is not stopped, or the failure where the word came before.
    pub fn seal(&self) -> Result<()> {
        let mut word = self.0.word.lock().unwrap_or_else(PoisonError::into_inner);
        match &*word {
            Word::Set(why) => Err(why.clone()),
            Word::Open | Word::Sealed => {
                *word = Word::Sealed;
                Ok(())
            }
        }
    }

    /// The failure that the work ends with, once the flag is set.
    pub fn word(&self) -> Option<Failure> {
        if !self.is_set() {
            return None;
        }
        match &*self.0.word.lock().unwrap_or_else(PoisonError::into_inner) {
            Word::Set(why) => Some(why.clone()),
            Word::Open | Word::Sealed => None,
        }
    }

    /// Whether it is set. Counts the look.
    pub fn is_set(&self) -> bool {
        self.0.looks.fetch_add(1, Ordering::Relaxed);
        self.0.set.load(Ordering::Acquire)
    }

    /// How often anybody has looked: so that a test can tell that a phase does.
    pub fn looks(&self) -> u64 {
        self.0.looks.load(Ordering::Relaxed)
    }

    /// Does something as a part of the work that this flag ends.
    pub fn over<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = CARRIED.replace(Some(self.clone()));
        let _restored = Restored(before);
        work()
    }
}

struct Restored(Option<Stop>);

impl Drop for Restored {
    fn drop(&mut self) {
        CARRIED.set(self.0.take());
    }
}

thread_local! {
    static CARRIED: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// The flag of the work that this thread takes part in; one that nobody sets where there is none.
pub fn carried() -> Stop {
    CARRIED.with_borrow(Clone::clone).unwrap_or_default()
}

/// Whether the work that this thread takes part in is to end.
pub fn is_set() -> bool {
    CARRIED.with_borrow(|stop| stop.as_ref().is_some_and(Stop::is_set))
}

/// The failure that the work ends with, if it is to end.
pub fn look() -> Result<()> {
    CARRIED.with_borrow(|stop| stop.as_ref().and_then(Stop::word).map_or(Ok(()), Err))
}

/// The same for those who read: any error ends a reader, and what is told is the flag's word.
pub fn look_reading() -> std::io::Result<()> {
    look().map_err(std::io::Error::other)
}

/// Sleeps, and not longer than until the work is to end.
pub fn sleep(time: Duration) {
    let due = Instant::now() + time;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() || is_set() {
            return;
        }
        std::thread::sleep(left.min(SLICE));
    }
}

/// Waits for something that cannot look at the flag itself. `None` where the work is to end; what
/// was waited for is left alone then, and ends at its own deadline.
pub fn unless_set<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if CARRIED.with_borrow(Option::is_none) {
        return Some(work());
    }
    let (sender, done) = mpsc::channel();
    let work = Arc::new(Mutex::new(Some(work)));
    let theirs = Arc::clone(&work);
    let waits = super::spare::thread("wait", move || taken(&theirs).map(|w| sender.send(w())));
    if waits.is_err() {
        // Without a thread it is done here, where nothing looks at the flag meanwhile.
        return taken(&work).map(|work| work());
    }
    loop {
        match done.recv_timeout(SLICE) {
            Ok(found) => return Some(found),
            Err(mpsc::RecvTimeoutError::Timeout) if !is_set() => super::systemd::waits(),
            Err(_) => return None,
        }
    }
}

fn taken<W>(work: &Mutex<Option<W>>) -> Option<W> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReasonCode;

    fn word() -> Failure {
        Failure::new(ReasonCode::Requested, "enough")
    }

    #[test]
    fn the_first_word_counts_and_none_after_the_seal() {
        let stop = Stop::default();
        assert_eq!(stop.word(), None);
        assert!(stop.set(word()) && stop.set(Failure::new(ReasonCode::Io, "too late")));
        assert_eq!((stop.word(), stop.seal()), (Some(word()), Err(word())));
        let stop = Stop::default();
        stop.seal().unwrap();
        assert!(!stop.set(word()));
        assert_eq!((stop.word(), stop.seal()), (None, Ok(())));
        assert!(stop.is_set(), "nothing is waited for any longer");
        stop.over(|| assert!(look().is_ok(), "and what is being done is done"));
    }

    #[test]
    fn a_thread_carries_the_flag_of_its_work_and_of_no_other() {
        let (outer, inner) = (Stop::default(), Stop::default());
        outer.set(word());
        assert!(look().is_ok());
        outer.over(|| {
            assert_eq!(look(), Err(word()));
            inner.over(|| assert!(look().is_ok()));
            assert!(is_set());
            let other = std::thread::spawn(is_set);
            assert!(!other.join().unwrap());
        });
        assert!(look().is_ok() && !is_set());
        assert!(outer.looks() >= 2);
    }

    #[test]
    fn every_wait_ends_with_the_work() {
        let stop = Stop::default();
        let (flag, never) = (stop.clone(), Duration::from_secs(3_600));
        let waits = std::thread::spawn(move || {
            flag.over(|| {
                sleep(never);
                unless_set(move || std::thread::sleep(never))
            })
        });
        let begun = Instant::now();
        while stop.looks() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        stop.set(word());
        assert_eq!(waits.join().unwrap(), None);
        assert_eq!(unless_set(|| 1), Some(1), "outside of any work nothing is in the way");
    }
}
