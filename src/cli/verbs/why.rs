//! `surefoot why`.

use crate::cli::context::{Context, refused};
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::device;
use crate::request::Request;
use clap::Args;

/// Say what stands between now and the update
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot why            a hold, a time window, a person's word, a trial ...
  surefoot why --json     the same, with the seconds left where they are known")]
pub(in crate::cli) struct Why {
    #[command(flatten)]
    pub(super) json: Json,
}

impl Why {
    pub(super) fn run(self, context: &Context) -> Printed {
        let answer = context.client()?.ask(Request::Why, &context.sink)?;
        let printed = context.print(&answer);
        refused(printed, device::Why::try_from(answer)?.blocking())
    }
}
