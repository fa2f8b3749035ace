//! What a request that changed something answers.

use crate::event::Via;
use crate::install::Report;
use crate::model::{Condition, REASON_MAX, SlotId, State, printable};
use crate::update::Work;
use serde::{Deserialize, Serialize};

/// What a person does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Next {
    /// Nothing.
    None,
    /// Reboot.
    Reboot,
    /// `surefoot switch`.
    Switch,
    /// `surefoot commit` or `surefoot rollback`.
    Decide,
    /// The same `surefoot install` again.
    Resume,
}

/// The answer to a request that changed something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The version of this answer's shape.
    pub v: u32,
    /// Where the device stands now.
    pub state: State,
    /// The slot that the request was about.
    pub slot: SlotId,
    /// The release in it, as people call it.
    pub version: String,
    /// What is next.
    pub next: Next,
    /// Of an installation: what was moved.
    #[serde(flatten)]
    pub cost: Option<Cost>,
    /// What was written, if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// What a person should know, where it was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Condition>,
    /// One line for people.
    pub text: String,
}

/// What an installation has moved, or would move. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Of all answers over a network: parts of the chunk table, gaps that were fetched along and what came
    /// twice are counted. Without a network: stored bytes used from the artifact.
    pub fetched: u64,
    /// Of the image: what stood in the slot already, or was copied from the one that runs.
    pub reused: u64,
    /// Written to the slot, its record included.
    pub written: u64,
    /// How the release came.
    pub via: Via,
}

impl Answer {
    pub(super) fn new(state: State, work: &Work, next: Next, text: String) -> Answer {
        Answer {
            v: 1,
            state,
            slot: work.slot,
            version: work.to.to_string(),
            next,
            cost: None,
            report: None,
            findings: Vec::new(),
            text: sentence(text),
        }
    }
}

/// A sentence begins with a capital, also where a release is called "the factory system".
pub(crate) fn sentence(text: String) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if text.starts_with("the ") || text.starts_with("an ") => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => text,
    }
}

/// A reason for the record, and who gave it.
pub fn signed(reason: &str, by: &str) -> String {
    format!("{} (by {})", printable(reason, REASON_MAX), printable(by, 80))
}
