//! `report`: everything that support asks for, in one document. It says what it can: a section
//! that cannot be had says why, and the others stand.

use super::doctor::doctor;
use super::redact::{command_line, redacted, words};
use super::status::status;
use crate::blackbox;
use crate::config::{Loaded, Settings, Where, load};
use crate::device::{World, history, postmortem, rested};
use crate::event::Nowhere;
use crate::hooks::Log;
use crate::model::{
    Failure, ReasonCode, Result, StateFile, WithReason, line_document, printable, shown_document,
};
use crate::sys::{clock, durable, files, host, mounts};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

/// A report is never longer, bytes.
const LIMIT: usize = 1 << 20;
/// Moves that ended.
const HISTORY_MAX: usize = 200;
/// What hooks have said.
const HOOKS_MAX: u64 = 128 << 10;
const VALUE_MAX: usize = 4_000;
const FILES_MAX: usize = 200;

/// In the order in which sections are left out of a report that would be too long.
const LEFT_OUT: [&str; 7] =
    ["hooks", "events", "blackbox", "history", "files", "config", "bootloader"];

/// The whole report. `events` is what the daemon has told, where one runs, and `equip` gives the
/// world what this process runs programs with.
pub fn report(place: &Where, events: Value, equip: impl Fn(&mut World)) -> Value {
    let mut out = Map::new();
    out.insert("v".into(), json!(1));
    out.insert("surefoot".into(), json!(env!("CARGO_PKG_VERSION")));
    let now = clock::unix_seconds();
    out.insert(
        "made".into(),
        json!({ "at": now, "utc": clock::utc(now), "uptime": host::uptime(), "boot_id": host::boot_id() }),
    );
    let loaded = load(place);
    match &loaded {
        Ok(loaded) => of_settings(loaded, &equip, &mut out),
        Err(failure) => {
            out.insert("config".into(), refused(failure));
        }
    }
    out.insert("events".into(), events);
    out.insert("kernel".into(), kernel());
    bounded(out)
}

fn of_settings(loaded: &Loaded, equip: &dyn Fn(&mut World), out: &mut Map<String, Value>) {
    let settings = &loaded.settings;
    let mut put = |name: &str, value| out.insert(name.to_owned(), value);
    let world = World::open(settings.clone());
    let asked = |ask: &dyn Fn(&World) -> Result<Value>| match &world {
        Ok(world) => ask(world).unwrap_or_else(|f| refused(&f)),
        Err(failure) => refused(failure),
    };
    put("status", asked(&|w| plain(&status(w)?)));
    put(
        "doctor",
        plain(&doctor(settings.clone(), equip, &Nowhere)).unwrap_or_else(|f| refused(&f)),
    );
    put("postmortem", asked(&|w| plain(&postmortem(w, &rested(w)?))));
    put("committed", asked(&|w| plain(&w.committed.load())));
    put(
        "history",
        asked(&|w| {
            let all = history(w)?;
            plain(&all[all.len().saturating_sub(HISTORY_MAX)..])
        }),
    );
    let merged = plain(&loaded.merged).map(redacted).map(line_document);
    let config = merged.map(|merged| json!({ "merged": merged, "ignored": loaded.ignored }));
    put("config", config.unwrap_or_else(|f| refused(&f)));
    put("bootloader", bootloader(settings).unwrap_or_else(|f| refused(&f)));
    put("partitions", partitions(settings).unwrap_or_else(|f| refused(&f)));
    let state = &settings.device.state;
    put("files", files(state));
    put("hooks", hooks(state));
    #[cfg(feature = "apps")]
    put("apps", asked(&|w| super::apps::told(w)));
    put("drill", file(state, StateFile::DRILL));
    let boots = blackbox::read(&StateFile::BLACK_BOX.within(state)).into_iter().map(|boot| {
        let lines: Vec<_> = boot.lines.into_iter().map(|l| words(&l.text)).collect();
        json!({ "boot": boot.head, "lines": lines, "end": boot.end })
    });
    put("blackbox", boots.collect());
}

fn plain<T: Serialize + ?Sized>(value: &T) -> Result<Value> {
    serde_json::to_value(value).reason(ReasonCode::Internal, "the report")
}

fn refused(failure: &Failure) -> Value {
    json!({ "error": { "code": failure.code(), "detail": failure.detail() } })
}

fn bootloader(settings: &Settings) -> Result<Value> {
    let disk = settings.device.disk.open().ok().map(Arc::new);
    let told = settings.bootloader.open(disk)?.describe()?;
    let chosen = told.copies.iter().position(|copy| copy.chosen);
    let copies = told.copies.iter().map(|copy| match &copy.dead {
        Some(why) => json!({ "valid": false, "why": why }),
        None => json!({ "valid": true, "serial": copy.serial }),
    });
    let copies: Vec<_> = copies.collect();
    let shown = |value: String| Value::String(command_line(&printable(&value, VALUE_MAX)));
    let variables = told.variables.into_iter().map(|(name, value)| (name, shown(value)));
    let variables: Map<_, _> = variables.collect();
    Ok(json!({ "name": told.name, "copies": copies, "chosen": chosen, "variables": variables }))
}

fn partitions(settings: &Settings) -> Result<Value> {
    let disk = settings.device.disk.open()?;
    let table = disk.table()?;
    let rows: Vec<_> = table
        .partitions
        .iter()
        .map(|p| {
            json!({ "number": p.number, "name": p.name, "start": p.start, "len": p.len, "type": p.type_id })
        })
        .collect();
    // A path need not be text, and `json!` would end the program at one that is none.
    let disk = disk.path().display().to_string();
    Ok(json!({ "disk": words(&disk), "table": rows, "warnings": table.warnings }))
}

/// What lies in the state folder, by name and length.
fn files(state: &Path) -> Value {
    let entries = match std::fs::read_dir(state) {
        Ok(entries) => entries,
        Err(error) => {
            return json!({ "error": { "code": ReasonCode::Io, "detail": error.to_string() } });
        }
    };
    let mut rows: Vec<(String, u64)> = entries
        .flatten()
        .take(FILES_MAX)
        .filter_map(|e| {
            Some((printable(&e.file_name().to_string_lossy(), 100), e.metadata().ok()?.len()))
        })
        .collect();
    rows.sort();
    let free = host::free_bytes(state).ok();
    let folder = words(&state.display().to_string());
    json!({ "folder": folder, "free": free, "files": rows.into_iter().collect::<std::collections::BTreeMap<_, _>>() })
}

/// A file of ours as it is: a document, or else its text.
fn file(state: &Path, kept: StateFile) -> Value {
    match durable::read(&kept.within(state), kept.limit) {
        Ok(None) => Value::Null,
        Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
            Ok(value) => shown_document(redacted(value)),
            Err(_) => shown_document(Value::String(words(&String::from_utf8_lossy(&bytes)))),
        },
        Err(failure) => refused(&failure),
    }
}

/// What hooks have said, the newest of it where there is much.
fn hooks(state: &Path) -> Value {
    let mut runs = Log::new(state).load();
    loop {
        let told = json!({ "v": 1, "runs": runs });
        if runs.is_empty() {
            // Missing, or of another form.
            return file(state, StateFile { limit: HOOKS_MAX, ..StateFile::HOOKS });
        }
        if u64::try_from(told.to_string().len()).is_ok_and(|len| len <= HOOKS_MAX) {
            return redacted(told);
        }
        runs.remove(0);
    }
}

fn kernel() -> Value {
    let line = mounts::kernel_command_line().map_err(|e| e.to_string());
    let line = line.map_or_else(|e| json!({ "error": e }), |l| json!(command_line(&l)));
    let release = files::kernel_text("/proc/sys/kernel/osrelease").unwrap_or_default();
    let system = files::foreign_text("/etc/os-release".as_ref(), files::SMALL).unwrap_or_default();
    let name = system.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    let name = name.map(|n| printable(n.trim_matches('"'), 200));
    json!({
        "command_line": line,
        "release": printable(&release, 200),
        "machine": std::env::consts::ARCH,
        "system": name,
    })
}

/// Leaves sections out until it is short enough.
fn bounded(mut out: Map<String, Value>) -> Value {
    for name in LEFT_OUT {
        if serde_json::to_string_pretty(&out).map_or(0, |t| t.len()) < LIMIT {
            break;
        }
        let text = "left out: the report would be longer than 1 MiB";
        out.insert(name.to_owned(), json!({ "error": { "code": "TOO_LONG", "detail": text } }));
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_that_hooks_have_said_the_newest_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let run = |time: u64| crate::hooks::Report {
            time,
            moment: crate::hooks::Moment::BeforeCommit,
            name: "x".into(),
            answer: crate::hooks::Answer::Veto,
            ended: "exit status 1".into(),
            seconds: 0,
            output: "y".repeat(20_000),
        };
        Log::new(dir.path()).note(&(0..12).map(run).collect::<Vec<_>>()).unwrap();
        let told = hooks(dir.path());
        let runs = told["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 6, "as many as there is room for");
        assert_eq!(runs.last().unwrap()["time"], 11);
    }

    #[test]
    fn a_report_that_would_be_too_long_loses_what_is_long_and_says_so() {
        let mut out = Map::new();
        out.insert("status".into(), json!({ "state": "idle" }));
        out.insert("hooks".into(), json!("\u{1}".repeat(300_000)));
        out.insert("history".into(), json!("x".repeat(300_000)));
        let short = bounded(out.clone());
        assert!(short["hooks"]["error"]["detail"].is_string(), "escapes count");
        assert!(short["history"].is_string() && short["status"]["state"] == "idle");
        for name in LEFT_OUT {
            out.insert(name.into(), json!("x".repeat(LIMIT)));
        }
        let short = serde_json::to_string_pretty(&bounded(out)).unwrap();
        assert!(short.len() < LIMIT && short.contains("idle"));
    }

    #[test]
    fn without_a_configuration_it_says_what_it_can() {
        let report = report(&Where::File("/nowhere/surefoot.toml".into()), Value::Null, |_| ());
        assert_eq!(report["config"]["error"]["code"], "CONFIG_MISSING");
        assert_eq!(report["v"], 1);
        assert!(report["kernel"]["release"].as_str().is_some_and(|r| !r.is_empty()));
        assert!(super::super::report_text::text(&report).contains("CONFIG_MISSING"));
    }
}
