//! What can be typed before a verb.

use super::verbs::Verb;
use clap::{CommandFactory, Parser};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "surefoot",
    version,
    max_term_width = 100,
    about = "A/B system updates that come back by themselves when they are bad",
    after_help = "\
Examples:
  surefoot install update.surefoot   verify, write to the other slot, arm
  surefoot status                    what runs, what is next, how it ended
  surefoot commit                    run the checks and keep the new system
  surefoot rollback                  go back to the other system
  surefoot doctor                    would a bad update come back?

Exit status: 0 done, 3 nothing new, 64 usage, 65 rejected, 66 no such file,
69 source unreachable, 70 bug, 74 device failed, 75 busy, 77 not allowed now,
78 configuration."
)]
pub(super) struct Cli {
    /// Read this configuration and no other
    #[arg(long, global = true, env = "SUREFOOT_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Say more on standard error; twice says everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// The whole grammar, for help and man pages.
pub fn command() -> clap::Command {
    Cli::command()
}
