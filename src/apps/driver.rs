//! What the loop needs of the world.

use super::facts::{AppCommand, AppDone, AppEffect, AppFacts};
use super::journal::AppJournal;
use crate::model::Result;

/// What carries out what was decided about apps. One implementation is the device; tests have others.
pub trait AppExecutor {
    /// Looks at everything afresh.
    fn facts(
        &mut self,
        journal: &AppJournal,
        command: &AppCommand,
        done: Option<AppDone>,
    ) -> Result<AppFacts>;
    /// Makes the journal durable.
    fn persist(&mut self, journal: &AppJournal) -> Result<()>;
    /// Does one thing. An error leaves the world as a power cut there would.
    fn run(&mut self, effect: &AppEffect) -> Result<Option<AppDone>>;
}
