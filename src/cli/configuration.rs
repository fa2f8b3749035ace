//! `surefoot config`: explaining and checking the settings.

use super::args::ConfigVerb;
use super::render;
use super::run::{End, place};
use crate::config::{examine, load};
use crate::model::{ConditionKind, ReasonCode};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

pub(super) fn configuration(
    config: Option<PathBuf>,
    what: &ConfigVerb,
) -> std::result::Result<String, End> {
    match what {
        ConfigVerb::Check { json } => {
            let checked = check(config)?;
            let printed = if json.json { render::json(&checked) } else { checked.text() };
            match checked.sound {
                true => Ok(printed),
                false => Err(End::Said(printed, ReasonCode::ConfigInvalid)),
            }
        }
        ConfigVerb::Show { origin } => Ok(render::configuration(&load(&place(config))?, *origin)),
    }
}

/// What `surefoot config check` says.
#[derive(Debug, Serialize)]
struct Checked {
    v: u32,
    sound: bool,
    /// What must change.
    mistakes: Vec<String>,
    /// What works, and not as it was meant.
    warnings: Vec<String>,
    /// What another machine may have: told, and no mistake.
    notes: Vec<String>,
}

/// An error means that there is no configuration to check.
fn check(config: Option<PathBuf>) -> std::result::Result<Checked, End> {
    // A named file may be meant for another machine, which has what this one lacks.
    let own = config.is_none();
    let examined = examine(&place(config))?;
    let wrong = examined.mistakes.iter().map(|failure| failure.detail().to_owned());
    let mut mistakes: Vec<String> = wrong.chain(examined.ignored).collect();
    let (mut notes, mut warnings) = (Vec::new(), Vec::new());
    if let Some(loaded) = examined.loaded {
        notes = loaded.missing();
        for (kind, text) in loaded.conflicts() {
            match kind {
                ConditionKind::Blocks => mistakes.push(text),
                ConditionKind::Waits | ConditionKind::Warns => warnings.push(text),
            }
        }
    }
    if own {
        mistakes.append(&mut notes);
    }
    Ok(Checked { v: 1, sound: mistakes.is_empty(), mistakes, warnings, notes })
}

impl Checked {
    fn text(&self) -> String {
        let mut out = String::new();
        for mistake in &self.mistakes {
            let _ = writeln!(out, "{mistake}");
        }
        let _ = match self.mistakes.len() {
            0 => writeln!(out, "The configuration is sound."),
            1 => writeln!(out, "1 mistake. Correct it and run the same command again."),
            n => writeln!(out, "{n} mistakes. Correct them and run the same command again."),
        };
        for warning in &self.warnings {
            let _ = writeln!(out, "Warning: {warning}");
        }
        for note in &self.notes {
            let _ = writeln!(out, "On this machine: {note}");
        }
        out
    }
}
