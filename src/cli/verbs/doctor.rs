//! `surefoot doctor`.

use crate::cli::context::{Context, refused};
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::inspect::Diagnosis;
use crate::request::{Client, Daemon, Here, Request};
use clap::Args;

/// Say whether a bad update would come back on this board, and what to do if not
#[derive(Debug, Args)]
pub(in crate::cli) struct Doctor {
    #[command(flatten)]
    pub(super) json: Json,
}

impl Doctor {
    /// A user who may not look for himself asks the daemon.
    pub(super) fn run(self, context: &Context) -> Printed {
        let daemon =
            Daemon::find(&context.settings()?.run).filter(|_| !crate::sys::host::is_root());
        let answer = match daemon {
            Some(daemon) => daemon.ask(Request::Doctor, &context.sink)?,
            None => Here::alone(&context.place).ask(Request::Doctor, &context.sink)?,
        };
        let printed = context.print(&answer);
        refused(printed, Diagnosis::try_from(answer)?.blocking())
    }
}
