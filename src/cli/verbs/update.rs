//! `surefoot update` and `surefoot check-update`.

use crate::cli::context::Context;
use crate::cli::end::{End, Printed};
use crate::cli::json::Json;
use crate::device::{Offering, Updated};
use crate::model::ReasonCode;
use crate::request::{Request, Response};
use clap::Args;

/// Install what the channel has for this device now
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot update             fetch, verify, write, arm; then reboot to try it
  surefoot update --dry-run   print the plan, touch nothing

`[source] channel` names the channel. Exit status 3: there is nothing for this
device now.")]
pub(in crate::cli) struct Update {
    /// Print the plan and touch nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Ask the channel what it has for this device, now and later
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot check-update          0: something is for this device, 3: nothing
  surefoot check-update --json   also which version waits, and until when")]
pub(in crate::cli) struct CheckUpdate {
    #[command(flatten)]
    pub(super) json: Json,
}

impl Update {
    pub(super) fn run(self, context: &Context) -> Printed {
        let request = Request::Update { dry_run: self.dry_run };
        context.change(|client| ended(context, client.ask(request, &context.sink)?))
    }
}

impl CheckUpdate {
    pub(super) fn run(self, context: &Context) -> Printed {
        context.change(|client| ended(context, client.ask(Request::CheckUpdate, &context.sink)?))
    }
}

/// The answer says itself that there is nothing; the exit status says it to programs.
fn ended(context: &Context, answer: Response) -> Printed {
    let nothing: Option<ReasonCode> = match &answer {
        Response::Offering(offering) | Response::Updated(Updated::Nothing(offering)) => {
            Offering::nothing(offering)
        }
        _ => None,
    };
    let printed = context.print(&answer);
    match nothing {
        None => Ok(printed),
        Some(code) => Err(End::Said(printed, code)),
    }
}
