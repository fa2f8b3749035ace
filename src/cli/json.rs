//! `--json`, on everything that answers.

use crate::model::shown_json;
use clap::Args;
use serde::Serialize;

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Json {
    /// Answer as JSON on standard output
    #[arg(long)]
    pub(super) json: bool,
}

/// A document as people can read it too.
pub(super) fn text<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string_pretty(value);
    text.map_or_else(|_| String::new(), |text| shown_json(&text) + "\n")
}
