//! The eight words, the same everywhere.

use super::{Ended, Facts, Journal, Phase, Step, decide};
use serde::{Deserialize, Serialize};

/// Where a device stands, in the one word that journal, CLI, JSON, log and docs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has never updated.
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
    /// The word of a journal at rest.
    pub fn of(journal: &Journal) -> State {
        match (&journal.phase, journal.last.as_ref().map(|l| l.outcome)) {
            (Phase::Installing(_), _) => State::Installing,
            (Phase::Staged(_), _) => State::Staged,
            (Phase::Switching { .. } | Phase::Returning { .. }, _) => State::Switching,
            (Phase::Trying { .. }, _) => State::Trying,
            (Phase::Idle, None) => State::Idle,
            (Phase::Idle, Some(Ended::Updated)) => State::Updated,
            (Phase::Idle, Some(Ended::RolledBack)) => State::RolledBack,
            (Phase::Idle, Some(Ended::Failed)) => State::Failed,
        }
    }

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

/// The journal as the driver would leave it before its next effect: what a reader without the
/// lock shows, and nothing is written.
pub fn at_rest(journal: &Journal, facts: &Facts) -> Journal {
    let mut journal = journal.clone();
    for _ in 0..8 {
        match decide(&journal, facts) {
            Step::Persist(next) => journal = next,
            Step::Run(_) | Step::Wait | Step::Refuse(_) => break,
        }
    }
    journal
}
