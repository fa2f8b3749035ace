//! `surefoot commit`.

use crate::cli::context::Context;
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::request::Request;
use clap::Args;

/// Run the health checks and keep the new system; if one fails, go back
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot commit
  surefoot commit --force --reason \"the check needs a network\"")]
pub(in crate::cli) struct Commit {
    /// Keep it without running the checks; needs --reason
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Commit {
    pub(super) fn run(self, context: &Context) -> Printed {
        let request = Request::Commit { force: self.force, reason: self.reason };
        context.change(|client| Ok(context.print(&client.ask(request, &context.sink)?)))
    }
}
