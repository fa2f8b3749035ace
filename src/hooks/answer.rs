//! What a hook answers.

use serde::{Deserialize, Serialize};

/// What one hook says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Exit status 0.
    Go,
    /// Exit status 75.
    Later,
    /// Anything else: another status, a signal, its deadline, or that it could not be started.
    Veto,
}
