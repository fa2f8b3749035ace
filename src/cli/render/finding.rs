//! What was found: by the doctor, and on the way to the update.

use crate::device::{Wait, Why};
use crate::inspect::{Diagnosis, Level};
use crate::model::{Condition, ConditionKind};
use std::fmt::Write;

/// What an update would be refused, held back or told with.
pub(super) fn findings(known: &[Condition]) -> String {
    known.iter().map(|one| finding(one, "")).collect()
}

fn finding(Condition { code, kind, text, remedy }: &Condition, more: &str) -> String {
    let mark = match kind {
        ConditionKind::Blocks => "STOP",
        ConditionKind::Waits => "wait",
        ConditionKind::Warns => "warn",
    };
    format!("{mark}  {text}{more} [{code}]\n      -> {remedy}\n")
}

pub(super) fn why(why: &Why) -> String {
    let mut out = why.text.clone();
    if let Some(update) = &why.update {
        let _ = write!(out, " It is {update}.");
    }
    // What is told with its code below is not told twice.
    let over = |wait: &Wait| {
        let over = wait.seconds.map(|s| format!(" (over in {})", crate::sys::clock::span(s)));
        over.unwrap_or_default()
    };
    let same = |wait: &Wait, one: &Condition| wait.text.starts_with(&one.text);
    let waits = why.waits.iter().filter(|w| !why.findings.iter().any(|c| same(w, c)));
    let waits: Vec<_> = waits.collect();
    out.push_str(match (waits.is_empty(), why.waits.is_empty()) {
        (_, true) => " Nothing holds it back.\n",
        (true, false) => "\n",
        _ => " Waiting for:\n",
    });
    for wait in waits {
        let _ = writeln!(out, "  {:<10} {}{}", wait.what, wait.text, over(wait));
    }
    for one in &why.findings {
        let until = why.waits.iter().find(|w| same(w, one)).map(over);
        out.push_str(&finding(one, &until.unwrap_or_default()));
    }
    out
}

pub(in crate::cli) fn doctor(diagnosis: &Diagnosis) -> String {
    let verdict = match diagnosis.blocking() {
        None => "Updates may be installed.",
        Some(_) => "No update will be installed until what says STOP is mended.",
    };
    looked_at(diagnosis, verdict)
}

/// Of a disk that no device has started from.
pub(in crate::cli) fn image(diagnosis: &Diagnosis) -> String {
    let verdict = match diagnosis.blocking() {
        None => match diagnosis.findings.iter().filter(|f| f.level == Level::Warning).count() {
            0 => "This disk may be flashed.".to_owned(),
            1 => "This disk may be flashed, 1 warning.".to_owned(),
            n => format!("This disk may be flashed, {n} warnings."),
        },
        Some(_) => "This disk is not to be flashed until what says STOP is mended.".to_owned(),
    };
    looked_at(diagnosis, &verdict)
}

fn looked_at(diagnosis: &Diagnosis, verdict: &str) -> String {
    let mut out = format!("Rollback is {}.\n\n", diagnosis.rollback);
    for finding in &diagnosis.findings {
        let mark = match finding.level {
            Level::Good => "ok  ",
            Level::Notice => "note",
            Level::Warning => "warn",
            Level::Blocking => "STOP",
        };
        let code = finding.code.map_or_else(String::new, |code| format!(" [{code}]"));
        let _ = writeln!(out, "{mark}  {:<12} {}{code}", finding.topic, finding.text);
        if !finding.remedy.is_empty() {
            let _ = writeln!(out, "      {:<12} -> {}", "", finding.remedy);
        }
    }
    let _ = writeln!(out, "\n{verdict}");
    out
}
