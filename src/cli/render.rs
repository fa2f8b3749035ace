//! What is printed. Every text here is tested.

use crate::config::Loaded;
use crate::device::{
    Answer, Cancellation, Ended, Hold, Identity, Installed, Judgement, Outcome, Running,
    SlotVerdict, Summary, Wait, Why,
};
use crate::event::Event;
use crate::inspect::{Diagnosis, Level, Status};
use crate::model::{ByteLen, Condition, ConditionKind, Failure, SlotId, printable, shown_json};
use serde::Serialize;
use std::fmt::Write;
use std::io::Write as _;

/// A failure on standard error: what was found, its code, and what to do next.
pub(super) fn complain(failure: &Failure) {
    complain_to_technician(failure, failure.next());
}

/// The same with advice of its own.
pub(super) fn complain_to_technician(failure: &Failure, next: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "surefoot: {failure}\n  next: {next}");
}

pub(super) fn json<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string_pretty(value);
    text.map_or_else(|_| String::new(), |text| shown_json(&text) + "\n")
}

/// A failure as the answer of a command that was asked for JSON.
pub(super) fn failure_json(failure: &Failure) -> String {
    json(&failure.document())
}

pub(super) fn cancellation(cancellation: &Cancellation, as_json: bool) -> String {
    match as_json {
        true => json(cancellation),
        false => format!("{}\n", cancellation.text),
    }
}

pub(super) fn answer(answer: &Answer, as_json: bool) -> String {
    match as_json {
        true => json(answer),
        false => format!("{}\n", answer.text),
    }
}

pub(super) fn installed(installed: &Installed, as_json: bool) -> String {
    if as_json {
        return json(installed);
    }
    match installed {
        Installed::Done(done) => answer(done, false),
        Installed::Plan { slot, plan, findings: known, .. } => format!(
            "Would install {} (counter {}) into slot {slot}:\n  \
             {} to read from the artifact in {} chunks\n  \
             {} to write and read back, {} of zeros to make sure of\n\
             Nothing was touched.\n{}",
            plan.version,
            plan.release_counter,
            ByteLen(plan.stored),
            plan.chunks,
            ByteLen(plan.carried),
            ByteLen(plan.image.saturating_sub(plan.carried)),
            findings(known),
        ),
    }
}

/// What anybody may know of an installation that runs, where the rest may not be looked at.
pub(super) fn running(running: &Running, as_json: bool) -> String {
    let text = running.text(crate::device::now());
    match as_json {
        true => json(&serde_json::json!({
            "v": 1, "state": "installing", "summary": running.sentence(), "running": running,
        })),
        false => format!("{}\n\nstate    installing\nat work  {text}\n", running.sentence()),
    }
}

pub(super) fn status(status: &Status, as_json: bool) -> String {
    if as_json {
        return json(status);
    }
    let mut out = format!("{}\n\n", status.summary);
    let _ = writeln!(
        out,
        "state    {}{}",
        status.state,
        if status.degraded {
            ", degraded: the other slot's kernel could not be loaded"
        } else {
            ""
        }
    );
    if let Some(trouble) = &status.environment {
        let _ = writeln!(out, "boot     [{}] {}", trouble.code, trouble.text);
    }
    if let Some(running) = &status.running {
        let _ = writeln!(out, "at work  {}", running.text(crate::device::now()));
        if running.total > 0 {
            let (done, total) = (ByteLen(running.done), ByteLen(running.total));
            let doing = running.phase.map_or("", |phase| phase.doing());
            let _ = writeln!(out, "         {doing} {done} of {total}");
        }
    }
    for (slot, view) in &status.slots {
        let runs = if status.booted == Some(*slot) { "runs" } else { "    " };
        let version = view.version.as_deref().unwrap_or(match view.identity {
            Some(Identity::Factory) => "factory system",
            Some(_) => "unknown release",
            None => "empty",
        });
        let image = view.sha256.map_or(String::new(), |d| format!("  sha256 {}", d.short()));
        let boots = if view.bootable { "" } else { "  not bootable" };
        let _ = writeln!(out, "slot {slot}   {runs}  {version:<16}{image}{boots}");
        if let Some(doubt) = &view.doubt {
            let _ = writeln!(out, "                {doubt}");
        }
    }
    if let Some(trial) = &status.trial {
        let limit = trial.bootlimit.map_or_else(|| "?".to_owned(), |l| l.to_string());
        let left = trial.seconds_left.map(crate::device::span);
        let by = trial.deadline.as_ref().map_or_else(String::new, |d| format!(" (`{d}`)"));
        let left = left.map_or_else(String::new, |l| format!(", {l} left to decide it{by}"));
        let (slot, count) = (trial.slot, trial.bootcount);
        let _ = writeln!(out, "trial    slot {slot}, boot {count} of {limit}{left}");
        let tries = trial.tries_left.map_or_else(|| "?".to_owned(), |l| l.to_string());
        let clean = trial.clean_reboots_left;
        let _ = writeln!(out, "tries    {tries} left, and {clean} orderly reboots that use none");
    }
    if let (Some(ended), Some(at)) = (status.last.outcome, status.last.at) {
        let to = status.last.to.as_deref().unwrap_or("");
        let how = crate::inspect::ended_in_words(ended, status.last.drill);
        let _ = writeln!(out, "last     {how} {to}, {}", crate::device::utc(at));
        let home = status.last.drill.is_some() && ended == Ended::RolledBack;
        if let Some(reason) = status.last.reason.filter(|_| !home) {
            // Several have a line each.
            let count = status.last.against.count();
            let several = count > 1;
            let all = format!("{count} said no");
            let detail = match several {
                true => all.as_str(),
                false => status.last.detail.as_deref().unwrap_or(""),
            };
            let _ = writeln!(out, "reason   {reason}: {detail}");
            for failing in status.last.against.failing.iter().filter(|_| several) {
                let _ = writeln!(out, "         {}", failing.text());
            }
        } else if let Some(detail) = &status.last.detail {
            let _ = writeln!(out, "         {detail}");
        }
    }
    if let Some(summary) = &status.postmortem {
        postmortem(summary, &mut out);
    }
    if let Some(drill) = &status.drill {
        let _ = writeln!(out, "drill    {}", drill.text());
    }
    if let Some(hold) = &status.hold {
        let _ = writeln!(out, "hold     {}", hold.text());
    }
    let _ = writeln!(out, "next     {}", status.next.text);
    out
}

pub(super) fn report(report: &serde_json::Value, as_json: bool) -> String {
    match as_json {
        true => json(report),
        false => crate::inspect::report_text(report),
    }
}

/// Two to six lines: why a release came back.
fn postmortem(summary: &Summary, out: &mut String) {
    let _ = writeln!(out, "cause    {}", summary.text);
    if !summary.units.is_empty() {
        let _ = writeln!(out, "failed   {}", summary.units.join(", "));
    }
    for line in &summary.lines {
        let _ = writeln!(out, "log      {line}");
    }
    let _ = writeln!(out, "         `surefoot report` tells more");
}

/// One event on one line.
pub(super) fn event(told: &crate::daemon::Numbered) -> String {
    let line = match &told.event {
        Event::Progress { phase, done, total } => {
            let percent = if *total == 0 { 100 } else { done * 100 / total };
            format!("{} {percent} %", phase.doing())
        }
        Event::State { state, text } => format!("state {state}: {text}"),
        event => event.told().map_or_else(String::new, |told| told.line),
    };
    format!("{} {line}", crate::device::utc(told.at))
}

pub(super) fn verdict(slot: SlotId, verdict: &SlotVerdict, as_json: bool) -> String {
    if as_json {
        return json(verdict);
    }
    let place = |at: &Option<u64>| at.map_or(String::new(), |a| format!(", first at byte {a}"));
    match verdict {
        SlotVerdict::Matches { version, bytes } => {
            format!(
                "Slot {slot} is exactly {version}: {} match its signed manifest.\n",
                ByteLen(*bytes)
            )
        }
        SlotVerdict::ModifiedSinceInstall { version, differs_at } => format!(
            "Slot {slot} was {version} and was mounted writable since it was installed{}. That is no failure of the device.\n",
            place(differs_at)
        ),
        SlotVerdict::Damaged { version, differs_at } => {
            format!("Slot {slot} should be {version} and differs from it{}.\n", place(differs_at))
        }
        SlotVerdict::Unknown { found } => {
            format!("Slot {slot} has {found}: there is nothing to compare it with.\n")
        }
    }
}

pub(super) fn judgement(judgement: &Judgement, as_json: bool) -> String {
    if as_json {
        return json(judgement);
    }
    format!(
        "Sound, signed, and for this device: {} would go into slot {} ({} of image; {} runs now).\n{}",
        judgement.plan.version,
        judgement.slot,
        ByteLen(judgement.plan.image),
        judgement.running,
        findings(&judgement.findings),
    )
}

/// What an update would be refused, held back or told with.
fn findings(known: &[Condition]) -> String {
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

pub(super) fn history(outcomes: &[Outcome], as_json: bool) -> String {
    if as_json {
        return json(&serde_json::json!({ "v": 1, "history": outcomes }));
    }
    if outcomes.is_empty() {
        return "No update has ended on this device.\n".to_owned();
    }
    let mut out = String::new();
    for end in outcomes {
        let how = match end.outcome {
            _ if end.drill().is_some() => "drill",
            Ended::Updated => "updated",
            Ended::RolledBack => "rolled back",
            Ended::Failed => "failed",
            Ended::Cancelled => "cancelled",
            Ended::Vetoed => "vetoed",
            Ended::Superseded => "superseded",
        };
        let reason = end.reason.map_or(String::new(), |r| format!("  {r}"));
        let reason = match (end.drilled(), end.called_off()) {
            (Some(_), _) => "  came home, rollback proven".to_owned(),
            (None, Some(_)) => format!("  called off before it began{reason}"),
            (None, None) => reason,
        };
        let unchecked = match end.work.from.identity() {
            Identity::Unknown => "  the order of releases could not be checked",
            _ => "",
        };
        let by = match end.work.order.by.as_str() {
            "" => String::new(),
            by => format!("  by {by}"),
        };
        let _ = writeln!(
            out,
            "{:<22} {how:<12} {} -> {} (slot {}){reason}{by}  {}{unchecked}",
            crate::device::utc(end.at),
            end.work.from,
            end.work.to,
            end.work.slot,
            end.detail
        );
    }
    out
}

pub(super) fn hold(hold: &Hold, as_json: bool) -> String {
    match as_json {
        true => json(hold),
        false => format!("{}\n", hold.text()),
    }
}

/// An answer that is one line.
pub(super) fn said(line: &str, as_json: bool) -> String {
    match as_json {
        true => json(&serde_json::json!({ "v": 1, "text": line })),
        false => format!("{line}\n"),
    }
}

pub(super) fn why(why: &Why, as_json: bool) -> String {
    if as_json {
        return json(why);
    }
    let mut out = why.text.clone();
    if let Some(update) = &why.update {
        let _ = write!(out, " It is {update}.");
    }
    // What is told with its code below is not told twice.
    let over = |wait: &Wait| {
        let over = wait.seconds.map(|s| format!(" (over in {})", crate::device::span(s)));
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

pub(super) fn doctor(diagnosis: &Diagnosis, as_json: bool) -> String {
    if as_json {
        return json(diagnosis);
    }
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
    let verdict = match diagnosis.blocking() {
        None => "Updates may be installed.",
        Some(_) => "No update will be installed until what says STOP is mended.",
    };
    let _ = writeln!(out, "\n{verdict}");
    out
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
