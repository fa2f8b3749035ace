//! What all checks together mean: pure.

use super::{Check, Need, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One check, looked at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// What was found.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What passed and what failed while the system before was running: `true` for what passed. What
/// could not be looked at is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Baseline(pub BTreeMap<String, bool>);

impl Baseline {
    /// What `seen` says of the system that is looked at.
    pub fn of(seen: &[Seen]) -> Baseline {
        let known = seen.iter().filter_map(|s| match s.outcome {
            Outcome::Good => Some((s.name.clone(), true)),
            Outcome::Bad(_) => Some((s.name.clone(), false)),
            Outcome::CouldNot(_) => None,
        });
        Baseline(known.collect())
    }

    /// Whether the system goes back if this check fails: what was broken before cannot hold the
    /// update hostage, and what worked before must work again.
    pub fn needs(&self, check: &Check) -> bool {
        match (self.0.get(&check.name), check.need) {
            (Some(passed), _) => *passed,
            (None, need) => need == Need::Required,
        }
    }
}

/// What the checks say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that is needed passed; the names of what failed all the same.
    Good {
        /// How many passed.
        passed: usize,
        /// Failed, and not needed.
        excused: Vec<String>,
    },
    /// No check is configured: nobody has looked.
    Unchecked,
    /// A needed check said no.
    Bad {
        /// Its name.
        check: String,
        /// How it ended, and the end of what it printed.
        detail: String,
    },
    /// A needed check could not be run, which is another thing than a bad system.
    CouldNot {
        /// Its name.
        check: String,
        /// Why.
        detail: String,
    },
}

/// Weighs what was seen. A check that said no weighs more than one that could not be run.
pub fn weigh(checks: &[Check], seen: &[Seen], baseline: &Baseline) -> Verdict {
    let (mut passed, mut excused, mut could_not) = (0, Vec::new(), None);
    for Seen { name, outcome } in seen {
        let needed = checks.iter().find(|c| c.name == *name).is_none_or(|c| baseline.needs(c));
        let (check, needed) = (name.clone(), needed);
        match outcome {
            Outcome::Good => passed += 1,
            Outcome::Bad(detail) if needed => {
                return Verdict::Bad { check, detail: detail.clone() };
            }
            Outcome::CouldNot(detail) if needed => {
                let first = Verdict::CouldNot { check, detail: detail.clone() };
                could_not.get_or_insert(first);
            }
            _ => excused.push(check),
        }
    }
    match could_not {
        Some(silent) => silent,
        None if checks.is_empty() => Verdict::Unchecked,
        None => Verdict::Good { passed, excused },
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use std::time::Duration;

    fn check(name: &str, need: Need) -> Check {
        let kind = Kind::File("/x".into());
        Check { name: name.into(), need, kind, timeout: Duration::from_secs(1) }
    }

    fn seen(name: &str, outcome: Outcome) -> Seen {
        Seen { name: name.into(), outcome }
    }

    fn no() -> Outcome {
        Outcome::Bad("no".into())
    }

    fn verdict(need: Need, before: Option<bool>, now: Outcome) -> Verdict {
        let baseline = Baseline(before.map(|b| ("x".to_owned(), b)).into_iter().collect());
        weigh(&[check("x", need)], &[seen("x", now)], &baseline)
    }

    #[test]
    fn what_was_broken_before_holds_nothing_hostage_and_what_worked_must_work() {
        let bad = |v: Verdict| matches!(v, Verdict::Bad { .. });
        // (need, before) -> whether a failure now is one.
        for (need, before, fails) in [
            (Need::Required, None, true),
            (Need::Required, Some(true), true),
            (Need::Required, Some(false), false),
            (Need::Wanted, None, false),
            (Need::Wanted, Some(true), true),
            (Need::Wanted, Some(false), false),
        ] {
            assert_eq!(bad(verdict(need, before, no())), fails, "{need:?} {before:?}");
            assert!(matches!(verdict(need, before, Outcome::Good), Verdict::Good { .. }));
        }
        let excused = verdict(Need::Required, Some(false), no());
        assert_eq!(excused, Verdict::Good { passed: 0, excused: vec!["x".into()] });
    }

    #[test]
    fn a_no_weighs_more_than_no_answer_and_nothing_is_no_verdict() {
        let checks = [check("a", Need::Required), check("b", Need::Required)];
        let none = Baseline::default();
        let silent = seen("a", Outcome::CouldNot("gone".into()));
        let verdict = weigh(&checks, &[silent.clone(), seen("b", no())], &none);
        assert_eq!(verdict, Verdict::Bad { check: "b".into(), detail: "no".into() });
        let verdict = weigh(&checks, &[silent, seen("b", Outcome::Good)], &none);
        assert!(matches!(verdict, Verdict::CouldNot { .. }));
        assert_eq!(weigh(&[], &[], &none), Verdict::Unchecked);
    }

    #[test]
    fn what_could_not_be_looked_at_is_not_known() {
        let all = [
            seen("a", Outcome::Good),
            seen("b", no()),
            seen("c", Outcome::CouldNot("gone".into())),
        ];
        let baseline = Baseline::of(&all);
        assert_eq!(baseline.0.len(), 2);
        assert_eq!(serde_json::to_string(&baseline).unwrap(), "{\"a\":true,\"b\":false}");
    }
}
