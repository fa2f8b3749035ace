//! `surefoot doctor`.

use crate::cli::context::{Context, refused};
use crate::cli::end::Printed;
use crate::cli::json::Json;
#[cfg(feature = "http")]
use crate::device::signed_time;
use crate::inspect::{Diagnosis, production};
use crate::model::{Failure, ReasonCode};
use crate::request::{Client, Daemon, Here, Request, Response};
use clap::Args;
use std::path::{Path, PathBuf};

/// Say whether a bad update would come back on this board, and what to do if not
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    surefoot doctor\n  \
    surefoot doctor --production\n  \
    surefoot doctor --image disk.img --production\n  \
    surefoot doctor --network\n\n\
    What says STOP ends with the exit status of the gravest code; a warning with 0.")]
pub(in crate::cli) struct Doctor {
    /// Look at the network instead, on the way to this file (default: the channel)
    #[arg(long, value_name = "URL", num_args = 0..=1)]
    network: Option<Option<String>>,
    /// Judge the image of a disk, or a card in this computer, before a device starts from it
    #[arg(long, value_name = "disk.img", conflicts_with = "network")]
    image: Option<PathBuf>,
    /// Look too for what belongs on a developer's bench: development keys, accounts without a password,
    /// open ports, consoles without a login
    #[arg(long, conflicts_with = "network")]
    production: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Doctor {
    /// A user who may not look for himself asks the daemon.
    pub(super) fn run(self, context: &Context) -> Printed {
        if let Some(url) = &self.network {
            return network(url.as_deref(), self.json.json, context);
        }
        if let Some(path) = &self.image {
            return image(path, self.production, context);
        }
        let daemon =
            Daemon::find(&context.settings()?.run).filter(|_| !crate::sys::host::is_root());
        let answer = match daemon {
            Some(daemon) => daemon.ask(Request::Doctor, &context.sink)?,
            None => Here::alone(&context.place).ask(Request::Doctor, &context.sink)?,
        };
        if !self.production {
            let printed = context.print(&answer);
            return refused(printed, Diagnosis::try_from(answer)?.blocking());
        }
        if !crate::sys::host::is_root() && !context.named {
            let text = "only root can read which accounts have a password";
            return Err(Failure::new(ReasonCode::NotAllowed, text).into());
        }
        let mut diagnosis = Diagnosis::try_from(answer)?;
        let unsigned = diagnosis.findings.iter().any(|f| f.text == FACTORY);
        production(&context.settings()?, unsigned, &mut diagnosis);
        let worst = diagnosis.worst();
        refused(context.print(&Response::Diagnosis(diagnosis)), worst)
    }
}

/// What the doctor says of a system that nobody has signed.
const FACTORY: &str = "the factory system runs";

fn image(path: &Path, production: bool, context: &Context) -> Printed {
    let Some(look) = context.image else {
        let text =
            "this program is built for a device and looks at no image: use the one of a build host";
        return Err(Failure::new(ReasonCode::Usage, text).into());
    };
    let diagnosis = look(path, production, &context.sink)?;
    let worst = diagnosis.worst();
    refused(context.print_image(diagnosis), worst)
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
