//! `surefoot switch`.

use crate::cli::context::Context;
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::request::Request;
use clap::Args;

/// Arm what is staged: what waits for a person's word, or was installed with --stage
#[derive(Debug, Args)]
#[command(visible_alias = "confirm")]
#[command(after_help = "\
Examples:
  surefoot install update.surefoot --stage
  surefoot switch                      the next boot tries it")]
pub(in crate::cli) struct Switch {
    #[command(flatten)]
    pub(super) json: Json,
}

impl Switch {
    pub(super) fn run(self, context: &Context) -> Printed {
        context.change(|client| Ok(context.print(&client.ask(Request::Switch, &context.sink)?)))
    }
}
