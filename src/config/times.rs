//! Whether the times of a configuration leave room for a release to stay: pure.

use super::{Loaded, Settings};
use crate::health::Need;
use crate::model::{Condition, ConditionKind, ReasonCode, printable};
use std::time::Duration;

impl Settings {
    /// Times that contradict each other: those that no release could stay with block, those that
    /// only tell less than was meant warn.
    pub fn times(&self) -> Vec<Condition> {
        self.conflicts().into_iter().map(|conflict| conflict.1).collect()
    }

    /// The same, each with the settings that can be the cause, the likelier one first.
    fn conflicts(&self) -> Vec<([String; 2], Condition)> {
        let trial = Duration::from_secs(self.trial.deadline);
        let (stable, deadline) = (self.patience.stable, self.patience.deadline);
        let mut out = Vec::new();
        let mut told = |kind, key: &str, text: String| {
            let keys = [key.to_owned(), "trial.deadline".to_owned()];
            out.push((keys, Condition::of(ReasonCode::TimesConflict, kind, text)));
        };
        let said = |time: Duration| format!("{} s", time.as_secs());
        if stable >= trial {
            told(
                ConditionKind::Blocks,
                "health.stable",
                format!(
                    "`[health] stable` is {}, and `[trial] deadline` ends a trial after {}: no release could stay",
                    said(stable),
                    said(trial)
                ),
            );
        }
        // Equal times are usual: one boot may use them up.
        if deadline > trial {
            told(
                ConditionKind::Warns,
                "health.deadline",
                format!(
                    "`[health] deadline` is {}, after the end of a trial at {} (`[trial] deadline`): a check that fails is told as DEADLINE_PASSED",
                    said(deadline),
                    said(trial)
                ),
            );
        }
        let slow = |check: &&crate::health::Check| check.timeout >= trial;
        for check in self.checks.iter().filter(|c| c.need == Need::Required).filter(slow) {
            told(
                ConditionKind::Warns,
                &format!("health.check.{}", check.name),
                format!(
                    "the check {} may take {}, and `[trial] deadline` ends a trial after {}",
                    check.name,
                    said(check.timeout),
                    said(trial)
                ),
            );
        }
        out
    }
}

impl Loaded {
    /// The same for a person who corrects the file, as `file:line: setting: what`, with what kind
    /// each is.
    pub fn conflicts(&self) -> Vec<(ConditionKind, String)> {
        let told = |(keys, condition): ([String; 2], Condition)| {
            // One of them is a default, and no line says so.
            let key = keys.iter().find(|key| self.origin.contains_key(*key)).unwrap_or(&keys[0]);
            let (text, code) = (&condition.text, condition.code);
            let line = format!("{}{key}: {text} [{code}]", self.place_of(key));
            (condition.kind, printable(&line, 400))
        };
        self.settings.conflicts().into_iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Fragment, Settings};
    use crate::model::ConditionKind::{self, Blocks, Warns};
    use std::path::Path;

    const DEVICE: &str = "[device]\nproduct = \"p\"\ncompatible = \"c\"\ndisk = \"d\"\n";
    const CHECK: &str = "[[health.check]]\nname = \"x\"\nfile = \"/x\"\n";

    fn kinds(text: &str) -> Vec<ConditionKind> {
        let merged: Fragment = toml::from_str(&format!("{DEVICE}{text}")).unwrap();
        let settings = Settings::from_merged(merged, Path::new("/")).unwrap();
        settings.times().into_iter().map(|c| c.kind).collect()
    }

    #[test]
    fn times_that_no_release_could_stay_with_block_and_the_others_warn() {
        for (text, want) in [
            ("", &[][..]),
            (CHECK, &[]),
            ("[trial]\ndeadline = \"10m\"\n", &[]),
            ("[trial]\ndeadline = \"5m\"\n", &[Warns]),
            ("[trial]\ndeadline = \"3h\"\n[health]\ndeadline = \"2h\"\n", &[]),
        ] {
            assert_eq!(kinds(text), want, "{text}");
        }
        for (text, want) in [
            ("[health]\nstable = \"2h\"\n", &[Blocks][..]),
            ("[health]\nstable = \"1h\"\n", &[Blocks]),
            ("[health]\nstable = \"59m\"\n", &[]),
            ("[trial]\ndeadline = \"20s\"\n", &[Blocks, Warns, Warns]),
        ] {
            assert_eq!(kinds(&format!("{text}{CHECK}")), want, "{text}");
        }
    }
}
