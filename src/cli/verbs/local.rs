//! `surefoot shutdown` and `surefoot blackbox`: for the init system, in this process alone.

use crate::cli::context::Context;
use crate::cli::end::Printed;
use crate::device::{self, World};
use clap::Args;

/// Say before an orderly reboot that this boot of a trial has not failed
#[derive(Debug, Args)]
#[command(after_help = "\
For the init system, as its last act while the state folder is still mounted:
systemd/surefoot-shutdown.service does it under systemd. In a trial it keeps
the time that the trial has run and gives this boot's try back, at most 3
times in a trial. Anywhere else it does nothing.

Example, in a script that runs before the data partition is unmounted:
  surefoot shutdown")]
pub(in crate::cli) struct Shutdown {}

impl Shutdown {
    /// Its work is done when the daemon is gone already.
    pub(super) fn run(self, context: &Context) -> Printed {
        let world = World::open(context.settings()?)?;
        Ok(device::shutdown(&world, &context.sink)?)
    }
}

/// Record what a system on trial says, for the one that it leaves behind
#[derive(Debug, Args)]
#[command(hide = true)]
pub(in crate::cli) struct Blackbox {}

impl Blackbox {
    /// A boot does not depend on it: whatever is wrong, it ends well.
    pub(super) fn run(self, context: &Context) -> Printed {
        Ok(match context.settings() {
            Ok(settings) => device::black_box(settings) + "\n",
            Err(failure) => format!("nothing is recorded: {failure}\n"),
        })
    }
}
