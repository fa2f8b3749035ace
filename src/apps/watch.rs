//! What is remembered of containers between two looks: how often they were started again, and what their probes say.
//! Times are of the monotonic clock, and are told from outside.

use crate::bundle::HealthProbe;
use crate::sys::clock;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The pause before a service is started again the first time, and the longest one.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];
/// After so long a service has shown that it runs: the next pause is the first one again.
const PROVEN: Duration = Duration::from_secs(600);
/// Until it has said yes once, a service is asked more often: at first, and later.
const EAGER: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// How long "at first" is.
const AT_FIRST: Duration = Duration::from_secs(5);

/// All of them, by the name of the container.
#[derive(Debug, Default)]
pub(super) struct Watch {
    entries: BTreeMap<String, Watched>,
}

/// One container.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    started: Instant,
    asked: Option<Instant>,
    counted: Option<Instant>,
    failures: u32,
    /// What its probe has said; `None` before it was asked.
    pub(super) healthy: Option<bool>,
    /// What its probe, or its end, has said last.
    pub(super) text: String,
    /// How often it was started again.
    pub(super) restarts: u32,
    pause: Duration,
    /// It has ended, and is started again then.
    due: Option<Instant>,
}

fn milliseconds(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Watch {
    /// A container that runs, as far as it is known already.
    pub(super) fn of(&mut self, name: &str, now: Instant) -> &mut Watched {
        self.entries.entry(name.to_owned()).or_insert_with(|| Watched {
            started: now,
            asked: None,
            counted: None,
            failures: 0,
            healthy: None,
            text: String::new(),
            restarts: 0,
            pause: Duration::ZERO,
            due: None,
        })
    }

    /// What is known of it.
    pub(super) fn get(&self, name: &str) -> Option<&Watched> {
        self.entries.get(name)
    }

    /// All of them.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Watched)> {
        self.entries.iter()
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, is_known: impl Fn(&str) -> bool) {
        self.entries.retain(|name, _| is_known(name));
    }

    /// How often each was started again.
    pub(super) fn restarts(&self) -> BTreeMap<String, u32> {
        self.entries.iter().map(|(name, entry)| (name.clone(), entry.restarts)).collect()
    }
}

impl Watched {
    /// It was just started.
    pub(super) fn starts(&mut self, now: Instant) {
        (self.started, self.due) = (now, None);
        (self.asked, self.counted, self.failures, self.healthy) = (None, None, 0, None);
    }

    /// It has ended, or was ended as it was not well: it is to be started again after a pause that grows.
    pub(super) fn ends(&mut self, now: Instant, why: String) {
        if self.due.is_some() {
            return;
        }
        let proven = now.saturating_duration_since(self.started) >= PROVEN;
        self.pause = match self.pause {
            pause if proven || pause.is_zero() => PAUSES[0],
            pause => pause.saturating_mul(2).min(PAUSES[1]),
        };
        self.restarts = self.restarts.saturating_add(1);
        self.due = Some(now + clock::pause(self.pause));
        (self.healthy, self.text) = (Some(false), why);
    }

    /// Whether it has ended and its pause is over; how long the pause still is.
    pub(super) fn is_due(&self, now: Instant) -> Result<(), Duration> {
        match self.due {
            Some(due) if due > now => Err(due - now),
            _ => Ok(()),
        }
    }

    /// It was looked at, and is well.
    pub(super) fn is_seen_well(&mut self) {
        (self.healthy, self.due, self.failures) = (Some(true), None, 0);
        self.text.clear();
    }

    /// It has ended and was not started again.
    pub(super) fn has_ended(&self) -> bool {
        self.due.is_some()
    }

    /// When it is to be asked.
    pub(super) fn ask_in(&self, probe: &HealthProbe, now: Instant) -> Duration {
        let Some(asked) = self.asked else { return Duration::ZERO };
        let interval = milliseconds(probe.interval);
        let at_first = now.saturating_duration_since(self.started) < AT_FIRST;
        let gap = match self.healthy {
            Some(true) if self.failures == 0 => interval,
            _ => interval.min(EAGER[usize::from(!at_first)]),
        };
        gap.saturating_sub(now.saturating_duration_since(asked))
    }

    /// What its probe has said. A no counts once in each interval, and not in the time that a start may take.
    pub(super) fn says(&mut self, probe: &HealthProbe, answer: Result<(), String>, now: Instant) {
        self.asked = Some(now);
        let Err(why) = answer else {
            (self.failures, self.counted, self.healthy) = (0, None, Some(true));
            self.text.clear();
            return;
        };
        self.text = why;
        let (interval, grace) = (milliseconds(probe.interval), milliseconds(probe.start_period));
        let up = now.saturating_duration_since(self.started);
        let was_well = self.healthy == Some(true);
        let ready = was_well || (up >= grace && up >= interval);
        let again = self.counted.is_none_or(|at| now.saturating_duration_since(at) >= interval);
        if ready && again {
            self.failures = self.failures.saturating_add(1);
            self.counted = Some(now);
        }
        if self.is_out(probe) {
            self.healthy = Some(false);
        }
    }

    /// Its probe has said no as often as it may.
    pub(super) fn is_out(&self, probe: &HealthProbe) -> bool {
        self.failures >= probe.retries.max(1)
    }

    /// Its probe says yes, and has said nothing else since.
    pub(super) fn is_well(&self) -> bool {
        self.healthy == Some(true) && self.failures == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe() -> HealthProbe {
        HealthProbe {
            command: vec!["x".to_owned()],
            interval: 2_000,
            timeout: 1_000,
            retries: 2,
            start_period: 3_000,
        }
    }

    const NO: Result<(), &str> = Err("no");

    #[test]
    fn the_pause_before_a_restart_grows_to_five_minutes_and_begins_anew_after_ten() {
        let start = Instant::now();
        let (mut watch, mut now) = (Watch::default(), start);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            let entry = watch.of("a", now);
            entry.ends(now, "ended".to_owned());
            entry.ends(now, "seen again".to_owned());
            pauses.push(entry.is_due(now).unwrap_err().as_secs());
            now += Duration::from_secs(300);
            assert_eq!(entry.is_due(now), Ok(()));
            entry.starts(now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(watch.restarts()["a"], 11);
        let entry = watch.of("a", now);
        now += Duration::from_secs(600);
        entry.ends(now, String::new());
        assert_eq!(entry.is_due(now), Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_probe_is_out_of_retries_only_after_its_own_intervals() {
        let start = Instant::now();
        let mut watch = Watch::default();
        let entry = watch.of("a", start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let (probe, no) = (probe(), || NO.map_err(str::to_owned));
        assert_eq!(entry.ask_in(&probe, at(0)), Duration::ZERO);
        // Asked often, and counted from the end of the start's time on, once in two seconds.
        for ms in (0..3_000).step_by(200) {
            entry.says(&probe, no(), at(ms));
            assert!(!entry.is_out(&probe) && entry.healthy.is_none(), "{ms}");
        }
        entry.says(&probe, no(), at(3_000));
        assert_eq!(entry.ask_in(&probe, at(3_000)), EAGER[0]);
        entry.says(&probe, no(), at(4_900));
        assert!(!entry.is_out(&probe));
        entry.says(&probe, no(), at(5_000));
        assert!(entry.is_out(&probe) && entry.healthy == Some(false));
    }

    #[test]
    fn a_yes_counts_at_once_and_one_no_makes_nothing_unhealthy() {
        let start = Instant::now();
        let mut watch = Watch::default();
        let entry = watch.of("a", start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let (probe, no) = (probe(), || NO.map_err(str::to_owned));
        entry.says(&probe, Ok(()), at(100));
        assert!(entry.is_well());
        assert_eq!(entry.ask_in(&probe, at(100)), Duration::from_secs(2));
        entry.says(&probe, no(), at(2_100));
        assert!(!entry.is_well() && entry.healthy == Some(true) && !entry.is_out(&probe));
        entry.says(&probe, Ok(()), at(2_300));
        assert!(entry.is_well());
        entry.says(&probe, no(), at(4_300));
        entry.says(&probe, no(), at(6_300));
        assert!(entry.is_out(&probe));
        entry.starts(at(7_000));
        assert_eq!((entry.healthy, entry.is_out(&probe)), (None, false));
    }
}
