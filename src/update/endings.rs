//! The steps that begin a move, arm it and end it: one way for each.

use super::Label;
use super::facts::{Facts, Step, Target, Wish};
use super::journal::{Ended, Journal, Order, Outcome, Phase, Work};
use crate::model::{Against, Digest, ReasonCode, SlotId, Txn};

/// The denylist is written with the intention, before the flip (DESIGN 9.4).
pub(super) fn leave(
    j: &Journal,
    f: &Facts,
    work: &Work,
    txn: &Txn,
    reason: ReasonCode,
    detail: &str,
) -> Step {
    leave_blameless(&blaming(j, work, reason), f, work, txn, reason, detail)
}

/// A release that came back is not tried again by itself, unless it only did as it was told.
fn blaming(j: &Journal, work: &Work, reason: ReasonCode) -> Journal {
    match work.order.drill {
        Some(_) => j.clone(),
        None => j.denying(work.digest, reason),
    }
}

/// The trial ends, and the release may be tried again.
pub(super) fn leave_blameless(
    j: &Journal,
    f: &Facts,
    work: &Work,
    txn: &Txn,
    reason: ReasonCode,
    detail: &str,
) -> Step {
    let (work, txn, detail) = (work.clone(), txn.clone(), detail.to_owned());
    let boot_id = Some(f.boot_id.clone());
    let against = Against::default();
    Step::Persist(j.in_phase(Phase::Returning { work, txn, reason, detail, boot_id, against }))
}

/// The same step, and what spoke against the system as data.
pub(super) fn telling(step: Step, said: &Against) -> Step {
    let Step::Persist(mut journal) = step else { return step };
    match (&mut journal.phase, &mut journal.last) {
        (Phase::Returning { against, .. }, _) => *against = said.clone(),
        (Phase::Idle, Some(last)) => last.against = said.clone(),
        _ => {}
    }
    Step::Persist(journal)
}

/// The trial is over and the bootloader gave way to it all the same, as the old system cannot be
/// loaded: this one stays, whatever it is, and the next update replaces the other (DESIGN 9.3).
/// Who is to blame is settled before.
pub(super) fn stranded(
    j: &Journal,
    f: &Facts,
    work: &Work,
    txn: &Txn,
    reason: ReasonCode,
    detail: &str,
) -> Step {
    let detail = if detail.is_empty() { reason.meaning() } else { detail };
    let other = work.slot.other();
    let said = format!("{detail}; slot {other} cannot be loaded, so slot {} stays", work.slot);
    end(j, f, Ended::Failed, work.clone(), Some(txn), reason, &said)
}

/// The same, found out only now: its tries were used up before it could decide anything.
pub(super) fn stranded_untold(j: &Journal, f: &Facts, work: &Work, txn: &Txn) -> Step {
    let reason = ReasonCode::BootFailed;
    stranded(&blaming(j, work, reason), f, work, txn, reason, "")
}

pub(super) fn begin(j: &Journal, f: &Facts, work: &Work) -> Step {
    if work.slot == f.booted {
        return Step::Refuse(ReasonCode::SlotNeeded);
    }
    let journal = j.forgiving(&work.digest);
    // What a person wants is wanted again.
    let journal = match work.order.automatic {
        true => journal,
        false => journal.resuming(&work.digest),
    };
    // What was written for another release until now has no end here: `last` may be the only witness of
    // what was committed until the first byte is written. Its end is in the history alone.
    Step::Persist(journal.in_phase(Phase::Installing(work.clone())))
}

/// Another release takes the place of one that is armed: no release is at fault.
pub(super) fn superseded(j: &Journal, f: &Facts, old: &Work, txn: &Txn, by: &Work) -> Step {
    let why = by.takes_its_place();
    end(j, f, Ended::Superseded, old.clone(), Some(txn), ReasonCode::Superseded, &why)
}

/// A program of the integrator has said no to what is not tried yet.
pub(super) fn vetoed(j: &Journal, f: &Facts, work: &Work, txn: &Txn, said: &Against) -> Step {
    let end = end(j, f, Ended::Vetoed, work.clone(), Some(txn), said.no(), &said.text());
    telling(end, said)
}

/// A person has taken back what was not tried yet. A drill is called off with that, and nothing has
/// failed.
pub(super) fn taken_back(
    j: &Journal,
    f: &Facts,
    work: &Work,
    txn: Option<&Txn>,
    why: &str,
) -> Step {
    let ended = match work.order.drill {
        Some(_) => Ended::Cancelled,
        None => Ended::Failed,
    };
    end(&not_again(j, work), f, ended, work.clone(), txn, ReasonCode::Requested, why)
}

/// What came by itself and was taken back does not come by itself again.
pub(super) fn not_again(j: &Journal, work: &Work) -> Journal {
    match work.order.automatic {
        true => j.cancelling(work.digest),
        false => j.clone(),
    }
}

/// A person has said so: no release is at fault, and nothing begins it again by itself.
pub(super) fn cancelled(j: &Journal, f: &Facts, work: &Work, txn: Option<&Txn>, why: &str) -> Step {
    let journal = j.cancelling(work.digest);
    end(&journal, f, Ended::Cancelled, work.clone(), txn, ReasonCode::Cancelled, why)
}

/// The same of something that the journal does not speak of: whatever it speaks of stays.
pub(super) fn cancelled_before(j: &Journal, f: &Facts, why: &str, begun: &Option<Work>) -> Step {
    let Some(work) = begun else { return Step::Wait };
    let told = j
        .last
        .as_ref()
        .is_some_and(|last| last.outcome == Ended::Cancelled && last.work.digest == work.digest);
    if told && j.cancelled.contains(&work.digest) {
        return Step::Wait;
    }
    match cancelled(j, f, work, None, why) {
        Step::Persist(next) => Step::Persist(next.in_phase(j.phase.clone())),
        other => other,
    }
}

/// Whether a person's word is about the move that the journal speaks of.
pub(super) fn is_meant(begun: &Option<Work>, work: &Work) -> bool {
    begun.as_ref().is_none_or(|begun| begun.digest == work.digest)
}

pub(super) fn stands(f: &Facts, work: &Work) -> bool {
    match &f.target {
        Target::Recorded(digest) => *digest == work.digest,
        Target::Factory => work.digest == Digest::NONE,
        Target::Nothing | Target::Refused(_) => false,
    }
}

/// Announces the arming under an id that nothing in sight carries yet.
pub(super) fn arm(j: &Journal, f: &Facts, work: &Work) -> Step {
    let taken = |txn: &Txn| f.env.txn.as_ref() == Some(txn) || f.env.fallback.as_ref() == Some(txn);
    let mut attempts = j.attempts.wrapping_add(1);
    let mut txn = Txn::new(&work.digest, attempts);
    while taken(&txn) {
        attempts = attempts.wrapping_add(1);
        txn = Txn::new(&work.digest, attempts);
    }
    let (work, boot_id) = (work.clone(), f.boot_id.clone());
    let phase = Phase::Switching { work, txn, boot_id, reboots: 0 };
    Step::Persist(Journal { attempts, ..j.in_phase(phase) })
}

pub(super) fn updated(j: &Journal, f: &Facts, work: &Work, txn: &Txn, said: &str) -> Step {
    let outcome = Outcome {
        outcome: Ended::Updated,
        work: work.clone(),
        txn: Some(txn.clone()),
        reason: None,
        detail: match &f.wish {
            Wish::Commit(Some(why)) => format!("committed without checks: {why}"),
            _ => said.to_owned(),
        },
        against: Against::default(),
        came_up: None,
        at: f.now,
        untried: false,
    };
    Step::Persist(Journal {
        last: Some(outcome),
        ..j.forgiving(&work.digest).in_phase(Phase::Idle)
    })
}

pub(super) fn end_rolled_back(
    j: &Journal,
    f: &Facts,
    work: &Work,
    txn: &Txn,
    reason: ReasonCode,
    detail: &str,
) -> Step {
    end(&blaming(j, work, reason), f, Ended::RolledBack, work.clone(), Some(txn), reason, detail)
}

pub(super) fn end(
    j: &Journal,
    f: &Facts,
    outcome: Ended,
    work: Work,
    txn: Option<&Txn>,
    reason: ReasonCode,
    detail: &str,
) -> Step {
    let detail = if detail.is_empty() { reason.meaning() } else { detail };
    // How far it came tells something only where nobody decided it.
    let came_up = match &j.phase {
        Phase::Trying { spent, .. } if reason == ReasonCode::BootFailed => Some(spent.came_up),
        _ => None,
    };
    let came_up = came_up.filter(|boot| *boot > 0);
    let last = Outcome {
        outcome,
        work,
        txn: txn.cloned(),
        reason: Some(reason),
        detail: detail.to_owned(),
        against: Against::default(),
        came_up,
        at: f.now,
        untried: false,
    };
    Step::Persist(Journal { last: Some(last), ..j.in_phase(Phase::Idle) })
}

/// A move of which only the environment told. What came back is to blame, where it has a name.
pub(super) fn end_untold(j: &Journal, f: &Facts, outcome: Ended, work: Work, txn: &Txn) -> Step {
    let j = match outcome {
        Ended::RolledBack => blaming(j, &work, ReasonCode::BootFailed),
        _ => j.clone(),
    };
    end(&j, f, outcome, work, Some(txn), ReasonCode::JournalLost, "")
}

/// What can be said of a move when only the environment remembers it: what the slots say, if it is
/// this move that has brought it.
pub(super) fn unknown_work(f: &Facts, slot: SlotId, txn: Option<&Txn>) -> Work {
    let stands = |slot: SlotId| f.labels.as_ref().map(|labels| labels[slot as usize].clone());
    let ours = |label: &Label| txn.is_some_and(|txn| txn.names(&label.digest));
    let to = stands(slot).filter(ours).unwrap_or_else(Label::unknown);
    let from = stands(slot.other()).unwrap_or_else(Label::unknown).named;
    let order = Order::default();
    Work { digest: to.digest, slot, partitions: Vec::new(), from, to: to.named, order }
}

pub(super) fn unknown_txn() -> Txn {
    Txn::new(&Digest::NONE, 0)
}
