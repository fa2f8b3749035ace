//! What happened, as one serialisable enum with stable ids. Rendering lives elsewhere: this room
//! never prints.

mod examples;
mod id;
mod moved;

pub use examples::examples;
pub use id::Told;
pub use moved::{Forecast, Moved, Via};

use crate::model::{Against, ReasonCode, SlotId, State, Version, from_value, line_document};
use serde::{Deserialize, Serialize};

/// A phase of an installation, in the order in which they happen; one that goes on after a cut
/// compares before it verifies what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Hashing the whole artifact before the first destructive byte.
    Verify,
    /// Hashing what already stands in the slot.
    Compare,
    /// Decoding and writing, with the read-back close behind.
    Write,
    /// The last phase: first block and slot record.
    Finish,
    /// Bringing in what an app needs, while what runs goes on.
    Stage,
}

impl Phase {
    /// What a person reads: `verifying`.
    pub fn doing(self) -> &'static str {
        match self {
            Phase::Verify => "verifying",
            Phase::Compare => "comparing",
            Phase::Write => "writing",
            Phase::Finish => "finishing",
            Phase::Stage => "staging",
        }
    }

    /// How much of the whole installation is done, percent, when `done` of `total` bytes of this
    /// phase are: what is read is read again to be written.
    pub fn of_the_whole(self, done: u64, total: u64) -> u8 {
        let (from, to): (u8, u8) = match self {
            Phase::Verify | Phase::Compare => (0, 25),
            Phase::Write => (25, 97),
            Phase::Finish => (97, 100),
            Phase::Stage => (0, 90),
        };
        let span = u128::from(to - from) * u128::from(done.min(total)) / u128::from(total.max(1));
        u8::try_from(u128::from(from) + span).unwrap_or(100)
    }
}

/// Where a change of apps stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppsStep {
    /// All that it needs is on the device; what runs goes on.
    Staged,
    /// What runs is stopped, and the new generation is started.
    Switching,
    /// The new generation stays.
    Updated,
    /// The one before runs again.
    RolledBack,
    /// It was never switched to.
    Failed,
}

impl AppsStep {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            AppsStep::Staged => "staged",
            AppsStep::Switching => "switching",
            AppsStep::Updated => "updated",
            AppsStep::RolledBack => "rolled back",
            AppsStep::Failed => "not changed",
        }
    }
}

/// One thing that happened. New variants may be added; ids never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A phase began; `total` is what will be counted in `Progress`, in bytes.
    PhaseStarted {
        /// The phase.
        phase: Phase,
        /// Bytes to come, 0 if unknown.
        total: u64,
    },
    /// `done` of `total` bytes of the phase are behind us.
    Progress {
        /// The phase.
        phase: Phase,
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
        /// What has moved so far, while a slot is written.
        #[serde(flatten)]
        moved: Option<Moved>,
    },
    /// A phase ended well.
    PhaseEnded {
        /// The phase.
        phase: Phase,
        /// Bytes done.
        done: u64,
        /// What has moved, where a slot was written.
        #[serde(flatten)]
        moved: Option<Moved>,
    },
    /// An installation over a network is about to write; nothing is changed yet.
    Planned {
        /// Where its bytes come from.
        #[serde(flatten)]
        forecast: Forecast,
    },
    /// The daemon runs.
    Started {
        /// The updater's version.
        updater: String,
        /// Where the device stands.
        state: State,
    },
    /// The device stands elsewhere than before.
    State {
        /// Where.
        state: State,
        /// One line for people.
        text: String,
    },
    /// The bootloader was told to try `slot` next.
    Armed {
        /// The slot.
        slot: SlotId,
        /// The release in it.
        version: Option<Version>,
    },
    /// The trial ended: the new system stays.
    Committed {
        /// The slot.
        slot: SlotId,
    },
    /// The device goes back to `slot`.
    RolledBack {
        /// The slot it returns to.
        slot: SlotId,
        /// Why.
        reason: ReasonCode,
        /// What spoke against the system that is left, where something did.
        #[serde(flatten)]
        against: Against,
        /// It was a drill, and goes as it should.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        drill: bool,
    },
    /// An installation, or another request, was refused or failed; nothing that boots has changed.
    Refused {
        /// Why.
        reason: ReasonCode,
        /// One line for people.
        text: String,
    },
    /// A person has cancelled what was not tried yet; no release is at fault.
    Cancelled {
        /// The release.
        version: String,
        /// Who, and why.
        text: String,
    },
    /// Another release takes the place of one that was not tried yet; no release is at fault.
    Superseded {
        /// The release that makes way.
        version: String,
        /// Which one takes its place.
        text: String,
    },
    /// A health check says something else than the last time.
    Check {
        /// Its name.
        name: String,
        /// Whether it passes now.
        passed: bool,
        /// Why not.
        text: String,
    },
    /// A program of the integrator ended.
    Hook {
        /// The moment that it was run at.
        moment: String,
        /// Its name.
        name: String,
        /// How it ended.
        text: String,
    },
    /// Something stands between now and the next step.
    Waiting {
        /// For what, one line each.
        text: Vec<String>,
    },
    /// A stick was put in, or a file into the inbox.
    Media {
        /// What, and what became of it.
        text: String,
    },
    /// Automatic updates were stopped or let go.
    Hold {
        /// Whether they are stopped.
        held: bool,
        /// One line for people.
        text: String,
    },
    /// The machine is about to reboot.
    Rebooting {
        /// Why.
        text: String,
    },
    /// A change of apps stands elsewhere.
    Apps {
        /// Where.
        step: AppsStep,
        /// The apps, each as `NAME OLD -> NEW`.
        apps: Vec<String>,
        /// Why they go back, or were not changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ReasonCode>,
        /// One line for people.
        text: String,
    },
    /// A service of an app is well, or is not, unlike before.
    Service {
        /// The app.
        app: String,
        /// The service.
        service: String,
        /// Whether it is well now.
        well: bool,
        /// Why not.
        text: String,
    },
    /// Something a person should know that stops nothing.
    Warning {
        /// One printable line.
        text: String,
    },
}

impl Event {
    /// The same with every text as one printable line. Texts are made printable where they enter;
    /// this is the last look before many read it.
    #[must_use]
    pub fn shown(&self) -> Event {
        if matches!(
            self,
            Event::PhaseStarted { .. } | Event::Progress { .. } | Event::PhaseEnded { .. }
        ) {
            return self.clone();
        }
        let told = serde_json::to_value(self).ok().map(line_document);
        told.and_then(|told| from_value(&told).ok()).unwrap_or_else(|| self.clone())
    }
}

/// Where events go. Implementations render, store or count; they never fail the caller.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: &Event);
}

/// A sink that keeps nothing.
#[derive(Debug, Default)]
pub struct Nowhere;

impl Sink for Nowhere {
    fn emit(&self, _: &Event) {}
}
