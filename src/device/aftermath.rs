//! What is done once for each move that ended, by the system that runs afterwards.

use super::look::standing;
use super::moments;
use super::world::World;
use crate::event::Sink;
use crate::hooks::Moment;
use crate::model::{Result, StateFile};
use crate::sys::durable;
use crate::update::{Ended, Outcome, Phase};
use std::path::PathBuf;

const LIMIT: u64 = StateFile::AFTERMATH.limit;

impl World {
    fn aftermath_file(&self) -> PathBuf {
        StateFile::AFTERMATH.within(&self.settings.device.state)
    }
}

/// Tells the integrator's programs how the last move ended. Once: the mark is written last, so that a power cut repeats it and never skips it.
pub fn aftermath(world: &World, sink: &dyn Sink) -> Result<()> {
    let (journal, _) = standing(world)?;
    let Some(last) = journal.last.filter(|_| journal.phase == Phase::Idle) else {
        return Ok(());
    };
    let Some(key) = key(&last) else { return Ok(()) };
    let told = durable::read(&world.aftermath_file(), LIMIT).ok().flatten();
    if told.is_some_and(|told| told == key.as_bytes()) {
        return Ok(());
    }
    let _lock = world.lock("after an update")?;
    match last.outcome {
        Ended::Updated => moments::told(world, Moment::AfterCommit, &last, sink),
        Ended::RolledBack => moments::told(world, Moment::AfterRollback, &last, sink),
        Ended::Failed | Ended::Cancelled | Ended::Vetoed | Ended::Superseded => {}
    }
    durable::write(&world.aftermath_file(), key.as_bytes())
}

/// Which end this is; `None` for a move that was never tried.
fn key(last: &Outcome) -> Option<String> {
    let txn = last.txn.as_ref();
    let txn = txn.filter(|_| matches!(last.outcome, Ended::Updated | Ended::RolledBack))?;
    Some(format!("{txn} {}\n", last.work.slot))
}
