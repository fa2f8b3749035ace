//! What all checks together mean: pure.

use super::{Check, Need, Outcome};
use crate::model::{Against, Failing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the built-in check of critical services of apps.
pub const APPS: &str = "apps";

/// One check, looked at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// The units that are not as they should be, where it is about units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// What was found.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How one check stood before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Before {
    /// Whether it passed.
    Passed(bool),
    /// It failed, and by these units alone.
    By(Vec<String>),
}

/// What passed and what failed while the system before was running. What could not be looked at is
/// not in it, nor what failed in a system that had not had its own time to become good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Baseline(pub BTreeMap<String, Before>);

impl Baseline {
    /// What `seen` says of the system that is looked at; `settled` whether that has been up for as
    /// long as a trial may take to become good.
    pub fn of(seen: &[Seen], settled: bool) -> Baseline {
        let known = seen.iter().filter_map(|s| match s.outcome {
            Outcome::Good => Some((s.name.clone(), Before::Passed(true))),
            Outcome::Bad(_) if !settled => None,
            Outcome::Bad(_) if s.units.is_empty() => Some((s.name.clone(), Before::Passed(false))),
            Outcome::Bad(_) => Some((s.name.clone(), Before::By(s.units.clone()))),
            Outcome::CouldNot(_) | Outcome::Open(_) => None,
        });
        Baseline(known.collect())
    }

    /// Whether the system goes back if this check fails as `seen`: what was broken before cannot
    /// hold the update hostage, and what worked before must work again.
    pub fn needs(&self, check: &Check, seen: &Seen) -> bool {
        self.needed(check.need, seen)
    }

    fn needed(&self, need: Need, seen: &Seen) -> bool {
        match self.0.get(&seen.name) {
            Some(Before::Passed(passed)) => *passed,
            Some(Before::By(units)) => seen.units.iter().any(|u| !units.contains(u)),
            None => need == Need::Required,
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
        /// Not to be looked at, and passed over where the time is over.
        open: Vec<Failing>,
    },
    /// No check is configured: nobody has looked.
    Unchecked,
    /// Needed checks said no: all of them, and then those that could not be run.
    Bad(Against),
    /// Needed checks could not be run, which is another thing than a bad system.
    CouldNot(Against),
}

impl Verdict {
    /// What could not be looked at until the time is over counts as bad then (DESIGN 9.20).
    pub(super) fn at_the_end(self) -> Verdict {
        match self {
            Verdict::CouldNot(Against { failing, more }) => {
                let failing = failing.iter().map(|f| silent(&f.name, &f.detail)).collect();
                Verdict::Bad(Against { failing, more })
            }
            verdict => verdict,
        }
    }
}

/// One that gave no answer, beside those that said no.
fn silent(name: &str, why: &str) -> Failing {
    Failing::check(name, &format!("could not be run: {why}"))
}

/// Weighs what was seen. A check that said no weighs more than one that could not be run.
pub fn weigh(checks: &[Check], seen: &[Seen], baseline: &Baseline) -> Verdict {
    let (mut passed, mut excused, mut open) = (0, Vec::new(), Vec::new());
    let (mut bad, mut could_not) = (Vec::new(), Vec::new());
    for one in seen {
        let known = checks.iter().find(|c| c.name == one.name);
        let needed = match known {
            Some(check) => baseline.needs(check, one),
            // A service that was not well before holds no update hostage.
            None if one.name == APPS => baseline.needed(Need::Wanted, one),
            None => true,
        };
        match &one.outcome {
            Outcome::Good => passed += 1,
            Outcome::Open(detail) => open.push(Failing::check(&one.name, detail)),
            Outcome::Bad(detail) if needed => bad.push(Failing::check(&one.name, detail)),
            Outcome::CouldNot(detail) if needed => could_not.push((&one.name, detail)),
            _ => excused.push(one.name.clone()),
        }
    }
    if !bad.is_empty() {
        bad.extend(could_not.iter().map(|(name, why)| silent(name, why)));
        return Verdict::Bad(Against::all(bad));
    }
    match could_not.is_empty() {
        false => {
            let failing = could_not.iter().map(|(name, why)| Failing::check(name, why));
            Verdict::CouldNot(Against::all(failing))
        }
        true if checks.is_empty() => Verdict::Unchecked,
        true => Verdict::Good { passed, excused, open },
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
        Seen { name: name.into(), units: Vec::new(), outcome }
    }

    fn no() -> Outcome {
        Outcome::Bad("no".into())
    }

    #[test]
    fn a_service_of_an_app_counts_only_where_it_was_well_before() {
        let failing = |units: &[&str]| Seen {
            units: units.iter().map(|u| (*u).to_owned()).collect(),
            ..seen(APPS, no())
        };
        let judged =
            |before: &Baseline, now: Seen| weigh(&[check("x", Need::Required)], &[now], before);
        let both = Baseline::of(&[failing(&["shop/web"])], true);
        assert!(matches!(judged(&both, failing(&["shop/web"])), Verdict::Good { .. }));
        assert!(matches!(judged(&both, failing(&["shop/web", "shop/db"])), Verdict::Bad(_)));
        let well = Baseline::of(&[seen(APPS, Outcome::Good)], true);
        assert!(matches!(judged(&well, failing(&["shop/web"])), Verdict::Bad(_)));
        let unknown = Baseline::default();
        assert!(matches!(judged(&unknown, failing(&["shop/web"])), Verdict::Good { .. }));
    }

    fn verdict(need: Need, before: Option<bool>, now: Outcome) -> Verdict {
        let baseline =
            Baseline(before.map(|b| ("x".to_owned(), Before::Passed(b))).into_iter().collect());
        weigh(&[check("x", need)], &[seen("x", now)], &baseline)
    }

    #[test]
    fn what_was_broken_before_holds_nothing_hostage_and_what_worked_must_work() {
        let bad = |v: Verdict| matches!(v, Verdict::Bad(_));
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
        assert_eq!(excused, Verdict::Good { passed: 0, excused: vec!["x".into()], open: vec![] });
    }

    #[test]
    fn a_no_weighs_more_than_no_answer_and_nothing_is_no_verdict() {
        let checks = [check("a", Need::Required), check("b", Need::Required)];
        let none = Baseline::default();
        let silent = seen("a", Outcome::CouldNot("gone".into()));
        let verdict = weigh(&checks, &[silent.clone(), seen("b", no())], &none);
        let Verdict::Bad(against) = verdict else { panic!("{verdict:?}") };
        assert_eq!(against.text(), "b: no; a: could not be run: gone");
        let verdict = weigh(&checks, &[silent, seen("b", Outcome::Good)], &none);
        assert!(matches!(verdict, Verdict::CouldNot(_)));
        assert_eq!(weigh(&[], &[], &none), Verdict::Unchecked);
    }

    #[test]
    fn what_is_open_is_nothing_against_a_system_and_hides_nothing_that_is() {
        let checks = [check("x", Need::Required)];
        let open = seen("again", Outcome::Open("the server is out".into()));
        let with = |x| weigh(&checks, &[open.clone(), seen("x", x)], &Baseline::default());
        let named = vec![Failing::check("again", "the server is out")];
        let good = Verdict::Good { passed: 1, excused: vec![], open: named };
        assert_eq!(with(Outcome::Good), good);
        let Verdict::Bad(against) = with(no()) else { panic!() };
        assert_eq!(against.text(), "x: no");
        assert_eq!(Baseline::of(&[open], true), Baseline::default(), "nothing is known of it");
    }

    #[test]
    fn every_failing_check_is_told_with_its_whole_name() {
        let checks = ["web: front", "db", "modem"].map(|name| check(name, Need::Required));
        let all = [seen("web: front", no()), seen("db", no()), seen("modem", Outcome::Good)];
        let Verdict::Bad(against) = weigh(&checks, &all, &Baseline::default()) else { panic!() };
        let names: Vec<_> = against.failing.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["web: front", "db"]);
    }

    #[test]
    fn what_could_not_be_looked_at_is_not_known() {
        let all = [
            seen("a", Outcome::Good),
            seen("b", no()),
            seen("c", Outcome::CouldNot("gone".into())),
        ];
        let told = |settled| serde_json::to_string(&Baseline::of(&all, settled)).unwrap();
        assert_eq!(told(true), "{\"a\":true,\"b\":false}");
        assert_eq!(told(false), "{\"a\":true}", "it has not had its time");
    }

    #[test]
    fn what_was_broken_before_excuses_itself_and_nothing_else() {
        let by = |units: &[&str]| Seen {
            units: units.iter().map(|&u| u.to_owned()).collect(),
            ..seen("x", no())
        };
        let baseline = Baseline::of(&[by(&["modem.service"])], true);
        let text = serde_json::to_string(&baseline).unwrap();
        assert_eq!(text, "{\"x\":[\"modem.service\"]}");
        assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), baseline);
        for need in [Need::Required, Need::Wanted] {
            let checks = [check("x", need)];
            let now = |units: &[&str]| weigh(&checks, &[by(units)], &baseline);
            assert!(matches!(now(&["modem.service"]), Verdict::Good { .. }), "{need:?}");
            let both = now(&["modem.service", "app.service"]);
            assert!(matches!(both, Verdict::Bad(_)), "{need:?}");
        }
    }
}
