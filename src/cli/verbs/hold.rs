//! `surefoot hold` and `surefoot unhold`.

use crate::cli::context::{Context, usage};
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::model::parse_duration;
use crate::request::Request;
use clap::Args;

/// Stop automatic updates on this device, also over reboots
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot hold --reason \"debugging the driver\"
  surefoot hold --until 2d

`[device] hold = true` in the configuration and the file `hold` in the
daemon's folder do the same. `surefoot install --hold-ok` still installs.
`surefoot unhold` ends it.")]
pub(in crate::cli) struct Hold {
    /// End by itself after this long: 90m, 12h, 2d
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Hold {
    pub(super) fn run(self, context: &Context) -> Printed {
        let client = context.client()?;
        let until = self.until.map(|time| parse_duration(&time)).transpose().map_err(usage)?;
        let seconds = until.map(|time| time.as_secs());
        let request = Request::Hold { seconds, reason: Some(self.reason) };
        Ok(context.print(&client.ask(request, &context.sink)?))
    }
}

/// Let automatic updates go again
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  surefoot unhold             ends what `surefoot hold` began

What the configuration or the file `hold` stops stays stopped, and the answer
says so.")]
pub(in crate::cli) struct Unhold {
    #[command(flatten)]
    pub(super) json: Json,
}

impl Unhold {
    pub(super) fn run(self, context: &Context) -> Printed {
        context.ask(Request::Unhold)
    }
}
