//! The build host's side: keys, building, signing, inspecting and verifying artifacts. This room
//! never touches a device and never decides what a device accepts: `trust` does, for both.

mod app;
mod assemble;
mod average;
mod build;
mod channel;
mod configure;
mod cuts;
mod delta;
mod disk;
mod file;
mod flash;
#[cfg(test)]
mod golden;
mod image;
mod inspect;
mod key;
mod key_words;
mod keygen;
mod kind;
mod order;
mod pages;
mod progress;
mod record;
mod say;
mod settings;
mod signer;
mod words;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;

use crate::model::{Failure, ReasonCode, Result};
use crate::sys::narrate::{Shown, level};
pub use keygen::make_keys;
pub use pages::reference;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use say::{say, tell};
use simplelog::{Config, WriteLogger};
use std::io::Write;
use std::process::ExitCode;
use words::{Command, Inspect, Keygen, Verify, Words};

/// The whole grammar, for help and man pages.
pub fn command() -> clap::Command {
    Words::command()
}

/// Runs the program with the process's arguments. `programs` are the grammars of all programs that
/// this build has, for `docs`.
pub fn main(programs: fn() -> Vec<clap::Command>) -> ExitCode {
    crate::sys::defect::end_at_defects("surefoot-forge");
    crate::sys::signals::set_up();
    let words = match Words::try_parse() {
        Ok(words) => words,
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let words = crate::model::printable_words(std::env::args_os());
            let error = words.and_then(|w| Words::try_parse_from(w).err()).unwrap_or(error);
            let _ = error.print();
            return ExitCode::from(ReasonCode::Usage.class().exit_status());
        }
    };
    let _ = WriteLogger::init(level(words.verbose), Config::default(), Shown);
    let json = wants_json(&words.command);
    match run(words.command, programs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may be listening on stderr; the exit status still speaks.
            let mut err = std::io::stderr().lock();
            let _ = writeln!(err, "surefoot-forge: {failure}");
            let _ = writeln!(err, "next: {}", failure.next());
            drop(err);
            if let Some(out) = json {
                let _ = out(&format!("{:#}\n", failure.document()));
            }
            ExitCode::from(failure.code().class().exit_status())
        }
    }
}

/// Prints a text.
type Out = fn(&str) -> Result<()>;

/// Where the document of an error goes, if one is wanted: not where an artifact goes.
fn wants_json(command: &Command) -> Option<Out> {
    match command {
        Command::Build(words) if words.json => match &words.output {
            Some(path) if file::is_standard(path) => Some(tell),
            _ => Some(say),
        },
        Command::Sign(words) if words.json => match file::is_standard(&words.artifact) {
            true => Some(tell),
            false => Some(say),
        },
        Command::Inspect(Inspect { json: true, .. })
        | Command::Verify(Verify { json: true, .. })
        | Command::Keygen(Keygen { json: true, .. }) => Some(say),
        Command::Channel(words) if channel::wants_json(words) => Some(say),
        Command::Delta(words) if words.json => Some(say),
        Command::Rank(words) if words.json => Some(say),
        Command::Image(words) if words.json => Some(say),
        Command::Convert(words) if words.how.json => Some(say),
        Command::Configure(words) if words.json => Some(say),
        Command::Flash(words) if words.json => Some(say),
        Command::Record(words) if words.json => Some(say),
        _ => None,
    }
}

/// Builds what these words say.
fn built(words: Vec<std::ffi::OsString>) -> Result<()> {
    let usage = |e: clap::Error| Failure::new(ReasonCode::Usage, e.to_string());
    match Words::try_parse_from(words).map_err(usage)?.command {
        Command::Build(words) if words.app.is_some() => app::run(*words),
        Command::Build(words) => build::run(*words),
        other => Err(Failure::new(ReasonCode::Internal, format!("no build: {other:?}"))),
    }
}

fn run(command: Command, programs: fn() -> Vec<clap::Command>) -> Result<()> {
    match command {
        Command::Init(words) => settings::init(&words.config),
        Command::Keygen(words) => keygen::run(&words),
        Command::Build(words) if words.app.is_some() => app::run(*words),
        Command::Build(words) => build::run(*words),
        Command::Delta(words) => delta::run(*words),
        Command::Rank(words) => delta::rank(&words),
        Command::Image(words) => disk::run(*words),
        Command::Convert(words) => disk::convert(*words),
        Command::Sign(words) => build::sign(words),
        Command::Inspect(words) => inspect::run(&words),
        Command::Verify(words) => inspect::verify(&words),
        Command::Record(words) => record::run(&words),
        Command::Apps(words) => app::apps(&words, built),
        Command::Channel(words) => channel::run(words),
        Command::Configure(words) => configure::run(&words),
        Command::Flash(words) => flash::run(&words),
        Command::Docs { dir } => {
            pages::write(&dir, programs())?;
            say(&format!(
                "Man pages, completions and the reference of the settings are in {}.\n",
                dir.display()
            ))
        }
    }
}
