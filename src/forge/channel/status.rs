//! `status`: what is published, how far each release has come, and whether it should be paused.

use super::draft::{Open, seconds};
use super::reports::{self, Count, Reports};
use super::words::Status;
use crate::forge::say::{document, say};
use crate::model::Result;
use crate::source::channel::{Body, Released};
use crate::sys::clock;
use serde_json::{Value, json};

/// How far one release is.
struct Line<'a> {
    release: &'a Released,
    percent: u8,
    next: Option<(u64, u8)>,
    count: Option<Count>,
    should_pause: bool,
}

pub(super) fn run(words: &Status) -> Result<()> {
    let open = Open::of(&words.place)?;
    let now = clock::unix_seconds();
    let silent = seconds(&words.silent)?;
    let published = open.published()?;
    let (drafted, _) = open.draft.body(now, published.as_ref());
    let changed = published.as_ref().is_none_or(|p| differs(p, &drafted));
    let found = words.reports.as_ref().map(|dir| reports::read(dir, open.draft.product.as_str()));
    let found = found.transpose()?;
    let shown = published.as_ref().unwrap_or(&drafted);
    let lines: Vec<_> = shown
        .releases
        .iter()
        .map(|release| line(release, now, found.as_ref(), silent, words.pause_above))
        .collect();
    let mut missing = open.lost(&drafted.releases);
    // What is served is asked for by devices, whatever the drafts say.
    let served = published.iter().flat_map(|body| body.releases.iter().filter(|r| !r.withdrawn));
    let gone = served.flat_map(Released::files).filter(|(name, _)| !open.dir.join(name).exists());
    missing.extend(gone.map(|(name, _)| name.to_owned()));
    missing.sort();
    missing.dedup();
    let stale = published.as_ref().is_some_and(|p| p.stale_from() <= now);
    if words.json {
        return say(&document(&json!({
            "v": 1, "name": shown.name, "product": shown.product,
            "published": published.as_ref().map(|p| json!({
                "serial": p.serial, "issued": p.issued, "stale_from": p.stale_from(), "stale": stale,
            })),
            "unpublished_changes": changed,
            "missing": missing,
            "devices": found.as_ref().map(Reports::devices),
            "unreadable_reports": found.as_ref().map(|f| f.unreadable),
            "releases": lines.iter().map(Line::json).collect::<Vec<_>>(),
        })));
    }
    let head = match &published {
        None => format!("Channel {} of {}: never published.\n", shown.name, shown.product),
        Some(p) => format!(
            "Channel {} of {}: serial {}, {} {}.\n",
            p.name,
            p.product,
            p.serial,
            if stale { "STALE since" } else { "fresh until" },
            clock::utc(p.stale_from())
        ),
    };
    let changed = match changed && published.is_some() {
        true => "The draft has changes that are not published.\n",
        false => "",
    };
    let devices = found.as_ref().map_or(String::new(), |found| {
        let bad = match found.unreadable {
            0 => String::new(),
            n => format!("; {n} documents are no reports"),
        };
        format!("{} devices have reported{bad}.\n", found.devices())
    });
    let lines: String = lines.iter().map(Line::text).collect();
    let missing: String = missing.iter().map(|name| format!("MISSING: {name}\n")).collect();
    let advice = match missing.is_empty() {
        true => String::new(),
        false => format!(
            "next: surefoot-forge channel add {} X.surefoot, with the same artifact, puts its file back\n",
            open.dir.display()
        ),
    };
    say(&format!("{head}{changed}{lines}{devices}{missing}{advice}"))
}

/// Whether the two say something else, apart from when they say it.
fn differs(published: &Body, drafted: &Body) -> bool {
    let timeless = |body: &Body| Body { serial: 1, issued: 1, ..body.clone() };
    timeless(published) != timeless(drafted)
}

fn line<'a>(
    release: &'a Released,
    now: u64,
    reports: Option<&Reports>,
    silent: u64,
    pause_above: u8,
) -> Line<'a> {
    let stopped = release.paused || release.withdrawn;
    let open = release.phases.iter().rfind(|phase| phase.at <= now);
    let percent = match (&release.phases[..], open) {
        _ if stopped => 0,
        ([], _) => 100,
        (_, open) => open.map_or(0, |phase| phase.percent),
    };
    let next = release.phases.iter().find(|phase| phase.at > now && !stopped);
    let count = reports.map(|r| r.count(&release.digest, percent, now, silent));
    let bad = count.is_some_and(|c| c.bad_percent() > u64::from(pause_above));
    Line {
        release,
        percent,
        next: next.map(|phase| (phase.at, phase.percent)),
        count,
        should_pause: bad && !stopped,
    }
}

impl Line<'_> {
    fn state(&self) -> &'static str {
        match self.release {
            Released { withdrawn: true, .. } => "withdrawn",
            Released { paused: true, .. } => "paused",
            _ => "offered",
        }
    }

    fn text(&self) -> String {
        let next = self.next.map_or(String::new(), |(at, percent)| {
            format!(", {percent} % from {} on", clock::utc(at))
        });
        let counted = self.count.map_or(String::new(), |c| {
            format!(
                "; {} of the reporting devices are reached: {} updated, {} failed, {} silent, {} under way",
                c.reached, c.updated, c.failed, c.silent, c.under_way
            )
        });
        let advice = match self.should_pause {
            true => format!(
                "\n    PAUSE IT: {} % of the devices with an end have failed or are silent",
                self.count.map_or(0, |c| c.bad_percent())
            ),
            false => String::new(),
        };
        let (version, state, percent) = (&self.release.version, self.state(), self.percent);
        format!("  {version}: {state}, {percent} %{next}{counted}{advice}\n")
    }

    fn json(&self) -> Value {
        json!({
            "version": self.release.version, "counter": self.release.counter,
            "digest": self.release.digest, "state": self.state(), "percent": self.percent,
            "next": self.next.map(|(at, percent)| json!({ "at": at, "percent": percent })),
            "reports": self.count.map(|c| json!({
                "reached": c.reached, "updated": c.updated, "failed": c.failed,
                "silent": c.silent, "under_way": c.under_way, "bad_percent": c.bad_percent(),
            })),
            "should_pause": self.should_pause,
        })
    }
}
