//! What is printed. Every text here is tested.

#[cfg(feature = "apps")]
mod apps;
pub(super) mod finding;
mod status;
mod update;

use crate::cli::json;
use crate::config::Loaded;
use crate::device::Updated;
use crate::event::{Event, Forecast};
use crate::model::{Failure, printable};
use crate::request::{Numbered, Response};
use std::fmt::Write;
use std::io::Write as _;

#[cfg(feature = "apps")]
pub(super) use apps::log_line;
pub(super) use finding::image;
pub(super) use status::running;

/// An answer.
pub(super) fn response(response: &Response, as_json: bool) -> String {
    if as_json {
        return json::text(response);
    }
    match response {
        Response::Version(version) => format!("{}\n", version.updater),
        Response::Status(status) => status::status(status),
        Response::Why(why) => finding::why(why),
        Response::History(history) => status::history(&history.history),
        Response::Diagnosis(diagnosis) => finding::doctor(diagnosis),
        Response::Report(report) => crate::inspect::report_text(report),
        Response::Verified(found) => update::verdict(found.slot, &found.verdict),
        Response::Numbered(told) => event(told) + "\n",
        Response::Installed(installed) => update::installed(installed),
        Response::Judgement(judgement) => update::judgement(judgement),
        Response::Answer(answer) => format!("{}\n", answer.text),
        Response::Cancellation(cancellation) => format!("{}\n", cancellation.text),
        Response::Hold(hold) => format!("{}\n", hold.text()),
        Response::Offering(offering) => update::offering(offering),
        Response::Updated(Updated::Installed(installed)) => update::installed(installed),
        Response::Updated(Updated::Nothing(offering)) => update::offering(offering),
        Response::Said(said) => format!("{}\n", said.text),
        #[cfg(feature = "apps")]
        Response::AppsStatus(found) => apps::status(found),
        #[cfg(feature = "apps")]
        Response::LogLine(line) => apps::log_line(line, false) + "\n",
        #[cfg(feature = "apps")]
        Response::AppsAnswer(answer) => apps::answer(answer),
    }
}

/// A failure on standard error: what was found, its code, and what to do next.
pub(super) fn complain(failure: &Failure) {
    complain_to_technician(failure, failure.next());
}

/// The same with advice of its own.
pub(super) fn complain_to_technician(failure: &Failure, next: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "surefoot: {failure}\n  next: {next}");
}

/// A failure as the answer of a command that was asked for JSON.
pub(super) fn failure_json(failure: &Failure) -> String {
    json::text(&failure.document())
}

/// What an installation over a network is about to do.
pub(super) fn forecast(forecast: &Forecast, json: bool) -> String {
    match json {
        true => json::text(&Event::Planned { forecast: *forecast }),
        false => update::forecast(forecast),
    }
}

/// One event on one line.
pub(super) fn event(told: &Numbered) -> String {
    let line = match &told.event {
        Event::Progress { phase, done, total, .. } => {
            let percent = if *total == 0 { 100 } else { done * 100 / total };
            format!("{} {percent} %", phase.doing())
        }
        Event::State { state, text } => format!("state {state}: {text}"),
        event => event.told().map_or_else(String::new, |told| told.line),
    };
    format!("{} {line}", crate::sys::clock::utc(told.at))
}

pub(super) fn configuration(loaded: &Loaded, origin: bool) -> String {
    if !origin {
        return loaded.merged.to_string();
    }
    let mut out = String::new();
    for (key, file) in &loaded.origin {
        let value = loaded.value(key).map_or(String::new(), |v| v.to_string());
        let (key, value) = (printable(key, 200), printable(&value, 400));
        let file = printable(&file.display().to_string(), 400);
        let _ = writeln!(out, "{key:<24} {value:<32} {file}");
    }
    out
}
