//! From the words to the exit status.

use super::args::{Cli, command};
use super::context::{Context, LookAtImage};
use super::end::End;
use super::printed::print;
use super::render;
use crate::firstboot::read_boot_partition;
use crate::model::{Class, printable_words};
use crate::stick::run_errand;
use crate::sys::defect::end_at_defects;
use crate::sys::narrate::{level, narrate};
use clap::Parser;
use clap::error::ErrorKind;
use std::io::Write;
use std::process::ExitCode;

/// The whole program: parses `std::env::args`, answers on standard output, narrates on standard
/// error.
///
/// `image` judges the image of a disk, in a program that is built for a host.
pub fn main(image: Option<LookAtImage>) -> ExitCode {
    end_at_defects("surefoot");
    // Before anything else is opened or read: a child that locks itself in is no verb.
    // A word that is no text names none: `args` would end the program at it.
    let words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(good) = run_errand(&words).or_else(|| read_boot_partition(&words)) {
        return if good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    #[cfg(feature = "http")]
    if let Some(good) = crate::source::http::run_fetcher(&words) {
        return if good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    crate::sys::signals::set_up();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let words = printable_words(std::env::args_os());
            let error = words.and_then(|w| Cli::try_parse_from(w).err()).unwrap_or(error);
            match error.kind() {
                // Without a word the caller is shown what there is.
                ErrorKind::MissingSubcommand if std::env::args_os().len() == 1 => {
                    let help = command().render_help();
                    let _ = writeln!(std::io::stderr(), "{help}");
                }
                _ => drop(error.print()),
            }
            return match error.use_stderr() {
                true => ExitCode::from(Class::Usage.exit_status()),
                false => ExitCode::SUCCESS,
            };
        }
    };
    narrate(level(cli.verbose));
    let json = cli.verb.json();
    let context = Context { image, ..Context::new(cli.config, json) };
    let (printed, status) = match cli.verb.run(&context) {
        Ok(printed) => (printed, 0),
        Err(End::Failed(failure)) => {
            render::complain(&failure);
            let printed = if json { render::failure_json(&failure) } else { String::new() };
            (printed, failure.code().class().exit_status())
        }
        Err(End::Said(printed, code)) => (printed, code.class().exit_status()),
        Err(End::Passed(printed, status)) => (printed, status),
    };
    print(&printed);
    ExitCode::from(status)
}
