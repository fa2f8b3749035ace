//! `surefoot apps`.

use super::install::is_url;
use crate::bundle::ServiceName;
use crate::cli::context::{Context, usage};
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::cli::render;
use crate::model::{Digest, Result, printable, printable_lines};
use crate::request::Request;
use crate::source::Source;
use clap::{Args, Subcommand, ValueHint};
use std::io::Write;

/// Install, watch and change apps: containers and others that run beside the system
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot apps install shop.surefoot     old services run until all is here
  surefoot apps status                    what runs, and how it is
  surefoot apps logs shop web -f          what a service prints
  surefoot apps rollback shop             the generation before; no network
  surefoot apps stop shop                 until `surefoot apps start shop`")]
pub(in crate::cli) struct Apps {
    #[command(subcommand)]
    verb: AppsVerb,
}

#[derive(Debug, Subcommand)]
enum AppsVerb {
    Install(Install),
    Status(Status),
    Logs(LogsOf),
    Switch(Switch),
    Rollback(Rollback),
    Configure(Configure),
    Stop(Stop),
    Start(Start),
    Remove(Remove),
}

impl Apps {
    /// Whether it is to answer as JSON.
    pub(super) fn json(&self) -> bool {
        match &self.verb {
            AppsVerb::Install(verb) => verb.json.json,
            AppsVerb::Status(verb) => verb.json.json,
            AppsVerb::Logs(verb) => verb.json.json,
            AppsVerb::Switch(verb) => verb.json.json,
            AppsVerb::Rollback(verb) => verb.json.json,
            AppsVerb::Configure(verb) => verb.json.json,
            AppsVerb::Stop(verb) => verb.json.json,
            AppsVerb::Start(verb) => verb.json.json,
            AppsVerb::Remove(verb) => verb.json.json,
        }
    }

    pub(super) fn run(self, context: &Context) -> Printed {
        match self.verb {
            AppsVerb::Install(verb) => verb.run(context),
            AppsVerb::Status(verb) => context.ask(Request::Apps { app: verb.name }),
            AppsVerb::Logs(verb) => verb.run(context),
            AppsVerb::Switch(verb) => context.ask(Request::AppsSwitch { force: verb.force }),
            AppsVerb::Rollback(verb) => context.ask(Request::AppsRollback {
                app: Some(verb.name),
                digest: verb.to,
                force: verb.force,
                retry_rolled_back: verb.retry_rolled_back,
            }),
            AppsVerb::Configure(verb) => context.ask(Request::AppsConfigure {
                app: Some(verb.name),
                values: Some(lines(&verb.values)?),
                force: verb.force,
            }),
            AppsVerb::Stop(verb) => context.ask(Request::AppsStop { app: Some(verb.name) }),
            AppsVerb::Start(verb) => context.ask(Request::AppsStart { app: Some(verb.name) }),
            AppsVerb::Remove(verb) => context.ask(Request::AppsRemove {
                app: Some(verb.name),
                data: verb.data,
                force: verb.force,
            }),
        }
    }
}

/// Values as they are sent: one on each line.
fn lines(values: &[String]) -> Result<String> {
    for value in values {
        if !value.contains('=') || value.chars().any(char::is_control) {
            let shown = printable(value, 80);
            return Err(usage(format!("`{shown}` is not KEY=VALUE on one line")));
        }
    }
    Ok(values.join("\n"))
}

/// Verify a bundle, bring in what it needs, switch to it, and watch it until it stays or comes back
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot apps install shop.surefoot
  surefoot apps install https://example.com/shop.surefoot
  surefoot apps install shop.surefoot --set site=north --set level=3
  surefoot apps install shop.surefoot --dry-run

Old services run until everything is on the device. If the new ones do not
become well, the old ones come back with their data, without a network.")]
struct Install {
    /// The bundle: a file, a URL, or `-` for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    bundle: String,
    /// Bring it in, and switch to it with `surefoot apps switch`
    #[arg(long)]
    stage: bool,
    /// Set a value of its configuration; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    values: Vec<String>,
    /// Say what would be done, and touch nothing
    #[arg(long)]
    dry_run: bool,
    /// Also where a service holds its lock
    #[arg(long)]
    force: bool,
    /// Also on a device whose automatic updates are stopped
    #[arg(long)]
    hold_ok: bool,
    /// Accept a release older than the running one
    #[arg(long)]
    allow_older: bool,
    /// Bring in the release that runs already once more
    #[arg(long)]
    reinstall: bool,
    /// Accept a release that was tried here and rolled back
    #[arg(long)]
    retry_rolled_back: bool,
    /// Try for as long as it takes where the server of a URL does not answer
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    json: Json,
}

impl Install {
    fn run(self, context: &Context) -> Printed {
        let url = is_url(&self.bundle)?.then(|| self.bundle.clone());
        let source = url.is_none().then(|| Source::named(&self.bundle)).transpose()?;
        let request = Request::AppsInstall {
            stage: self.stage,
            force: self.force,
            dry_run: self.dry_run,
            hold_ok: self.hold_ok,
            allow_older: self.allow_older,
            reinstall: self.reinstall,
            retry_rolled_back: self.retry_rolled_back,
            automatic: false,
            values: (!self.values.is_empty()).then(|| lines(&self.values)).transpose()?,
            url,
            wait: self.wait,
        };
        Ok(context.print(&context.client()?.send(request, source, &context.sink)?))
    }
}

/// Show which apps run, and how their services are
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot apps status
  surefoot apps status shop
  surefoot apps status --json        also what a choice of deltas needs")]
struct Status {
    /// One app; all of them where none is named
    name: Option<ServiceName>,
    #[command(flatten)]
    json: Json,
}

/// Print what the services of an app have printed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot apps logs shop
  surefoot apps logs shop web -n 50
  surefoot apps logs shop web --follow")]
struct LogsOf {
    /// The app
    name: ServiceName,
    /// One of its services; all of them where none is named
    service: Option<ServiceName>,
    /// So many last lines of each service
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u32>,
    /// Go on for as long as the service runs
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    json: Json,
}

impl LogsOf {
    /// Prints as it comes: the answer may have no end.
    fn run(self, context: &Context) -> Printed {
        let named = self.service.is_some();
        let request = Request::AppsLogs {
            app: Some(self.name),
            service: self.service,
            last: self.lines.map(u64::from),
            follow: self.follow,
        };
        let mut out = std::io::stdout().lock();
        context.client()?.lines(request, &mut |line| {
            let text = match context.json {
                true => serde_json::to_string(&line).unwrap_or_default(),
                false => printable_lines(&render::log_line(&line, named), usize::MAX),
            };
            writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
        })?;
        Ok(String::new())
    }
}

/// Switch to what was brought in with --stage
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot apps install shop.surefoot --stage
  surefoot apps switch")]
struct Switch {
    /// Also where a service holds its lock
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    json: Json,
}

/// Go back to a generation of an app that is on the device, without a network
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot apps rollback shop
  surefoot apps rollback shop --to SHA256    as `apps status --json` lists them")]
struct Rollback {
    /// The app
    name: ServiceName,
    /// The generation, by the SHA-256 of its manifest; the one before where none is said
    #[arg(long, value_name = "SHA256")]
    to: Option<Digest>,
    /// Also where a service holds its lock
    #[arg(long)]
    force: bool,
    /// Also to a release that was tried here and rolled back
    #[arg(long)]
    retry_rolled_back: bool,
    #[command(flatten)]
    json: Json,
}

/// Set values of the configuration of an app; the change is on trial as a release is
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot apps configure shop level=3 site=north
  surefoot apps configure shop site=            take a value away that was set")]
struct Configure {
    /// The app
    name: ServiceName,
    /// What is set
    #[arg(required = true, value_name = "KEY=VALUE")]
    values: Vec<String>,
    /// Also where a service holds its lock
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    json: Json,
}

/// Stop an app, also over reboots, until it is started
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  surefoot apps stop shop")]
struct Stop {
    /// The app
    name: ServiceName,
    #[command(flatten)]
    json: Json,
}

/// Start an app that was stopped
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  surefoot apps start shop")]
struct Start {
    /// The app
    name: ServiceName,
    #[command(flatten)]
    json: Json,
}

/// Take an app away; its volumes stay
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot apps remove shop
  surefoot apps remove shop --data      also what it has written")]
struct Remove {
    /// The app
    name: ServiceName,
    /// Also its volumes and its data
    #[arg(long)]
    data: bool,
    /// Also where a service holds its lock
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    json: Json,
}
