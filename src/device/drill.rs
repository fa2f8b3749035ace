//! A board's own rollback, tried for real: the other slot's system is armed and misbehaves on
//! purpose; the device that comes home keeps a certificate.

use super::answer::Answer;
use super::verbs::{go_back, settle};
use super::world::World;
use crate::event::Sink;
use crate::health::Verdict;
use crate::model::{Against, By, Failing, Failure, ReasonCode, Result, Txn, WithReason, document};
use crate::sys::process::Invocation;
use crate::sys::{clock, durable, host};
use crate::update::{Drill, Journal, Order, Outcome, Phase, Reboot, Target};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

const LIMIT: u64 = 4096;

/// A longer way home is a clock that was set, and no measurement.
const LONGEST: u64 = 86_400;

/// That this board came back from a bad system, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The version of this file's shape.
    pub v: u32,
    /// How the system misbehaved.
    pub kind: Drill,
    /// Seconds from the order to being home; `None` where the clock was set meanwhile.
    pub seconds: Option<u64>,
    /// Seconds since 1970 at which the device was home.
    pub at: u64,
    /// Why it came back.
    pub reason: Option<ReasonCode>,
    /// The drill's trial.
    pub txn: Option<Txn>,
}

impl Certificate {
    /// How it came home: `unhealthy, home after 94 s`.
    pub(super) fn home(&self) -> String {
        let after = self.seconds.map_or_else(String::new, |s| format!(" after {s} s"));
        format!("{}, home{after}", self.kind.as_str())
    }

    /// One line for people.
    pub fn text(&self) -> String {
        let took = self.seconds.map_or_else(|| "came home".to_owned(), |s| format!("{s} s"));
        let kind = self.kind.as_str();
        format!("rollback proven on this board, {kind}: {took}, {}", clock::utc(self.at))
    }
}

/// When a drill began: written before it is armed.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Begun {
    at: u64,
}

impl World {
    fn certificate_file(&self) -> PathBuf {
        self.settings.device.state.join("drill.json")
    }

    fn begun_file(&self) -> PathBuf {
        self.settings.device.state.join("drill-begun.json")
    }

    /// The certificate of the last drill that came home, if there was one.
    pub fn certificate(&self) -> Option<Certificate> {
        let bytes = durable::read(&self.certificate_file(), LIMIT).ok().flatten()?;
        document(&bytes)
    }

    /// Writes the certificate of a drill that has just come home; once.
    pub(super) fn certify(&self, last: &Outcome) -> Result<()> {
        let Some(certificate) = self.earned(last) else { return Ok(()) };
        let text = serde_json::to_string(&certificate).reason(ReasonCode::Internal, "drill")?;
        durable::write(&self.certificate_file(), text.as_bytes())
    }

    /// The certificate as it stands, or as the next start will write it: who asks right after the
    /// drill is answered as who asks later.
    pub(super) fn certified(&self, journal: &Journal) -> Option<Certificate> {
        let idle = journal.phase == Phase::Idle;
        let earned = journal.last.as_ref().filter(|_| idle).and_then(|last| self.earned(last));
        earned.or_else(|| self.certificate())
    }

    /// What a drill that came home has earned and nobody has written down yet.
    fn earned(&self, last: &Outcome) -> Option<Certificate> {
        let kind = last.drilled()?;
        if self.certificate().is_some_and(|c| c.txn == last.txn) {
            return None;
        }
        let begun = durable::read(&self.begun_file(), LIMIT).ok().flatten();
        let begun: Begun = begun.and_then(|b| document(&b)).unwrap_or_default();
        let at = self.now();
        let seconds = at.checked_sub(begun.at).filter(|s| *s < LONGEST);
        let (reason, txn) = (last.reason, last.txn.clone());
        Some(Certificate { v: 1, kind, seconds, at, reason, txn })
    }
}

/// Arms the other slot's verified system for a trial that will misbehave. Reboot to begin; the
/// daemon does so by itself.
pub fn drill(world: &World, kind: Drill, by: &str, sink: &dyn Sink) -> Result<Answer> {
    let booted = world.booted()?;
    if kind == Drill::Hang && !world.disk.is_image() && !host::is_watched() {
        let text =
            "no hardware watchdog is fed by the init system: a device that hangs would stay so";
        return Err(Failure::new(ReasonCode::DrillUnsafe, text));
    }
    let _lock = world.lock("drill")?;
    let journal = settle(world, sink)?;
    if let Some(work) = journal.work() {
        let text = format!("{} in slot {} is under way", work.to, work.slot);
        return Err(Failure::new(ReasonCode::DrillUnsafe, text));
    }
    if let Some(refused) = world.refusal(booted.other()) {
        return Err(refused);
    }
    if !matches!(world.target_in(booted.other()), Target::Recorded(_)) {
        let text = format!("slot {} holds no release that was installed", booted.other());
        return Err(Failure::new(ReasonCode::DrillUnsafe, text));
    }
    let begun = Begun { at: world.now() };
    let text = serde_json::to_string(&begun).reason(ReasonCode::Internal, "drill")?;
    durable::write(&world.begun_file(), text.as_bytes())?;
    let by = by.to_owned();
    let order = Order { by, automatic: false, reboot: Reboot::Now, drill: Some(kind) };
    // It misbehaves whatever it is: one that came back before serves as well.
    let answer = go_back(world, journal, order, true, sink)?;
    let text = format!(
        "A drill: {} in slot {} will {}, and this device must come home by itself. {}",
        answer.version,
        answer.slot,
        match kind {
            Drill::Unhealthy => "fail its health check",
            Drill::Hang => "hang until the watchdog resets it",
            Drill::Panic => "panic",
        },
        "Then `surefoot doctor` shows how long it took."
    );
    Ok(Answer { text, ..answer })
}

/// What is said of a system that misbehaves because it was told to.
pub fn on_purpose(kind: Drill) -> Verdict {
    let said = format!("{} on purpose", kind.as_str());
    Verdict::Bad(Against::one(Failing::by(By::Drill, "drill", &said)))
}

/// Makes this system misbehave. A machine that still runs afterwards has not, and its verdict is
/// the same.
pub(super) fn misbehave(world: &World, kind: Drill) -> Verdict {
    let words: &[&str] = match kind {
        Drill::Unhealthy => &[],
        // The init system stands still and feeds no watchdog any more.
        Drill::Hang => &["/bin/kill", "-SEGV", "1"],
        Drill::Panic => &["/bin/sh", "-c", "echo c >/proc/sysrq-trigger"],
    };
    // Never on a machine that only keeps an image.
    if !words.is_empty() && !world.disk.is_image() {
        let command: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        let call = Invocation {
            command: &command,
            folder: "/".as_ref(),
            environment: &[],
            input: b"",
            deadline: Duration::from_secs(10),
            keep: 0,
        };
        let _ = world.runner.run(&call);
        std::thread::sleep(Duration::from_secs(120));
    }
    on_purpose(kind)
}
