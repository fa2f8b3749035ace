//! `surefoot cancel` and `surefoot rollback`: ends what is under way.

use crate::cli::context::Context;
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::request::{Request, UNREASONED};
use clap::Args;

/// Stop an installation, whoever runs it, or disarm what is not tried yet
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot cancel                   within a second; what was written is kept
  surefoot cancel --reason \"no\"     for the record

Whoever installs is told 75 CANCELLED. A person may install the same artifact
again, and it goes on where it stopped; nothing else begins it again. Where
nothing runs this is told, and is no failure. `surefoot rollback` leaves a
trial.")]
pub(in crate::cli) struct Cancel {
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = UNREASONED)]
    reason: String,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Cancel {
    pub(super) fn run(self, context: &Context) -> Printed {
        context.ask(Request::Cancel { reason: Some(self.reason) })
    }
}

/// Abandon what is under way, leave a trial, or return to the other system
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot rollback
  surefoot rollback --reason \"the display stays dark\"")]
pub(in crate::cli) struct Rollback {
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = UNREASONED)]
    reason: String,
    /// Also to a release that was tried here and rolled back
    #[arg(long)]
    retry_rolled_back: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Rollback {
    pub(super) fn run(self, context: &Context) -> Printed {
        let Rollback { reason, retry_rolled_back, .. } = self;
        let request = Request::Rollback { reason: Some(reason), retry_rolled_back };
        context.change(|client| Ok(context.print(&client.ask(request, &context.sink)?)))
    }
}
