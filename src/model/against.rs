//! What speaks against a system on trial: every failing check by its whole name, as data. Prose is
//! made of it where it is shown, and never taken apart again.

use super::{ReasonCode, both_ends, printable};
use serde::{Deserialize, Serialize};

/// Named at most; the rest is counted.
const NAMED_MAX: usize = 8;
/// Of a name.
const NAME_MAX: usize = 100;
/// Of what one of them said.
const DETAIL_MAX: usize = 240;

/// What kind of thing said no, or gave no answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A program of the integrator.
    Hook,
    /// A drill, on purpose.
    Drill,
    /// A health check.
    #[default]
    #[serde(other)]
    Check,
}

/// One check, hook or drill that failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failing {
    /// Its whole name.
    pub name: String,
    /// How it ended, and the end of what it printed.
    pub detail: String,
    /// What it is.
    #[serde(default)]
    pub by: By,
}

impl Failing {
    /// A failing check, bounded and printable.
    pub fn check(name: &str, detail: &str) -> Failing {
        Failing::by(By::Check, name, detail)
    }

    /// Any of the three kinds, bounded and printable.
    pub fn by(by: By, name: &str, detail: &str) -> Failing {
        Failing { name: printable(name, NAME_MAX), detail: both_ends(detail, DETAIL_MAX), by }
    }

    /// One line for people.
    pub fn text(&self) -> String {
        let hook = if self.by == By::Hook { "hook " } else { "" };
        format!("{hook}{}: {}", self.name, self.detail)
    }
}

/// Everything that failed: at most eight by name, the others by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Against {
    /// Those that are named, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<Failing>,
    /// How many more there were.
    #[serde(default, rename = "failing_more", skip_serializing_if = "is_zero")]
    pub more: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Against {
    /// All of these.
    pub fn all(failing: impl IntoIterator<Item = Failing>) -> Against {
        let mut named: Vec<Failing> = failing.into_iter().collect();
        let more = u32::try_from(named.len().saturating_sub(NAMED_MAX)).unwrap_or(u32::MAX);
        named.truncate(NAMED_MAX);
        Against { failing: named, more }
    }

    /// One alone.
    pub fn one(failing: Failing) -> Against {
        Against { failing: vec![failing], more: 0 }
    }

    /// Whether nothing is known to speak against it.
    pub fn is_empty(&self) -> bool {
        self.failing.is_empty()
    }

    /// How many failed, named or not.
    pub fn count(&self) -> usize {
        self.failing.len() + usize::try_from(self.more).unwrap_or(usize::MAX)
    }

    fn is_hook(&self) -> bool {
        self.failing.iter().any(|f| f.by == By::Hook)
    }

    /// Why a system that these said no to is left.
    pub fn no(&self) -> ReasonCode {
        if self.is_hook() { ReasonCode::HookVeto } else { ReasonCode::HealthFailed }
    }

    /// Why nothing is decided while these give no answer.
    pub fn no_answer(&self) -> ReasonCode {
        if self.is_hook() { ReasonCode::HookLater } else { ReasonCode::HealthUnknown }
    }

    /// One line for people: `web: answered 503; db: exit status 1; and 2 more`.
    pub fn text(&self) -> String {
        let named = self.failing.iter().map(Failing::text);
        let more = (self.more > 0).then(|| format!("and {} more", self.more));
        named.chain(more).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_told_with_their_whole_names_and_there_is_an_end_to_them() {
        let two = Against::all([
            Failing::check("web: front", "answered 503"),
            Failing::by(By::Hook, "line at before-commit", "exit status 1: no"),
        ]);
        assert_eq!(
            two.text(),
            "web: front: answered 503; hook line at before-commit: exit status 1: no"
        );
        let many = Against::all((0..20).map(|n| Failing::check(&format!("c{n}"), "no")));
        assert_eq!((many.failing.len(), many.more, many.count()), (8, 12, 20));
        assert!(many.text().ends_with("c7: no; and 12 more"), "{}", many.text());
        let long = Failing::check(&"n".repeat(9_999), &"\u{1b}[2J".repeat(9_999));
        assert!(long.text().chars().count() < 400 && !long.text().contains('\u{1b}'));
    }

    #[test]
    fn it_reads_back_and_words_of_a_newer_program_cost_nothing() {
        let one = Against::one(Failing::check("a", "b"));
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(text, r#"{"failing":[{"name":"a","detail":"b","by":"check"}]}"#);
        assert_eq!(serde_json::from_str::<Against>(&text).unwrap(), one);
        assert!(serde_json::from_str::<Against>("{}").unwrap().is_empty());
        let newer = text.replace("check", "oracle");
        assert_eq!(serde_json::from_str::<Against>(&newer).unwrap(), one);
    }

    #[test]
    fn a_hook_is_no_health_check() {
        let (check, hook) = (Failing::check("a", "b"), Failing::by(By::Hook, "a", "b"));
        let codes = |f: Failing| (Against::one(f.clone()).no(), Against::one(f).no_answer());
        assert_eq!(codes(check), (ReasonCode::HealthFailed, ReasonCode::HealthUnknown));
        assert_eq!(codes(hook), (ReasonCode::HookVeto, ReasonCode::HookLater));
    }
}
