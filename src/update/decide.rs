//! The whole brain: no I/O, no clock, no log; total over its inputs (DESIGN 9.3).

use super::endings::{
    arm, begin, cancelled, cancelled_before, end, end_rolled_back, end_untold, is_meant,
    leave_blameless, not_again, stands, stranded_untold, superseded, taken_back, telling,
    unknown_txn, unknown_work, updated, vetoed,
};
use super::facts::{Done, Effect, Facts, Step, Target, Then, Wish};
use super::journal::{Ended, Journal, Phase, Spent, Work};
use super::trial::{returning, trying};
use crate::model::{ReasonCode, Txn};

/// Boots to the old slot, untried, after which an armed system is given up (DESIGN 9.3).
const UNTRIED_MAX: u32 = 2;

/// The next step. Called again and again until it says `Wait` or `Refuse`.
pub fn decide(j: &Journal, f: &Facts) -> Step {
    match &j.phase {
        Phase::Idle => idle(j, f),
        Phase::Installing(work) => installing(j, f, work),
        Phase::Staged(work) => staged(j, f, work),
        Phase::Switching { work, txn, boot_id, reboots } => {
            switching(j, f, work, txn, boot_id, *reboots)
        }
        Phase::Trying { work, txn, spent, .. } => trying(j, f, work, txn, spent),
        Phase::Returning { .. } => returning(j, f),
    }
}

fn idle(j: &Journal, f: &Facts) -> Step {
    if f.env.trial {
        return stray_trial(j, f);
    }
    // The newest copy was lost after a commit and the bootloader gave up on the older one; or the
    // journal was lost and the environment alone remembers.
    if let Some(txn) = f.env.fallback.as_ref().filter(|_| f.env.slot == Some(f.booted)) {
        match &j.last {
            Some(last)
                if last.txn.as_ref() == Some(txn)
                    && last.outcome == Ended::Updated
                    && last.work.slot != f.booted =>
            {
                return end_rolled_back(j, f, &last.work, txn, ReasonCode::BootFailed, "");
            }
            None => {
                let work = unknown_work(f, f.booted.other(), Some(txn));
                return end_untold(j, f, Ended::RolledBack, work, txn);
            }
            _ => {}
        }
    }
    let committed =
        j.last.as_ref().is_some_and(|l| l.outcome == Ended::Updated && l.work.slot == f.booted);
    match &f.wish {
        Wish::Settle | Wish::Leave | Wish::Rollback(_) | Wish::Veto(_) => Step::Wait,
        Wish::Install(work, _) => begin(j, f, work),
        Wish::Cancel { why, begun } => cancelled_before(j, f, why, begun),
        Wish::Switch => Step::Refuse(ReasonCode::NotStaged),
        Wish::Commit(_) if committed => Step::Wait,
        Wish::Commit(_) => Step::Refuse(ReasonCode::NotTrying),
        Wish::Return(work) => arm(j, f, work),
    }
}

/// A trial that the journal knows nothing of, or has already ended.
fn stray_trial(j: &Journal, f: &Facts) -> Step {
    let ours = j.last.as_ref().filter(|l| l.txn.is_some() && l.txn == f.env.txn);
    let in_it = f.env.slot == Some(f.booted);
    let txn = f.env.txn.clone().unwrap_or_else(unknown_txn);
    match (ours, in_it) {
        (Some(_), false) => Step::Run(Effect::Disarm),
        // The commit's copy was lost: write it again.
        (Some(last), true) if last.outcome == Ended::Updated => {
            Step::Run(Effect::Commit { slot: f.booted, txn })
        }
        // It had ended before the environment knew, and boots all the same. It is left as any
        // other trial, so that the state asks for the reboot that must follow. Who is to blame,
        // if anybody is, the journal knows already: a release that a person merely disarmed stays
        // welcome.
        (Some(last), true) => {
            let work = Work { slot: f.booted, ..last.work.clone() };
            // It was tried all the same: no longer cancelled, and still nobody's fault.
            let untried = [ReasonCode::Cancelled, ReasonCode::Superseded];
            let reason = last.reason.filter(|r| !untried.contains(r));
            let reason = reason.unwrap_or(ReasonCode::Requested);
            telling(leave_blameless(j, f, &work, &txn, reason, &last.detail), &last.against)
        }
        // Nobody armed this in one write: there is nothing to wait for, and no name to give up.
        (None, _) if f.env.txn.is_none() => Step::Run(Effect::Disarm),
        // The journal is lost. In the trial: health decides.
        (None, true) => {
            let work = unknown_work(f, f.booted, f.env.txn.as_ref());
            let spent = Spent { came_up: f.env.bootcount, ..Spent::default() };
            Step::Persist(j.in_phase(Phase::Trying { work, txn, recovered: true, spent }))
        }
        (None, false) => {
            let work = unknown_work(f, f.booted.other(), f.env.txn.as_ref());
            let outcome = if f.env.was_counted() { Ended::RolledBack } else { Ended::Failed };
            end_untold(j, f, outcome, work, &txn)
        }
    }
}

fn installing(j: &Journal, f: &Facts, work: &Work) -> Step {
    if let Some(step) = disturbed(j, f, work) {
        return step;
    }
    match (&f.done, &f.wish) {
        (Some(Done::Written), _) => Step::Persist(j.in_phase(Phase::Staged(work.clone()))),
        (Some(Done::NotWritten(ReasonCode::Cancelled, why)), _) => cancelled(j, f, work, None, why),
        // What a second try could mend stays `installing`: the same artifact goes on from here.
        (Some(Done::NotWritten(code, _)), _) if !ends_the_move(*code) => Step::Wait,
        (Some(Done::NotWritten(code, detail)), _) => {
            end(j, f, Ended::Failed, work.clone(), None, *code, detail)
        }
        (_, Wish::Install(wanted, _))
            if wanted.digest != work.digest || wanted.slot != work.slot =>
        {
            begin(j, f, wanted)
        }
        (_, Wish::Install(..)) if !f.env.settled => Step::Run(Effect::SettleEnv),
        (_, Wish::Install(..)) => Step::Run(Effect::WriteSlot(work.clone())),
        (_, Wish::Rollback(why)) => {
            let j = not_again(j, work);
            end(&j, f, Ended::Failed, work.clone(), None, ReasonCode::Requested, why)
        }
        (_, Wish::Cancel { why, begun }) if is_meant(begun, work) => {
            cancelled(j, f, work, None, why)
        }
        (_, Wish::Cancel { why, begun }) => cancelled_before(j, f, why, begun),
        (_, Wish::Settle | Wish::Leave | Wish::Veto(_)) => Step::Wait,
        (_, Wish::Switch) => Step::Refuse(ReasonCode::NotStaged),
        (_, Wish::Commit(_)) => Step::Refuse(ReasonCode::NotTrying),
        (_, Wish::Return(_)) => Step::Refuse(ReasonCode::NothingToRollBack),
    }
}

fn ends_the_move(code: ReasonCode) -> bool {
    use crate::model::Class;
    // A short read is what an unplugged stick looks like: the rest may still come.
    code != ReasonCode::Truncated && matches!(code.class(), Class::Reject | Class::Bug)
}

fn staged(j: &Journal, f: &Facts, work: &Work) -> Step {
    if let Some(step) = disturbed(j, f, work) {
        return step;
    }
    match &f.wish {
        Wish::Install(wanted, _) if wanted.digest != work.digest => begin(j, f, wanted),
        Wish::Install(_, Then::Switch) | Wish::Switch => arm(j, f, work),
        Wish::Rollback(why) => {
            let j = not_again(j, work);
            end(&j, f, Ended::Failed, work.clone(), None, ReasonCode::Requested, why)
        }
        Wish::Cancel { why, begun } if is_meant(begun, work) => cancelled(j, f, work, None, why),
        Wish::Cancel { why, begun } => cancelled_before(j, f, why, begun),
        Wish::Settle | Wish::Leave | Wish::Veto(_) | Wish::Install(_, Then::Stage) => Step::Wait,
        Wish::Commit(_) => Step::Refuse(ReasonCode::NotTrying),
        Wish::Return(_) => Step::Refuse(ReasonCode::NothingToRollBack),
    }
}

/// Before arming nobody else may have armed anything, and the slot being filled cannot run.
fn disturbed(j: &Journal, f: &Facts, work: &Work) -> Option<Step> {
    if f.booted == work.slot {
        let detail = "the slot being filled is running";
        return Some(end(j, f, Ended::Failed, work.clone(), None, ReasonCode::WrongSlot, detail));
    }
    if f.env.trial && f.env.slot != Some(f.booted) {
        return Some(Step::Run(Effect::Disarm));
    }
    f.env.trial.then_some(Step::Run(Effect::SettleEnv))
}

fn switching(j: &Journal, f: &Facts, work: &Work, txn: &Txn, seen: &str, untried: u32) -> Step {
    let home = f.booted != work.slot;
    let armed = f.env.txn.as_ref() == Some(txn);
    let back = |reason| end_rolled_back(j, f, work, txn, reason, "");
    let failed = |reason, detail| end(j, f, Ended::Failed, work.clone(), Some(txn), reason, detail);
    match (armed, f.env.trial, home) {
        (false, false, true) => match &f.wish {
            Wish::Rollback(why) => taken_back(j, f, work, Some(txn), why),
            Wish::Veto(said) => vetoed(j, f, work, txn, said),
            Wish::Cancel { why, begun } if is_meant(begun, work) => {
                cancelled(j, f, work, Some(txn), why)
            }
            Wish::Install(wanted, _) if wanted.digest != work.digest => begin(j, f, wanted),
            _ if !f.env.settled => Step::Run(Effect::SettleEnv),
            _ if stands(f, work) => Step::Run(Effect::Arm { slot: work.slot, txn: txn.clone() }),
            _ => match f.target {
                Target::Refused(code) => failed(code, code.meaning()),
                _ => failed(ReasonCode::SlotDamaged, "the written slot lost its record"),
            },
        },
        (false, _, _) => failed(ReasonCode::WrongSlot, "something else changed the environment"),
        (true, true, true) if f.env.was_counted() => back(ReasonCode::BootFailed),
        (true, true, true) if seen != f.boot_id && untried + 1 >= UNTRIED_MAX => {
            failed(ReasonCode::TrialNotStarted, "")
        }
        (true, true, true) if seen != f.boot_id => Step::Persist(j.in_phase(Phase::Switching {
            work: work.clone(),
            txn: txn.clone(),
            boot_id: f.boot_id.clone(),
            reboots: untried + 1,
        })),
        (true, true, true) => match &f.wish {
            Wish::Rollback(why) => taken_back(j, f, work, Some(txn), why),
            Wish::Veto(said) => vetoed(j, f, work, txn, said),
            Wish::Cancel { why, begun } if is_meant(begun, work) => {
                cancelled(j, f, work, Some(txn), why)
            }
            Wish::Cancel { why, begun } => cancelled_before(j, f, why, begun),
            Wish::Install(wanted, _) if wanted.digest != work.digest => {
                superseded(j, f, work, txn, wanted)
            }
            Wish::Return(wanted) if wanted.digest != work.digest => {
                Step::Refuse(ReasonCode::NothingToRollBack)
            }
            Wish::Commit(_) => Step::Refuse(ReasonCode::NotTrying),
            _ => Step::Wait,
        },
        (true, true, false) => Step::Persist(j.in_phase(Phase::Trying {
            work: work.clone(),
            txn: txn.clone(),
            recovered: false,
            spent: Spent { came_up: f.env.bootcount, ..Spent::default() },
        })),
        (true, false, true) => back(ReasonCode::BootFailed),
        (true, false, false) if f.env.slot == Some(f.booted) => updated(j, f, work, txn, ""),
        (true, false, false) => stranded_untold(j, f, work, txn),
    }
}
