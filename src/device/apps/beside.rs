//! How apps go along with the slots: a system that is written, armed or left takes its set of apps with it.

use super::gear::Gear;
use super::journal::found;
use crate::apps::{AppJournal, AppMove, AppPhase};
use crate::device::World;
use crate::event::Nowhere;
use crate::model::{Failure, ReasonCode, Result, SlotId};

/// Whether this device has ever had apps. Where not, nothing of theirs is looked at or written.
fn has_apps(world: &World) -> bool {
    world.apps_journal().is_none_or(|journal| journal != AppJournal::default())
}

fn refused(code: ReasonCode) -> Failure {
    Failure::new(code, "a change of apps is on trial; it ends by itself")
}

/// Whether a system may be written and armed now: `TRIAL_PENDING` while a change of apps is between its switch and its
/// end. What is staged only stands in no way.
pub(in crate::device) fn may_arm(world: &World) -> Result<()> {
    let Some(journal) = world.apps_journal() else { return Ok(()) };
    let by_slot = journal.change().is_some_and(|c| matches!(c.cause, crate::apps::Cause::Slot(_)));
    match journal.holds_systems_back() {
        // It follows the system's own trial, and is no other.
        Some(code) if !by_slot => Err(refused(code)),
        _ => Ok(()),
    }
}

/// Before the first byte of a slot is destroyed: the set of the system that stood there goes with it.
pub(in crate::device) fn before_writing(world: &World, slot: SlotId) -> Result<()> {
    if !has_apps(world) {
        return Ok(());
    }
    let journal = found(&Gear::of(world)?, &Nowhere)?;
    let next = journal.forget_set(slot).map_err(refused)?;
    save(world, &journal, &next)
}

/// Once a slot is written, and before anything says that it may be armed: what its release brings along belongs to it.
/// A cut before this writes the slot's end again, and a cut after it plans the same again.
pub(in crate::device) fn after_writing(
    world: &World,
    slot: SlotId,
    moves: &[AppMove],
) -> Result<()> {
    if moves.is_empty() {
        return Ok(());
    }
    let journal = found(&Gear::of(world)?, &Nowhere)?;
    let next = journal.plan_set(slot, moves).map_err(refused)?;
    save(world, &journal, &next)
}

fn save(world: &World, before: &AppJournal, next: &AppJournal) -> Result<()> {
    // Each life of a flash counts its writes.
    if before == next {
        return Ok(());
    }
    debug_assert!(matches!(
        next.phase,
        AppPhase::Idle | AppPhase::Staging(_) | AppPhase::Staged(_)
    ));
    world.apps_store().save(next)
}
