//! What the journal of the init system is told: an id that never changes, a priority, a line.

use super::{AppsStep, Event};

/// An event as a journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `MESSAGE_ID`: find all events of a kind with `journalctl MESSAGE_ID=…`.
    pub id: &'static str,
    /// syslog(3): 3 error, 4 warning, 5 notice, 6 informational.
    pub priority: &'static str,
    /// One line for people.
    pub line: String,
}

impl Event {
    /// What a journal keeps of it; progress is not kept. The ids were drawn once and are part of
    /// docs/events.md.
    pub fn told(&self) -> Option<Told> {
        let told = |id, priority, line: String| Some(Told { id, priority, line });
        match self {
            Event::PhaseStarted { .. } | Event::Progress { .. } => None,
            Event::PhaseEnded { phase, done, .. } => told(
                "e5eb9cd397724240ae5598af672dfa68",
                "6",
                format!("{} ended after {done} bytes", phase.doing()),
            ),
            Event::Planned { forecast } => told(
                "0d5b8e7a4a6f4c0e9d1f3b62c7a95e18",
                "6",
                format!(
                    "{} bytes are to be fetched, {} stand in the device",
                    forecast.to_fetch,
                    forecast.stands + forecast.copied
                ),
            ),
            Event::Started { updater, state } => told(
                "5f9451f7e37740ae9ec19ea455328d43",
                "6",
                format!("surefoot {updater} looks after this device: {state}"),
            ),
            Event::State { state, text } => {
                told("e2c80ec4656d481c85165cc3ecda679e", "5", format!("{state}: {text}"))
            }
            Event::Armed { slot, version } => {
                let version = version.as_ref().map_or_else(String::new, |v| format!(" ({v})"));
                let line = format!("slot {slot}{version} is tried at the next boot");
                told("13f88d5d5e0349ea90fb01fbb6fb281c", "5", line)
            }
            Event::Committed { slot } => {
                told("dd83a35958a045e985b3af52736936e4", "5", format!("slot {slot} stays"))
            }
            Event::RolledBack { slot, reason, against, drill } => {
                let said = match against.is_empty() {
                    true => String::new(),
                    false => format!(": {}", against.text()),
                };
                let (priority, drill) = if *drill { ("5", "a drill: ") } else { ("3", "") };
                let line = format!("{drill}back to slot {slot}: {reason}{said}");
                told("ffbd367c39284eeb96b5f81b374b9842", priority, line)
            }
            Event::Refused { reason, text } => {
                told("626835a434c747029facdddad73deba0", "4", format!("{text} [{reason}]"))
            }
            Event::Cancelled { version, text } => told(
                "7b0c6d3f1c1f4e4f8a2c9d0e5f6a7b81",
                "5",
                format!("{version} is cancelled: {text}"),
            ),
            Event::Superseded { version, text } => told(
                "4b1f0a9ce2d34f7b9d6588f1c03e7a52",
                "5",
                format!("{version} makes way: {text}"),
            ),
            Event::Check { name, passed, text } => {
                let line = match passed {
                    true => format!("check {name} passes"),
                    false => format!("check {name} fails: {text}"),
                };
                told("d1730d8494ca4e8dbcf72db03613ea59", if *passed { "6" } else { "4" }, line)
            }
            Event::Hook { moment, name, text } => told(
                "b010ee991502409098a9cb9d494bc58e",
                "6",
                format!("hook {name} at {moment}: {text}"),
            ),
            Event::Waiting { text } => {
                let line = format!("waiting: {}", text.join("; "));
                told("c75d5eabf4b54b6ead0f8b6db98380e7", "6", line)
            }
            Event::Media { text } => told("6f258f909e2c4fbea6030d1710384f60", "5", text.clone()),
            Event::Hold { text, .. } => told("dcc0d34fab824950a72815230777dbd7", "5", text.clone()),
            Event::Rebooting { text } => {
                told("1d71fb4eccd64c23a5bcd1c0e5f8ce94", "5", format!("rebooting: {text}"))
            }
            Event::Apps { step, apps, reason, text } => {
                let said = match (reason, text.as_str()) {
                    (None, "") => String::new(),
                    (None, text) => format!(": {text}"),
                    (Some(reason), text) => format!(": {text} [{reason}]"),
                };
                let priority = match step {
                    AppsStep::Staged | AppsStep::Switching | AppsStep::Updated => "5",
                    AppsStep::RolledBack => "3",
                    AppsStep::Failed => "4",
                };
                let line = format!("{} {}{said}", apps.join(", "), step.as_str());
                told("b1cb18167d85957cdf322a1422d00e17", priority, line)
            }
            Event::Service { app, service, well, text } => {
                let line = match well {
                    true => format!("{app}/{service} is well"),
                    false => format!("{app}/{service} is not well: {text}"),
                };
                told("09fab57549942cff0342e56ae548d49d", if *well { "6" } else { "4" }, line)
            }
            Event::Warning { text } => told("5fba5fe9db7a435595c8e189fb1be6bb", "4", text.clone()),
        }
    }
}
