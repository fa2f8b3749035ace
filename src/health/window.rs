//! When looking again and again is enough: pure.

use super::Verdict;
use std::time::Duration;

/// How long a system must prove itself, and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Everything that is needed must pass for so long without a break.
    pub stable: Duration,
    /// After so long in one boot the last word counts, good or bad.
    pub deadline: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { stable: Duration::from_secs(30), deadline: Duration::from_secs(600) }
    }
}

/// What has been seen so far in this boot.
#[derive(Debug, Default)]
pub struct Window {
    good_since: Option<Duration>,
    looks: u32,
}

/// What follows a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// Look again after this long.
    Again(Duration),
    /// This is the verdict.
    Decided(Verdict),
}

/// The first pause between two looks, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

impl Window {
    /// What follows from having seen `verdict` at `now`, counted from the start of this boot. A
    /// system that nobody has checked is never decided here.
    pub fn step(&mut self, now: Duration, verdict: Verdict, patience: &Patience) -> Say {
        self.looks = self.looks.saturating_add(1);
        let pause = (FIRST * 2_u32.saturating_pow(self.looks.min(10) - 1)).min(LONGEST);
        let late = now >= patience.deadline;
        match verdict {
            Verdict::Good { ref open, .. } => {
                let since = *self.good_since.get_or_insert(now);
                let stood = now.saturating_sub(since);
                match stood >= patience.stable {
                    true if open.is_empty() || late => Say::Decided(verdict),
                    true => Say::Again(pause.min(patience.deadline - now)),
                    false => Say::Again(pause.min(patience.stable - stood)),
                }
            }
            Verdict::Unchecked => Say::Again(LONGEST),
            Verdict::Bad(_) | Verdict::CouldNot(_) if late => Say::Decided(verdict.at_the_end()),
            Verdict::Bad(_) | Verdict::CouldNot(_) => {
                self.good_since = None;
                Say::Again(pause.min(patience.deadline - now).max(Duration::from_millis(100)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Against, Failing};

    const PATIENCE: Patience =
        Patience { stable: Duration::from_secs(30), deadline: Duration::from_secs(300) };

    fn good() -> Verdict {
        Verdict::Good { passed: 1, excused: vec![], open: vec![] }
    }

    fn against(detail: &str) -> Against {
        Against::one(Failing::check("x", detail))
    }

    fn bad() -> Verdict {
        Verdict::Bad(against("no"))
    }

    /// Looks as told until it is decided; `at` says what is seen when. Returns when, and what.
    fn run(at: impl Fn(u64) -> Verdict) -> (u64, Verdict, u32) {
        let (mut window, mut now, mut looks) = (Window::default(), Duration::ZERO, 0);
        loop {
            looks += 1;
            match window.step(now, at(now.as_secs()), &PATIENCE) {
                Say::Decided(verdict) => return (now.as_secs(), verdict, looks),
                Say::Again(pause) => now += pause,
            }
            assert!(looks < 1_000, "it never ends");
        }
    }

    #[test]
    fn good_for_the_whole_window_is_good_and_a_break_begins_it_anew() {
        assert_eq!(run(|_| good()).0, 30);
        let (when, verdict, _) = run(|s| if s < 100 { bad() } else { good() });
        assert!((130..145).contains(&when) && verdict == good(), "{when}");
        let (when, ..) = run(|s| if (20..60).contains(&s) { bad() } else { good() });
        assert!((90..110).contains(&when), "{when}");
    }

    #[test]
    fn bad_until_the_deadline_is_bad_at_the_deadline_and_not_before() {
        let (when, verdict, looks) = run(|_| bad());
        assert_eq!((when, verdict), (300, bad()));
        assert!(looks < 50, "{looks} looks");
        let flaps = |s: u64| if s % 20 < 10 { good() } else { bad() };
        assert!(run(flaps).0 >= 300, "what comes and goes is not stable");
    }

    #[test]
    fn what_could_not_be_looked_at_is_bad_at_the_deadline() {
        let silent = |_| Verdict::CouldNot(against("gone"));
        let (when, verdict, _) = run(silent);
        let bad = Verdict::Bad(against("could not be run: gone"));
        assert_eq!((when, verdict), (300, bad));
    }

    #[test]
    fn what_is_open_is_waited_for_until_the_deadline_and_then_passed_over() {
        let open = Verdict::Good { passed: 1, excused: vec![], open: against("gone").failing };
        let (when, verdict, looks) = run(|_| open.clone());
        assert_eq!((when, &verdict), (300, &open));
        assert!(looks < 50, "{looks} looks");
        let (when, verdict, _) = run(|s| if s < 100 { open.clone() } else { good() });
        assert!((100..115).contains(&when) && verdict == good(), "{when}");
    }

    #[test]
    fn a_system_that_begins_to_be_good_late_gets_its_window() {
        let (when, verdict, _) = run(|s| if s < 290 { bad() } else { good() });
        assert!(when >= 320 && verdict == good(), "{when}");
    }

    #[test]
    fn nobody_looked_is_never_decided() {
        let mut window = Window::default();
        let said = window.step(Duration::from_secs(9_999), Verdict::Unchecked, &PATIENCE);
        assert!(matches!(said, Say::Again(_)));
    }
}
