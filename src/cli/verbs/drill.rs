//! `surefoot drill`.

use crate::cli::context::{Context, usage};
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::request::Request;
use clap::Args;

/// Prove on this board that a bad system comes back
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot drill              the other slot's system fails its health check
  surefoot drill hang         it stands still, and the watchdog must reset it
  surefoot drill panic        its kernel panics

The other slot's verified system is armed, and its trial misbehaves on
purpose. The device reboots twice or more; what runs now is what runs
afterwards. `surefoot doctor` then shows the certificate.")]
pub(in crate::cli) struct Drill {
    /// unhealthy, hang or panic
    #[arg(
        default_value = "unhealthy",
        hide_possible_values = true,
        value_parser = ["unhealthy", "hang", "panic"],
    )]
    kind: String,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Drill {
    pub(super) fn run(self, context: &Context) -> Printed {
        context.ask(Request::Drill { kind: Some(self.kind.parse().map_err(usage)?) })
    }
}
