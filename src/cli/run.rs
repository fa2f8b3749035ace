//! From the words to the request, and from its end to the exit status.

use super::args::{Cli, ConfigVerb, Install, Verb};
use super::asked::Asked;
use super::configuration::configuration;
use super::progress::Narrator;
use super::render;
use crate::config::{Where, load};
use crate::daemon::{Remote, run_errand};
use crate::device::{self, World};
use crate::event::Sink;
use crate::model::{
    Class, Failure, ReasonCode, Result, SlotId, printable_lines, printable_words, shown_json,
};
use clap::Parser;
use clap::error::ErrorKind;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

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
    device::set_up_signals();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let words = printable_words(std::env::args_os());
            let error = words.and_then(|w| Cli::try_parse_from(w).err()).unwrap_or(error);
            match error.kind() {
                // Without a word the caller is shown what there is.
                ErrorKind::MissingSubcommand if std::env::args_os().len() == 1 => {
                    let help = super::command().render_help();
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
    let json = wants_json(&cli.verb);
    // A defect ends as a power cut would: whatever it left is what the next start finds.
    let outcome = std::panic::catch_unwind(|| perform(cli)).unwrap_or_else(|_| {
        let text = "the program stopped at a defect of its own";
        Err(End::Failed(Failure::new(ReasonCode::Internal, text)))
    });
    match outcome {
        Ok(printed) => finish(&printed, ExitCode::SUCCESS),
        Err(End::Failed(failure)) => {
            render::complain(&failure);
            let printed = if json { render::failure_json(&failure) } else { String::new() };
            finish(&printed, ExitCode::from(failure.code().class().exit_status()))
        }
        Err(End::Said(printed, code)) => {
            finish(&printed, ExitCode::from(code.class().exit_status()))
        }
        Err(End::Passed(printed, status)) => finish(&printed, ExitCode::from(status)),
    }
}

/// Prints the answer. A pipe that was closed is the reader's choice, not our failure.
fn finish(printed: &str, code: ExitCode) -> ExitCode {
    let mut out = std::io::stdout().lock();
    // Every text was made printable where it entered; this is the last line of defence.
    let printed = printable_lines(printed, usize::MAX);
    let _ = out.write_all(printed.as_bytes()).and_then(|()| out.flush());
    code
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

/// An end that is no success.
#[derive(Debug)]
pub(super) enum End {
    /// Told on standard error.
    Failed(Failure),
    /// The answer itself says what is wrong; the code is for the exit status.
    Said(String, ReasonCode),
    /// Another program has said what is wrong, and ended with this status.
    Passed(String, u8),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        End::Failed(failure)
    }
}

fn wants_json(verb: &Verb) -> bool {
    match verb {
        Verb::Install(i) => i.json.json,
        Verb::Switch { json }
        | Verb::Status { json }
        | Verb::Commit { json, .. }
        | Verb::Rollback { json, .. }
        | Verb::Cancel { json, .. }
        | Verb::Verify { json, .. }
        | Verb::History { json }
        | Verb::Drill { json, .. }
        | Verb::Hold { json, .. }
        | Verb::Release { json }
        | Verb::Why { json }
        | Verb::Events { json, .. }
        | Verb::Report { json, .. }
        | Verb::Stick { json, .. }
        | Verb::Doctor { json } => json.json,
        Verb::Wait { .. }
        | Verb::Shutdown
        | Verb::Daemon
        | Verb::Probe
        | Verb::Push(_)
        | Verb::Blackbox
        | Verb::Config { what: ConfigVerb::Show { .. } } => false,
        Verb::Config { what: ConfigVerb::Check { json } } => json.json,
    }
}

pub(super) fn place(config: Option<PathBuf>) -> Where {
    config.map_or_else(|| Where::Folders("/".into()), Where::File)
}

fn perform(cli: Cli) -> std::result::Result<String, End> {
    let sink = Narrator::new();
    let json = wants_json(&cli.verb);
    let verb = match cli.verb {
        Verb::Config { what } => return configuration(cli.config, &what),
        Verb::Daemon => {
            crate::daemon::run(place(cli.config))?;
            return Ok(String::new());
        }
        Verb::Events { follow, after, .. } => {
            let folder = load(&place(cli.config))?.settings.run;
            return events(&folder, after, follow, json).map_err(End::from);
        }
        Verb::Report { output, .. } => {
            let report = super::asked::report(&place(cli.config))?;
            return Ok(hand_over(&report, output.as_deref(), json)?);
        }
        // A boot does not depend on it: whatever is wrong, it ends well.
        Verb::Blackbox => {
            return Ok(match load(&place(cli.config)) {
                Ok(loaded) => device::black_box(loaded.settings) + "\n",
                Err(failure) => format!("nothing is recorded: {failure}\n"),
            });
        }
        Verb::Probe => return Ok(crate::daemon::answer_probe()?),
        Verb::Push(push) => return super::push::push(&push),
        Verb::Stick { device, gone: true, .. } => {
            crate::daemon::stick_gone(&place(cli.config), &device)?;
            return Ok(String::new());
        }
        Verb::Stick { device, gone: false, .. } => {
            let seen = crate::daemon::stick(&place(cli.config), &device, &sink)?;
            let printed = if json { render::json(&seen.report) } else { seen.text };
            return match seen.code {
                None => Ok(printed),
                Some(code) => {
                    render::complain_to_technician(&Failure::new(code, seen.detail), &seen.next);
                    Err(End::Said(printed, code))
                }
            };
        }
        Verb::Doctor { .. } => {
            let diagnosis = super::asked::doctor(&place(cli.config), &sink)?;
            return refused(render::doctor(&diagnosis, json), diagnosis.blocking());
        }
        verb => verb,
    };
    // Its work is done when the daemon is gone already.
    if matches!(verb, Verb::Shutdown) {
        let world = World::open(load(&place(cli.config))?.settings)?;
        return Ok(device::shutdown(&world, &sink)?);
    }
    let asked = match Asked::find(&place(cli.config.clone()), &sink) {
        // Whoever may not look at the disk may see that somebody is at work.
        Err(failure) if matches!(verb, Verb::Status { .. }) => {
            let run = load(&place(cli.config))?.settings.run;
            return device::running(&run)
                .filter(|running| running.stoppable)
                .map(|running| render::running(&running, json))
                .ok_or_else(|| failure.into());
        }
        found => found?,
    };
    let changes = matches!(
        verb,
        Verb::Install(_) | Verb::Switch { .. } | Verb::Commit { .. } | Verb::Rollback { .. }
    );
    if changes {
        asked.aftermath(&sink);
    }
    let printed = asked_for(&asked, verb, json, &sink);
    if changes {
        asked.aftermath(&sink);
    }
    printed
}

fn asked_for(
    asked: &Asked,
    verb: Verb,
    json: bool,
    sink: &Narrator,
) -> std::result::Result<String, End> {
    let printed = match verb {
        Verb::Install(ask) => install(asked, &ask, sink)?,
        Verb::Switch { .. } => render::answer(&asked.switch(sink)?, json),
        Verb::Status { .. } => render::status(&asked.status()?, json),
        Verb::Wait { state, timeout } => wait(asked, &state, &timeout)?,
        Verb::Commit { force, reason, .. } => {
            render::answer(&asked.commit(reason.filter(|_| force), sink)?, json)
        }
        Verb::Cancel { reason, .. } => render::cancellation(&asked.cancel(&reason, sink)?, json),
        Verb::Rollback { reason, retry_rolled_back, .. } => {
            render::answer(&asked.rollback(&reason, retry_rolled_back, sink)?, json)
        }
        Verb::Verify { what, .. } => verify(asked, what.as_deref(), json, sink)?,
        Verb::History { .. } => render::history(&asked.history()?, json),
        Verb::Hold { until, reason, .. } => {
            let usage = |e: String| Failure::new(ReasonCode::Usage, e);
            let until = until.map(|t| device::parse_duration(&t)).transpose().map_err(usage)?;
            render::hold(&asked.hold(until.map(|d| d.as_secs()), &reason, sink)?, json)
        }
        Verb::Drill { kind, .. } => render::answer(&asked.drill(&kind, sink)?, json),
        Verb::Release { .. } => render::said(&asked.release(sink)?, json),
        Verb::Why { .. } => {
            let why = asked.why(sink)?;
            return refused(render::why(&why, json), why.blocking());
        }
        // Answered above.
        Verb::Doctor { .. }
        | Verb::Report { .. }
        | Verb::Daemon
        | Verb::Events { .. }
        | Verb::Probe
        | Verb::Push(_)
        | Verb::Stick { .. }
        | Verb::Blackbox
        | Verb::Shutdown
        | Verb::Config { .. } => String::new(),
    };
    Ok(printed)
}

fn install(asked: &Asked, ask: &Install, sink: &dyn Sink) -> Result<String> {
    let done = asked.install(ask, sink)?;
    let printed = render::installed(&done, ask.json.json);
    match asked {
        Asked::Here(world) if ask.reboot && !ask.dry_run => {
            // The answer first: nobody prints after a reboot.
            let work = device::armed(world)?;
            if let Some(work) = &work {
                device::before_reboot(world, work, sink)?;
            }
            finish(&printed, ExitCode::SUCCESS);
            device::reboot(world, sink)?;
            Ok(String::new())
        }
        _ => Ok(printed),
    }
}

/// An answer that may say itself why no update is installed: then it is also told as a failure.
fn refused(printed: String, why: Option<Failure>) -> std::result::Result<String, End> {
    match why {
        None => Ok(printed),
        Some(failure) => {
            render::complain(&failure);
            Err(End::Said(printed, failure.code()))
        }
    }
}

/// A report goes to a file, or is printed.
fn hand_over(report: &serde_json::Value, output: Option<&Path>, json: bool) -> Result<String> {
    let named = output.and_then(Path::extension).is_some_and(|x| x == "json");
    let text = render::report(report, json || named);
    let Some(file) = output else { return Ok(text) };
    device::write_foreign(file, text.as_bytes())?;
    Ok(String::new())
}

fn verify(
    asked: &Asked,
    what: Option<&str>,
    json: bool,
    sink: &dyn Sink,
) -> std::result::Result<String, End> {
    let slot = what.map(str::parse::<SlotId>);
    match (what, slot) {
        (Some(path), Some(Err(_))) => {
            Ok(render::judgement(&asked.judge(Path::new(path), sink)?, json))
        }
        (_, slot) => {
            let (slot, verdict) = asked.verify_slot(slot.and_then(|s| s.ok()), sink)?;
            let printed = render::verdict(slot, &verdict, json);
            match verdict.require_match() {
                Ok(()) => Ok(printed),
                Err(f) if f.code() == ReasonCode::ModifiedSinceInstall => Ok(printed),
                Err(f) => Err(End::Said(printed, f.code())),
            }
        }
    }
}

/// Prints as it comes: the answer has no end.
fn events(folder: &Path, after: u64, follow: bool, json: bool) -> Result<String> {
    let Some(daemon) = Remote::find(folder) else {
        let text = format!("no daemon listens in {}", folder.display());
        let next = "The daemon keeps the events: start it with `systemctl start surefoot`, or `surefoot daemon`. `surefoot history` lists every update without it.";
        return Err(Failure::new(ReasonCode::DaemonSilent, text).with_next(next));
    };
    let mut events = daemon.events(after, follow)?;
    let mut out = std::io::stdout().lock();
    while let Some((told, line)) = events.line()? {
        let text = match json {
            true => shown_json(&line),
            false => printable_lines(&render::event(&told), usize::MAX),
        };
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(String::new())
}

fn wait(asked: &Asked, state: &str, timeout: &str) -> Result<String> {
    let usage = |e: String| Failure::new(ReasonCode::Usage, e);
    let wanted: device::State = state.parse().map_err(usage)?;
    let patience = device::parse_duration(timeout).map_err(usage)?;
    let start = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        let found = match asked.status() {
            Ok(status) => Ok(status.state),
            // A daemon that is started anew answers again in a moment.
            Err(failure) if failure.code() == ReasonCode::DaemonSilent => Err(failure),
            Err(failure) => return Err(failure),
        };
        if found == Ok(wanted) {
            return Ok(format!("{wanted}\n"));
        }
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            let text = format!("still {} after {timeout}, not {wanted}", found?);
            return Err(Failure::new(ReasonCode::Timeout, text));
        }
        std::thread::sleep(pause.min(left));
        // Each look costs the device a millisecond or two.
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}
