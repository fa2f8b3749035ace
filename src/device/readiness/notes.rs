//! What an automatic update waits for, and what a person should know before one. None of it
//! refuses an update.

use super::found::Found;
use crate::device::look::standing;
use crate::device::memory;
use crate::device::world::World;
use crate::event::Sink;
use crate::health::{Baseline, Check, Need, Outcome, Seen, impossible};
use crate::model::{Condition, ConditionKind, ReasonCode};
use crate::update::Phase;

fn waiting(topic: &'static str, code: ReasonCode, text: impl AsRef<str>) -> Found {
    Found { topic, condition: Condition::of(code, ConditionKind::Waits, text) }
}

/// A hold, what inhibits, a person's word, a trial.
pub(super) fn waits(world: &World) -> Vec<Found> {
    let mut out = Vec::new();
    out.extend(world.hold().map(|hold| waiting("hold", ReasonCode::Held, hold.text())));
    let inhibited = world.inhibited().into_iter();
    out.extend(inhibited.map(|held| waiting("inhibit", ReasonCode::Inhibited, held.text)));
    if world.settings.confirm {
        let text = "`[update] confirm` is set: an automatic update waits, written, for a person";
        out.push(waiting("confirm", ReasonCode::ConfirmNeeded, text));
    }
    if let Some(text) = on_trial(world) {
        out.push(waiting("trial", ReasonCode::TrialPending, text));
    }
    out
}

/// That no release can be told to be older than the one that runs.
pub(super) fn order(world: &World) -> Option<Found> {
    let text = memory::order_unchecked(world, world.booted().ok()?)?;
    let condition = Condition::of(ReasonCode::OrderUnknown, ConditionKind::Warns, text);
    Some(Found { topic: "release", condition })
}

fn on_trial(world: &World) -> Option<String> {
    match standing(world).ok()?.0.phase {
        Phase::Trying { work, .. } | Phase::Returning { work, .. } => {
            Some(format!("{} in slot {} is on trial", work.to, work.slot))
        }
        _ => None,
    }
}

/// Required checks that fail now and that a new system would not be excused for: this system has
/// not had its time yet. In a trial they are what decides it.
pub(super) fn failing(world: &World, sink: &dyn Sink) -> Vec<Found> {
    let in_trial = world.boot.look().is_ok_and(|f| f.trial && f.slot == world.booted().ok());
    if in_trial {
        return Vec::new();
    }
    let folder = &world.settings.folder;
    let needed = |c: &&Check| c.need == Need::Required && impossible(c, folder).is_none();
    let checks: Vec<_> = world.settings.checks.iter().filter(needed).cloned().collect();
    let seen = world.look_at(&checks, sink);
    told(&checks, &seen, world.is_settled())
}

/// The same from what was seen. `settled` is whether this system has been up for as long as a
/// trial may take to become good: what fails then is excused.
pub(in crate::device) fn told(checks: &[Check], seen: &[Seen], settled: bool) -> Vec<Found> {
    let baseline = Baseline::of(seen, settled);
    let fails = |one: &Seen| {
        let (Outcome::Bad(detail) | Outcome::CouldNot(detail)) = &one.outcome else { return None };
        let check = checks.iter().find(|c| c.name == one.name)?;
        baseline.needs(check, one).then(|| {
            let text = format!("the check {} fails now: {detail}", one.name);
            let condition = Condition::of(ReasonCode::CheckFails, ConditionKind::Warns, text);
            Found { topic: "health", condition }
        })
    };
    seen.iter().filter_map(fails).collect()
}
