//! The steps that begin a change of apps and end it: one way for each.

use super::facts::{AppDone, AppFacts, AppStep, SlotTrial};
use super::journal::{
    AppEnded, AppJournal, AppMove, AppOutcome, AppPhase, Cause, Change, RefusedApp,
};
use super::sets::{REFUSED_MAX, fits};
use crate::model::{Class, ReasonCode};
use crate::update::Order;

/// Writes down what an effect asks to be written down before it goes on.
pub(super) fn noted(j: &AppJournal, f: &AppFacts) -> Option<AppStep> {
    let Some(AppDone::Noted { ran, ports }) = &f.done else { return None };
    let mut next = j.clone();
    next.ran.extend(ran.iter().cloned());
    next.ports.extend(ports.clone());
    // Told twice, it is no reason to go on for ever.
    Some(if next == *j { AppStep::Wait } else { AppStep::Persist(next) })
}

/// Begins a change that is asked for.
pub(super) fn begin(j: &AppJournal, f: &AppFacts, moves: &[AppMove], order: &Order) -> AppStep {
    if f.slot != SlotTrial::None {
        return AppStep::Refuse(ReasonCode::TrialPending);
    }
    if let Err(code) = fits(&j.set_of(f.booted), moves) {
        return AppStep::Refuse(code);
    }
    if order.automatic
        && let Some(refused) = moves.iter().find_map(|m| refused(j, m))
    {
        return AppStep::Refuse(refused.reason);
    }
    let number = j.changes.saturating_add(1);
    let change = Change { number, moves: moves.to_vec(), cause: Cause::Asked(order.clone()) };
    AppStep::Persist(AppJournal { changes: number, ..j.in_phase(AppPhase::Staging(change)) })
}

fn refused<'j>(j: &'j AppJournal, m: &AppMove) -> Option<&'j RefusedApp> {
    let to = m.to.as_ref()?;
    j.refused.iter().find(|r| r.app == m.app && r.digest == to.digest)
}

/// Begins another change in place of one that is only staged.
pub(super) fn superseded(
    j: &AppJournal,
    f: &AppFacts,
    moves: &[AppMove],
    order: &Order,
) -> AppStep {
    let AppStep::Persist(next) = begin(j, f, moves, order) else {
        return begin(j, f, moves, order);
    };
    let why = "another change was asked for in its place";
    let last =
        j.change().map(|old| outcome(f, old, AppEnded::Failed, Some(ReasonCode::Superseded), why));
    AppStep::Persist(AppJournal { last, ..next })
}

fn outcome(
    f: &AppFacts,
    change: &Change,
    outcome: AppEnded,
    reason: Option<ReasonCode>,
    detail: &str,
) -> AppOutcome {
    let detail = match reason {
        Some(reason) if detail.is_empty() => reason.meaning(),
        _ => detail,
    };
    AppOutcome { outcome, change: change.clone(), reason, detail: detail.to_owned(), at: f.now }
}

/// The change ends without the new set.
pub(super) fn end(
    j: &AppJournal,
    f: &AppFacts,
    change: &Change,
    ended: AppEnded,
    reason: ReasonCode,
    detail: &str,
) -> AppStep {
    let last = Some(outcome(f, change, ended, Some(reason), detail));
    AppStep::Persist(AppJournal { last, ..j.in_phase(AppPhase::Idle) })
}

/// It ends before anything was switched. A bundle that will be refused again is not brought in again by itself.
pub(super) fn failed(
    j: &AppJournal,
    f: &AppFacts,
    change: &Change,
    reason: ReasonCode,
    detail: &str,
) -> AppStep {
    let j = match reason.class() {
        Class::Reject => blaming(j, change, reason),
        _ => j.clone(),
    };
    end(&j, f, change, AppEnded::Failed, reason, detail)
}

/// A person has taken back what was not switched to yet.
pub(super) fn abandoned(j: &AppJournal, f: &AppFacts, change: &Change, why: &str) -> AppStep {
    let j = not_again(j, change);
    end(&j, f, change, AppEnded::Failed, ReasonCode::Requested, why)
}

/// What came by itself and was taken back does not come by itself again.
fn not_again(j: &AppJournal, change: &Change) -> AppJournal {
    match &change.cause {
        Cause::Asked(Order { automatic: true, .. }) => blaming(j, change, ReasonCode::Requested),
        _ => j.clone(),
    }
}

/// With the releases of this change remembered as refused. One that ran before, with other settings, is not to blame.
fn blaming(j: &AppJournal, change: &Change, reason: ReasonCode) -> AppJournal {
    let mut next = j.clone();
    for AppMove { app, from, to } in &change.moves {
        let Some(to) = to else { continue };
        if from.as_ref().is_some_and(|from| from.digest == to.digest) {
            continue;
        }
        next.refused.retain(|r| r.app != *app || r.digest != to.digest);
        next.refused.push(RefusedApp { app: app.clone(), digest: to.digest, reason });
    }
    let surplus = next.refused.len().saturating_sub(REFUSED_MAX);
    next.refused.drain(..surplus);
    next
}

/// Goes back. No release is at fault.
pub(super) fn left(
    j: &AppJournal,
    change: &Change,
    reason: ReasonCode,
    detail: &str,
    restore: bool,
) -> AppStep {
    let detail = if detail.is_empty() { reason.meaning() } else { detail };
    AppStep::Persist(j.in_phase(AppPhase::Returning {
        change: change.clone(),
        reason,
        detail: detail.to_owned(),
        restore,
    }))
}

/// Goes back, and the journal says at once what is not tried again by itself: what was found bad, or cannot be switched
/// to on this device. An engine that failed, and a person's word, say nothing about a release.
pub(super) fn leave(
    j: &AppJournal,
    change: &Change,
    reason: ReasonCode,
    detail: &str,
    restore: bool,
) -> AppStep {
    let j = match (reason, reason.class()) {
        (ReasonCode::Requested, _) => not_again(j, change),
        (ReasonCode::EngineMissing, _) | (_, Class::Retry | Class::Busy | Class::Bug) => j.clone(),
        _ => blaming(j, change, reason),
    };
    left(&j, change, reason, detail, restore)
}

/// Whether what is done here may still have to be undone: copies of volumes are made only then.
pub(super) fn is_reversible(f: &AppFacts, change: &Change) -> bool {
    match change.cause {
        Cause::Asked(_) => true,
        Cause::Slot(_) => matches!(f.slot, SlotTrial::Running | SlotTrial::Leaving),
    }
}

/// Another system runs than the one whose set is switched to; or a system is on trial, or armed, while apps are: then
/// the apps make way, as their old set is what that system was tried with. No release is at fault.
pub(super) fn intruded(
    j: &AppJournal,
    f: &AppFacts,
    change: &Change,
    restore: bool,
) -> Option<AppStep> {
    let (reason, why) = match change.cause {
        Cause::Slot(slot) if slot == f.booted => return None,
        Cause::Slot(slot) => (
            ReasonCode::BootFailed,
            format!("the system of slot {slot}, to which it belongs, was left"),
        ),
        Cause::Asked(_) if f.slot == SlotTrial::None => return None,
        Cause::Asked(_) => {
            (ReasonCode::TrialPending, "a system was armed in the middle of its trial".to_owned())
        }
    };
    Some(left(j, change, reason, &why, restore))
}

/// The commit: this one write.
pub(super) fn updated(j: &AppJournal, f: &AppFacts, change: &Change) -> AppStep {
    let last = Some(outcome(f, change, AppEnded::Updated, None, ""));
    let next = j.in_phase(AppPhase::Idle).committed(f.booted, change);
    AppStep::Persist(AppJournal { last, ..next })
}
