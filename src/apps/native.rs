//! Apps of the kind `native`: files and units of systemd. The units are linked into the running system alone, so that a
//! reboot leaves nothing of them and systemd starts none of them by itself: this program does, in the set's order.

use super::plain::{PlainApp, PlainHealth, last_words};
use super::trees::open_folder;
use crate::bundle::{FOREIGN_PROGRAMS, MAX_UNIT_LEN, MORE_RIGHTS, UnitFacts, placed_name};
use crate::model::{Failure, ReasonCode, Result, WithReason, printable};
use crate::sys::process::{Ending, Finished, Invocation, is_cut};
use crate::sys::{durable, tree};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For what systemd answers at once.
const SHORT: Duration = Duration::from_secs(20);
/// The longest time that a service is given to stop; systemd kills it long before.
const STOP: Duration = Duration::from_secs(180);

fn systemctl(app: &PlainApp<'_>, words: &[&str], deadline: Duration) -> Result<Finished> {
    let command: Vec<String> =
        ["systemctl"].iter().chain(words).map(|word| (*word).to_owned()).collect();
    let call = Invocation {
        command: &command,
        folder: Path::new("/"),
        environment: &[],
        input: b"",
        deadline,
        keep: 256 * 1024,
    };
    let missing = |e: std::io::Error| {
        let text = format!("a native app has units of systemd, and systemctl cannot be run: {e}");
        Failure::new(ReasonCode::AppRequires, text)
    };
    let done = app.ctx.runner.run(&call).map_err(missing)?;
    match done.ending {
        Ending::Stopped => Err(Failure::new(ReasonCode::Interrupted, "systemctl was ended")),
        _ => Ok(done),
    }
}

fn must(app: &PlainApp<'_>, words: &[&str], deadline: Duration) -> Result<()> {
    let done = systemctl(app, words, deadline)?;
    match done.ending {
        Ending::Exit(0) => Ok(()),
        Ending::Deadline => {
            let text = format!("`systemctl {}` did not end in time", words.join(" "));
            Err(Failure::new(ReasonCode::ServiceLate, printable(&text, 300)))
        }
        _ => {
            let text = format!("`systemctl {}`: {}", words.join(" "), last_words(&done));
            Err(Failure::new(ReasonCode::ServiceEnded, printable(&text, 600)))
        }
    }
}

/// Whether systemd runs this device, and what the units ask for is granted.
pub(super) fn admit(app: &PlainApp<'_>) -> Result<()> {
    granted(app)?;
    let done = systemctl(app, &["show", "--property=Version"], SHORT)?;
    if done.ending != Ending::Exit(0) {
        let said = last_words(&done);
        let text = format!("a native app has units of systemd, which does not answer: {said}");
        return Err(Failure::new(ReasonCode::AppRequires, text));
    }
    Ok(())
}

/// What the document asks for that its units may use was granted, and is still.
fn granted(app: &PlainApp<'_>) -> Result<()> {
    let of_units = |name: &&str| [FOREIGN_PROGRAMS, MORE_RIGHTS].contains(name);
    let asked = app.document.permissions.iter().map(|p| p.as_str()).filter(of_units);
    for name in asked {
        if !app.ctx.settings.permissions.iter().any(|p| p.as_str() == name) {
            let text = format!("`[apps] permissions` does not grant `{name}`");
            return Err(Failure::new(ReasonCode::NotPermitted, text));
        }
    }
    Ok(())
}

fn unit_text(app: &PlainApp<'_>, path: &str) -> Result<Vec<u8>> {
    let file = app.tree().join(path);
    let text = durable::read(&file, MAX_UNIT_LEN)?;
    text.ok_or_else(|| Failure::new(ReasonCode::NoSuchApp, format!("{} is gone", file.display())))
}

/// The units that lie in its tree, held to the rules.
pub(super) fn units(app: &PlainApp<'_>) -> Result<Vec<UnitFacts>> {
    app.document.check_units(|file| unit_text(app, &file.path))
}

/// A path in the text of a unit, where blanks and signs have a meaning of their own.
fn in_unit(path: &Path) -> Result<String> {
    let text = path.display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._+-@:".contains(&b);
    match text.bytes().all(plain) {
        true => Ok(text),
        false => {
            let why = "cannot stand in a unit of systemd; `[apps] data` names a plain path";
            Err(Failure::new(ReasonCode::ConfigInvalid, format!("the path `{text}` {why}")))
        }
    }
}

/// Where the units lie as they are placed on this device.
fn placed_folder(app: &PlainApp<'_>) -> PathBuf {
    app.run.join("units")
}

/// Places the units and starts them in their order, all but those that another one triggers.
pub(super) fn start(app: &PlainApp<'_>) -> Result<()> {
    granted(app)?;
    let facts = units(app)?;
    let folder = placed_folder(app);
    open_folder(&folder)?;
    let paths = (in_unit(&app.root())?, in_unit(&app.own_data())?);
    let native = app.document.native.as_ref().map_or(&[][..], |native| native.units.as_slice());
    let environment = app.environment();
    let mut placed = Vec::new();
    for unit in native {
        let text = String::from_utf8_lossy(&unit_text(app, unit)?).into_owned();
        let text = app.document.placed_unit(unit, &text, (&paths.0, &paths.1), &environment)?;
        let file = folder.join(placed_name(&app.document.app, unit));
        durable::publish(&file, text.as_bytes())?;
        placed.push(in_unit(&file)?);
    }
    // Those that are linked already stay as they are.
    let mut words = vec!["link", "--runtime", "--quiet", "--"];
    words.extend(placed.iter().map(String::as_str));
    must(app, &words, SHORT)?;
    must(app, &["daemon-reload"], SHORT)?;
    let time = Duration::from_millis(app.document.deadline).max(SHORT);
    for unit in facts.iter().filter(|unit| !unit.triggered) {
        // What has failed before does not count against this start.
        let _ = systemctl(app, &["reset-failed", "--", &unit.placed], SHORT)?;
        must(app, &["start", "--", &unit.placed], time)?;
    }
    Ok(())
}

/// Stops the units in reverse order, and takes them out of the running system.
pub(super) fn stop(app: &PlainApp<'_>) -> Result<()> {
    let native = app.document.native.as_ref().map_or(&[][..], |native| native.units.as_slice());
    let names: Vec<String> =
        native.iter().rev().map(|unit| placed_name(&app.document.app, unit)).collect();
    for name in &names {
        // One that is not loaded is stopped.
        let state = show(app, std::slice::from_ref(name))?;
        if state.iter().any(|unit| unit.load != "not-found" && unit.active != "inactive") {
            must(app, &["stop", "--", name], STOP)?;
        }
    }
    let mut words = vec!["disable", "--runtime", "--quiet", "--"];
    words.extend(names.iter().map(String::as_str));
    // Where none is linked there is nothing to take away.
    let _ = systemctl(app, &words, SHORT)?;
    let folder = placed_folder(app);
    tree::clear(&folder).reason(ReasonCode::Io, folder.display())?;
    must(app, &["daemon-reload"], SHORT)?;
    let mut words = vec!["reset-failed", "--"];
    words.extend(names.iter().map(String::as_str));
    let _ = systemctl(app, &words, SHORT)?;
    Ok(())
}

/// One unit, as systemd tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    id: String,
    load: String,
    active: String,
    sub: String,
    result: String,
    /// How often systemd has started it again.
    pub(super) restarts: u32,
}

impl Shown {
    fn words(&self) -> String {
        let Shown { id, active, sub, result, restarts, .. } = self;
        let result = if result == "success" || result.is_empty() { "" } else { result };
        let between = if result.is_empty() { "" } else { ", " };
        let again =
            if *restarts == 0 { String::new() } else { format!(", restarted {restarts} times") };
        format!("{id} is {active} ({sub}{between}{result}{again})")
    }
}

fn show(app: &PlainApp<'_>, names: &[String]) -> Result<Vec<Shown>> {
    let keys = "--property=Id,LoadState,ActiveState,SubState,Result,NRestarts";
    let mut words = vec!["show", keys, "--"];
    words.extend(names.iter().map(String::as_str));
    let done = systemctl(app, &words, SHORT)?;
    if done.ending != Ending::Exit(0) || is_cut(&done.stdout) {
        let text = format!("`systemctl show`: {}", last_words(&done));
        return Err(Failure::new(ReasonCode::EngineFailed, text));
    }
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    Ok(blocks
        .map(|block| {
            let of = |key: &str| {
                let line = block.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
                printable(line.unwrap_or(""), 200)
            };
            Shown {
                id: of("Id"),
                load: of("LoadState"),
                active: of("ActiveState"),
                sub: of("SubState"),
                result: of("Result"),
                restarts: of("NRestarts").parse().unwrap_or(0),
            }
        })
        .collect())
}

/// How the units are: each with its state, and whether that is how it should be; `None`: it is on its way.
pub(super) fn states(app: &PlainApp<'_>, trial: bool) -> Result<Vec<(Shown, Option<bool>)>> {
    let facts = units(app)?;
    let names: Vec<String> = facts.iter().map(|unit| unit.placed.clone()).collect();
    let mut shown = show(app, &names)?.into_iter();
    let mut states = Vec::new();
    for unit in &facts {
        let state = shown.next().filter(|state| state.id == unit.placed).unwrap_or_else(|| Shown {
            id: unit.placed.clone(),
            active: "unknown".to_owned(),
            ..Shown::default()
        });
        let spent = trial && state.restarts > app.document.max_restarts;
        let well = match state.active.as_str() {
            _ if spent => Some(false),
            "active" => Some(true),
            "activating" if state.sub != "auto-restart" => None,
            "activating" | "reloading" | "deactivating" => None,
            // It has done its work, or waits for what triggers it.
            "inactive" if unit.once || unit.triggered => Some(state.result != "exit-code"),
            _ => Some(false),
        };
        states.push((state, well));
    }
    Ok(states)
}

/// Whether all units are as they should be.
pub(super) fn check(app: &PlainApp<'_>, trial: bool) -> Result<PlainHealth> {
    let states = states(app, trial)?;
    let words = |wanted: Option<bool>| -> Vec<String> {
        states.iter().filter(|(_, well)| *well == wanted).map(|(s, _)| s.words()).collect()
    };
    let (bad, late) = (words(Some(false)), words(None));
    Ok(match (bad.is_empty(), late.is_empty()) {
        (false, _) => PlainHealth::Bad(ReasonCode::ServiceEnded, bad.join(", ")),
        (true, false) => PlainHealth::NotYet(late.join(", ")),
        (true, true) => PlainHealth::Well,
    })
}
