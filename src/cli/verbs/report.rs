//! `surefoot report`.

use crate::cli::context::Context;
use crate::cli::end::Printed;
use crate::cli::json::Json;
use crate::cli::render;
use crate::request::{Client, Daemon, Here, Request};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Collect everything that support asks for into one document
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot report                     for people
  surefoot report -o report.json      for programs, and for support

Passwords, tokens and keys in the configuration are left out. It works without
the daemon, and also where the disk, the environment or the configuration
cannot be read: then it says so.")]
pub(in crate::cli) struct Report {
    /// Write it to a file; as JSON if its name ends in `.json`
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Report {
    pub(super) fn run(self, context: &Context) -> Printed {
        // The daemon knows more; what it cannot tell, this process can.
        let daemon = context.settings().ok().and_then(|settings| Daemon::find(&settings.run));
        let here = Here::alone(&context.place);
        let answer = match daemon.map(|daemon| daemon.ask(Request::Report, &context.sink)) {
            Some(Ok(answer)) => answer,
            Some(Err(failure)) => {
                let silent = json!([failure.to_string()]);
                here.telling(silent).ask(Request::Report, &context.sink)?
            }
            None => here.ask(Request::Report, &context.sink)?,
        };
        let named =
            self.output.as_ref().and_then(|file| file.extension()).is_some_and(|x| x == "json");
        let text = render::response(&answer, context.json || named);
        let Some(file) = &self.output else { return Ok(text) };
        crate::sys::durable::write_foreign(file, text.as_bytes())?;
        Ok(String::new())
    }
}
