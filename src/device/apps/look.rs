//! What the daemon does for apps by itself, and how they are.

use super::carry::drive;
use super::epoch::{fill_store, is_filled};
use super::gear::Gear;
use super::journal::found;
use crate::apps::{AppCommand, AppJournal, AppPhase, AppsStatus};
use crate::device::World;
use crate::event::{Nowhere, Sink};
use crate::model::Result;
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

/// Until the engine's store is filled.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether there is anything to look after: an engine that is named, or an app that was here.
pub fn apps_are_here(world: &World) -> bool {
    let some = world.apps_journal().is_none_or(|journal| journal != AppJournal::default());
    some || world.engine.is_some() || world.settings.apps.engine.is_some()
}

/// How apps are; needs no lock.
pub fn apps_status(world: &World) -> Result<AppsStatus> {
    let gear = Gear::at_a_glance(world)?;
    // What was lost is made anew by who holds the lock.
    let journal = world.apps_journal().unwrap_or_default();
    let ctx = gear.context(&Nowhere);
    Ok(match world.watch.try_lock() {
        Ok(watch) => crate::apps::apps_status(&ctx, &journal, Some(&watch)),
        Err(TryLockError::Poisoned(poisoned)) => {
            crate::apps::apps_status(&ctx, &journal, Some(&poisoned.into_inner()))
        }
        // A service is stopped or started just now.
        Err(TryLockError::WouldBlock) => crate::apps::apps_status(&ctx, &journal, None),
    })
}

/// What is left to do with a change of apps: at a boot, after a process that is gone, and in a trial. Returns when to look
/// again; `None` at rest. `BUSY` where another process is at work.
pub fn apps_turn(world: &World, sink: &dyn Sink) -> Result<Option<Duration>> {
    if !apps_are_here(world) {
        return Ok(None);
    }
    let _lock = world.lock("apps")?;
    let gear = Gear::of(world)?;
    fill_store(&gear, sink)?;
    let journal = found(&gear, sink)?;
    let rest = drive(&gear, journal, &AppCommand::Settle, &[], sink)?;
    if rest.journal.phase == AppPhase::Idle {
        super::develop::end_if_over(world, sink)?;
    }
    let pause = || world.watch.lock().unwrap_or_else(PoisonError::into_inner).pause();
    Ok(rest.is_under_way().then(pause))
}

/// Brings the set that shall run a step nearer to running, where no change is between its switch and its end; when to
/// look again, `None` where nothing shall run. Holds no lock: what is changed meanwhile is changed by one who waits for
/// the supervisor.
pub fn look_after(world: &World, sink: &dyn Sink) -> Result<Option<Duration>> {
    if !apps_are_here(world) {
        return Ok(None);
    }
    let gear = Gear::of(world)?;
    let ctx = gear.context(sink);
    let mut watch = world.watch.lock().unwrap_or_else(PoisonError::into_inner);
    // Read with the supervisor in hand: nobody switches before it is given back.
    let Some(mut journal) = world.apps_journal() else { return Ok(None) };
    if !is_filled(world, &journal) {
        // The keeper brings the images in first.
        return Ok(Some(AGAIN));
    }
    let runs = !journal.set_of(gear.booted()).is_empty();
    match journal.phase {
        AppPhase::Idle | AppPhase::Staging(_) | AppPhase::Staged(_) if runs => {
            Ok(Some(watch.turn(&ctx, &mut journal)?))
        }
        _ => Ok(None),
    }
}
