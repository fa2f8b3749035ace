//! How apps are, and what was done with them.

use crate::apps::{AppState, AppStatus, AppsStatus, ServiceStatus};
use crate::device::AppsAnswer;
use crate::model::ByteLen;
use crate::request::LogLine;
use std::fmt::Write;

pub(super) fn answer(answer: &AppsAnswer) -> String {
    let mut out = format!("{}\n", answer.text);
    for note in &answer.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

/// A line of a log; with the name of its service, where several speak.
pub(in crate::cli) fn log_line(line: &LogLine, named: bool) -> String {
    match named {
        true => line.text.clone(),
        false => format!("{:<12} {}", line.service, line.text),
    }
}

pub(super) fn status(status: &AppsStatus) -> String {
    let mut out = String::new();
    if status.apps.is_empty() {
        out += "No apps.\n";
    }
    for found in &status.apps {
        app(&mut out, found);
    }
    if let Some(change) = &status.change {
        let reason = change.reason.map_or_else(String::new, |code| format!(" [{code}]"));
        let _ = writeln!(out, "under way: {} ({}){reason}", change.moves.join(", "), change.phase);
    }
    if let Some(last) = &status.last {
        let at = crate::sys::clock::utc(last.at);
        let reason =
            last.reason.map_or_else(String::new, |code| format!(": {} [{code}]", last.text));
        let _ = writeln!(out, "last: {} {} {at}{reason}", last.outcome, last.moves.join(", "));
    }
    let engine = match (&status.engine, &status.engine_failure) {
        (Some(engine), _) => engine.clone(),
        (None, Some(failure)) => failure.clone(),
        (None, None) => "none is named in `[apps] engine`".to_owned(),
    };
    let _ = writeln!(out, "engine: {engine}");
    if let Some(disk) = status.disk {
        let (data, free) = (ByteLen(disk.data), ByteLen(disk.free));
        let _ = writeln!(out, "data: {data}, {free} free");
    }
    out
}

/// One line for each app, beside what the system says.
pub(super) fn brief(out: &mut String, status: &AppsStatus) {
    for AppStatus { name, version, state, text, .. } in &status.apps {
        let text = if text.is_empty() { String::new() } else { format!(": {text}") };
        let _ = writeln!(out, "app      {name} {version} {}{text}", word(*state));
    }
    if let Some(change) = &status.change {
        let _ = writeln!(out, "change   {} ({})", change.moves.join(", "), change.phase);
    }
}

fn word(state: AppState) -> &'static str {
    match state {
        AppState::Running => "running",
        AppState::Starting => "starting",
        AppState::Degraded => "degraded",
        AppState::Stopped => "stopped",
        AppState::Failed => "failed",
    }
}

fn app(out: &mut String, app: &AppStatus) {
    let development = if app.development { ", development" } else { "" };
    let text = if app.text.is_empty() { String::new() } else { format!(": {}", app.text) };
    let _ = writeln!(out, "{} {} {}{development}{text}", app.name, app.version, word(app.state));
    for one in &app.services {
        service(out, one);
    }
    if let Some(web) = &app.web {
        let _ = writeln!(out, "  page: {web}");
    }
    if !app.previous.is_empty() {
        let versions: Vec<_> = app.previous.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "  can go back to: {}", versions.join(", "));
    }
}

fn service(out: &mut String, one: &ServiceStatus) {
    let name = match one.replica {
        0 | 1 => one.name.to_string(),
        n => format!("{}/{n}", one.name),
    };
    let health = match one.healthy {
        Some(true) => ", well",
        Some(false) => ", not well",
        None => "",
    };
    let restarts = match one.restarts {
        0 => String::new(),
        1 => ", started again once".to_owned(),
        n => format!(", started again {n} times"),
    };
    let text = if one.text.is_empty() { String::new() } else { format!(": {}", one.text) };
    let ports = match one.ports.is_empty() {
        true => String::new(),
        false => format!(", {}", one.ports.join(", ")),
    };
    let _ = writeln!(out, "  {name:<14} {}{health}{restarts}{ports}{text}", one.state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_which_service_is_not_well_and_where_to_go() {
        let document = serde_json::json!({
            "v": 1, "engine": "podman 4.3.1", "engine_failure": null,
            "apps": [{
                "name": "shop", "version": "2.0.0", "digest": "0".repeat(64), "kind": "containers",
                "state": "degraded", "text": "web is not well", "web": "http://{host}:8080/",
                "previous": ["1.0.0"],
                "services": [
                    { "name": "db", "replica": 1, "state": "running", "healthy": true },
                    { "name": "web", "replica": 2, "state": "running", "healthy": false,
                      "text": "exit status 1", "restarts": 3, "ports": ["8080/tcp -> 80"] },
                ],
            }],
        });
        let text = status(&serde_json::from_value(document).unwrap());
        assert_eq!(
            text,
            "shop 2.0.0 degraded: web is not well\n  \
               db             running, well\n  \
               web/2          running, not well, started again 3 times, 8080/tcp -> 80: exit status 1\n  \
               page: http://{host}:8080/\n  \
               can go back to: 1.0.0\n\
             engine: podman 4.3.1\n"
        );
    }
}
