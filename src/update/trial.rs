//! The steps of a trial that runs: deciding it, leaving it for a while, going back.

use super::endings::{
    end, end_rolled_back, leave, leave_blameless, stranded, stranded_untold, telling, updated,
};
use super::facts::{Done, Effect, Facts, Step, Wish};
use super::journal::{Ended, Journal, Phase, Spent, Work};
use crate::boot::GIVE_BACK_MAX;
use crate::model::{ReasonCode, Txn};
use crate::sys::clock;

impl Spent {
    /// Whether the boot that runs is the one that was left last.
    fn is_of(&self, boot_id: &str) -> bool {
        self.boot_id.as_deref() == Some(boot_id)
    }

    /// Seconds of the trial so far, this boot's included.
    pub fn total(&self, boot_id: &str, up: u64) -> u64 {
        match self.is_of(boot_id) {
            true => self.before.saturating_add(up.max(self.up)),
            false => self.before.saturating_add(self.up).saturating_add(up),
        }
    }

    /// With this boot left now. A boot gives one try back, however often it is left.
    fn leaving(&self, f: &Facts) -> Spent {
        let most = f.rules.clean_reboots.min(GIVE_BACK_MAX);
        let (before, clean) = match self.is_of(&f.boot_id) {
            true => (self.before, self.clean),
            false => (self.before.saturating_add(self.up), f.env.clean.saturating_add(1).min(most)),
        };
        Spent { before, boot_id: Some(f.boot_id.clone()), up: f.up, clean, came_up: self.came_up }
    }
}

pub(super) fn trying(j: &Journal, f: &Facts, work: &Work, txn: &Txn, spent: &Spent) -> Step {
    let home = f.booted != work.slot;
    if f.env.txn.as_ref() != Some(txn) {
        let detail = "something else changed the environment";
        let outcome = if home { Ended::RolledBack } else { Ended::Failed };
        return end(j, f, outcome, work.clone(), Some(txn), ReasonCode::WrongSlot, detail);
    }
    let said = match &f.done {
        Some(Done::Healthy(said)) => said.as_str(),
        _ => "",
    };
    match (f.env.trial, home) {
        (_, true) => end_rolled_back(j, f, work, txn, ReasonCode::BootFailed, ""),
        (false, false) if f.env.slot == Some(f.booted) => updated(j, f, work, txn, said),
        // Its tries were used up, and it runs again: no boot without a trial was left for it.
        (false, false) => stranded_untold(j, f, work, txn),
        (true, false) if f.env.slot != Some(f.booted) => match &f.wish {
            Wish::Settle | Wish::Leave | Wish::Veto(_) => Step::Wait,
            _ => Step::Refuse(ReasonCode::WrongSlot),
        },
        (true, false) => undecided(j, f, work, txn, spent),
    }
}

/// The new system runs, counted and in time, or it is left now: neither is left to the counter.
fn undecided(j: &Journal, f: &Facts, work: &Work, txn: &Txn, spent: &Spent) -> Step {
    // Nobody counts, so nothing would ever bring this device back. A boot that U-Boot never saw
    // (kexec, soft-reboot) after one that gave its try back is no such thing.
    if !f.env.was_counted() && !spent.is_of(&f.boot_id) {
        let detail = "the environment still says bootcount=0";
        return leave_blameless(j, f, work, txn, ReasonCode::CounterDead, detail);
    }
    if spent.total(&f.boot_id, f.up) >= f.rules.deadline {
        let detail = format!("not decided within {}", clock::span(f.rules.deadline));
        return leave(j, f, work, txn, ReasonCode::DeadlinePassed, &detail);
    }
    match (&f.wish, &f.done) {
        (Wish::Settle | Wish::Veto(_), _) => Step::Wait,
        (Wish::Leave, _) => leaving(j, f, spent),
        (Wish::Commit(Some(_)), _) | (Wish::Commit(None), Some(Done::Healthy(_))) => {
            Step::Run(Effect::Commit { slot: f.booted, txn: txn.clone() })
        }
        (Wish::Commit(None), Some(Done::Unhealthy(against))) => {
            let left = leave(j, f, work, txn, against.no(), &against.text());
            telling(left, against)
        }
        (Wish::Commit(None), Some(Done::HealthUnknown(against))) => {
            Step::Refuse(against.no_answer())
        }
        (Wish::Commit(None), _) => Step::Run(Effect::CheckHealth),
        (Wish::Rollback(why), _) => leave(j, f, work, txn, ReasonCode::Requested, why),
        (Wish::Install(..) | Wish::Switch | Wish::Return(_) | Wish::Cancel { .. }, _) => {
            Step::Refuse(ReasonCode::TrialPending)
        }
    }
}

/// The time is kept before the try is given back: a cut between the two costs a try, never time.
fn leaving(j: &Journal, f: &Facts, spent: &Spent) -> Step {
    let left = spent.leaving(f);
    if left != *spent {
        return Step::Persist(j.spending(left));
    }
    match f.env.clean < spent.clean && f.env.bootcount > 0 {
        true => Step::Run(Effect::GiveBack),
        false => Step::Wait,
    }
}

pub(super) fn returning(j: &Journal, f: &Facts) -> Step {
    let Phase::Returning { work, txn, reason, detail, boot_id, against } = &j.phase else {
        return Step::Wait;
    };
    let reason = *reason;
    if f.booted != work.slot {
        let home = end(j, f, Ended::RolledBack, work.clone(), Some(txn), reason, detail);
        return telling(home, against);
    }
    if !f.env.trial && f.env.slot != Some(work.slot.other()) {
        let said = "something else committed the trial";
        return end(j, f, Ended::Failed, work.clone(), Some(txn), ReasonCode::WrongSlot, said);
    }
    let here = boot_id.as_deref() == Some(&f.boot_id);
    if f.env.trial && !here {
        return telling(leave_blameless(j, f, work, txn, reason, detail), against);
    }
    if f.env.trial {
        return Step::Run(Effect::FallBack { to: work.slot.other(), txn: txn.clone() });
    }
    if boot_id.is_some() && !here {
        return telling(stranded(j, f, work, txn, reason, detail), against);
    }
    match &f.wish {
        Wish::Settle | Wish::Leave | Wish::Rollback(_) | Wish::Veto(_) | Wish::Commit(None) => {
            Step::Wait
        }
        Wish::Commit(Some(_)) => Step::Refuse(ReasonCode::WrongSlot),
        Wish::Install(..) | Wish::Switch | Wish::Return(_) | Wish::Cancel { .. } => {
            Step::Refuse(ReasonCode::TrialPending)
        }
    }
}
