//! What is done once for each move that ended, by the system that runs afterwards.

use super::departure::standing;
use super::world::World;
use crate::event::Sink;
use crate::model::Result;
use crate::sys::durable;
use crate::update::{Ended, Outcome, Phase};
use std::path::PathBuf;

const LIMIT: u64 = 4096;

impl World {
    fn aftermath_file(&self) -> PathBuf {
        self.settings.device.state.join("aftermath")
    }
}

/// Tells the integrator's programs how the last move ended and writes a drill's certificate. Once:
/// the mark is written last, so that a power cut repeats it and never skips it.
pub fn aftermath(world: &World, _sink: &dyn Sink) -> Result<()> {
    let (journal, _) = standing(world)?;
    let Some(last) = journal.last.filter(|_| journal.phase == Phase::Idle) else {
        return Ok(());
    };
    let key = key(&last);
    let told = durable::read(&world.aftermath_file(), LIMIT).ok().flatten();
    if told.is_some_and(|told| told == key.as_bytes()) {
        return Ok(());
    }
    let _lock = world.lock()?;
    if last.outcome == Ended::RolledBack {
        world.certify(&last)?;
    }
    durable::write(&world.aftermath_file(), key.as_bytes())
}

/// Which end this is.
fn key(last: &Outcome) -> String {
    let txn = last.txn.as_ref().map_or_else(String::new, ToString::to_string);
    format!("{txn} {} {}\n", last.work.digest, last.at)
}
