//! What an installation is asked and what it answers.

use super::answer::{Answer, Cost};
use crate::event::Forecast;
use crate::install::Plan;
use crate::model::{Condition, Digest};
use crate::update::{Allowed, Order, Then};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What `install` is asked.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Whether it is armed at once.
    pub then: Then,
    /// What a person has allowed.
    pub allowed: Allowed,
    /// Whose wish it is. An automatic one waits, staged, where a person must confirm.
    pub order: Order,
    /// Also where automatic updates are stopped.
    pub hold_ok: bool,
    /// Also what a person has cancelled, though nobody asks for this very update: a person has put
    /// it in once more.
    pub anew: bool,
    /// Where the artifact is fetched from, if it is.
    pub url: Option<String>,
    /// Where that URL is of a delta: the full artifact, where its place is known.
    pub full: Option<String>,
    /// This artifact and no other, for one that is gone on with.
    pub only: Option<Digest>,
    /// This release and no other, where its source has said which one it is.
    pub expected: Option<Digest>,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// A bundle of an app and nothing else, with what is said beside it.
    pub apps: Option<AppsWords>,
}

impl Installation {
    /// Whether it is to be of an app.
    pub(super) fn is_of_an_app(&self) -> bool {
        self.apps.is_some()
    }
}

/// What is said beside a bundle of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppsWords {
    /// Also where a service holds its lock.
    pub force: bool,
    /// Values of its configuration.
    pub values: BTreeMap<String, String>,
}

/// What `install` did, or with `dry_run` would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Installed {
    /// It was done.
    Done(Answer),
    /// It was, or would be, done with an app.
    #[cfg(feature = "apps")]
    Apps(super::apps::AppsAnswer),
    /// It would be done.
    Plan {
        /// The version of this answer's shape.
        v: u32,
        /// Always true.
        dry_run: bool,
        /// The slot.
        slot: crate::model::SlotId,
        /// What would be moved.
        #[serde(flatten)]
        cost: Cost,
        /// What would be written.
        plan: Plan,
        /// Over a network: where the bytes would come from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        forecast: Option<Forecast>,
        /// What a person should know before.
        #[serde(default)]
        findings: Vec<Condition>,
    },
}
