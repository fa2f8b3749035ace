//! Stopping automatic updates on this device, visibly, and letting them go again.

use super::world::World;
use crate::event::{Event, Sink};
use crate::model::{
    Failure, REASON_MAX, ReasonCode, Result, StateFile, WithReason, document, printable,
};
use crate::sys::lock::FileLock;
use crate::sys::{clock, durable};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// More than any hold needs.
const LIMIT: u64 = StateFile::HOLD.limit;

/// Why automatic updates are stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The version of this file's shape.
    pub v: u32,
    /// Who stopped them: a user's name, `configuration`, or the path of a file.
    pub by: String,
    /// Why, for the record; may be empty.
    pub reason: String,
    /// Seconds since 1970 at which it ends; `None`: when somebody says so.
    pub until: Option<u64>,
    /// Seconds since 1970 at which it began; 0 where that is not known.
    pub at: u64,
}

impl Hold {
    /// One line for people.
    pub fn text(&self) -> String {
        let until = self.until.map_or_else(String::new, |u| format!(" until {}", clock::utc(u)));
        let reason = match self.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        format!("Automatic updates are stopped by {}{until}{reason}.", self.by)
    }
}

impl World {
    fn hold_file(&self) -> PathBuf {
        StateFile::HOLD.within(&self.settings.device.state)
    }

    /// Of its own: a hold can be set while an installation runs, and stops it if nobody asked for it.
    fn hold_lock(&self) -> Result<FileLock> {
        self.state_folder()?;
        let lock = StateFile::HOLD_LOCK.within(&self.settings.device.state);
        FileLock::take(&lock, Duration::from_secs(5))
    }

    /// Why automatic updates are stopped, if they are. A hold that cannot be read still holds.
    pub fn hold(&self) -> Option<Hold> {
        let other = |by: String, reason: &str| {
            let (by, reason) = (printable(&by, REASON_MAX), printable(reason, REASON_MAX));
            Some(Hold { v: 1, by, reason, until: None, at: 0 })
        };
        if self.settings.device.hold {
            return other("configuration".to_owned(), "`[device] hold` is set");
        }
        let file = self.settings.run.join("hold");
        if file.exists() {
            return other(file.display().to_string(), "the file is there");
        }
        // Where there is no folder nobody has kept anything.
        if !self.settings.device.state.is_dir() {
            return None;
        }
        let bytes = match durable::read(&self.hold_file(), LIMIT) {
            Ok(None) => return None,
            Ok(Some(bytes)) => bytes,
            Err(failure) => return other(self.hold_file().display().to_string(), failure.detail()),
        };
        match document::<Hold>(&bytes) {
            Some(hold) if hold.until.is_some_and(|until| until <= self.now()) => None,
            Some(hold) => Some(hold),
            None => other(self.hold_file().display().to_string(), "the file is damaged"),
        }
    }
}

/// Stops automatic updates, for so many seconds or until [`unhold`]; outlives reboots.
pub fn hold(
    world: &World,
    seconds: Option<u64>,
    reason: &str,
    by: &str,
    sink: &dyn Sink,
) -> Result<Hold> {
    let at = world.now();
    // Two days after 1970 are over as soon as the clock is set.
    if seconds.is_some() && !clock::is_set(at) {
        let text = "nobody has set the clock of this device, so no hold can end by itself";
        return Err(Failure::new(ReasonCode::ClockUnset, text));
    }
    let _lock = world.hold_lock()?;
    let hold = Hold {
        v: 1,
        by: printable(by, REASON_MAX),
        reason: printable(reason, REASON_MAX),
        until: seconds.map(|s| at.saturating_add(s)),
        at,
    };
    let text = serde_json::to_string(&hold).reason(ReasonCode::Internal, "hold")?;
    durable::write(&world.hold_file(), text.as_bytes())?;
    sink.emit(&Event::Hold { held: true, text: hold.text() });
    // What began before finds it only now. A person's installation goes on.
    world.stop_automatic(&Failure::new(ReasonCode::Held, hold.text()))?;
    Ok(hold)
}

/// Lets automatic updates go. What the configuration or a file stops stays stopped: `HELD` says so.
pub fn unhold(world: &World, by: &str, sink: &dyn Sink) -> Result<String> {
    let lock = world.hold_lock()?;
    // Ended before any clock began: no clock that goes backwards brings it to life again.
    let over = Hold { v: 1, by: String::new(), reason: String::new(), until: Some(0), at: 0 };
    let text = serde_json::to_string(&over).reason(ReasonCode::Internal, "hold")?;
    durable::write(&world.hold_file(), text.as_bytes())?;
    if let Some(hold) = world.hold() {
        return Err(Failure::new(ReasonCode::Held, hold.text()));
    }
    let text = format!("Automatic updates are let go by {}.", printable(by, REASON_MAX));
    sink.emit(&Event::Hold { held: false, text: text.clone() });
    drop(lock);
    #[cfg(feature = "apps")]
    let text = end_development(world, text, by, sink);
    Ok(text)
}

/// What development keys have brought goes with the hold. A failure of that is told, and the hold is over all the same: the
/// daemon tries again.
#[cfg(feature = "apps")]
fn end_development(world: &World, text: String, by: &str, sink: &dyn Sink) -> String {
    match super::apps::unhold(world, by, sink) {
        Ok(moves) if moves.is_empty() => text,
        Ok(moves) => format!("{text} Back from development: {}.", moves.join(", ")),
        Err(failure) => {
            sink.emit(&Event::Warning { text: format!("development is not over: {failure}") });
            text
        }
    }
}
