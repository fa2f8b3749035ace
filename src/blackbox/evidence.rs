//! What the machine can still say of a system that is about to be left: failed units, the
//! kernel's warnings, the watchdog. Each question has a deadline, and all of them together one.

use super::explain::Watchdog;
use crate::model::{both_ends, printable};
use crate::sys::files;
use crate::sys::process::{Ending, Invocation, Runner};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

/// For all questions together: the reboot waits for them.
const PATIENCE: Duration = Duration::from_secs(10);
/// For one.
const DEADLINE: Duration = Duration::from_secs(3);
const UNITS_MAX: usize = 6;
const UNIT_LINES: usize = 20;
const KERNEL_LINES: usize = 40;
const TEXT_MAX: usize = 240;

/// A unit that failed, and the end of what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStory {
    /// Its name.
    pub unit: String,
    /// Its last lines.
    pub lines: Vec<String>,
}

/// Asks the init system and its journal.
pub(crate) struct Questions<'a> {
    runner: &'a dyn Runner,
    due: Instant,
}

impl Questions<'_> {
    pub(crate) fn new(runner: &dyn Runner) -> Questions<'_> {
        Questions { runner, due: Instant::now() + PATIENCE }
    }

    /// `asked_for`, and the units that have failed or wait to be restarted. One that is restarted
    /// again and again may run just now: a check that knows its name is worth more than a list.
    pub(crate) fn units(&self, asked_for: &[String]) -> Vec<UnitStory> {
        let list = ["systemctl", "list-units", "--state=failed,auto-restart", "--plain"];
        let listed = self.ask(&[&list[..], &["--no-legend", "--no-pager"]].concat());
        let listed = listed.iter().filter_map(|l| l.split_whitespace().next());
        let mut names: Vec<&str> = Vec::new();
        for name in asked_for.iter().map(String::as_str).chain(listed) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let story = |name: &str| {
            let unit = format!("--unit={name}");
            let lines = self.journal(&[&unit], UNIT_LINES);
            UnitStory { unit: printable(name, TEXT_MAX), lines }
        };
        names.into_iter().take(UNITS_MAX).map(story).collect()
    }

    /// The kernel's last warnings.
    pub(crate) fn kernel(&self) -> Vec<String> {
        self.journal(&["--dmesg", "--priority=warning"], KERNEL_LINES)
    }

    fn journal(&self, which: &[&str], most: usize) -> Vec<String> {
        let most = format!("--lines={most}");
        let how = ["journalctl", "--boot", "--quiet", "--no-pager", "--output=short-monotonic"];
        self.ask(&[&how[..], &[&most], which].concat())
    }

    /// The lines of the answer; none where nobody answers in time.
    fn ask(&self, words: &[&str]) -> Vec<String> {
        let left = self.due.saturating_duration_since(Instant::now()).min(DEADLINE);
        if left.is_zero() {
            return Vec::new();
        }
        let command: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        let call = Invocation {
            command: &command,
            folder: Path::new("/"),
            environment: &[],
            input: b"",
            deadline: left,
            keep: 32 * 1024,
        };
        match self.runner.run(&call) {
            Ok(done) if done.ending == Ending::Exit(0) => {
                let text = String::from_utf8_lossy(&done.stdout).into_owned();
                let lines = text.lines().filter(|l| !l.trim().is_empty());
                lines.map(|l| both_ends(l, TEXT_MAX)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What a watchdog says in sysfs, in its folder.
pub(crate) fn watchdog(folder: &Path) -> Option<Watchdog> {
    let read = |name: &str| files::kernel_text(folder.join(name)).ok();
    let number = |text: String| match text.trim().strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.trim().parse().ok(),
    };
    let bootstatus = number(read("bootstatus")?)?;
    let identity = read("identity").map_or_else(String::new, |t| printable(&t, 60));
    Some(Watchdog { identity, bootstatus })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::Finished;

    /// Answers as a system with so many failed units; `None` never answers.
    struct Machine(Option<usize>);

    impl Runner for Machine {
        fn run(&self, call: &Invocation<'_>) -> std::io::Result<Finished> {
            let Some(units) = self.0 else {
                std::thread::sleep(call.deadline);
                let (stdout, stderr) = (Vec::new(), Vec::new());
                return Ok(Finished { ending: Ending::Deadline, stdout, stderr });
            };
            let lines: Vec<String> = match call.command[0].as_str() {
                "systemctl" => {
                    let unit = |n| format!("u{n}.service loaded failed failed Unit {n}");
                    (0..units).map(unit).collect()
                }
                _ => vec!["[    1.0] h u[7]: \u{1b}[31mno\0".into(), call.command.join(" ")],
            };
            let stdout = lines.join("\n").into_bytes();
            Ok(Finished { ending: Ending::Exit(0), stdout, stderr: Vec::new() })
        }
    }

    #[test]
    fn failed_units_speak_and_there_is_an_end_to_them() {
        let units = Questions::new(&Machine(Some(2))).units(&[]);
        assert_eq!(units[1].unit, "u1.service");
        assert_eq!(units[1].lines[0], "[    1.0] h u[7]: ?[31mno?");
        assert!(units[1].lines[1].ends_with("--lines=20 --unit=u1.service"), "{units:?}");
        let asked_for = ["app.service", "u1.service", "app.service"].map(str::to_owned);
        let units = Questions::new(&Machine(Some(2))).units(&asked_for);
        let names: Vec<_> = units.iter().map(|u| u.unit.as_str()).collect();
        assert_eq!(names, ["app.service", "u1.service", "u0.service"]);
        assert_eq!(Questions::new(&Machine(Some(99))).units(&[]).len(), UNITS_MAX);
        assert!(Questions::new(&Machine(Some(0))).kernel()[1].contains("--dmesg"));
    }

    #[test]
    fn a_machine_that_does_not_answer_does_not_hold_the_reboot() {
        let due = Instant::now() + Duration::from_millis(50);
        let questions = Questions { runner: &Machine(None), due };
        assert_eq!((questions.units(&[]), questions.kernel()), (vec![], vec![]));
        // One question that waits for its answer as usual takes longer.
        assert!(due.elapsed() < DEADLINE);
    }

    #[test]
    fn the_watchdogs_word_is_read_as_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(watchdog(dir.path()), None);
        std::fs::write(dir.path().join("identity"), "i6300ESB timer\n").unwrap();
        for (text, word) in [("32\n", Some(32)), ("0x20", Some(32)), ("", None), ("x", None)] {
            std::fs::write(dir.path().join("bootstatus"), text).unwrap();
            assert_eq!(watchdog(dir.path()).map(|w| w.bootstatus), word, "{text}");
        }
    }
}
