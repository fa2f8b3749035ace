//! From the words to the exit status.

use super::args::{Cli, command};
use super::context::Context;
use super::end::End;
use super::printed::print;
use super::render;
use crate::model::{Class, Failure, ReasonCode, printable_lines, printable_words};
use crate::stick::run_errand;
use clap::Parser;
use clap::error::ErrorKind;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

/// The whole program: parses `std::env::args`, answers on standard output, narrates on standard
/// error.
pub fn main() -> ExitCode {
    // Before anything else is opened or read: a child that locks itself in is no verb.
    // A word that is no text names none: `args` would end the program at it.
    let words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(good) = run_errand(&words) {
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
    let level = match cli.verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    let _ = simplelog::WriteLogger::init(level, simplelog::Config::default(), Shown);
    let json = cli.verb.json();
    let context = Context::new(cli.config, json);
    // A defect ends as a power cut would: whatever it left is what the next start finds.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| cli.verb.run(&context)))
        .unwrap_or_else(|_| {
            let text = "the program stopped at a defect of its own";
            Err(End::Failed(Failure::new(ReasonCode::Internal, text)))
        });
    let (printed, status) = match outcome {
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

/// Standard error for the log: what it repeats of other programs is made printable here too.
struct Shown;

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = printable_lines(&String::from_utf8_lossy(bytes), usize::MAX);
        std::io::stderr().write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
