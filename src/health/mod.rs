//! Decides whether the system now running is good. This room never acts on its verdict: it
//! neither commits nor goes back.

use crate::event::{Event, Sink};
use crate::model::printable;
use crate::sys::process::{Ending, Finished, Invocation, run};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// One program that says whether the system is good: exit status 0 within its deadline.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Check {
    /// What a person calls it; names the failure in `surefoot status`.
    pub name: String,
    /// The program and its arguments; no shell is involved. A relative path is relative to the
    /// configuration's folder.
    pub command: Vec<String>,
    /// After this long the check has failed. Seconds, or text like `90s`, `5m`.
    #[serde(default = "default_deadline", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// What the checks said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every check passed; how many there were.
    Good(usize),
    /// No check is configured: nobody has looked.
    Unchecked,
    /// A check ran and said no.
    Bad {
        /// Its name.
        check: String,
        /// How it ended, and the end of what it printed.
        detail: String,
    },
    /// A check could not be run, which is another thing than a bad system.
    CouldNot {
        /// Its name.
        check: String,
        /// Why.
        detail: String,
    },
}

/// Runs the checks in their order and stops at the first that is not passed. A check that said
/// no weighs more than one that could not be run, so all are tried before `CouldNot` is the word.
pub fn judge(checks: &[Check], folder: &Path, sink: &dyn Sink) -> Verdict {
    if checks.is_empty() {
        return Verdict::Unchecked;
    }
    let mut could_not = None;
    for check in checks {
        let call = Invocation {
            command: &check.command,
            folder,
            input: b"",
            deadline: check.timeout,
            keep: 16 * 1024,
        };
        match run(&call) {
            Ok(done) if done.ending == Ending::Exit(0) => {}
            Ok(done) => {
                return Verdict::Bad { check: check.name.clone(), detail: describe(&done, check) };
            }
            Err(error) => {
                let detail = format!("{}: {error}", check.command.first().map_or("", |c| c));
                sink.emit(&Event::Warning { text: format!("check {}: {detail}", check.name) });
                could_not.get_or_insert(Verdict::CouldNot { check: check.name.clone(), detail });
            }
        }
    }
    could_not.unwrap_or(Verdict::Good(checks.len()))
}

fn describe(done: &Finished, check: &Check) -> String {
    let ending = match done.ending {
        Ending::Exit(status) => format!("exit status {status}"),
        Ending::Signal(signal) => format!("killed by signal {signal}"),
        Ending::Deadline => format!("not finished after {} s", check.timeout.as_secs()),
    };
    let spoken = if done.stderr.is_empty() { &done.stdout } else { &done.stderr };
    let text = String::from_utf8_lossy(spoken);
    match text.trim().lines().next_back() {
        Some(last) if !last.is_empty() => format!("{ending}: {}", printable(last, 200)),
        _ => ending,
    }
}

fn default_deadline() -> Duration {
    Duration::from_secs(60)
}

/// A duration in a configuration file: seconds, or text like `90s`, `5m`.
pub fn duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u32),
        Text(String),
    }
    match Written::deserialize(from)? {
        Written::Number(n) => Ok(Duration::from_secs(u64::from(n))),
        Written::Text(text) => parse_duration(&text).map_err(serde::de::Error::custom),
    }
}

/// `90`, `90s`, `5m`, `2h`, `3d` as a duration.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration; write a number with s, m, h or d");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some(c) if c.is_ascii_digit() => 0,
        _ => return Err(bad()),
    };
    let digits = if unit == 0 { text } else { &text[..text.len() - 1] };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(unit.max(1)).map(Duration::from_secs).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Nowhere;

    fn check(name: &str, script: &str) -> Check {
        let command = vec!["/bin/sh".into(), "-c".into(), script.into()];
        Check { name: name.into(), command, timeout: Duration::from_millis(500) }
    }

    fn judged(checks: &[Check]) -> Verdict {
        judge(checks, Path::new("/"), &Nowhere)
    }

    #[test]
    fn all_must_pass_and_no_check_is_no_verdict() {
        assert_eq!(judged(&[check("one", "exit 0"), check("two", "true")]), Verdict::Good(2));
        assert_eq!(judged(&[]), Verdict::Unchecked);
    }

    #[test]
    fn the_failed_check_is_named_with_its_last_words() {
        let Verdict::Bad { check, detail } =
            judged(&[check("web", "echo a; echo port closed; exit 4")])
        else {
            panic!("a failed check must be bad")
        };
        assert_eq!((check.as_str(), detail.as_str()), ("web", "exit status 4: port closed"));
    }

    #[test]
    fn a_check_that_hangs_is_bad_and_one_that_cannot_run_is_not() {
        assert!(matches!(judged(&[check("slow", "sleep 30")]), Verdict::Bad { .. }));
        let mut missing = check("gone", "");
        missing.command = vec!["/nowhere/at-all".into()];
        assert!(matches!(
            judged(&[missing.clone(), check("ok", "true")]),
            Verdict::CouldNot { .. }
        ));
        assert!(matches!(judged(&[missing, check("no", "exit 1")]), Verdict::Bad { .. }));
    }

    #[test]
    fn durations_read() {
        for (text, secs) in [("90", 90), ("90s", 90), ("5m", 300), ("2h", 7_200), ("1d", 86_400)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(secs)));
        }
        for bad in ["", "m", "1w", "-1s", "99999999999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
