//! The eight words, the same everywhere.

use serde::{Deserialize, Serialize};

/// Where a device stands, in the one word that journal, CLI, JSON, log and docs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has never updated, or the last update was cancelled.
    Idle,
    /// A slot is being written, or its writing was interrupted.
    Installing,
    /// Written and verified, not armed.
    Staged,
    /// Armed, or flipped back: waiting for the reboot.
    Switching,
    /// The new system runs and is not decided.
    Trying,
    /// The last update stays.
    Updated,
    /// The last update came back.
    RolledBack,
    /// The last update was never tried.
    Failed,
}

impl State {
    /// The word itself.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Installing => "installing",
            State::Staged => "staged",
            State::Switching => "switching",
            State::Trying => "trying",
            State::Updated => "updated",
            State::RolledBack => "rolled-back",
            State::Failed => "failed",
        }
    }
}

impl std::str::FromStr for State {
    type Err = String;
    fn from_str(text: &str) -> Result<State, String> {
        const ALL: [State; 8] = [
            State::Idle,
            State::Installing,
            State::Staged,
            State::Switching,
            State::Trying,
            State::Updated,
            State::RolledBack,
            State::Failed,
        ];
        let words = ALL.map(State::as_str).join(", ");
        let found = ALL.into_iter().find(|s| s.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is no state; the states are {words}"))
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
