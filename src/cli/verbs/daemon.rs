//! `surefoot daemon` and what it starts.

use crate::cli::context::Context;
use crate::cli::end::Printed;
use crate::daemon;
use clap::Args;

/// Look after this device: decide trials, answer the control socket; for the init system
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  systemctl enable --now surefoot             on a device
  surefoot --config dev/surefoot.toml daemon  on a device of surefoot-sim

It may be killed at any time. Every other command goes through it while it
runs; docs/control.md tells how other programs speak to it.")]
pub(in crate::cli) struct Daemon {}

impl Daemon {
    pub(super) fn run(self, context: &Context) -> Printed {
        daemon::run(context.place.clone())?;
        Ok(String::new())
    }
}

/// Look at something over the network for the daemon, which has none
#[derive(Debug, Args)]
#[command(hide = true)]
pub(in crate::cli) struct Probe {}

impl Probe {
    pub(super) fn run(self, _: &Context) -> Printed {
        Ok(daemon::answer_probe()?)
    }
}
