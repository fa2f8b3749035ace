//! `surefoot stick`.

use crate::cli::context::Context;
use crate::cli::end::{End, Printed};
use crate::cli::json::{self, Json};
use crate::cli::render;
use crate::daemon;
use crate::model::Failure;
use clap::Args;
use std::path::PathBuf;

/// Look at a stick, install the newest artifact on it that fits, and leave a report there
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot stick /dev/sda        as surefoot-stick@sda does when it is put in
  surefoot stick stick.img       the same with an image file

docs/stick.md tells what is looked at and what is written.")]
pub(in crate::cli) struct Stick {
    /// The whole stick, not a partition; an image file does too
    device: PathBuf,
    /// It was taken out: only tell the status file
    #[arg(long, hide = true)]
    gone: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Stick {
    pub(super) fn run(self, context: &Context) -> Printed {
        if self.gone {
            daemon::stick_gone(&context.place, &self.device)?;
            return Ok(String::new());
        }
        let seen = daemon::stick(&context.place, &self.device, &context.sink)?;
        let printed = if context.json { json::text(&seen.report) } else { seen.text };
        match seen.code {
            None => Ok(printed),
            Some(code) => {
                render::complain_to_technician(&Failure::new(code, seen.detail), &seen.next);
                Err(End::Said(printed, code))
            }
        }
    }
}
