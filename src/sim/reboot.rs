//! One boot of the folder's device, told to a person or a script.

use super::boot::{Boot, End, boot};
use super::device::Device;
use super::environment::{Flash, Variables, load};
use crate::model::{Failure, ReasonCode, Result, SlotId};
use crate::sys::durable;
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
    fn word(self) -> &'static str {
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
    v: u32,
    /// The slot that runs; null if U-Boot stopped at its prompt.
    pub(super) slot: Option<SlotId>,
    /// Whether it is on trial.
    trial: bool,
    /// Which boot of the trial this is, and how many there may be.
    boot: Option<u32>,
    limit: Option<u32>,
    /// Why nothing runs, with the step at which U-Boot stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
    /// The transaction that this boot gave up on.
    gave_up: Option<String>,
    /// Whether another slot runs than `surefoot_slot` names: its kernel could not be loaded.
    degraded: bool,
    /// Whether both copies of the environment were dead.
    default_environment: bool,
    /// How often U-Boot and its script stored the environment.
    saves: u32,
    /// What went wrong on purpose.
    fail: Option<&'static str>,
    bootargs: String,
}

fn text(variables: &Variables, name: &str) -> Option<String> {
    variables.get(name.as_bytes()).map(|v| String::from_utf8_lossy(v).into_owned())
}

/// The slot that an environment names, as the boot script reads it: anything but `b` means a.
fn named(variables: &Variables) -> SlotId {
    match text(variables, "surefoot_slot").as_deref() {
        Some("b") => SlotId::B,
        _ => SlotId::A,
    }
}

/// Boots the device once and writes down what runs. Also returns U-Boot's console.
pub(super) fn reboot(device: &Device, fault: Option<Fault>) -> Result<(Told, Vec<String>)> {
    let mut disk = device.hold()?;
    let before = load(&disk.read()?).variables.unwrap_or_default();
    let broken = (fault == Some(Fault::Kernel)).then(|| named(&before));
    let hardware = disk.hardware(device.counts()?, broken)?;
    // Nothing runs from here on until something does.
    for name in ["run/booted", "run/boot.json", "run/unhealthy"] {
        let _ = std::fs::remove_file(device.path(name));
    }
    let done = boot(&hardware, &mut disk)?;
    drop(disk);
    let told = told(&before, &done, fault);
    let json = serde_json::to_vec_pretty(&told)
        .map_err(|e| Failure::new(ReasonCode::Internal, e.to_string()))?;
    durable::write(&device.path("run/boot.json"), &json)?;
    if let Some(kind) = fault.filter(|f| *f != Fault::Kernel) {
        durable::write(&device.path("run/unhealthy"), format!("{}\n", kind.word()).as_bytes())?;
    }
    if let Some(slot) = told.slot {
        durable::write(&device.path("run/booted"), format!("{slot}\n").as_bytes())?;
    }
    Ok((told, done.console))
}

fn told(before: &Variables, done: &Boot, fault: Option<Fault>) -> Told {
    let (slot, stopped) = match &done.end {
        End::Slot(slot) => (Some(*slot), None),
        End::Prompt(step) => {
            let step = step.as_ref().map_or(String::new(), |step| format!(": {step}"));
            (None, Some(format!("U-Boot stopped at its prompt{step}")))
        }
        End::Reset => (None, Some("the script reset the board or switched it off".to_owned())),
    };
    let after = &done.variables;
    let pending =
        |variables: &Variables| text(variables, "upgrade_available").as_deref() == Some("1");
    let trial = pending(after) && slot == Some(named(after));
    let number = |name: &str| text(after, name).filter(|_| trial)?.parse().ok();
    Told {
        v: 1,
        slot,
        stopped,
        trial,
        boot: number("bootcount"),
        limit: number("bootlimit"),
        gave_up: text(after, "surefoot_fallback").filter(|_| pending(before) && !pending(after)),
        degraded: slot.is_some_and(|slot| slot != named(after)),
        default_environment: done.from_defaults,
        saves: done.saves,
        fail: fault.map(Fault::word),
        bootargs: done.arguments.clone(),
    }
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
