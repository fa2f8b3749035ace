//! Where the device stands, and how it came there.

use crate::cli::json;
use crate::device::{Running, Summary};
use crate::inspect::Status;
use crate::model::ByteLen;
use crate::update::{Ended, Identity, Outcome};
use std::fmt::Write;

/// What anybody may know of an installation that runs, where the rest may not be looked at.
pub(in crate::cli) fn running(running: &Running, as_json: bool) -> String {
    let text = running.text(crate::sys::clock::unix_seconds());
    match as_json {
        true => json::text(&serde_json::json!({
            "v": 1, "state": "installing", "summary": running.sentence(), "running": running,
        })),
        false => format!("{}\n\nstate    installing\nat work  {text}\n", running.sentence()),
    }
}

pub(super) fn status(status: &Status) -> String {
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
        let _ = writeln!(out, "at work  {}", running.text(crate::sys::clock::unix_seconds()));
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
        let left = trial.seconds_left.map(crate::sys::clock::span);
        let by = trial.deadline.as_ref().map_or_else(String::new, |d| format!(" (`{d}`)"));
        let left = left.map_or_else(String::new, |l| format!(", {l} left to decide it{by}"));
        let (slot, count) = (trial.slot, trial.bootcount);
        let _ = writeln!(out, "trial    slot {slot}, boot {count} of {limit}{left}");
        let tries = trial.tries_left.map_or_else(|| "?".to_owned(), |l| l.to_string());
        let clean = trial.clean_reboots_left;
        let _ = writeln!(out, "tries    {tries} left, and {clean} orderly reboots that use none");
    }
    #[cfg(feature = "apps")]
    if let Some(apps) = &status.apps {
        super::apps::brief(&mut out, apps);
    }
    if let (Some(ended), Some(at)) = (status.last.outcome, status.last.at) {
        let to = status.last.to.as_deref().unwrap_or("");
        let how = crate::inspect::ended_in_words(ended, status.last.drill);
        let _ = writeln!(out, "last     {how} {to}, {}", crate::sys::clock::utc(at));
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
    if let Some(reset) = &status.reset {
        let _ = writeln!(out, "reset    {}", reset.text());
    }
    let _ = writeln!(out, "next     {}", status.next.text);
    out
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

pub(super) fn history(outcomes: &[Outcome]) -> String {
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
            crate::sys::clock::utc(end.at),
            end.work.from,
            end.work.to,
            end.work.slot,
            end.detail
        );
    }
    out
}
