//! Seeded mistakes: each changes one thing that the design insists on, and each must be caught.

use super::machine::Machine;
use super::world::World;
use crate::boot::{BootChange, BootMemory, bench};
use crate::model::ReasonCode;
use crate::update::endings::{arm, begin, unknown_txn};
use crate::update::{Done, Effect, Facts, Journal, Phase, Step, Wish, decide as real};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mistake {
    /// The slot is armed and then written.
    ArmBeforeVerify,
    /// The slot goes in one write, the trial in a second.
    ArmInTwoWrites,
    /// The flip carries no transaction.
    NoTransaction,
    /// The flip comes before the journal that announces it.
    ArmBeforeJournal,
    /// A commit counts when the journal says so too.
    CommitInTwoStores,
    /// Nobody reads the slot back.
    NoReadBack,
    /// The journal does not keep what came back.
    DenylistForgotten,
    /// A trial's orderly reboots are not counted.
    CleanRebootsUncounted,
    /// altbootcmd swaps the slots, and no more.
    FallbackToggles,
    /// The first block is not destroyed before a slot is overwritten.
    SuperblockLeft,
    /// The first block of another part than the first is not.
    OtherHeadLeft,
    /// The part with the kernel gets its first block before the others.
    KernelHeadFirst,
    /// The record is written before the first blocks.
    RecordBeforeHeads,
    /// The record of what stood stays until the new one comes.
    RecordLeft,
    /// A journal lost in a trial is an empty journal.
    LostJournalIsIdle,
    /// The copy in force is overwritten.
    NewestCopyOverwritten,
    /// A slot is written while an old copy still names it.
    StaleCopyUnsettled,
    /// What boots is committed.
    CommitUnchecked,
    /// A check that cannot be run has passed.
    UnknownIsHealthy,
    /// A failed check waits for the counter.
    FailedCheckWaits,
    /// An armed system that is never tried stays armed.
    UntriedForEver,
    /// Nobody looks whether a boot was counted.
    DeadCounterUnnoticed,
    /// Arming leaves the count of the last trial.
    CountKeptOnArming,
    /// Each boot has the whole deadline.
    DeadlinePerBoot,
    /// The deadline is not looked at.
    DeadlineIgnored,
    /// The flip comes before the denylist.
    FlipBeforeDenylist,
    /// The fallback is what it was before.
    FallbackSlotForgotten,
    /// The next release is written over an armed one.
    SupersedeArmed,
    /// The bootloader gives up and does not say on what.
    GivenUpWithoutName,
    /// No number of boots ends a trial.
    NoLimit,
    /// The serial stays at 255.
    SerialStuck,
    /// The larger serial wins, also at the wrap.
    LargerSerialWins,
    /// What was written before a cut is taken for good.
    ResumeTrusts,
    /// A trial that runs after its end is flipped back, and nobody asks for the reboot.
    StrayFlippedSilently,
    /// The old system is waited for, though it cannot be loaded.
    DeadHomeAwaited,
    /// A record that is not accepted is no record, and what has none is the factory's.
    RefusedIsFactory,
    /// A commit is remembered before it is made.
    RememberedFirst,
    /// What a person has cancelled is offered again as if nothing had been said.
    CancelForgotten,
    /// What the source has taken back is tried all the same.
    WithdrawnKept,
}

/// All of them.
pub(super) const ALL: [Mistake; 39] = [
    Mistake::ArmBeforeVerify,
    Mistake::ArmInTwoWrites,
    Mistake::NoTransaction,
    Mistake::ArmBeforeJournal,
    Mistake::CommitInTwoStores,
    Mistake::NoReadBack,
    Mistake::DenylistForgotten,
    Mistake::CleanRebootsUncounted,
    Mistake::FallbackToggles,
    Mistake::SuperblockLeft,
    Mistake::OtherHeadLeft,
    Mistake::KernelHeadFirst,
    Mistake::RecordBeforeHeads,
    Mistake::RecordLeft,
    Mistake::LostJournalIsIdle,
    Mistake::NewestCopyOverwritten,
    Mistake::StaleCopyUnsettled,
    Mistake::CommitUnchecked,
    Mistake::UnknownIsHealthy,
    Mistake::FailedCheckWaits,
    Mistake::UntriedForEver,
    Mistake::DeadCounterUnnoticed,
    Mistake::CountKeptOnArming,
    Mistake::DeadlinePerBoot,
    Mistake::DeadlineIgnored,
    Mistake::FlipBeforeDenylist,
    Mistake::FallbackSlotForgotten,
    Mistake::SupersedeArmed,
    Mistake::GivenUpWithoutName,
    Mistake::NoLimit,
    Mistake::SerialStuck,
    Mistake::LargerSerialWins,
    Mistake::ResumeTrusts,
    Mistake::StrayFlippedSilently,
    Mistake::DeadHomeAwaited,
    Mistake::RefusedIsFactory,
    Mistake::RememberedFirst,
    Mistake::CancelForgotten,
    Mistake::WithdrawnKept,
];

/// `decide` with the mistake in it.
pub(super) fn decide(mistake: Option<Mistake>, j: &Journal, f: Facts) -> Step {
    let Some(mistake) = mistake else {
        return real(j, &f);
    };
    let (mut j, mut f) = (j.clone(), f);
    before(mistake, &mut j, &mut f);
    let step = real(&j, &f);
    after(mistake, &j, &f, step)
}

/// What it sees wrongly.
fn before(mistake: Mistake, j: &mut Journal, f: &mut Facts) {
    match mistake {
        Mistake::ArmBeforeVerify => {
            if let Some(work) = j.work() {
                f.target = crate::update::Target::Recorded(work.digest);
            }
        }
        Mistake::CleanRebootsUncounted => f.env.clean = 0,
        Mistake::StaleCopyUnsettled => f.env.settled = true,
        Mistake::UntriedForEver => {
            if let Phase::Switching { reboots, .. } = &mut j.phase {
                *reboots = 0;
            }
        }
        Mistake::DeadCounterUnnoticed if matches!(j.phase, Phase::Trying { .. }) => {
            f.env.bootcount = f.env.bootcount.max(1);
        }
        Mistake::DeadlinePerBoot if f.wish == Wish::Leave => f.up = 0,
        Mistake::DeadlineIgnored => f.rules.deadline = u64::MAX,
        Mistake::DeadHomeAwaited => {
            if let Phase::Returning { boot_id, .. } = &mut j.phase {
                *boot_id = Some(f.boot_id.clone());
            }
        }
        Mistake::SupersedeArmed if matches!(j.phase, Phase::Installing(_)) => {
            (f.env.trial, f.env.settled) = (false, true);
        }
        _ => {}
    }
}

/// What it makes of it.
fn after(mistake: Mistake, j: &Journal, f: &Facts, step: Step) -> Step {
    let txn = f.env.txn.clone();
    match (mistake, step) {
        (Mistake::ArmBeforeVerify, Step::Run(Effect::WriteSlot(work))) => arm(j, f, &work),
        (Mistake::CommitInTwoStores, step) => match (&j.phase, &f.done, txn) {
            (Phase::Trying { work, .. }, None, Some(txn))
                if !f.env.trial && f.env.slot == Some(f.booted) && work.slot == f.booted =>
            {
                Step::Run(Effect::FallBack { to: f.booted.other(), txn })
            }
            _ => step,
        },
        (Mistake::DenylistForgotten, Step::Persist(next)) => {
            Step::Persist(Journal { denied: Vec::new(), ..next })
        }
        (Mistake::CancelForgotten, Step::Persist(next)) => {
            Step::Persist(Journal { cancelled: Vec::new(), ..next })
        }
        (Mistake::LostJournalIsIdle, Step::Persist(next))
            if matches!(next.phase, Phase::Trying { recovered: true, .. }) =>
        {
            Step::Run(Effect::Disarm)
        }
        (Mistake::CommitUnchecked, Step::Run(Effect::CheckHealth)) => match txn {
            Some(txn) => Step::Run(Effect::Commit { slot: f.booted, txn }),
            None => Step::Wait,
        },
        (Mistake::UnknownIsHealthy, Step::Refuse(ReasonCode::HealthUnknown)) => match txn {
            Some(txn) => Step::Run(Effect::Commit { slot: f.booted, txn }),
            None => Step::Wait,
        },
        (Mistake::FailedCheckWaits, Step::Persist(_))
            if matches!(f.done, Some(Done::Unhealthy(_))) && f.env.trial =>
        {
            Step::Wait
        }
        (Mistake::StrayFlippedSilently, Step::Persist(next))
            if matches!((&j.phase, &next.phase), (Phase::Idle, Phase::Returning { .. })) =>
        {
            let txn = txn.unwrap_or_else(unknown_txn);
            Step::Run(Effect::FallBack { to: f.booted.other(), txn })
        }
        (Mistake::SupersedeArmed, step) => match (&j.phase, &f.wish) {
            (Phase::Switching { work, .. }, Wish::Install(other, _))
                if work.digest != other.digest && f.booted != work.slot =>
            {
                begin(j, f, other)
            }
            _ => step,
        },
        (_, step) => step,
    }
}

/// The deed that comes before the journal that announces it.
pub(super) fn deed_before_journal(m: &mut Machine, world: &World, next: u16) -> Option<u16> {
    let (old, new) = (m.journals.get(world.journal), m.journals.get(next));
    let deed = match (m.mistake?, &old.phase, &new.phase) {
        (Mistake::ArmBeforeJournal, Phase::Staged(_), Phase::Switching { work, txn, .. }) => {
            Effect::Arm { slot: work.slot, txn: txn.clone() }
        }
        (Mistake::FlipBeforeDenylist, Phase::Trying { .. }, Phase::Returning { work, txn, .. }) => {
            Effect::FallBack { to: work.slot.other(), txn: txn.clone() }
        }
        _ => return None,
    };
    Some(m.effects.number(deed))
}

/// The parts in which a change is written.
pub(super) fn writes(mistake: Option<Mistake>, change: &BootChange) -> std::ops::Range<u32> {
    match (mistake, change) {
        (Some(Mistake::ArmInTwoWrites), BootChange::Arm { .. }) => 1..3,
        _ => 0..1,
    }
}

/// Makes one part of a change.
pub(super) fn change(
    mistake: Option<Mistake>,
    env: &mut BootMemory,
    change: &BootChange,
    part: u32,
) {
    let before = std::mem::replace(env, bench::changed(env, change));
    if !matches!(change, BootChange::Arm { .. }) {
        return;
    }
    match mistake {
        Some(Mistake::ArmInTwoWrites) if part == 1 => env.trial = false,
        Some(Mistake::CountKeptOnArming) => env.bootcount = before.bootcount,
        Some(Mistake::FallbackSlotForgotten) => env.good = before.good,
        Some(Mistake::NoTransaction) => env.txn = None,
        _ => {}
    }
}
