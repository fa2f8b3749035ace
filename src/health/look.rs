//! Looking at one thing after the other.

use super::{Check, Kind, Outcome, Seen, probe, units};
use crate::event::{Event, Sink};
use crate::model::{ByteLen, both_ends};
use crate::source::{self, Setup, Tries};
use crate::sys::process::{Children, Ending, Finished, Invocation, Runner};
use crate::sys::{host, stop, systemd};
use std::path::Path;
use std::time::Duration;

/// What checks are looked at with.
pub struct Eyes<'a> {
    /// Where relative commands start.
    pub folder: &'a Path,
    /// Runs commands.
    pub runner: &'a dyn Runner,
    /// Looks over the network, where that is elsewhere; `None` looks from here.
    pub remote: Option<&'a dyn Remote>,
    /// How the network is used.
    pub source: &'a source::Settings,
    /// It is at least so late, seconds since 1970: for certificates, where the clock is not set.
    pub floor: u64,
    /// Told about what could not be looked at.
    pub sink: &'a dyn Sink,
}

/// Somebody who has a network.
pub trait Remote: Send + Sync {
    /// Looks at a [`Kind`] that is remote.
    fn probe(&self, kind: &Kind, timeout: Duration, net: &Setup) -> Outcome;
}

/// Looks at everything once, in order.
pub fn look(checks: &[Check], eyes: &Eyes<'_>) -> Vec<Seen> {
    let one = |check: &Check| {
        // Nobody waits for the answer any more.
        if stop::is_set() {
            let outcome = Outcome::CouldNot("it was stopped".to_owned());
            return Seen { name: check.name.clone(), units: Vec::new(), outcome };
        }
        // Each has its own time; together they may have more than a watchdog's.
        systemd::waits();
        let (outcome, units) = eyes.at(check);
        if let Outcome::CouldNot(detail) = &outcome {
            eyes.sink.emit(&Event::Warning { text: format!("check {}: {detail}", check.name) });
        }
        Seen { name: check.name.clone(), units, outcome }
    };
    checks.iter().map(one).collect()
}

impl Eyes<'_> {
    fn at(&self, check: &Check) -> units::Found {
        // The init system's own tool needs no more rights than we have.
        match &check.kind {
            Kind::Unit(names) => units::active(names, check.timeout, &Children),
            Kind::Steady(names) => units::steady(names, check.timeout, &Children),
            _ => (self.other(check), Vec::new()),
        }
    }

    fn other(&self, check: &Check) -> Outcome {
        match &check.kind {
            Kind::Command(command) => self.run(command, check.timeout),
            Kind::Unit(_) | Kind::Steady(_) => Outcome::CouldNot("it is about units".to_owned()),
            Kind::Http(_) | Kind::Tcp(_) | Kind::Reach(_) => self.far(&check.kind, check.timeout),
            Kind::File(path) => match std::fs::metadata(self.folder.join(path)) {
                Ok(_) => Outcome::Good,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    Outcome::Bad(format!("{} is not there", path.display()))
                }
                Err(e) => Outcome::CouldNot(format!("{}: {e}", path.display())),
            },
            Kind::Space { path, free } => match host::free_bytes(path) {
                Ok(found) if found >= *free => Outcome::Good,
                Ok(found) => {
                    let (found, free) = (ByteLen(found), ByteLen(*free));
                    Outcome::Bad(format!("{} has {found} free of {free}", path.display()))
                }
                Err(e) => Outcome::CouldNot(format!("{}: {e}", path.display())),
            },
        }
    }

    fn far(&self, kind: &Kind, timeout: Duration) -> Outcome {
        // Only TLS needs what the settings say of authorities.
        let secure = matches!(kind, Kind::Http(url) if url.starts_with("https://"));
        let net = match secure {
            true => match Setup::of(self.source, self.floor, Tries::Minute) {
                Ok(net) => net,
                Err(failure) => return Outcome::CouldNot(failure.detail().to_owned()),
            },
            false => Setup::default(),
        };
        match self.remote {
            Some(remote) => remote.probe(kind, timeout, &net),
            None => {
                let kind = kind.clone();
                let looked = stop::unless_set(move || probe::probe(&kind, timeout, &net));
                looked.unwrap_or_else(|| Outcome::CouldNot("it was stopped".to_owned()))
            }
        }
    }

    fn run(&self, command: &[String], deadline: Duration) -> Outcome {
        let call = Invocation {
            command,
            folder: self.folder,
            environment: &[],
            input: b"",
            deadline,
            keep: 16 * 1024,
        };
        match self.runner.run(&call) {
            Ok(done) if done.ending == Ending::Exit(0) => Outcome::Good,
            Ok(done) => Outcome::Bad(describe(&done, deadline)),
            Err(error) => {
                let program = command.first().map_or("", |c| c);
                Outcome::CouldNot(format!("{program}: {error}"))
            }
        }
    }
}

fn describe(done: &Finished, deadline: Duration) -> String {
    let ending = match done.ending {
        Ending::Exit(status) => format!("exit status {status}"),
        Ending::Signal(signal) => format!("killed by signal {signal}"),
        Ending::Deadline => format!("not finished after {} s", deadline.as_secs()),
        Ending::Stopped => "ended, as the work that it was a part of was stopped".to_owned(),
    };
    let spoken = if done.stderr.is_empty() { &done.stdout } else { &done.stderr };
    let text = String::from_utf8_lossy(spoken);
    match text.trim().lines().next_back() {
        Some(last) if !last.is_empty() => format!("{ending}: {}", both_ends(last, 200)),
        _ => ending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Nowhere;
    use crate::health::Need;

    fn at(kind: Kind) -> Outcome {
        within(kind, Duration::from_secs(60))
    }

    fn within(kind: Kind, timeout: Duration) -> Outcome {
        let check = Check { name: "x".into(), need: Need::Required, kind, timeout };
        let (folder, remote) = (Path::new("/"), None);
        let source = &source::Settings::default();
        let eyes = Eyes { folder, runner: &Children, remote, source, floor: 0, sink: &Nowhere };
        look(&[check], &eyes).remove(0).outcome
    }

    fn shell(script: &str) -> Kind {
        Kind::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
    }

    #[test]
    fn a_command_says_no_with_its_last_words_and_a_missing_one_says_nothing() {
        assert_eq!(at(shell("exit 0")), Outcome::Good);
        let no = at(shell("echo a; echo port closed; exit 4"));
        assert_eq!(no, Outcome::Bad("exit status 4: port closed".into()));
        let hangs = within(shell("sleep 600"), Duration::from_millis(500));
        assert_eq!(hangs, Outcome::Bad("not finished after 0 s".into()));
        let missing = Kind::Command(vec!["/nowhere/at-all".into()]);
        assert!(matches!(at(missing), Outcome::CouldNot(_)));
    }

    #[test]
    fn files_and_space() {
        assert_eq!(at(Kind::File("/etc".into())), Outcome::Good);
        assert_eq!(at(Kind::File("/nowhere".into())), Outcome::Bad("/nowhere is not there".into()));
        assert_eq!(at(Kind::Space { path: "/".into(), free: 1 }), Outcome::Good);
        let full = at(Kind::Space { path: "/".into(), free: 1 << 62 });
        assert!(matches!(full, Outcome::Bad(_)), "{full:?}");
        let nowhere = at(Kind::Space { path: "/nowhere".into(), free: 1 });
        assert!(matches!(nowhere, Outcome::CouldNot(_)));
    }
}
