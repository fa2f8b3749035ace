//! `surefoot install`.

use crate::cli::context::Context;
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::cli::printed::print;
use crate::device;
use crate::model::{Failure, ReasonCode, Result};
use crate::request::Request;
use crate::source::Source;
use crate::update::Reboot;
use clap::{Args, ValueHint};
use std::path::Path;

/// Verify an artifact, write it to the slot that does not run, and arm it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot install update.surefoot            then reboot to try it
  surefoot install update.surefoot --stage    arm it with `surefoot switch`
  surefoot install https://example.com/update.surefoot
  surefoot install update.surefoot --dry-run  print the plan, touch nothing

An interrupted installation goes on where it stopped: run the same command
again.")]
pub(in crate::cli) struct Install {
    /// The artifact: a file, a URL, or `-` for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    artifact: String,
    /// Write and verify, but do not arm
    #[arg(long, conflicts_with = "reboot")]
    stage: bool,
    /// Reboot into it at once
    #[arg(long)]
    reboot: bool,
    /// Print the plan and touch nothing
    #[arg(long)]
    dry_run: bool,
    /// Accept a release older than the running one, down to the security epoch's floor
    #[arg(long)]
    allow_older: bool,
    /// Write the release that runs already once more
    #[arg(long)]
    reinstall: bool,
    /// Accept a release that was tried here and rolled back
    #[arg(long)]
    retry_rolled_back: bool,
    /// Also on a device whose automatic updates are stopped
    #[arg(long)]
    hold_ok: bool,
    /// Try for as long as it takes where the server of a URL does not answer
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Install {
    pub(super) fn run(self, context: &Context) -> Printed {
        let reboots = self.reboot && !self.dry_run;
        let url = is_url(&self.artifact)?.then(|| self.artifact.clone());
        let fetched = url.is_some();
        let request = Request::Install {
            stage: self.stage,
            reboot: reboots.then_some(Reboot::Now),
            dry_run: self.dry_run,
            hold_ok: self.hold_ok,
            allow_older: self.allow_older,
            reinstall: self.reinstall,
            retry_rolled_back: self.retry_rolled_back,
            retry_cancelled: false,
            automatic: false,
            url,
            wait: self.wait,
        };
        context.change(|client| {
            let source = (!fetched).then(|| Source::named(&self.artifact)).transpose()?;
            let answer = client.send(request, source, &context.sink)?;
            let printed = context.print(&answer);
            let Some(world) = client.alone().filter(|_| reboots) else { return Ok(printed) };
            // The answer first: nobody prints after a reboot.
            if let Some(work) = &device::armed(world)? {
                device::before_reboot(world, work, &context.sink)?;
            }
            print(&printed);
            device::reboot(world, &context.sink)?;
            Ok(String::new())
        })
    }
}

/// Whether a word is a URL that is fetched. `USAGE` for what looks like another URL and is no file.
pub(super) fn is_url(word: &str) -> Result<bool> {
    if ["http://", "https://"].iter().any(|scheme| word.starts_with(scheme)) {
        return Ok(true);
    }
    let place = word.split_once('/').and_then(|(place, _)| place.split_once(':'));
    let port = place.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    match (word.contains("://") || port) && !Path::new(word).exists() {
        true => Err(Failure::new(ReasonCode::Usage, "a URL begins with http:// or https://")),
        false => Ok(false),
    }
}
