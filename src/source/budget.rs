//! `[source] budget`: how many bytes a device fetches in a day. The count outlives reboots, and is written
//! before the bytes come: a power cut makes it higher than what came, and never lower.

#![cfg_attr(not(feature = "http"), allow(dead_code, reason = "nothing is fetched"))]

use super::Settings;
use crate::model::{
    ByteLen, Failure, ReasonCode, Result, StateFile, WithReason, document as read_document,
};
use crate::sys::lock::FileLock;
use crate::sys::{clock, durable, host};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Seconds of a day. It begins with its first byte.
const DAY: u64 = 86_400;

/// The count is written so often in a day, and whenever a transfer begins and ends.
const WRITES: u64 = 32;

/// How long another process may take to write it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Now, by all that tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moment {
    /// Seconds since 1970, by a clock that may be wrong.
    clock: u64,
    /// Which boot this is, and its age in seconds.
    boot: String,
    up: u64,
}

impl Moment {
    fn now() -> Moment {
        let boot = host::boot_id().unwrap_or_default();
        Moment { clock: clock::unix_seconds(), boot, up: host::uptime() }
    }
}

/// `budget.json`: the day that counts. Two clocks end it, whichever is first: that of the device, once it is
/// a day later, and the time for which the device has run since, which no wrong clock holds up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Day {
    v: u32,
    /// When it began, by the clock.
    begun: u64,
    /// Seconds for which the device has run since.
    awake: u64,
    /// The boot in which that was counted last, and its age then.
    boot: String,
    up: u64,
    /// Bytes, those that are about to come among them.
    spent: u64,
}

impl Day {
    /// This day as it is now, or the next one.
    fn at(&self, now: &Moment) -> Day {
        let since = match self.boot == now.boot {
            true => now.up.saturating_sub(self.up),
            false => now.up,
        };
        let awake = self.awake.saturating_add(since);
        // A clock that was set meanwhile says nothing of the time that has passed.
        let begun = match clock::is_set(now.clock) && !clock::is_set(self.begun) {
            true => now.clock.saturating_sub(awake),
            false => self.begun,
        };
        let here =
            Day { v: 1, begun, awake, boot: now.boot.clone(), up: now.up, spent: self.spent };
        // A clock that went back is not a day later, however long it takes.
        match self.v == 0 || awake >= DAY || now.clock.saturating_sub(begun) >= DAY {
            true => Day { begun: now.clock, awake: 0, spent: 0, ..here },
            false => here,
        }
    }

    /// Seconds until it ends.
    fn left(&self, now: &Moment) -> u64 {
        let by_running = DAY.saturating_sub(self.awake);
        match now.clock.checked_sub(self.begun) {
            Some(gone) => by_running.min(DAY.saturating_sub(gone)),
            None => by_running,
        }
    }
}

/// The budget of this device.
#[derive(Debug, Clone)]
pub struct Budget {
    daily: u64,
    state: PathBuf,
    /// What is fetched now is counted and never held back.
    free: bool,
}

impl Budget {
    /// As `[source] budget` has it; `None` where it has none. `state` is the state folder; `free`: what is
    /// fetched counts, and is not held back.
    pub fn of(settings: &Settings, state: &Path, free: bool) -> Option<Budget> {
        settings.budget.map(|daily| Budget { daily, state: state.to_owned(), free })
    }

    /// Whether a file of so many bytes that cannot be gone on with may ever come.
    pub fn holds(&self, bytes: u64) -> bool {
        self.free || bytes <= self.daily / 2
    }

    fn load(&self) -> Day {
        let path = StateFile::BUDGET.within(&self.state);
        let bytes = durable::read(&path, StateFile::BUDGET.limit).ok().flatten();
        bytes.and_then(|bytes| read_document(&bytes)).unwrap_or_default()
    }

    /// Changes the count, with no other process between, and gives the day as it is then.
    fn change(&self, change: impl FnOnce(&mut Day)) -> Result<Day> {
        let lock = StateFile::BUDGET_LOCK.within(&self.state);
        let _held = FileLock::take(&lock, PATIENCE)?;
        let mut day = self.load().at(&Moment::now());
        change(&mut day);
        let text = serde_json::to_string(&day).reason(ReasonCode::Internal, "budget")?;
        durable::write(&StateFile::BUDGET.within(&self.state), text.as_bytes())?;
        Ok(day)
    }

    /// Bytes that may still come; `None` where nothing is held back. `BUDGET_SPENT` where none may.
    pub(super) fn left(&self) -> Result<Option<u64>> {
        if self.free {
            return Ok(None);
        }
        let left = self.daily.saturating_sub(self.load().at(&Moment::now()).spent);
        if left == 0 { Err(self.spent()) } else { Ok(Some(left)) }
    }

    /// That it is spent, and until when.
    pub(super) fn spent(&self) -> Failure {
        let now = Moment::now();
        let left = self.load().at(&now).left(&now);
        let when = match clock::is_set(now.clock) {
            true => format!("at {}", clock::utc(now.clock.saturating_add(left))),
            false => format!("in {}", clock::span(left)),
        };
        let (code, daily) = (ReasonCode::BudgetSpent, ByteLen(self.daily));
        Failure::new(code, format!("the {daily} of this day are fetched; it goes on {when}"))
    }

    /// Counts what has come, such as a channel: what is needed to learn of releases is never held back.
    pub fn count(&self, bytes: u64) -> Result<()> {
        match bytes {
            0 => Ok(()),
            _ => self.change(|day| day.spent = day.spent.saturating_add(bytes)).map(drop),
        }
    }
}

/// Counts one transfer.
#[derive(Debug)]
pub(super) struct Meter {
    budget: Budget,
    /// Bytes that have come, and those that are written down as spent for this transfer.
    came: u64,
    written: u64,
    /// The day in which they were.
    begun: u64,
}

impl Meter {
    /// Before the first byte.
    pub(super) fn new(budget: Budget) -> Result<Meter> {
        let mut meter = Meter { budget, came: 0, written: 0, begun: 0 };
        meter.came(0)?;
        Ok(meter)
    }

    /// So many bytes have come of it so far: what comes next is written down before.
    pub(super) fn came(&mut self, received: u64) -> Result<()> {
        self.came = self.came.max(received);
        if self.came < self.written {
            return Ok(());
        }
        let step = (self.budget.daily / WRITES).max(1);
        let next = self.came.saturating_add(step);
        let more = next - self.written;
        let day = self.budget.change(|day| day.spent = day.spent.saturating_add(more))?;
        (self.written, self.begun) = (next, day.begun);
        Ok(())
    }

    /// The failure as it is told to people.
    pub(super) fn told(&self, failure: Failure) -> Failure {
        match failure.code() {
            ReasonCode::BudgetSpent => self.budget.spent(),
            _ => failure,
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let surplus = self.written.saturating_sub(self.came);
        let begun = self.begun;
        // What cannot be given back stays spent.
        let _best_effort = self.budget.change(|day| {
            if day.begun == begun {
                day.spent = day.spent.saturating_sub(surplus);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_800_000_000;

    fn moment(clock: u64, boot: &str, up: u64) -> Moment {
        Moment { clock, boot: boot.to_owned(), up }
    }

    fn spent(day: &Day, now: &Moment) -> u64 {
        day.at(now).spent
    }

    fn begun(now: &Moment) -> Day {
        Day { spent: 7, ..Day::default().at(now) }
    }

    #[test]
    fn a_day_ends_a_day_after_its_first_byte() {
        let day = begun(&moment(NOON, "a", 100));
        assert_eq!((day.begun, day.awake), (NOON, 0));
        assert_eq!(spent(&day, &moment(NOON + DAY - 1, "b", 5)), 7, "over a reboot too");
        let next = day.at(&moment(NOON + DAY, "b", 5));
        assert_eq!((next.spent, next.begun), (0, NOON + DAY));
        assert_eq!(day.left(&moment(NOON + 100, "a", 200)), DAY - 100);
    }

    #[test]
    fn a_clock_that_goes_back_neither_ends_the_day_nor_holds_it_up_for_ever() {
        let day = begun(&moment(NOON, "a", 100));
        let back = moment(NOON - 40 * DAY, "a", 200);
        assert_eq!(spent(&day, &back), 7);
        assert_eq!(day.at(&back).left(&back), DAY - 100, "by the time it has run");
        assert_eq!(spent(&day, &moment(NOON - 40 * DAY, "a", 100 + DAY)), 0);
        // Without a battery each boot begins in 1970; ten hours a boot are a day after three.
        let (mut day, mut boots) = (day, 0);
        while day.spent > 0 {
            boots += 1;
            assert!(boots < 10, "it never ends");
            let boot = boots.to_string();
            day = day.at(&moment(60, &boot, 60)).at(&moment(36_000, &boot, 36_000));
        }
        assert_eq!(boots, 3);
    }

    #[test]
    fn a_clock_that_is_set_late_begins_no_new_day() {
        let day = begun(&moment(60, "a", 60));
        let set = day.at(&moment(NOON, "a", 160));
        assert_eq!((set.spent, set.begun), (7, NOON - 100));
        assert_eq!(spent(&set, &moment(NOON + DAY, "a", 300)), 0);
    }

    #[test]
    fn a_cut_makes_the_count_higher_and_an_end_makes_it_right() {
        let state = tempfile::tempdir().unwrap();
        let settings = Settings { budget: Some(3_200_000), ..Settings::default() };
        let budget = Budget::of(&settings, state.path(), false).unwrap();
        let count = || budget.load().spent;
        assert_eq!(budget.left().unwrap(), Some(3_200_000));
        assert!(budget.holds(1_600_000) && !budget.holds(1_600_001));
        let mut meter = Meter::new(budget.clone()).unwrap();
        for received in (0..=1_000_000).step_by(10_000) {
            meter.came(received).unwrap();
            assert!((received..=received + 200_000).contains(&count()), "{received}");
        }
        // The power goes: nothing is given back.
        std::mem::forget(meter);
        assert!((1_000_000..1_200_000).contains(&count()), "{}", count());
        let before = count();
        let mut meter = Meter::new(budget.clone()).unwrap();
        meter.came(500_000).unwrap();
        drop(meter);
        assert_eq!(count(), before + 500_000);
        budget.count(3_200_000).unwrap();
        let failure = budget.left().unwrap_err();
        assert_eq!(failure.code(), ReasonCode::BudgetSpent);
        assert!(failure.detail().contains("it goes on at 20"), "{failure}");
        let free = Budget::of(&settings, state.path(), true).unwrap();
        assert_eq!((free.left().unwrap(), free.holds(u64::MAX)), (None, true));
        // What cannot be read begins a new day: a device is never kept from updates by a damaged file.
        std::fs::write(StateFile::BUDGET.within(state.path()), "{ no").unwrap();
        assert_eq!(budget.left().unwrap(), Some(3_200_000));
        assert_eq!(Budget::of(&Settings::default(), state.path(), false).map(|b| b.daily), None);
    }
}
