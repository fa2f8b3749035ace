//! From the words to the request, and from its end to the exit status.

use super::args::{Cli, ConfigVerb, Install, Verb};
use super::progress::Narrator;
use super::render;
use crate::config::{Where, load};
use crate::device::{self, Installation, Source, World};
use crate::event::Sink;
use crate::model::{Class, Failure, ReasonCode, Result, SlotId};
use clap::Parser;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The whole program: parses `std::env::args`, answers on standard output, narrates on standard
/// error.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
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
    let _ = simplelog::WriteLogger::init(level, simplelog::Config::default(), std::io::stderr());
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
    }
}

/// Prints the answer. A pipe that was closed is the reader's choice, not our failure.
fn finish(printed: &str, code: ExitCode) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(printed.as_bytes()).and_then(|()| out.flush());
    code
}

/// An end that is no success.
pub(super) enum End {
    /// Told on standard error.
    Failed(Failure),
    /// The answer itself says what is wrong; the code is for the exit status.
    Said(String, ReasonCode),
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
        | Verb::Verify { json, .. }
        | Verb::History { json }
        | Verb::Doctor { json } => json.json,
        Verb::Wait { .. } | Verb::Shutdown | Verb::Daemon | Verb::Config { .. } => false,
    }
}

fn place(config: Option<PathBuf>) -> Where {
    config.map_or_else(|| Where::Folders("/".into()), Where::File)
}

fn open(config: Option<PathBuf>, sink: &dyn Sink) -> Result<World> {
    let loaded = load(&place(config))?;
    for key in &loaded.unknown {
        sink.emit(&crate::event::Event::Warning {
            text: format!("unknown setting, ignored: {key}"),
        });
    }
    World::open(loaded.settings)
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
        Verb::Doctor { .. } => {
            let diagnosis = device::doctor(load(&place(cli.config))?.settings);
            let printed = render::doctor(&diagnosis, json);
            return match diagnosis.blocking() {
                None => Ok(printed),
                Some(code) => Err(End::Said(printed, code)),
            };
        }
        verb => verb,
    };
    let world = open(cli.config, &sink)?;
    let printed = match verb {
        Verb::Install(ask) => install(&world, ask, &sink)?,
        Verb::Switch { .. } => render::answer(&device::switch(&world, &sink)?, json),
        Verb::Status { .. } => render::status(&device::status(&world)?, json),
        Verb::Wait { state, timeout } => wait(&world, &state, &timeout)?,
        Verb::Commit { force, reason, .. } => {
            let unchecked = reason.filter(|_| force);
            render::answer(&device::commit(&world, unchecked, &sink)?, json)
        }
        Verb::Rollback { reason, .. } => {
            render::answer(&device::rollback(&world, &reason, &sink)?, json)
        }
        Verb::Shutdown => device::shutdown(&world, &sink)?,
        Verb::Verify { what, .. } => verify(&world, what, json, &sink)?,
        Verb::History { .. } => render::history(&device::history(&world)?, json),
        Verb::Doctor { .. } | Verb::Daemon | Verb::Config { .. } => String::new(), // answered above
    };
    Ok(printed)
}

fn install(world: &World, ask: Install, sink: &dyn Sink) -> Result<String> {
    let request = Installation {
        source: match ask.artifact.as_str() {
            "-" => Source::Stdin,
            path => Source::File(path.into()),
        },
        then: if ask.stage { device::Then::Stage } else { device::Then::Switch },
        allowed: device::Allowed {
            older: ask.allow_older,
            reinstall: ask.reinstall,
            retry_rolled_back: ask.retry_rolled_back,
        },
        dry_run: ask.dry_run,
    };
    let reboot = ask.reboot && !ask.dry_run;
    let done = device::install(world, request, sink)?;
    let printed = render::installed(&done, ask.json.json);
    if reboot {
        // The answer first: nobody prints after a reboot.
        finish(&printed, ExitCode::SUCCESS);
        device::reboot(world, sink)?;
        return Ok(String::new());
    }
    Ok(printed)
}

fn verify(
    world: &World,
    what: Option<String>,
    json: bool,
    sink: &dyn Sink,
) -> std::result::Result<String, End> {
    let what = match what {
        Some(what) => what,
        None => world.booted()?.to_string(),
    };
    match what.parse::<SlotId>() {
        Ok(slot) => {
            let verdict = device::verify_slot(world, slot, sink)?;
            let printed = render::verdict(slot, &verdict, json);
            match verdict.require_match() {
                Ok(()) => Ok(printed),
                Err(f) if f.code() == ReasonCode::ModifiedSinceInstall => Ok(printed),
                Err(f) => Err(End::Said(printed, f.code())),
            }
        }
        Err(_) => Ok(render::judgement(&device::judge_file(world, Path::new(&what), sink)?, json)),
    }
}

fn wait(world: &World, state: &str, timeout: &str) -> Result<String> {
    let usage = |e: String| Failure::new(ReasonCode::Usage, e);
    let wanted: device::State = state.parse().map_err(usage)?;
    let patience = device::parse_duration(timeout).map_err(usage)?;
    let start = Instant::now();
    loop {
        let found = device::status(world)?.state;
        if found == wanted {
            return Ok(format!("{found}\n"));
        }
        if start.elapsed() >= patience {
            let text = format!("still {found} after {timeout}, not {wanted}");
            return Err(Failure::new(ReasonCode::Timeout, text));
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

fn configuration(config: Option<PathBuf>, what: &ConfigVerb) -> std::result::Result<String, End> {
    let loaded = load(&place(config))?;
    match what {
        ConfigVerb::Check if loaded.unknown.is_empty() => {
            Ok("The configuration is sound.\n".to_owned())
        }
        ConfigVerb::Check => {
            let keys = loaded.unknown.join(", ");
            Err(Failure::new(ReasonCode::ConfigInvalid, format!("unknown settings: {keys}")).into())
        }
        ConfigVerb::Show { origin } => Ok(render::configuration(&loaded, *origin)),
    }
}
