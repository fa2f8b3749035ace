//! `switch`, `commit`, `rollback`, `verify a|b`, `history`.

use super::answer::{Answer, Next};
use super::hands::{rest, rest_with, settle};
use super::look::look;
use super::memory;
use super::moments;
use super::offer;
use super::readiness::{self, Before};
use super::world::{World, digest_of};
use crate::boot::GIVE_BACK_MAX;
use crate::event::{Event, Sink};
use crate::health::Verdict;
use crate::hooks::{Moment, Permission};
use crate::install::{self, SlotVerdict};
use crate::model::{Against, Digest, Failure, ReasonCode, Result, SlotId, State};
use crate::update::{
    Done, Identity, Journal, Named, Order, Outcome, Phase, Rest, Target, Wish, Work, at_rest,
};
use std::time::Duration;

fn refused(rest: &Rest) -> Result<()> {
    match (rest.refused, &rest.done) {
        (Some(code), Some(Done::HealthUnknown(against))) => Err(Failure::new(code, against.text())),
        (Some(code), _) => Err(Failure::new(code, code.meaning())),
        (None, _) => Ok(()),
    }
}

/// What every start does: looks, and does what is left to do. Nothing else is asked for.
pub fn come_to_rest(world: &World, sink: &dyn Sink) -> Result<State> {
    world.booted()?;
    let _lock = world.lock("start")?;
    Ok(State::of(&settle(world, sink)?))
}

/// Arms what is staged.
pub fn switch(world: &World, sink: &dyn Sink) -> Result<Answer> {
    world.booted()?;
    let _lock = world.lock("switch")?;
    world.keep_reserve();
    let journal = settle(world, sink)?;
    readiness::gate(world, Before::Update)?;
    #[cfg(feature = "apps")]
    super::apps::may_arm(world)?;
    // It may have waited for months, and a key may have been revoked meanwhile.
    if let Phase::Staged(work) = &journal.phase {
        if let Some(refused) = world.refusal(work.slot) {
            return Err(refused);
        }
        readiness::bootable(world, work.slot)?;
    }
    world.renew_baseline(true, sink)?;
    let rest = rest(world, journal, &Wish::Switch, None, sink)?;
    refused(&rest)?;
    match &rest.journal.phase {
        Phase::Switching { work, .. } => {
            let text = format!("{} in slot {} is armed. Reboot to try it.", work.to, work.slot);
            Ok(Answer::new(State::Switching, work, Next::Reboot, text))
        }
        _ => Err(ended(&rest.journal)),
    }
}

/// Why a move that should still be under way has ended.
fn ended(journal: &Journal) -> Failure {
    match &journal.last {
        Some(Outcome { reason: Some(code), detail, .. }) => Failure::new(*code, detail),
        _ => Failure::new(ReasonCode::NotStaged, ReasonCode::NotStaged.meaning()),
    }
}

/// Decides the trial: runs the checks and commits, or with `unchecked` commits and records who
/// said so. `HEALTH_FAILED` means that the device is already on its way back: reboot it.
pub fn commit(world: &World, unchecked: Option<String>, sink: &dyn Sink) -> Result<Answer> {
    decided(world, unchecked, None, sink)
}

/// Decides the trial by a verdict that whoever watched it has come to.
pub fn decide(world: &World, verdict: Verdict, sink: &dyn Sink) -> Result<Answer> {
    decided(world, None, Some(verdict), sink)
}

fn decided(
    world: &World,
    unchecked: Option<String>,
    verdict: Option<Verdict>,
    sink: &dyn Sink,
) -> Result<Answer> {
    let booted = world.booted()?;
    let _lock = world.lock("commit")?;
    let journal = settle(world, sink)?;
    match &journal.phase {
        Phase::Trying { work, .. } if work.slot != booted => {
            return Err(Failure::new(ReasonCode::WrongSlot, ReasonCode::WrongSlot.meaning()));
        }
        // Left already, or just now because its time was over: nobody commits that.
        Phase::Returning { work, reason, detail, .. } => return Err(left(work, *reason, detail)),
        _ => {}
    }
    #[cfg(feature = "apps")]
    if verdict.is_none() && unchecked.is_none() && matches!(journal.phase, Phase::Trying { .. }) {
        super::apps::bring_up(world, sink)?;
    }
    let verdict = match journal.work().and_then(|w| w.order.drill) {
        Some(kind) if matches!(journal.phase, Phase::Trying { .. }) && unchecked.is_none() => {
            Some(super::misbehave::misbehave(world, kind))
        }
        _ => verdict,
    };
    let rest = rest_with(world, journal, &Wish::Commit(unchecked), None, verdict, sink)?;
    refused(&rest)?;
    match (&rest.journal.phase, &rest.journal.last) {
        (Phase::Returning { work, reason, detail, .. }, _) => Err(left(work, *reason, detail)),
        (Phase::Idle, Some(last)) if last.work.slot == booted => {
            memory::warn_if_not_accepted(world, booted, sink);
            let text = format!("{} in slot {booted} is committed.", last.work.to);
            Ok(Answer::new(State::Updated, &last.work, Next::None, text))
        }
        (phase, _) => {
            Err(Failure::new(ReasonCode::Internal, format!("committed, and yet {phase:?}")))
        }
    }
}

fn left(work: &Work, reason: ReasonCode, detail: &str) -> Failure {
    let home = work.slot.other();
    Failure::new(reason, format!("{detail}; slot {home} is armed again, reboot to return to it"))
}

/// The last act before an orderly reboot: in a trial keeps the time that it has run and gives
/// this boot's try back; anywhere else it writes nothing, and needs no lock.
pub fn shutdown(world: &World, sink: &dyn Sink) -> Result<String> {
    let booted = world.booted()?;
    let journal = world.load_journal();
    let facts = look(world, booted, &journal, &Wish::Settle, None)?;
    let phase = at_rest(&journal, &facts).phase;
    let undecided = matches!(phase, Phase::Trying { .. } | Phase::Returning { .. });
    if !undecided || !facts.env.trial || facts.env.slot != Some(booted) {
        return Ok("No trial is under way: nothing to do.\n".to_owned());
    }
    // A look or a request ends soon, and nobody asks again.
    let _lock = world.lock_within("shutdown", Duration::from_secs(5))?;
    let rest = rest(world, world.load_journal(), &Wish::Leave, None, sink)?;
    let boot = world.boot.look()?;
    Ok(match &rest.journal.phase {
        Phase::Trying { .. } if boot.clean > facts.env.clean => {
            format!("This boot's try is given back, {} of {GIVE_BACK_MAX}.\n", boot.clean)
        }
        Phase::Trying { .. } => "This boot of the trial counts.\n".to_owned(),
        _ => format!("The trial is over: slot {} boots next.\n", booted.other()),
    })
}

/// Goes back: abandons what is under way, disarms what is armed, leaves a trial, or after a
/// commit arms the other slot's system as an ordinary trial. A system that came back from a trial
/// is armed only with `retry`: a call made twice must not try the bad release again.
pub fn rollback(
    world: &World,
    reason: &str,
    by: &str,
    retry: bool,
    sink: &dyn Sink,
) -> Result<Answer> {
    let booted = world.booted()?;
    // Nobody who wants to go back means the other slot while one is being written.
    if world.running().is_some_and(|running| running.stoppable) {
        return abandon(world, reason, sink);
    }
    let _lock = world.lock("rollback")?;
    let journal = settle(world, sink)?;
    let Some(work) = journal.work().cloned() else {
        let order = Order { by: by.to_owned(), ..Order::default() };
        return go_back(world, journal, order, retry, sink);
    };
    let phase = journal.phase.clone();
    let rest = rest(world, journal, &Wish::Rollback(reason.to_owned()), None, sink)?;
    refused(&rest)?;
    let state = State::of(&rest.journal);
    let runs = world.named(booted);
    let (next, text) = match phase {
        Phase::Installing(_) => (
            Next::None,
            format!("The installation of {} is abandoned; slot {booted} runs {runs}.", work.to),
        ),
        Phase::Staged(_) => {
            (Next::None, format!("{} is no longer staged; slot {booted} runs {runs}.", work.to))
        }
        Phase::Switching { .. } => {
            (Next::None, format!("{} is disarmed; slot {booted} runs {runs} and stays.", work.to))
        }
        _ => {
            let home = work.slot.other();
            let to = world.named(home);
            (Next::Reboot, format!("Slot {home} ({to}) is armed again. Reboot to return to it."))
        }
    };
    Ok(Answer::new(state, &work, next, text))
}

/// Disarms `work`, to which a program of the integrator has said no. What took its place meanwhile
/// is asked about by itself.
pub(super) fn vetoed(world: &World, work: &Work, said: Against, sink: &dyn Sink) -> Result<()> {
    let _lock = world.lock("rollback")?;
    let journal = settle(world, sink)?;
    if journal.work() != Some(work) {
        return Ok(());
    }
    refused(&rest(world, journal, &Wish::Veto(said), None, sink)?)
}

/// Stops an installation that runs, and goes nowhere.
fn abandon(world: &World, reason: &str, sink: &dyn Sink) -> Result<Answer> {
    let said = super::cancel::cancel_for(world, reason, sink)?;
    if !said.cancelled {
        return Err(Failure::new(ReasonCode::NothingToRollBack, said.text));
    }
    // One that had not said yet what it would bring left no trace.
    let slot = world.booted()?.other();
    let to = Named { version: said.version.and_then(|v| v.parse().ok()), ..Named::unknown() };
    let work = world.move_into(slot, Digest::NONE, to, Order::default());
    Ok(Answer::new(said.state, &work, Next::None, said.text))
}

/// After a commit: the other system, read back against its record, becomes an ordinary trial.
pub(super) fn go_back(
    world: &World,
    journal: Journal,
    order: Order,
    retry: bool,
    sink: &dyn Sink,
) -> Result<Answer> {
    let booted = world.booted()?;
    let slot = booted.other();
    let nothing = |what: &str| Failure::new(ReasonCode::NothingToRollBack, what);
    let target = world.target_in(slot);
    let to = world.named(slot);
    if matches!(target, Target::Refused(_)) && to.identity() == Identity::Unknown {
        // Without a record and without a memory of it: whatever may stand there.
        if !world.held(slot).recorded {
            return Err(nothing("the other slot holds nothing that is known to have run"));
        }
    }
    if let Some(refused) = world.refusal(slot) {
        return Err(refused);
    }
    let digest = digest_of(&target).ok_or_else(|| nothing("the other slot offers no system"))?;
    if digest == Digest::NONE && journal.last.is_none() {
        // A factory may leave anything in the second slot; only a system that has run counts.
        return Err(nothing("the other slot holds nothing that was installed or has run"));
    }
    let floor = world.floor_epoch();
    if to.security_epoch < floor {
        let text =
            format!("{to} has security epoch {}, below the floor {floor}", to.security_epoch);
        return Err(Failure::new(ReasonCode::BelowFloor, text));
    }
    if !retry {
        offer::came_back(world, &journal, &to, &digest)?;
    }
    readiness::gate(world, Before::Update)?;
    #[cfg(feature = "apps")]
    super::apps::may_arm(world)?;
    world.keep_reserve();
    if digest != Digest::NONE {
        match verify_slot(world, slot, sink)? {
            SlotVerdict::Matches { .. } | SlotVerdict::ModifiedSinceInstall { .. } => {}
            damaged => damaged.require_match().map_err(|f| f.at(format!("slot {slot}")))?,
        }
    }
    world.take_baseline(sink)?;
    let work = world.move_into(slot, digest, to, order);
    let rest = rest(world, journal, &Wish::Return(work.clone()), None, sink)?;
    refused(&rest)?;
    match State::of(&rest.journal) {
        State::Switching => {
            let text = format!(
                "Slot {slot} ({}) is armed. Reboot to return to it; it stays after `surefoot commit`.",
                work.to
            );
            Ok(Answer::new(State::Switching, &work, Next::Reboot, text))
        }
        _ => Err(ended(&rest.journal)),
    }
}

/// Reads a whole slot and compares it with its signed record.
pub fn verify_slot(world: &World, slot: SlotId, sink: &dyn Sink) -> Result<SlotVerdict> {
    install::verify_slot(&world.parts(slot)?, &world.trust()?, sink)
}

/// Every move that ended, oldest first; also the one that ended with this boot and that nobody
/// has written down yet.
pub fn history(world: &World) -> Result<Vec<Outcome>> {
    let mut outcomes = world.history.load();
    if let Ok(booted) = world.booted() {
        let journal = world.load_journal();
        let facts = look(world, booted, &journal, &Wish::Settle, None)?;
        let last = at_rest(&journal, &facts).last;
        outcomes.extend(last.filter(|last| !outcomes.contains(last)));
    }
    Ok(outcomes)
}

/// Reboots the device, in an orderly way if the init system lets us. An image has no power to
/// switch, which is told and is no failure: what was asked for before is done.
pub fn reboot(world: &World, sink: &dyn Sink) -> Result<()> {
    if world.disk.is_image() {
        let text = "a disk image is not rebooted from here; use `surefoot-sim reboot`".to_owned();
        sink.emit(&Event::Warning { text });
        return Ok(());
    }
    crate::sys::host::restart()
}

/// Takes the baseline again and asks before the reboot into `work`. A veto disarms it;
/// `HEALTH_UNKNOWN` says that the running system is to be given its time first.
pub fn before_reboot(world: &World, work: &Work, sink: &dyn Sink) -> Result<()> {
    if work.order.drill.is_none() {
        world.renew_baseline(!work.order.automatic, sink)?;
    }
    let moment = Moment::BeforeReboot;
    let permission = moments::at(world, moment, work, sink);
    if let Permission::Veto { name, text } = &permission {
        vetoed(world, work, moments::hook(moment, name, text), sink)?;
    }
    permission.failure(moment).map_or(Ok(()), Err)
}
