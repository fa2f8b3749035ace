//! The journal of apps: everything that survives. Written before the effect that it announces.

use crate::bundle::ServiceName;
use crate::model::{Digest, ReasonCode, SlotId, Version};
use crate::update::Order;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One release of one app on this device, with what was set for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Generation {
    /// SHA-256 of its manifest.
    pub digest: Digest,
    /// The version people read.
    pub version: Version,
    /// Orders releases.
    pub release_counter: u64,
    /// Values of its configuration; the rest is as its document says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// A development key has signed it: it runs only while the device is held.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub development: bool,
    /// So many generations before this one are kept, as its document says.
    #[serde(default = "one")]
    pub keep: u32,
}

fn one() -> u32 {
    1
}

impl Generation {
    /// The word for a run-once service of this release that has ended well, in [`AppJournal::ran`]; `ever` where it is
    /// not run again in a later release.
    pub fn ran(&self, app: &ServiceName, service: &ServiceName, ever: bool) -> String {
        let release = if ever { String::new() } else { self.digest.short() };
        format!("{app}/{release}/{service}")
    }
}

/// Which generation of each app runs.
pub type AppSet = BTreeMap<ServiceName, Generation>;

/// What one change does to one app. Never the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AppMove {
    /// The app.
    pub app: ServiceName,
    /// What runs; `None` where it is new.
    pub from: Option<Generation>,
    /// What shall run; `None` where it goes.
    pub to: Option<Generation>,
}

/// Why a change is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Somebody asked for apps: it is on trial, and decided by the health of its services.
    Asked(Order),
    /// Another slot runs than the one whose set ran last. While that slot is on trial, so is the change, and the
    /// slot's trial decides it; else it is followed without a trial.
    Slot(SlotId),
}

/// A change of the set that runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// Makes it different from every other: the number of the change on this device.
    pub number: u64,
    /// What is done to which app; in the order in which it was asked for. Never empty.
    pub moves: Vec<AppMove>,
    /// Why.
    pub cause: Cause,
}

/// Where the change stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppPhase {
    /// Nothing changes. What shall run is the set of the running slot.
    #[default]
    Idle,
    /// Images are brought in and compared; what runs goes on.
    Staging(Change),
    /// All of it is here, durably; what runs goes on.
    Staged(Change),
    /// What runs is stopped, and volumes are copied that could not be taken back. Nothing new was started.
    Switching(Change),
    /// The new generations run and are watched.
    Trying {
        /// The change.
        change: Change,
        /// The boot in which it was begun, or begun again.
        boot_id: String,
        /// So often it was begun, this time included.
        attempt: u32,
    },
    /// The old generations are brought back.
    Returning {
        /// The change that is taken back.
        change: Change,
        /// Why.
        reason: ReasonCode,
        /// One line for people.
        detail: String,
        /// The new generations may have written to volumes, so that the copies are put back before anything starts.
        restore: bool,
    },
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppEnded {
    /// The new set stays.
    Updated,
    /// The old set runs again.
    RolledBack,
    /// It was never switched to.
    Failed,
}

/// A change that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AppOutcome {
    /// How.
    pub outcome: AppEnded,
    /// The change.
    pub change: Change,
    /// Why it did not succeed.
    pub reason: Option<ReasonCode>,
    /// One line for people.
    pub detail: String,
    /// Seconds since 1970 by the clock of that moment.
    pub at: u64,
}

/// A release of an app that is not tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RefusedApp {
    /// The app.
    pub app: ServiceName,
    /// SHA-256 of its manifest.
    pub digest: Digest,
    /// Why it came back.
    pub reason: ReasonCode,
}

/// What was there of an app before a development key had a part in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct BeforeDevelopment {
    /// The generation that ran; `None` where the app was not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The names in its folder for data, and those of its volumes as `volumes/NAME`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub data: BTreeSet<String>,
}

/// Everything that survives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct AppJournal {
    /// Where the current change stands.
    pub phase: AppPhase,
    /// Numbers changes.
    pub changes: u64,
    /// The set that belongs to the system in each slot: a, b. `None`: the system in it is new, and has the set of
    /// the other one until it is committed.
    pub sets: [Option<AppSet>; 2],
    /// The set whose services have used the volumes last.
    pub live: AppSet,
    /// Apps that a person has stopped.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stopped: BTreeSet<ServiceName>,
    /// Generations that ran before, the newest last, by app: they can be returned to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub previous: BTreeMap<ServiceName, Vec<Generation>>,
    /// Run-once services that have ended well: `APP/RELEASE/SERVICE`, or `APP//SERVICE` for once ever;
    /// [`Generation::ran`] makes the words.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ran: BTreeSet<String>,
    /// Ports that were chosen: `APP/SERVICE/PORT/PROTOCOL` and the port of the device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
    /// Bundles of the folder for preloads that were taken once: SHA-256 of their manifests. Removed later, they
    /// do not come back by themselves.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub preloaded: BTreeSet<Digest>,
    /// Apps in which a development key had a part, each with what was there before: what the end of the hold goes
    /// back to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub develop: BTreeMap<ServiceName, BeforeDevelopment>,
    /// The form of the engine's store that the apps were last filled into: `[apps] store_epoch` of the system that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_epoch: Option<u32>,
    /// Releases that came back, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedApp>,
    /// The change that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<AppOutcome>,
}

impl AppJournal {
    /// The change under way.
    pub fn change(&self) -> Option<&Change> {
        match &self.phase {
            AppPhase::Idle => None,
            AppPhase::Staging(change) | AppPhase::Staged(change) | AppPhase::Switching(change) => {
                Some(change)
            }
            AppPhase::Trying { change, .. } | AppPhase::Returning { change, .. } => Some(change),
        }
    }

    /// The set that shall run where `slot` runs and nothing is under way.
    pub fn set_of(&self, slot: SlotId) -> AppSet {
        let of = |slot: SlotId| self.sets[usize::from(slot == SlotId::B)].clone();
        of(slot).or_else(|| of(slot.other())).unwrap_or_default()
    }
}
