//! When a program is run, and which, as the configuration writes it.

use crate::model::{Identifier, duration};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A step of an update at which the integrator's programs are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// A release is wanted whose bytes are not here yet.
    BeforeDownload,
    /// A release is verified and about to be written to the other slot.
    BeforeInstall,
    /// It is written and verified there.
    AfterInstall,
    /// The machine is about to reboot into it.
    BeforeReboot,
    /// Its trial is about to end well.
    BeforeCommit,
    /// Its trial ended well.
    AfterCommit,
    /// The system before it runs again.
    AfterRollback,
    /// In the new system, once in its trial, before it is judged.
    FirstBoot,
}

impl Moment {
    /// Every moment, in the order of an update.
    pub const ALL: [Moment; 8] = [
        Moment::BeforeDownload,
        Moment::BeforeInstall,
        Moment::AfterInstall,
        Moment::BeforeReboot,
        Moment::FirstBoot,
        Moment::BeforeCommit,
        Moment::AfterCommit,
        Moment::AfterRollback,
    ];

    /// The word for it: `before-install`.
    pub fn as_str(self) -> &'static str {
        match self {
            Moment::BeforeDownload => "before-download",
            Moment::BeforeInstall => "before-install",
            Moment::AfterInstall => "after-install",
            Moment::BeforeReboot => "before-reboot",
            Moment::BeforeCommit => "before-commit",
            Moment::AfterCommit => "after-commit",
            Moment::AfterRollback => "after-rollback",
            Moment::FirstBoot => "first-boot",
        }
    }

    /// Whether a hook is asked here, or only told of what has happened already.
    pub fn is_asked(self) -> bool {
        !matches!(self, Moment::AfterInstall | Moment::AfterCommit | Moment::AfterRollback)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A program of the integrator, and when it is run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Hook {
    /// What a person calls it.
    pub name: Identifier,
    /// When.
    pub at: Moment,
    /// The program and its arguments; no shell is involved.
    pub command: Vec<String>,
    /// After so long it is killed, with all it has started.
    pub timeout: Duration,
}

#[derive(Deserialize)]
struct Written {
    name: String,
    at: Moment,
    command: Vec<String>,
    #[serde(default = "usual_timeout", deserialize_with = "duration")]
    timeout: Duration,
}

fn usual_timeout() -> Duration {
    Duration::from_secs(60)
}

/// An update that waits longer for one program hangs.
const LONGEST: Duration = Duration::from_secs(3_600);

/// More than anybody has; what is longer is a mistake of whoever made the file.
const MOST_HOOKS: usize = 64;
const MOST_WORDS: usize = 64;
const LONGEST_WORD: usize = 4_096;

impl TryFrom<Written> for Hook {
    type Error = String;

    fn try_from(w: Written) -> Result<Hook, String> {
        let name: Identifier = w.name.parse().map_err(|e| format!("the name of a hook: {e}"))?;
        let refuse = |what: String| Err(format!("hook `{name}`: {what}"));
        let Some(program) = w.command.first().filter(|p| !p.is_empty()) else {
            return refuse("`command` is empty; name a program".to_owned());
        };
        if !program.contains('/') {
            return refuse(format!("`{program}` is no path; write it in full, like /usr/bin/x"));
        }
        if w.command.len() > MOST_WORDS || w.command.iter().any(|c| c.len() > LONGEST_WORD) {
            let most = format!("at most {MOST_WORDS} words of {LONGEST_WORD} bytes");
            return refuse(format!("`command` is too long; it has {most}"));
        }
        if w.command.iter().any(|c| c.contains('\0')) {
            return refuse("`command` holds a zero byte".to_owned());
        }
        if w.timeout.is_zero() || w.timeout > LONGEST {
            return refuse("`timeout` is from 1 second to 1 hour".to_owned());
        }
        Ok(Hook { name, at: w.at, command: w.command, timeout: w.timeout })
    }
}

/// What is wrong with all hooks together, if something is.
pub fn check_all(hooks: &[Hook]) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = hooks.iter().find(|h| !seen.insert(&h.name)) {
        return Err(format!("two hooks are named `{}`", twice.name));
    }
    match hooks.len() {
        0..=MOST_HOOKS => Ok(()),
        n => Err(format!("{n} hooks are configured; {MOST_HOOKS} are the most")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Hook, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn a_hook_reads_with_its_usual_time() {
        let base =
            "name = \"stop-line\"\nat = \"before-reboot\"\ncommand = [\"/usr/bin/x\", \"y\"]";
        let hook = read(base).unwrap();
        assert_eq!((hook.name.as_str(), hook.at), ("stop-line", Moment::BeforeReboot));
        assert_eq!((hook.command.len(), hook.timeout.as_secs()), (2, 60));
        assert_eq!(read(&format!("{base}\ntimeout = \"2m\"")).unwrap().timeout.as_secs(), 120);
    }

    #[test]
    fn a_moment_has_one_word_in_every_place() {
        for moment in Moment::ALL {
            let word = moment.as_str();
            assert_eq!(serde_json::to_value(moment).unwrap(), word);
            let text = format!("name = \"x\"\nat = \"{word}\"\ncommand = [\"/x\"]");
            assert_eq!(read(&text).unwrap().at, moment);
            assert_eq!(moment.is_asked(), !word.starts_with("after-"), "{word}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        let long = format!("command = [\"/x\", \"{}\"]", "y".repeat(5_000));
        let many = format!("command = [{}]", "\"/x\", ".repeat(65));
        for (text, said) in [
            ("command = [\"/x\"]\ntimeout = \"0s\"", "`timeout` is from 1 second"),
            ("command = [\"/x\"]\ntimeout = \"2h\"", "`timeout` is from 1 second"),
            ("command = [\"/x\"]\ntimeout = \"soon\"", "not a duration"),
            ("command = []", "`command` is empty"),
            ("command = [\"\"]", "`command` is empty"),
            ("command = [\"true\"]", "`true` is no path"),
            ("command = \"/x\"", "expected a sequence"),
            ("command = [\"/x\\u0000\"]", "zero byte"),
            (long.as_str(), "too long"),
            (many.as_str(), "too long"),
            ("", "missing field `command`"),
        ] {
            let failure = read(&format!("name = \"x\"\nat = \"first-boot\"\n{text}")).unwrap_err();
            assert!(failure.contains(said), "{text}: {failure}");
        }
        let at = |at: &str| read(&format!("name = \"x\"\nat = {at}\ncommand = [\"/x\"]"));
        assert!(at("\"sometimes\"").unwrap_err().contains("before-install"));
        let name = "name = \"a b\"\nat = \"first-boot\"\ncommand = [\"/x\"]";
        assert!(read(name).unwrap_err().contains("name of a hook"));
    }

    #[test]
    fn a_name_is_given_once_and_there_is_an_end_to_hooks() {
        let hook = |n: usize| {
            let at = "at = \"first-boot\"\ncommand = [\"/x\"]";
            read(&format!("name = \"h{n}\"\n{at}")).unwrap()
        };
        assert_eq!(check_all(&(0..64).map(hook).collect::<Vec<_>>()), Ok(()));
        assert!(check_all(&(0..65).map(hook).collect::<Vec<_>>()).unwrap_err().contains("65"));
        assert!(check_all(&[hook(1), hook(1)]).unwrap_err().contains("`h1`"));
    }
}
