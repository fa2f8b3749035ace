//! `--json`, on everything that answers.

use clap::Args;

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Json {
    /// Answer as JSON on standard output
    #[arg(long)]
    pub(super) json: bool,
}
