//! `surefoot status` and `surefoot history`: where the device stands, and how it came there.

use crate::cli::context::Context;
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::cli::render;
use crate::device;
use crate::request::Request;
use clap::Args;

/// Say what runs, what is next and how the last update ended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot status
  surefoot status --json | jq -r .state")]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    pub(super) json: Json,
}

impl Status {
    pub(super) fn run(self, context: &Context) -> Printed {
        let client = match context.client() {
            Ok(client) => client,
            // A user who may not look at the disk may see that an installation runs.
            Err(failure) => {
                let running = device::running(&context.settings()?.run);
                return running
                    .filter(|running| running.stoppable)
                    .map(|running| render::running(&running, context.json))
                    .ok_or_else(|| failure.into());
            }
        };
        Ok(context.print(&client.ask(Request::Status, &context.sink)?))
    }
}

/// List every update that ended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot history
  surefoot history --json")]
pub(in crate::cli) struct History {
    #[command(flatten)]
    pub(super) json: Json,
}

impl History {
    pub(super) fn run(self, context: &Context) -> Printed {
        context.ask(Request::History)
    }
}
