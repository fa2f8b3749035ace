//! `surefoot verify`.

use super::install::is_url;
use crate::cli::context::{Context, refused};
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::model::{Failure, ReasonCode, SlotId};
use crate::request::{Request, Verified};
use crate::source::Source;
use clap::{Args, ValueHint};

/// Compare a slot with its manifest, or ask whether a file would be installed here
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  surefoot verify                    the slot that runs\n  surefoot verify b\n  surefoot verify update.surefoot    would it be installed here?\n  curl -sf https://example.com/u | surefoot verify -"
)]
pub(in crate::cli) struct Verify {
    /// a, b, a file, or - for standard input; the slot that runs if nothing is said
    #[arg(value_hint = ValueHint::FilePath)]
    what: Option<String>,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Printed {
        let client = context.client()?;
        let slot = match self.what.as_deref().map(|word| (word, word.parse::<SlotId>())) {
            None => None,
            Some((_, Ok(slot))) => Some(slot),
            Some((path, Err(_))) => {
                if is_url(path)? {
                    let text = "`verify` takes a slot, a file or `-`, and no URL";
                    let next = "Fetch it with another program: `curl -sf URL | surefoot verify -`.";
                    return Err(Failure::new(ReasonCode::Usage, text).with_next(next).into());
                }
                let request = Request::Judge { head: false };
                let source = Some(Source::named(path)?);
                let answer = client.send(request, source, &context.sink)?;
                return Ok(context.print(&answer));
            }
        };
        let answer = client.ask(Request::Verify { slot }, &context.sink)?;
        let printed = context.print(&answer);
        let Verified { slot, verdict, .. } = answer.try_into()?;
        match verdict.require_match() {
            Ok(()) => Ok(printed),
            Err(f) if f.code() == ReasonCode::ModifiedSinceInstall => Ok(printed),
            Err(f) => refused(printed, Some(f.at(format_args!("slot {slot}")))),
        }
    }
}
