//! Seeded mistakes: each changes one thing that the design insists on, and each must be caught.

use super::machine::Machine;
use super::world::World;
use crate::apps::journal::{AppJournal, AppPhase, Cause};
use crate::apps::{
    AppCommand, AppDone, AppEffect, AppFacts, AppStep, Live, SlotTrial, decide as real,
};
use crate::model::{ReasonCode, SlotId};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mistake {
    /// The new side is started before the journal says that it is tried.
    StartBeforeJournal,
    /// That the copies are put back is not written down before the old side is started.
    RestoredTwice,
    /// What was started is kept.
    CommitUnchecked,
    /// What is not decided yet has passed.
    UndecidedIsHealthy,
    /// Volumes are copied when the new side has been started.
    CopiedAfterStart,
    /// Copies are never put back.
    NeverRestored,
    /// Images count as staged before they are durable.
    NoSync,
    /// What nothing needs is taken away while a system is on trial.
    CollectInTrial,
    /// The images of the other slot's set are taken away.
    OtherSlotCollected,
    /// Boots of a trial are not counted.
    AttemptForgotten,
    /// A release that came back is not remembered.
    DenyNothing,
    /// A change is begun while a system is on trial.
    StartDuringSystemTrial,
    /// A system is armed while a change is on trial.
    SystemArmedInTrial,
    /// The set of a committed system is never its own.
    SetNotCopied,
    /// The commit says what runs, and not for which slot.
    SetForgottenAtCommit,
    /// The set of the slot that runs is not followed.
    NotFollowed,
    /// Apps of a system on trial are kept before the system is.
    SlotCommitsEarly,
    /// A change goes on although another system runs than the one it belongs to.
    LeftSystemFollowed,
    /// The new side is started before the old one is stopped.
    StartBeforeStop,
    /// The old side is started before the new one is stopped.
    OldBesideNew,
    /// A switch that cannot be made is waited for.
    FailedSwitchWaits,
    /// A failed check is waited for.
    FailedCheckWaits,
    /// What both sides have is stopped.
    SharedStopped,
    /// A person's stop is forgotten by the next change.
    StopForgotten,
    /// An old finding answers a later question.
    FindingKept,
    /// What both sides have is to be stopped before the switch goes on.
    SharedAwaited,
    /// What was staged for another set is switched to.
    StaleStaged,
    /// Who asked for a change is sent away when it goes back.
    ReturnRefused,
}

/// All of them.
pub(super) const ALL: [Mistake; 28] = [
    Mistake::StartBeforeJournal,
    Mistake::RestoredTwice,
    Mistake::CommitUnchecked,
    Mistake::UndecidedIsHealthy,
    Mistake::CopiedAfterStart,
    Mistake::NeverRestored,
    Mistake::NoSync,
    Mistake::CollectInTrial,
    Mistake::OtherSlotCollected,
    Mistake::AttemptForgotten,
    Mistake::DenyNothing,
    Mistake::StartDuringSystemTrial,
    Mistake::SystemArmedInTrial,
    Mistake::SetNotCopied,
    Mistake::SetForgottenAtCommit,
    Mistake::NotFollowed,
    Mistake::SlotCommitsEarly,
    Mistake::LeftSystemFollowed,
    Mistake::StartBeforeStop,
    Mistake::OldBesideNew,
    Mistake::FailedSwitchWaits,
    Mistake::FailedCheckWaits,
    Mistake::SharedStopped,
    Mistake::StopForgotten,
    Mistake::FindingKept,
    Mistake::SharedAwaited,
    Mistake::StaleStaged,
    Mistake::ReturnRefused,
];

/// `decide` with the mistake in it.
pub(super) fn decide(mistake: Option<Mistake>, j: &AppJournal, f: AppFacts) -> AppStep {
    let Some(mistake) = mistake else {
        return real(j, &f);
    };
    let (mut j, mut f) = (j.clone(), f);
    before(mistake, &mut j, &mut f);
    let step = real(&j, &f);
    after(mistake, &j, &f, step)
}

/// What it sees wrongly.
fn before(mistake: Mistake, j: &mut AppJournal, f: &mut AppFacts) {
    let slot_trial = matches!(&j.phase, AppPhase::Trying { change, .. }
        if matches!(change.cause, Cause::Slot(_)));
    match mistake {
        Mistake::UndecidedIsHealthy if f.done == Some(AppDone::Undecided) => {
            f.done = Some(AppDone::Healthy);
        }
        Mistake::CopiedAfterStart if matches!(j.phase, AppPhase::Switching(_)) => f.copied = true,
        Mistake::CollectInTrial if f.command == AppCommand::Settle && j.phase == AppPhase::Idle => {
            f.slot = SlotTrial::None;
        }
        Mistake::AttemptForgotten => {
            if let AppPhase::Trying { attempt, .. } = &mut j.phase {
                *attempt = 0;
            }
        }
        Mistake::StartDuringSystemTrial if !slot_trial => f.slot = SlotTrial::None,
        Mistake::SlotCommitsEarly if slot_trial => f.slot = SlotTrial::None,
        Mistake::LeftSystemFollowed => {
            if let Some(Cause::Slot(slot)) = j.change().map(|c| c.cause.clone()) {
                f.booted = slot;
            }
        }
        Mistake::StartBeforeStop if matches!(j.phase, AppPhase::Switching(_)) => {
            f.from = Live::Nothing;
        }
        Mistake::OldBesideNew if matches!(j.phase, AppPhase::Returning { .. }) => {
            f.to = Live::Nothing;
        }
        Mistake::SharedAwaited => {
            let runs = |live: Live| if live == Live::Same { Live::All } else { live };
            (f.from, f.to) = (runs(f.from), runs(f.to));
        }
        Mistake::NotFollowed if j.phase == AppPhase::Idle => {
            let [a, b] = &mut j.sets;
            let set = if f.booted == SlotId::A { a } else { b };
            if set.is_some() {
                *set = Some(j.live.clone());
            }
        }
        _ => {}
    }
}

/// What it makes of it.
fn after(mistake: Mistake, j: &AppJournal, f: &AppFacts, step: AppStep) -> AppStep {
    match (mistake, step) {
        (Mistake::RestoredTwice, AppStep::Persist(next))
            if f.done == Some(AppDone::Restored) && next.phase != AppPhase::Idle =>
        {
            // In memory it goes on as if it were written.
            match real(&next, &AppFacts { done: None, ..f.clone() }) {
                AppStep::Persist(end) => AppStep::Persist(end),
                step => step,
            }
        }
        (Mistake::CommitUnchecked, AppStep::Run(AppEffect::Check(_))) => {
            real(j, &AppFacts { done: Some(AppDone::Healthy), ..f.clone() })
        }
        (Mistake::CopiedAfterStart, AppStep::Run(AppEffect::Check(change)))
            if f.copies && !f.copied =>
        {
            AppStep::Run(AppEffect::CopyVolumes(change))
        }
        (Mistake::NeverRestored, AppStep::Persist(mut next)) => {
            if let AppPhase::Returning { restore, .. } = &mut next.phase {
                *restore = false;
            }
            AppStep::Persist(next)
        }
        (Mistake::DenyNothing, AppStep::Persist(next)) => {
            AppStep::Persist(AppJournal { refused: Vec::new(), ..next })
        }
        (Mistake::SetNotCopied, AppStep::Persist(next))
            if j.phase == AppPhase::Idle && next == j.keeping(f.booted) =>
        {
            AppStep::Wait
        }
        (Mistake::SetForgottenAtCommit, AppStep::Persist(next)) if next.phase == AppPhase::Idle => {
            AppStep::Persist(AppJournal { sets: j.sets.clone(), ..next })
        }
        (Mistake::FailedSwitchWaits, AppStep::Persist(_))
            if matches!(
                (&j.phase, &f.done),
                (AppPhase::Switching(_), Some(AppDone::Failed(..)))
            ) =>
        {
            AppStep::Wait
        }
        (Mistake::FailedCheckWaits, AppStep::Persist(_))
            if matches!(f.done, Some(AppDone::Unhealthy(..))) =>
        {
            AppStep::Wait
        }
        (Mistake::StopForgotten, AppStep::Persist(next)) => {
            AppStep::Persist(AppJournal { stopped: Default::default(), ..next })
        }
        (Mistake::StaleStaged, AppStep::Persist(next))
            if matches!(j.phase, AppPhase::Staged(_))
                && next.last.as_ref().is_some_and(|l| l.reason == Some(ReasonCode::Superseded)) =>
        {
            match j.change() {
                Some(change) => AppStep::Persist(j.in_phase(AppPhase::Switching(change.clone()))),
                None => AppStep::Wait,
            }
        }
        (Mistake::ReturnRefused, _)
            if matches!(j.phase, AppPhase::Returning { .. })
                && matches!(f.command, AppCommand::Change { .. }) =>
        {
            AppStep::Refuse(ReasonCode::TrialPending)
        }
        (_, step) => step,
    }
}

/// The deed that comes before the journal that announces it.
pub(super) fn deed_before_journal(m: &mut Machine, world: &World, next: u16) -> Option<u16> {
    let (old, new) = (m.journals.get(world.journal), m.journals.get(next));
    match (m.mistake?, &old.phase, &new.phase) {
        (Mistake::StartBeforeJournal, AppPhase::Switching(_), AppPhase::Trying { change, .. }) => {
            let deed = AppEffect::StartNew(change.clone());
            Some(m.effects.number(deed))
        }
        _ => None,
    }
}

/// What is remembered of the other slot's set before a system is written there.
pub(super) fn forget_set(
    mistake: Option<Mistake>,
    journal: &AppJournal,
    slot: SlotId,
) -> Result<AppJournal, ReasonCode> {
    let mut next = journal.forget_set(slot)?;
    if mistake == Some(Mistake::SetNotCopied) {
        next.sets = journal.sets.clone();
        next.sets[usize::from(slot == SlotId::B)] = None;
    }
    Ok(next)
}
