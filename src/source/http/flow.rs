//! What all transfers of one fetcher share: what was received, what may still be, how fast, and when
//! a fruitless try is made again.

use super::question::Setup;
use super::{Miss, WAIT_MAX};
use crate::model::{Failure, ReasonCode};
use crate::sys::net;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest pause after a fruitless try.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// A pause ends so soon where it is of no use any more.
const SLICE: Duration = Duration::from_millis(100);

/// The longest pause after a cut that has brought bytes.
const BREATH: Duration = Duration::from_millis(800);

#[derive(Debug)]
pub(super) struct Flow {
    received: AtomicU64,
    budget: Option<u64>,
    rate: Option<u64>,
    /// When the next byte may come, by the rate.
    free: Mutex<Instant>,
    tries: Mutex<Tries>,
    patience: Option<Duration>,
    pause: Duration,
}

#[derive(Debug)]
struct Tries {
    fruitless: u32,
    /// Cuts in a row, each after some bytes.
    cuts: u32,
    /// When the first of them was.
    since: Instant,
}

impl Flow {
    pub(super) fn new(setup: &Setup) -> Flow {
        let now = Instant::now();
        Flow {
            received: AtomicU64::new(0),
            budget: setup.budget,
            rate: setup.rate.filter(|rate| *rate > 0),
            free: Mutex::new(now),
            tries: Mutex::new(Tries { fruitless: 0, cuts: 0, since: now }),
            patience: setup.patience.map(Duration::from_millis),
            pause: Duration::from_millis(setup.pause.max(1)),
        }
    }

    /// Bytes of bodies so far.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How many bytes may be read at once: small pieces make an even flow.
    pub(super) fn piece(&self) -> usize {
        let even = self.rate.map_or(u64::MAX, |rate| (rate / 8).max(1));
        usize::try_from(even).unwrap_or(usize::MAX)
    }

    /// So many bytes came: they are counted, and the next ones have to wait for their time.
    pub(super) fn came(&self, bytes: usize) -> Result<(), Failure> {
        let bytes = bytes as u64;
        let all = self.received.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some(budget) = self.budget.filter(|budget| all > *budget) {
            let text = format!("{budget} bytes were left, and more would have come");
            return Err(Failure::new(ReasonCode::BudgetSpent, text));
        }
        let Some(rate) = self.rate else { return Ok(()) };
        let cost = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        let due = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            *free = (*free).max(Instant::now()) + cost;
            *free
        };
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        Ok(())
    }

    /// Waits before the same is tried again; `fruit`: the last try has brought bytes. Gives the
    /// failure back where nothing is to be tried any more.
    pub(super) fn pause(&self, miss: Miss, fruit: bool, stop: &AtomicBool) -> Result<(), Failure> {
        let Some(time) = self.next(&miss, fruit) else { return Err(miss.failure) };
        let due = Instant::now() + time;
        while !stop.load(Ordering::Relaxed) {
            match due.saturating_duration_since(Instant::now()) {
                Duration::ZERO => break,
                left => std::thread::sleep(left.min(SLICE)),
            }
        }
        Ok(())
    }

    fn next(&self, miss: &Miss, fruit: bool) -> Option<Duration> {
        if !miss.again {
            return None;
        }
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        // What trickles is as good as nothing.
        let most = match fruit && miss.failure.code() != ReasonCode::Stalled {
            true => {
                let cuts = tries.cuts.saturating_add(1);
                *tries = Tries { fruitless: 0, cuts, since: Instant::now() };
                (BREATH / 64 * 2_u32.saturating_pow(cuts.min(6))).min(BREATH)
            }
            false => {
                if tries.fruitless == 0 {
                    tries.since = Instant::now();
                }
                tries.fruitless = tries.fruitless.saturating_add(1);
                let doubled = self.pause * 2_u32.saturating_pow((tries.fruitless - 1).min(12));
                doubled.min(PAUSE_MAX)
            }
        };
        let wait = chance(most).max(miss.wait.unwrap_or_default().min(WAIT_MAX));
        let gone = if tries.fruitless == 0 { Duration::ZERO } else { tries.since.elapsed() };
        match self.patience {
            Some(patience)
                if gone >= patience || miss.wait.is_some_and(|w| gone + w > patience) =>
            {
                None
            }
            Some(patience) => Some(wait.min(patience.saturating_sub(gone))),
            None => Some(wait),
        }
    }

    /// Bytes have come without a cut.
    pub(super) fn runs(&self) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        *tries = Tries { fruitless: 0, cuts: 0, since: Instant::now() };
    }
}

/// Anything up to `most`: a thousand devices that were cut off at once come back one by one.
fn chance(most: Duration) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX - 1);
    Duration::from_millis(net::random().unwrap_or(0) % (millis + 1))
}

/// Whether enough comes of one body: what trickles is as good as nothing.
#[derive(Debug)]
pub(super) struct Trickle {
    least: u64,
    window: Duration,
    bytes: u64,
    waited: Duration,
}

impl Trickle {
    pub(super) fn new(setup: &Setup) -> Trickle {
        let window = Duration::from_millis(setup.stall);
        let least = setup.min_rate.saturating_mul(setup.stall) / 1_000;
        Trickle { least, window, bytes: 0, waited: Duration::ZERO }
    }

    /// So many bytes came after so long.
    pub(super) fn came(&mut self, bytes: usize, waited: Duration) -> Result<(), Failure> {
        self.bytes += bytes as u64;
        self.waited += waited;
        if self.waited < self.window {
            return Ok(());
        }
        if self.bytes < self.least {
            let text = format!("{} bytes came in {} s", self.bytes, self.waited.as_secs());
            return Err(Failure::new(ReasonCode::Stalled, text));
        }
        (self.bytes, self.waited) = (0, Duration::ZERO);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(patience: Option<u64>) -> Flow {
        Flow::new(&Setup { patience, pause: 5_000, budget: Some(100), ..Setup::default() })
    }

    fn miss(wait: Option<Duration>) -> Miss {
        let failure = Failure::new(ReasonCode::Unreachable, "gone");
        Miss { failure, again: true, wait }
    }

    #[test]
    fn fruitless_tries_pause_longer_and_longer_and_end() {
        let patient = flow(None);
        let pauses: Vec<_> = (0..40).map(|_| patient.next(&miss(None), false)).collect();
        assert!(pauses.iter().flatten().all(|p| *p <= PAUSE_MAX));
        assert!(pauses[0].unwrap() <= Duration::from_secs(5));
        assert!(pauses[20..].iter().flatten().any(|p| *p > Duration::from_secs(60)));
        assert_eq!(flow(Some(0)).next(&miss(None), false), None);
        let never = Miss { again: false, ..miss(None) };
        assert_eq!(patient.next(&never, false), None);
    }

    #[test]
    fn a_cut_that_brought_bytes_is_gone_on_with_within_a_second() {
        let flow = flow(Some(60_000));
        for _ in 0..100 {
            assert!(flow.next(&miss(None), true).unwrap() < Duration::from_secs(1));
        }
    }

    #[test]
    fn what_a_server_asks_for_is_a_minimum_and_no_more_than_a_day() {
        let hour = Duration::from_secs(3_600);
        assert!(flow(None).next(&miss(Some(hour)), false) >= Some(hour));
        let age = Duration::from_secs(1_000_000_000);
        assert_eq!(flow(None).next(&miss(Some(age)), false), Some(WAIT_MAX));
        assert_eq!(flow(Some(60_000)).next(&miss(Some(hour)), false), None, "not so long");
    }

    #[test]
    fn the_budget_ends_it_and_every_byte_counts() {
        let flow = flow(None);
        assert_eq!(flow.came(100), Ok(()));
        assert_eq!(flow.came(1).unwrap_err().code(), ReasonCode::BudgetSpent);
        assert_eq!(flow.received(), 101);
    }

    #[test]
    fn a_trickle_is_noticed_and_a_slow_link_is_none() {
        let setup = Setup { min_rate: 100, stall: 60_000, ..Setup::default() };
        let mut slow = Trickle::new(&setup);
        for _ in 0..100 {
            slow.came(2_000, Duration::from_secs(20)).unwrap();
        }
        let mut drips = Trickle::new(&setup);
        let drop = |d: &mut Trickle| d.came(1, Duration::from_secs(20));
        assert!(drop(&mut drips).is_ok() && drop(&mut drips).is_ok());
        assert_eq!(drop(&mut drips).unwrap_err().code(), ReasonCode::Stalled);
    }
}
