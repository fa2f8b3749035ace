//! `surefoot events`.

use crate::cli::context::Context;
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::cli::render;
use crate::model::{printable_lines, shown_json};
use crate::request::Daemon;
use clap::Args;
use std::io::Write;

/// Print what has happened since the daemon started
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot events --follow            as it happens, for people
  surefoot events --follow --json     one JSON document a line")]
pub(in crate::cli) struct Events {
    /// Go on for as long as the daemon runs
    #[arg(short, long)]
    follow: bool,
    /// Only those with a higher number
    #[arg(long, value_name = "N", default_value = "0")]
    after: u64,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Events {
    /// Prints as it comes: the answer has no end.
    pub(super) fn run(self, context: &Context) -> Printed {
        let mut events = Daemon::events(&context.settings()?.run, self.after, self.follow)?;
        let mut out = std::io::stdout().lock();
        while let Some((told, line)) = events.line()? {
            let text = match context.json {
                true => shown_json(&line),
                false => printable_lines(&render::event(&told), usize::MAX),
            };
            if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
                break;
            }
        }
        Ok(String::new())
    }
}
