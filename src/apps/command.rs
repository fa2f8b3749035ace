//! Apps of the kind `command`: a program of the image that is asked with one of five verbs. What it does is its own
//! matter, such as the firmware of a microcontroller; it is told where the files lie, and where those of before lie.

use super::plain::{PlainApp, PlainHealth, last_words};
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::process::{Ending, Finished, Invocation};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// It asks to be asked later.
const LATER: i32 = 75;
/// What of its output is kept.
const KEEP: usize = 64 * 1024;

/// The program, which the device's settings name.
fn program(app: &PlainApp<'_>) -> Result<PathBuf> {
    let said = app.document.command.as_ref().map(|command| &command.program);
    let Some(name) = said else {
        return Err(Failure::new(ReasonCode::AppInvalid, "the document names no program"));
    };
    let found = app.ctx.settings.commands.get(name.as_str()).ok_or_else(|| {
        let text = format!("`[apps.commands]` names no program `{name}`");
        Failure::new(ReasonCode::NotPermitted, text)
    })?;
    Ok(found.clone())
}

/// Whether there is a program to ask.
pub(super) fn admit(app: &PlainApp<'_>) -> Result<()> {
    let program = program(app)?;
    let runs = |path: &Path| {
        path.metadata().is_ok_and(|a| a.is_file() && a.permissions().mode() & 0o111 != 0)
    };
    if !program.is_absolute() || !runs(&program) {
        let text = format!("{}, of `[apps.commands]`, is no program", program.display());
        return Err(Failure::new(ReasonCode::AppRequires, text));
    }
    Ok(())
}

/// Asks it, and waits for its end.
fn ask(app: &PlainApp<'_>, verb: &str) -> Result<Finished> {
    let program = program(app)?;
    let words = [program.display().to_string(), verb.to_owned()];
    let variables: Vec<(String, String)> = app.environment().into_iter().collect();
    let timeout = app.document.command.as_ref().map_or(0, |command| command.timeout);
    let call = Invocation {
        command: &words,
        folder: Path::new("/"),
        environment: &variables,
        input: b"",
        deadline: Duration::from_millis(timeout),
        keep: KEEP,
    };
    app.ctx.runner.run(&call).map_err(|e| {
        let text = format!("{}: {e}", program.display());
        Failure::new(ReasonCode::AppRequires, text)
    })
}

/// Asks it, and takes anything but success as a failure with this reason.
fn must(app: &PlainApp<'_>, verb: &str, code: ReasonCode) -> Result<()> {
    let done = ask(app, verb)?;
    if done.ending == Ending::Exit(0) {
        return Ok(());
    }
    let code = match done.ending {
        Ending::Exit(LATER) if verb == "prepare" => ReasonCode::HookLater,
        Ending::Deadline => ReasonCode::ServiceLate,
        Ending::Stopped => ReasonCode::Interrupted,
        _ => code,
    };
    let name = program(app)?;
    Err(Failure::new(code, format!("{} {verb}: {}", name.display(), last_words(&done))))
}

/// `prepare`: while what runs goes on. Its no ends the change before anything was switched.
pub(super) fn prepare(app: &PlainApp<'_>) -> Result<()> {
    must(app, "prepare", ReasonCode::HookVeto)
}

/// `start`: brings this generation to run; again where it runs already, and after each boot.
pub(super) fn start(app: &PlainApp<'_>) -> Result<()> {
    must(app, "start", ReasonCode::ServiceEnded)
}

/// `stop`: before another generation is started, or where a person has stopped the app.
pub(super) fn stop(app: &PlainApp<'_>) -> Result<()> {
    must(app, "stop", ReasonCode::ServiceEnded)
}

/// `remove`: the app leaves the device.
pub(super) fn remove(app: &PlainApp<'_>) -> Result<()> {
    must(app, "remove", ReasonCode::ServiceEnded)
}

/// `check`: whether it is well.
pub(super) fn check(app: &PlainApp<'_>) -> Result<PlainHealth> {
    let done = ask(app, "check")?;
    let said = || format!("{}: {}", app.document.app, last_words(&done));
    Ok(match done.ending {
        Ending::Exit(0) => PlainHealth::Well,
        Ending::Exit(LATER) => PlainHealth::NotYet(said()),
        Ending::Stopped => return Err(Failure::new(ReasonCode::Interrupted, said())),
        _ => PlainHealth::Bad(ReasonCode::ServiceUnhealthy, said()),
    })
}
