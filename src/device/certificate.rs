//! That this board has come back from a bad system: the file that a drill leaves.

use super::world::World;
use crate::model::{ReasonCode, Result, StateFile, Txn, WithReason, document};
use crate::sys::{clock, durable};
use crate::update::{Drill, Journal, Outcome, Phase};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const LIMIT: u64 = StateFile::DRILL.limit;

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
    pub(crate) fn home(&self) -> String {
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
pub(super) struct Begun {
    pub(super) at: u64,
}

impl World {
    fn certificate_file(&self) -> PathBuf {
        StateFile::DRILL.within(&self.settings.device.state)
    }

    pub(super) fn begun_file(&self) -> PathBuf {
        StateFile::DRILL_BEGUN.within(&self.settings.device.state)
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
    pub(crate) fn certified(&self, journal: &Journal) -> Option<Certificate> {
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
