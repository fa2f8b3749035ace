//! Decides whether the system now running is good. This room never acts on its verdict: it
//! neither commits nor goes back.

mod check;
mod look;
mod possible;
mod probe;
mod units;
mod url;
mod verdict;
mod window;

pub use check::{Check, Kind, Need};
pub use look::{Eyes, Remote, look};
pub use possible::impossible;
pub use probe::probe;
pub use verdict::{APPS, Baseline, Before, Seen, Verdict, weigh};
pub use window::{Patience, Say, Window};

use serde::{Deserialize, Serialize};

/// The check that is built in and needed always: whoever cannot update again is not kept.
pub const CAN_UPDATE_AGAIN: &str = "can-update-again";

/// What one look has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "found", content = "detail", rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Not as it should be; one line for people.
    Bad(String),
    /// It could not be looked at, which is another thing; one line says why.
    CouldNot(String),
    /// It could not be looked at, and that says nothing against the system: it is waited for, and passed
    /// over at the deadline.
    Open(String),
}

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
