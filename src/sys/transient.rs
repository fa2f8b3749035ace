//! Programs as transient units: with the rights of the init system's units and not of ours, and
//! outside our life. systemd-run(1) does it.

use super::process::{Ending, Finished, Invocation, Runner, run};
use super::stop::Stop;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How much longer we wait for systemd to end a unit than it has.
const GRACE: Duration = Duration::from_secs(10);

/// systemd.exec(5): the program could not be executed, or its folder entered.
const NOT_STARTED: std::ops::RangeInclusive<i32> = 200..=242;

/// A name that no other unit has.
fn name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("surefoot-run-{}-{count}.service", std::process::id())
}

/// The unit outlives whoever waits for it. It gets SIGTERM, and SIGKILL some seconds later; the
/// init system sees to both, and nobody waits for it here.
fn stop(unit: &str) {
    let words = ["systemctl", "stop", "--no-block", unit].map(str::to_owned);
    let call = Invocation {
        command: &words,
        folder: Path::new("/"),
        environment: &[],
        input: b"",
        deadline: GRACE / 2,
        keep: 1024,
    };
    // It is no part of the work that is stopped.
    if let Err(error) = Stop::default().over(|| run(&call)) {
        log::warn!("{unit} is not stopped: {error}");
    }
}

/// A relative path with a slash means the folder that the program runs in.
fn path(call: &Invocation<'_>) -> PathBuf {
    let program = call.command.first().map_or("", String::as_str);
    match program.contains('/') {
        true => call.folder.join(program),
        false => program.into(),
    }
}

/// What systemd-run(1) is called with.
fn words(call: &Invocation<'_>, unit: &str, path: &Path) -> Vec<String> {
    let seconds = call.deadline.as_secs_f64().ceil();
    let mut words: Vec<String> =
        ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--service-type=exec"]
            .map(str::to_owned)
            .to_vec();
    words.push(format!("--unit={unit}"));
    words.push(format!("--property=RuntimeMaxSec={seconds}"));
    words.push(format!("--property=TimeoutStopSec={}", GRACE.as_secs() / 2));
    words.push(format!("--property=WorkingDirectory={}", call.folder.display()));
    for (name, value) in call.environment {
        // As it is: systemd looks for no `$` here.
        words.push(format!("--setenv={name}={value}"));
    }
    words.push("--".to_owned());
    // The program is looked for by this very name: no `$` of it is doubled.
    words.push(path.display().to_string());
    // systemd puts variables into the arguments (systemd.service(5)), those of `environment` too. A
    // shell in them would run what such a value says; `$$` stands for a `$`. The switch that turns
    // this off came with systemd 254.
    words.extend(call.command.iter().skip(1).map(|word| word.replace('$', "$$")));
    words
}

/// Runs programs as transient service units.
#[derive(Debug, Clone, Copy, Default)]
pub struct Units;

impl Runner for Units {
    fn run(&self, call: &Invocation<'_>) -> Result<Finished> {
        let unit = name();
        let path = path(call);
        let command = words(call, &unit, &path);
        let outer = Invocation {
            command: &command,
            folder: Path::new("/"),
            deadline: call.deadline + GRACE,
            ..call.clone()
        };
        let start = std::time::Instant::now();
        let mut done = run(&outer)?;
        if done.ending == Ending::Stopped {
            stop(&unit);
        }
        if start.elapsed() >= call.deadline && done.ending != Ending::Exit(0) {
            done.ending = Ending::Deadline;
        }
        match done.ending {
            Ending::Exit(status) if NOT_STARTED.contains(&status) => Err(Error::new(
                ErrorKind::NotFound,
                format!("{} cannot be started", path.display()),
            )),
            _ => Ok(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_reach_the_program_as_they_are_written() {
        let command = ["./say$it", "-c", "echo $SUREFOOT_BY ${X} $$"].map(str::to_owned);
        let environment = [("SUREFOOT_BY".to_owned(), "$(reboot) $1".to_owned())];
        let call = Invocation {
            command: &command,
            folder: Path::new("/hooks"),
            environment: &environment,
            input: b"",
            deadline: Duration::from_secs(3),
            keep: 1024,
        };
        let words = words(&call, "u.service", &path(&call));
        let start = words.iter().position(|w| w == "--").unwrap();
        let given = ["--", "/hooks/./say$it", "-c", "echo $$SUREFOOT_BY $${X} $$$$"];
        assert_eq!(words[start..], given);
        assert!(words[..start].contains(&"--setenv=SUREFOOT_BY=$(reboot) $1".to_owned()));
    }
}
