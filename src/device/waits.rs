//! What an update waits for beside inhibitors: hooks that said *later*, checks that fail, and a trial's
//! time. Reads only.

use super::world::World;
use crate::event::Nowhere;
use crate::health::{Verdict, weigh};
use crate::hooks::{Answer, Log, Moment, Report};
use crate::model::{both_ends, printable};
use crate::sys::clock;
use crate::update::{Journal, Phase, Spent};
use serde::{Deserialize, Serialize};

/// Which deadline is the nearer one of a trial.
pub(super) const TRIAL: &str = "[trial] deadline";
const HEALTH: &str = "[health] deadline";

/// Seconds until an undecided trial is left, and by which setting: the whole trial's time, or this boot's
/// time to become healthy, which only a system with checks has.
pub(crate) fn time_left(world: &World, spent: &Spent) -> (u64, &'static str) {
    let up = world.up();
    let trial = world.settings.trial.deadline.saturating_sub(spent.total(&world.boot_id(), up));
    let health = world.settings.patience.deadline.as_secs().checked_sub(up);
    match health.filter(|left| *left < trial && !world.settings.checks.is_empty()) {
        Some(left) => (left, HEALTH),
        None => (trial, TRIAL),
    }
}

/// The hook that said later last, if the step that it was asked before is still to come.
pub(super) fn hook(world: &World, journal: &Journal) -> Option<Wait> {
    let asked: &[Moment] = match &journal.phase {
        Phase::Trying { .. } => &[Moment::FirstBoot, Moment::BeforeCommit],
        Phase::Switching { .. } => &[Moment::BeforeReboot],
        Phase::Idle | Phase::Installing(_) => &[Moment::BeforeDownload, Moment::BeforeInstall],
        Phase::Staged(_) | Phase::Returning { .. } => &[],
    };
    // What was asked before the last move ended was about that one.
    let since = journal.last.as_ref().map_or(0, |last| last.at);
    let runs = Log::new(&world.settings.device.state).load();
    // A clock that is not set yet says nothing of before and after.
    let last = runs.into_iter().rfind(|run| run.time >= since || !clock::is_set(run.time))?;
    let waits = last.answer == Answer::Later && asked.contains(&last.moment);
    waits.then(|| Wait::new("hook", told(&last)))
}

fn told(run: &Report) -> String {
    let said = run.output.lines().map(str::trim).rfind(|line| !line.is_empty());
    let said = said.map_or_else(String::new, |line| format!(": {}", both_ends(line, 200)));
    let next = match run.moment {
        Moment::FirstBoot | Moment::BeforeCommit => "within 15 seconds by the daemon",
        Moment::BeforeReboot => "within a minute by the daemon",
        _ => "when the artifact is offered again",
    };
    format!(
        "hook {} at {} said later ({}){said}; it is asked again {next}, or when the command is run again",
        run.name,
        run.moment,
        clock::utc(run.time)
    )
}

/// Every check that keeps a trial from being committed: as the daemon has seen it last, or looked at now
/// where this process looks itself.
pub(super) fn failing(world: &World, looks: bool) -> Vec<Wait> {
    let mut seen = world.last_seen();
    if seen.is_empty() && looks {
        seen = world.look_at_checks(&Nowhere);
    }
    let against = match weigh(&world.settings.checks, &seen, &world.baseline()) {
        Verdict::Bad(against) | Verdict::CouldNot(against) => against,
        Verdict::Good { .. } | Verdict::Unchecked => return Vec::new(),
    };
    let more = (against.more > 0).then(|| Wait::new("check", format!("and {} more", against.more)));
    let named = against.failing.iter().map(|f| Wait::new("check", f.text()));
    named.chain(more).collect()
}

/// One thing that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// What kind of thing: `hold`, `window`, `confirm`, `reboot`, `checks`, `trial` and so on.
    pub what: String,
    /// One line for people.
    pub text: String,
    /// In how many seconds it is over, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl Wait {
    /// Waiting for this, nobody knows for how long.
    pub fn new(what: &str, text: impl Into<String>) -> Wait {
        Wait { what: what.to_owned(), text: printable(&text.into(), 4_096), seconds: None }
    }
}
