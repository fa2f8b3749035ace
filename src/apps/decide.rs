//! The whole brain of apps: no I/O, no clock, no log; total over its inputs.

use super::endings::{
    abandoned, begin, end, failed, intruded, is_reversible, leave, noted, superseded, updated,
};
use super::facts::{AppCommand, AppDone, AppEffect, AppFacts, AppStep, SlotTrial};
use super::journal::{AppEnded, AppJournal, AppMove, AppPhase, Cause, Change};
use super::sets::{fits, moves_between};
use crate::model::{Class, ReasonCode};

/// The next step. Called again and again until it says `Wait` or `Refuse`.
pub fn decide(j: &AppJournal, f: &AppFacts) -> AppStep {
    if let Some(step) = noted(j, f) {
        return step;
    }
    match &j.phase {
        AppPhase::Idle => idle(j, f),
        AppPhase::Staging(change) => staging(j, f, change),
        AppPhase::Staged(change) => staged(j, f, change),
        AppPhase::Switching(change) => switching(j, f, change),
        AppPhase::Trying { change, boot_id, attempt } => trying(j, f, change, boot_id, *attempt),
        AppPhase::Returning { change, restore, .. } => returning(j, f, change, *restore),
    }
}

/// What is settled before anything that is asked for, while nothing is switched: a committed system has a set of its
/// own, and the set of the system that runs is followed.
fn settle(j: &AppJournal, f: &AppFacts) -> Option<AppStep> {
    if f.slot == SlotTrial::None && !j.has_set(f.booted) {
        return Some(AppStep::Persist(j.keeping(f.booted)));
    }
    let wanted = j.set_of(f.booted);
    // What is staged was made for another set than runs now: it makes way.
    if let Some(change) = j.change() {
        let stale = fits(&wanted, &change.moves).is_err() || j.live != wanted;
        let why = "the system in the other slot runs, with apps of its own";
        return stale.then(|| failed(j, f, change, ReasonCode::Superseded, why));
    }
    // A system that is left brings its apps along only when the other one runs.
    if j.live == wanted || f.slot == SlotTrial::Leaving {
        return None;
    }
    let change = Change {
        number: j.changes.saturating_add(1),
        moves: moves_between(&j.live, &wanted),
        cause: Cause::Slot(f.booted),
    };
    let changes = change.number;
    Some(AppStep::Persist(AppJournal { changes, ..j.in_phase(AppPhase::Switching(change)) }))
}

fn idle(j: &AppJournal, f: &AppFacts) -> AppStep {
    if let Some(step) = settle(j, f) {
        return step;
    }
    match &f.command {
        // What a trial may still need is told from rubbish only when none is under way.
        AppCommand::Settle if f.rubbish && f.done.is_none() && f.slot == SlotTrial::None => {
            AppStep::Run(AppEffect::Collect)
        }
        AppCommand::Settle | AppCommand::Abandon(_) => AppStep::Wait,
        AppCommand::Change { moves, order, .. } => begin(j, f, moves, order),
        AppCommand::Switch => AppStep::Refuse(ReasonCode::NotStaged),
    }
}

/// What is asked for while something is staged, or being staged. `None`: it is about this very change.
fn other(j: &AppJournal, f: &AppFacts, change: &Change) -> Option<AppStep> {
    match &f.command {
        AppCommand::Change { moves, .. } if *moves == change.moves => None,
        // What waits for its switch makes way for a newer release of the same apps, and for a person's word; what comes
        // by itself for other apps waits, or two sources would take each other's place for ever.
        AppCommand::Change { moves, order, .. } => {
            let covers = |m: &AppMove| moves.iter().any(|n| n.app == m.app);
            let waits = matches!(j.phase, AppPhase::Staged(_)) && order.automatic;
            Some(match waits && !change.moves.iter().all(covers) {
                true => AppStep::Refuse(ReasonCode::Busy),
                false => superseded(j, f, moves, order),
            })
        }
        AppCommand::Abandon(why) => Some(abandoned(j, f, change, why)),
        AppCommand::Settle => Some(AppStep::Wait),
        AppCommand::Switch => None,
    }
}

fn staging(j: &AppJournal, f: &AppFacts, change: &Change) -> AppStep {
    if let Some(step) = settle(j, f) {
        return step;
    }
    match &f.done {
        Some(AppDone::Staged) => {
            return AppStep::Persist(j.in_phase(AppPhase::Staged(change.clone())));
        }
        Some(AppDone::NotStaged(code, why) | AppDone::Failed(code, why)) => {
            // What a second try could mend stays: the same bundles go on from here.
            return match ends_the_change(*code) {
                true => failed(j, f, change, *code, why),
                false => AppStep::Wait,
            };
        }
        _ => {}
    }
    match other(j, f, change) {
        Some(step) => step,
        None if f.command == AppCommand::Switch => AppStep::Refuse(ReasonCode::NotStaged),
        None if f.slot != SlotTrial::None => AppStep::Refuse(ReasonCode::TrialPending),
        None => AppStep::Run(AppEffect::Stage(change.clone())),
    }
}

fn ends_the_change(code: ReasonCode) -> bool {
    // A short read is what an unplugged stick looks like: the rest may still come. A full disk ends it, so that what
    // was brought in is taken away.
    let later = matches!(code.class(), Class::Retry | Class::Busy) || code == ReasonCode::Truncated;
    code == ReasonCode::Cancelled || !later
}

fn staged(j: &AppJournal, f: &AppFacts, change: &Change) -> AppStep {
    if let Some(step) = settle(j, f) {
        return step;
    }
    match other(j, f, change) {
        Some(step) => step,
        None if matches!(f.command, AppCommand::Change { switch: false, .. }) => AppStep::Wait,
        None if f.slot != SlotTrial::None => AppStep::Refuse(ReasonCode::TrialPending),
        None => AppStep::Persist(j.in_phase(AppPhase::Switching(change.clone()))),
    }
}

/// What is asked for between the switch and the end. `None`: the change goes on.
fn meanwhile(f: &AppFacts, change: &Change) -> Option<AppStep> {
    match (&f.command, &change.cause) {
        (AppCommand::Change { moves, .. }, Cause::Asked(_)) if *moves == change.moves => None,
        (AppCommand::Change { .. }, _) => Some(AppStep::Refuse(ReasonCode::TrialPending)),
        // The trial of the system decides it, or nothing does.
        (AppCommand::Abandon(_), Cause::Slot(_)) if f.slot == SlotTrial::None => {
            Some(AppStep::Refuse(ReasonCode::NothingToRollBack))
        }
        (AppCommand::Abandon(_), Cause::Slot(_)) => Some(AppStep::Refuse(ReasonCode::TrialPending)),
        _ => None,
    }
}

fn switching(j: &AppJournal, f: &AppFacts, change: &Change) -> AppStep {
    // Nothing new was started: no volume is other than the old side left it.
    if let Some(step) = intruded(j, f, change, false) {
        return step;
    }
    if let Some(step) = meanwhile(f, change) {
        return step;
    }
    if let AppCommand::Abandon(why) = &f.command {
        return leave(j, change, ReasonCode::Requested, why, false);
    }
    if let Some(AppDone::Failed(code, why)) = &f.done {
        return match change.cause {
            Cause::Asked(_) => leave(j, change, *code, why, false),
            // There is no other set for this system: the next look tries again.
            Cause::Slot(_) => AppStep::Wait,
        };
    }
    if !f.from.is_stopped() {
        return AppStep::Run(AppEffect::StopOld(change.clone()));
    }
    if f.copies && !f.copied && is_reversible(f, change) {
        return AppStep::Run(AppEffect::CopyVolumes(change.clone()));
    }
    try_in(j, f, change, 1)
}

fn try_in(j: &AppJournal, f: &AppFacts, change: &Change, attempt: u32) -> AppStep {
    let (change, boot_id) = (change.clone(), f.boot_id.clone());
    AppStep::Persist(j.in_phase(AppPhase::Trying { change, boot_id, attempt }))
}

fn trying(j: &AppJournal, f: &AppFacts, change: &Change, boot_id: &str, attempt: u32) -> AppStep {
    // Also where the copies are not seen now: whether they are lost is found when they are put back.
    let restore = f.copies;
    if let Some(step) = intruded(j, f, change, restore) {
        return step;
    }
    if let Some(step) = meanwhile(f, change) {
        return step;
    }
    if let AppCommand::Abandon(why) = &f.command {
        return leave(j, change, ReasonCode::Requested, why, restore);
    }
    let on_trial = matches!(f.slot, SlotTrial::Running | SlotTrial::Leaving);
    let badly = |code: ReasonCode, why: &str| match change.cause {
        Cause::Asked(_) => leave(j, change, code, why, restore),
        // The gate of the system's commit says no for as long as it is so.
        Cause::Slot(_) if on_trial => AppStep::Wait,
        // There is nothing to go back to: the set stays, and the supervisor goes on with it.
        Cause::Slot(_) => followed(j, f, change, Some((code, why))),
    };
    if boot_id != f.boot_id {
        let begun = attempt.saturating_add(1);
        if begun > f.rules.attempts && (!on_trial || is_asked(change)) {
            let why = format!("its trial was cut by a restart of the device {attempt} times");
            return badly(ReasonCode::ServiceLate, &why);
        }
        return try_in(j, f, change, begun);
    }
    match &f.done {
        Some(AppDone::Failed(code, why) | AppDone::Unhealthy(code, why)) => badly(*code, why),
        Some(AppDone::Undecided) => AppStep::Wait,
        Some(AppDone::Healthy) => match change.cause {
            Cause::Asked(_) => updated(j, f, change),
            Cause::Slot(_) if on_trial => AppStep::Wait,
            Cause::Slot(_) => followed(j, f, change, None),
        },
        // What was started and has ended at once is judged, and not started for ever.
        Some(AppDone::Started) => AppStep::Run(AppEffect::Check(change.clone())),
        _ if f.slot == SlotTrial::Leaving => AppStep::Wait,
        _ if !f.to.is_up() => AppStep::Run(AppEffect::StartNew(change.clone())),
        _ => AppStep::Run(AppEffect::Check(change.clone())),
    }
}

fn is_asked(change: &Change) -> bool {
    matches!(change.cause, Cause::Asked(_))
}

/// The set of the system that runs is followed, well or not.
fn followed(
    j: &AppJournal,
    f: &AppFacts,
    change: &Change,
    bad: Option<(ReasonCode, &str)>,
) -> AppStep {
    let AppStep::Persist(mut next) = updated(j, f, change) else { return AppStep::Wait };
    if let (Some((code, why)), Some(last)) = (bad, &mut next.last) {
        (last.outcome, last.reason) = (AppEnded::Failed, Some(code));
        why.clone_into(&mut last.detail);
    }
    AppStep::Persist(next)
}

fn returning(j: &AppJournal, f: &AppFacts, change: &Change, restore: bool) -> AppStep {
    // What was asked for may have come to this: then it is brought to its end.
    if matches!(f.command, AppCommand::Change { .. })
        && let Some(step) = meanwhile(f, change)
    {
        return step;
    }
    if !f.to.is_stopped() {
        return match &f.done {
            // Two releases of an app never run beside each other: the next look tries again.
            Some(AppDone::Failed(..)) => AppStep::Wait,
            _ => AppStep::Run(AppEffect::StopNew(change.clone())),
        };
    }
    if restore {
        return restoring(j, f, change);
    }
    let AppPhase::Returning { reason, detail, .. } = &j.phase else { return AppStep::Wait };
    let outcome = AppEnded::RolledBack;
    match &f.done {
        Some(AppDone::Failed(_, why)) => {
            let detail = format!("{detail}; what ran before could not be started at once: {why}");
            end(j, f, change, outcome, *reason, &detail)
        }
        Some(AppDone::Started | AppDone::Undecided | AppDone::Unhealthy(..)) => {
            end(j, f, change, outcome, *reason, detail)
        }
        _ if f.from.is_up() => end(j, f, change, outcome, *reason, detail),
        _ => AppStep::Run(AppEffect::StartOld(change.clone())),
    }
}

/// Copies are put back before anything of the old side is started, and that this is done is written down before that,
/// so that what the old side writes then is never written over.
fn restoring(j: &AppJournal, f: &AppFacts, change: &Change) -> AppStep {
    let done = |said: Option<&str>| {
        let mut next = j.clone();
        if let AppPhase::Returning { restore, detail, .. } = &mut next.phase {
            *restore = false;
            if let Some(why) = said {
                *detail = format!("{detail}; its volumes could not be put back: {why}");
            }
        }
        AppStep::Persist(next)
    };
    match &f.done {
        Some(AppDone::Restored) => done(None),
        // What may work later is tried later. A copy that is lost stays lost: the old side runs on what there is.
        Some(AppDone::Failed(code, _)) if matches!(code.class(), Class::Retry | Class::Busy) => {
            AppStep::Wait
        }
        Some(AppDone::Failed(_, why)) => done(Some(why)),
        _ => AppStep::Run(AppEffect::RestoreVolumes(change.clone())),
    }
}
