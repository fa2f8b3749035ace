//! What is written back: for a person at a desk, and the same for a program.

use super::visit::Ending;
use crate::config::Settings;
use crate::inspect::{Status, ended_in_words};
use crate::model::{ByteLen, Digest, ReasonCode, Result, printable};
use crate::stick::{Judged, Shown};
use crate::sys::clock::utc;
use crate::sys::{clock, host};
use crate::update::Ended;
use serde::Serialize;
use std::fmt::Write;

/// Which device this is.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Identity {
    pub(super) product: String,
    pub(super) compatible: String,
    pub(super) host: String,
    /// Tells devices of a kind apart; made from the machine id, which itself stays at home.
    pub(super) id: String,
    pub(super) updater: &'static str,
}

impl Identity {
    pub(super) fn of(settings: &Settings) -> Identity {
        let id = host::machine_id().map(|id| Digest::of(format!("surefoot {id}").as_bytes()));
        let device = &settings.device;
        Identity {
            product: device.product.to_string(),
            compatible: device.compatible.to_string(),
            host: printable(&host::name(), 64),
            id: id.map_or_else(String::new, |d| d.to_string().chars().take(8).collect()),
            updater: env!("CARGO_PKG_VERSION"),
        }
    }

    /// A name that every FAT can hold.
    fn file_name(&self) -> String {
        let plain = |c: char| match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => c,
            _ => '-',
        };
        let name: String = self.compatible.chars().map(plain).take(36).collect();
        let joint = if self.id.is_empty() { "" } else { "-" };
        format!("{name}{joint}{}", self.id)
    }
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) v: u32,
    /// Seconds since 1970 by this device's clock; `null` where it was never set.
    pub(super) at: Option<u64>,
    pub(super) device: Identity,
    /// Where the device stands.
    pub(super) status: Option<Box<Status>>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<String>,
    /// What was found on the stick, a line for each place.
    pub(super) places: Vec<String>,
    /// Files that may have been meant to be artifacts.
    pub(super) ignored: Vec<String>,
    pub(super) candidates: Vec<Told>,
    pub(super) choice: String,
    pub(super) result: Outcome,
}

/// Where the device stands, or why that is not known.
pub(super) fn apart(status: Result<Status>) -> (Option<Box<Status>>, Option<String>) {
    match status {
        Ok(status) => (Some(Box::new(status)), None),
        Err(failure) => (None, Some(failure.to_string())),
    }
}

/// A candidate and what became of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Told {
    #[serde(flatten)]
    pub(super) judged: Judged,
    pub(super) fate: String,
}

/// The candidates with their fates.
pub(super) fn told(judged: Vec<Judged>, fates: Vec<String>) -> Vec<Told> {
    judged.into_iter().zip(fates).map(|(judged, fate)| Told { judged, fate }).collect()
}

/// The date of a report, if the clock was ever set.
pub(super) fn today() -> Option<u64> {
    Some(clock::unix_seconds()).filter(|at| clock::is_set(*at))
}

/// How it went.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Outcome {
    /// The result in one word: `installed`, `current`, `waiting`, `refused`, `nothing`, `unreadable`
    /// or `interrupted`.
    pub(super) word: &'static str,
    pub(super) state: &'static str,
    pub(super) code: Option<crate::model::ReasonCode>,
    pub(super) text: String,
    pub(super) next: String,
}

impl From<&Ending> for Outcome {
    fn from(ending: &Ending) -> Outcome {
        let Ending { shown, code, text, next } = ending.clone();
        Outcome { word: word(shown, code), state: shown.word(), code, text, next }
    }
}

fn word(shown: Shown, code: Option<ReasonCode>) -> &'static str {
    match (shown, code) {
        (_, Some(ReasonCode::NoSuchFile)) => "nothing",
        (Shown::Done, Some(_)) => "current",
        (Shown::Done, None) => "installed",
        (Shown::Waiting | Shown::Reading | Shown::Installing, _) => "waiting",
        (Shown::Unreadable, _) => "unreadable",
        (Shown::Lost, _) => "interrupted",
        (Shown::Refused, _) => "refused",
        (Shown::Cancelled, _) => "cancelled",
    }
}

impl Report {
    /// Both files, named after the device.
    pub(super) fn files(&self) -> [(String, Vec<u8>); 2] {
        let name = format!("surefoot-report-{}", self.device.file_name());
        let json = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        // A person may open it in a program that knows no other line ends.
        let text = self.text().replace('\n', "\r\n");
        [(format!("{name}.txt"), text.into()), (format!("{name}.json"), json.into())]
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let device = &self.device;
        let _ = writeln!(out, "Result    {}", self.result.word.to_uppercase());
        let date = self
            .at
            .map_or_else(|| "unknown: the clock of the device was never set".to_owned(), utc);
        let _ = writeln!(out, "Date      {date}\n\n{}", self.result.text);
        if let Some(code) = self.result.code {
            let _ = writeln!(out, "Code: {code}");
        }
        let _ = writeln!(out, "Next: {}\n", self.result.next);
        let id = if device.id.is_empty() { "" } else { ", id " };
        let _ = writeln!(
            out,
            "Device    {}, {}, {}{id}{}; surefoot {}",
            device.product, device.compatible, device.host, device.id, device.updater
        );
        match &self.status {
            Some(status) => {
                let _ = writeln!(out, "Status    {}", status.summary);
                if let Some(last) = last(status) {
                    let _ = writeln!(out, "Last      {last}");
                }
            }
            None => {
                let why = self.unknown.as_deref().unwrap_or_default();
                let _ = writeln!(out, "Status    unknown: {why}");
            }
        }
        for place in &self.places {
            let _ = writeln!(out, "Found     {place}");
        }
        for Told { judged, fate } in &self.candidates {
            let _ = writeln!(out, "Artifact  {}, {}: {fate}", judged.name, ByteLen(judged.len));
        }
        for name in &self.ignored {
            let _ = writeln!(out, "Ignored   {name}");
        }
        out
    }
}

fn last(status: &Status) -> Option<String> {
    let (last, ended) = (&status.last, status.last.outcome?);
    let how = ended_in_words(ended, last.drill);
    let to = last.to.as_deref().unwrap_or("a system that nobody remembers");
    let mut out = format!("{how} {to}, {}", last.at.map_or_else(String::new, utc));
    if let Some(reason) = last.reason.filter(|_| last.drill.is_none() || ended != Ended::RolledBack)
    {
        let _ = write!(out, ": {} [{reason}]", last.detail.as_deref().unwrap_or_default());
    }
    Some(out)
}
