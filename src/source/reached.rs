//! Whether a source is reached: what a fetcher finds out, and what others make of it.

use serde::{Deserialize, Serialize};

/// What has answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reached {
    /// The source, or the proxy for it, takes connections. What it says then does not count: a
    /// refused certificate or a status of 500 is an answer.
    pub source: bool,
    /// What else has answered, so that the network works; nothing where nothing did, or nothing was asked.
    pub network: Option<String>,
    /// Why the source is not reached, and what was silent; one line for people.
    pub said: String,
}
