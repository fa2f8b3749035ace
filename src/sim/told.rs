//! What a boot came to, told to a person or a script.

use crate::model::SlotId;
use serde::Serialize;

/// What goes wrong in this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Fault {
    /// The system comes up, and its health check says no.
    Unhealthy,
    /// The kernel comes up, and then nothing.
    Hang,
    /// The kernel panics.
    Panic,
    /// The kernel of the slot to be booted cannot be loaded.
    Kernel,
}

impl Fault {
    pub(super) fn word(self) -> &'static str {
        match self {
            Fault::Unhealthy => "unhealthy",
            Fault::Hang => "hang",
            Fault::Panic => "panic",
            Fault::Kernel => "kernel",
        }
    }
}

/// What a boot came to; the shape of `--json` and of `run/boot.json`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Told {
    pub(super) v: u32,
    /// The slot that runs; null if U-Boot stopped at its prompt.
    pub(super) slot: Option<SlotId>,
    /// Whether it is on trial.
    pub(super) trial: bool,
    /// Which boot of the trial this is, and how many there may be.
    pub(super) boot: Option<u32>,
    pub(super) limit: Option<u32>,
    /// Why nothing runs, with the step at which the bootloader stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stopped: Option<String>,
    /// The transaction that this boot gave up on.
    pub(super) gave_up: Option<String>,
    /// Whether another slot runs than is named: its kernel could not be loaded.
    pub(super) degraded: bool,
    /// Whether both copies of its memory were dead.
    pub(super) default_environment: bool,
    /// How often the bootloader stored its memory.
    pub(super) saves: u32,
    /// What went wrong on purpose.
    pub(super) fail: Option<&'static str>,
    pub(super) bootargs: String,
}

impl Told {
    /// The first line on stdout: what runs.
    pub(super) fn line(&self) -> String {
        let Some(slot) = self.slot else {
            let why = self.stopped.as_deref().unwrap_or_default();
            return crate::model::printable(&format!("no slot: {why}"), 300);
        };
        let mut notes = Vec::new();
        match (self.trial, self.boot, self.limit) {
            (true, Some(boot), Some(limit)) => notes.push(format!("trial, boot {boot} of {limit}")),
            (true, ..) => notes.push("trial".into()),
            (false, ..) => {}
        }
        if let Some(txn) = &self.gave_up {
            notes.push(format!("gave up on {txn}"));
        }
        if self.degraded {
            notes.push(format!("degraded: slot {} could not be started", slot.other()));
        }
        if self.default_environment {
            notes.push("both copies of the environment are dead".into());
        }
        if let Some(kind) = self.fail.filter(|f| *f != "kernel") {
            notes.push(format!("does not get healthy: {kind}"));
        }
        match notes.as_slice() {
            [] => format!("slot {slot}"),
            notes => format!("slot {slot} ({})", notes.join("; ")),
        }
    }
}
