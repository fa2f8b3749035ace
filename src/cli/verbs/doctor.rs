//! `surefoot doctor`.

use crate::cli::context::{Context, refused};
use crate::cli::end::Printed;
use crate::cli::json::Json;
#[cfg(feature = "http")]
use crate::device::signed_time;
use crate::inspect::Diagnosis;
use crate::model::{Failure, ReasonCode};
use crate::request::{Client, Daemon, Here, Request};
use clap::Args;

/// Say whether a bad update would come back on this board, and what to do if not
#[derive(Debug, Args)]
pub(in crate::cli) struct Doctor {
    /// Look at the network instead, on the way to this file (default: the channel)
    #[arg(long, value_name = "URL", num_args = 0..=1)]
    network: Option<Option<String>>,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Doctor {
    /// A user who may not look for himself asks the daemon.
    pub(super) fn run(self, context: &Context) -> Printed {
        if let Some(url) = &self.network {
            return network(url.as_deref(), self.json.json, context);
        }
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

#[cfg(feature = "http")]
fn network(url: Option<&str>, json: bool, context: &Context) -> Printed {
    use crate::source::{Setup, Tries, http};
    use std::fmt::Write;
    let settings = context.settings()?;
    let none = || {
        let text = "`--network` names no URL, and `[source] channel` is not set";
        Failure::new(ReasonCode::NoChannel, text)
    };
    let url = url.or(settings.source.channel.as_deref()).ok_or_else(none)?;
    http::checked(url)?;
    let net = Setup::of(&settings.source, signed_time(&settings), Tries::Minute)?;
    let steps = http::looked_at(url, &net, &settings.run);
    let failed = steps.iter().find_map(|step| Some((step, step.code?)));
    let mut out = String::new();
    if json {
        out = format!("{}\n", serde_json::json!({ "v": 1, "steps": &steps }));
    }
    for step in steps.iter().filter(|_| !json) {
        let mark = match (step.code, step.next.is_empty()) {
            (Some(_), _) => "STOP",
            (None, false) => "note",
            (None, true) => "ok  ",
        };
        let _ = writeln!(out, "{mark}  {:<9} {}", step.topic, step.text);
        if !step.next.is_empty() {
            let _ = writeln!(out, "      {:<9} -> {}", "", step.next);
        }
    }
    refused(
        out,
        failed.map(|(step, code)| {
            let failure = Failure::new(code, &step.text);
            match step.next.is_empty() {
                true => failure,
                false => failure.with_next(&step.next),
            }
        }),
    )
}

#[cfg(not(feature = "http"))]
fn network(url: Option<&str>, _: bool, _: &Context) -> Printed {
    let text = format!("{} is not looked at", url.unwrap_or("the network"));
    Err(Failure::new(ReasonCode::NoNetwork, text).into())
}
