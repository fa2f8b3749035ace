//! `surefoot wait`.

use crate::cli::context::{Context, usage};
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::inspect::Status;
use crate::model::{Failure, ReasonCode, State, parse_duration};
use crate::request::Request;
use clap::Args;
use std::time::{Duration, Instant};

/// Wait until the device is in this state
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot wait updated --timeout 10m
  surefoot wait idle --json            the status, once it is so")]
pub(in crate::cli) struct Wait {
    /// idle, installing, staged, switching, trying, updated, rolled-back or failed
    #[arg(hide_possible_values = true, value_parser = [
        "idle", "installing", "staged", "switching", "trying", "updated", "rolled-back", "failed",
    ])]
    state: String,
    /// Give up after this long: 90s, 10m, 2h
    #[arg(long, default_value = "10m", value_name = "TIME")]
    timeout: String,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Wait {
    pub(super) fn run(self, context: &Context) -> Printed {
        let client = context.client()?;
        let wanted: State = self.state.parse().map_err(usage)?;
        let patience = parse_duration(&self.timeout).map_err(usage)?;
        let start = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            let found = match client.ask(Request::Status, &context.sink) {
                Ok(answer) => {
                    let printed = context.print(&answer);
                    let state = Status::try_from(answer)?.state;
                    if state == wanted && self.json.json {
                        return Ok(printed);
                    }
                    Ok(state)
                }
                // A daemon that is started anew answers again in a moment.
                Err(failure) if failure.code() == ReasonCode::DaemonSilent => Err(failure),
                Err(failure) => return Err(failure.into()),
            };
            if found == Ok(wanted) {
                return Ok(format!("{wanted}\n"));
            }
            let left = patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                let text = format!("still {} after {}, not {wanted}", found?, self.timeout);
                return Err(Failure::new(ReasonCode::Timeout, text).into());
            }
            std::thread::sleep(pause.min(left));
            // Each look costs the device a millisecond or two.
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}
