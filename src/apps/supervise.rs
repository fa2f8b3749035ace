//! Keeps the set running that shall run: starts what is missing, asks whether services are well, starts again what is
//! not, each time after a longer pause.

use super::{AppContext, AppJournal};
use crate::model::{Failure, ReasonCode, Result};
use std::time::Duration;

/// What is remembered between two looks: pauses, results of health probes, and since when a trial is well. It is gone
/// with the process; then every service is looked at afresh.
#[derive(Debug, Default)]
pub struct Supervisor {}

impl Supervisor {
    /// Brings the set that shall run a step nearer to running where nothing is under way, and says when to look again.
    /// In every other phase it does nothing: the driver does. A run-once service that has ended, and a port that was
    /// chosen, is noted in `journal`, which is saved then. An engine that does not answer is waited for.
    pub fn turn(&mut self, ctx: &AppContext<'_>, journal: &mut AppJournal) -> Result<Duration> {
        let _ = (ctx, journal, &self);
        Err(Failure::new(ReasonCode::EngineMissing, "not written yet"))
    }

    /// When the trial under way is to be looked at again: the pause before [`super::AppCommand::Settle`] is driven again
    /// after it came to rest with [`super::AppDone::Undecided`].
    pub fn pause(&self) -> Duration {
        Duration::from_millis(100)
    }
}

/// Stops all services of an app that a person has stopped, in the reverse order of their start.
pub fn stop_app(
    ctx: &AppContext<'_>,
    journal: &AppJournal,
    app: &crate::bundle::ServiceName,
) -> Result<()> {
    let _ = (ctx, journal, app);
    Err(Failure::new(ReasonCode::EngineMissing, "not written yet"))
}
