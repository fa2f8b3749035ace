//! `surefoot config`: explaining and checking the settings.

use crate::cli::context::Context;
use crate::cli::end::{End, Printed};
use crate::cli::json::{self, Json};
use crate::cli::render;
use crate::config::{examine, load};
use crate::model::{ConditionKind, ReasonCode, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::fmt::Write;

/// Explain or check the configuration
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot config check                          every mistake, with its line
  surefoot --config new.toml config check        of a file for another machine
  surefoot config show --origin                  which file set each value")]
pub(in crate::cli) struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Read everything and name every mistake: what is wrong, unknown or misplaced
    Check {
        #[command(flatten)]
        json: Json,
    },
    /// Print the merged configuration
    Show {
        /// Say which file set each value
        #[arg(long)]
        origin: bool,
    },
}

impl Config {
    pub(super) fn json(&self) -> bool {
        matches!(&self.what, What::Check { json } if json.json)
    }

    pub(super) fn run(self, context: &Context) -> Printed {
        if let What::Show { origin } = self.what {
            return Ok(render::configuration(&load(&context.place)?, origin));
        }
        let checked = check(context)?;
        let printed = if context.json { json::text(&checked) } else { checked.text() };
        match checked.sound {
            true => Ok(printed),
            false => Err(End::Said(printed, ReasonCode::ConfigInvalid)),
        }
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
fn check(context: &Context) -> Result<Checked> {
    // A named file may be meant for another machine, which has what this one lacks.
    let own = !context.named;
    let examined = examine(&context.place)?;
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
