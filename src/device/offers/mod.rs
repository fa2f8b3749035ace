//! Where updates are offered from, without a person who names one: what a source of offers must be able to
//! do ([`Offers`]), and the signed channel, which does it.

mod channel;
mod identity;
mod kept;
mod net;
mod outbox;
mod reach;
mod update;
mod web;

pub use channel::ChannelSource;
pub(super) use kept::Kept;
pub use kept::signed_time;
pub use outbox::has_words;
pub use update::{
    Offering, Pending, Released, Updated, automatic, check_update, goes_on_by_itself, update,
};
pub use web::{Document, Web};

use crate::model::{Condition, Digest, Failure, Version};
use crate::source::channel::{End, Report};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A source of offers: the signed channel, or a server that gives each device its actions. It is asked and
/// told; it never installs.
pub trait Offers {
    /// One look at what there is for this device.
    fn poll(&mut self) -> std::result::Result<Polled, Unheard>;

    /// Passes on a word about an action. It may be called again with the same word after a power cut, and a
    /// source must bear that. `Ok(false)`: this source has no use for such words.
    fn tell(&mut self, word: &Word) -> std::result::Result<bool, Unheard>;
}

/// Why a source could not be asked or told, or said nothing that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheard {
    /// What was found.
    pub failure: Failure,
    /// How long the source wants not to be asked again, at the least.
    pub wait: Option<Duration>,
}

impl From<Failure> for Unheard {
    fn from(failure: Failure) -> Unheard {
        Unheard { failure, wait: None }
    }
}

/// What a look has found.
#[derive(Debug, Clone, Default)]
pub struct Polled {
    /// What is for this device now.
    pub now: Option<Offer>,
    /// What will be.
    pub later: Option<Later>,
    /// Actions that the source has taken back: dropped where they only wait, and answered with
    /// [`Said::Cancelled`].
    pub cancelled: Vec<String>,
    /// After how long the source wants to be asked again.
    pub again: Option<Duration>,
    /// What a person should know.
    pub notes: Vec<Condition>,
    /// What the source has for the programs of this device: keys and values.
    pub options: BTreeMap<String, String>,
}

/// A release that is for this device now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The source's own name for it: a server's action id, or for a channel the release's digest.
    pub action: String,
    /// The source, for the record: `channel stable`.
    pub by: String,
    /// The release, as people call it.
    pub version: Version,
    /// Orders releases, where the source says it.
    pub counter: u64,
    /// SHA-256 of its manifest, where the source says it: nothing else is installed then.
    pub digest: Option<Digest>,
    /// The whole artifact.
    pub url: String,
    /// Its length in bytes.
    pub size: u64,
    /// A shorter way from what runs.
    pub delta: Option<String>,
    /// It waits for no window.
    pub critical: bool,
    /// A person has to agree before it is installed; the answer goes back as [`Said::Confirmed`].
    pub confirm: bool,
    /// What people should know.
    pub notes: String,
}

/// A release that is not for this device yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// The release, as people call it.
    pub version: Version,
    /// From when on, in seconds since 1970; `None` where nobody knows.
    pub until: Option<u64>,
    /// Why not now, one line.
    pub why: String,
}

/// A word to the source about one of its actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The action.
    pub action: String,
    /// What is said.
    pub said: Said,
    /// The same as a document, for sources that take one.
    pub report: Report,
}

/// What is said about an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The device has begun.
    Begun,
    /// A person has agreed, or not.
    Confirmed(bool),
    /// What was taken back is dropped; `false`: it was too late.
    Cancelled(bool),
    /// It has ended: told only after the new system was committed, or the old one has come back.
    Ended(End),
}

impl Said {
    /// The same for people, behind the name of the release.
    fn told(self) -> &'static str {
        match self {
            Said::Begun => "has begun",
            Said::Confirmed(true) => "was agreed to",
            Said::Confirmed(false) => "was not agreed to",
            Said::Cancelled(true) => "was dropped",
            Said::Cancelled(false) => "was too far to be dropped",
            Said::Ended(End::Updated) => "is installed and committed",
            Said::Ended(End::RolledBack) => "was rolled back",
            Said::Ended(End::Failed) => "has failed",
            Said::Ended(End::Stopped) => "was stopped",
        }
    }
}
