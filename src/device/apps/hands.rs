//! What carries out a change of apps: the room's own executor, with the supervisor that is shared with the thread that
//! looks after services, and with each step told.

use super::answer::in_words;
use crate::apps::{
    AppCommand, AppContext, AppDone, AppEffect, AppEnded, AppExecutor, AppFacts, AppJournal,
    AppOutcome, AppPhase, BundleSource, Change, DeviceExecutor, Supervisor,
};
use crate::event::{AppsStep, Event};
use crate::model::{ReasonCode, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lends the supervisor for one call at a time, so that services are looked after while a bundle is staged.
pub(super) struct Shared<'a> {
    pub(super) ctx: &'a AppContext<'a>,
    pub(super) sources: &'a [BundleSource<'a>],
    pub(super) watch: &'a Mutex<Supervisor>,
    /// What was told last.
    pub(super) told: AppPhase,
}

impl Shared<'_> {
    fn watch(&self) -> MutexGuard<'_, Supervisor> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AppExecutor for Shared<'_> {
    fn facts(
        &mut self,
        journal: &AppJournal,
        command: &AppCommand,
        done: Option<AppDone>,
    ) -> Result<AppFacts> {
        DeviceExecutor::new(self.ctx, self.sources, &mut self.watch()).facts(journal, command, done)
    }

    fn persist(&mut self, journal: &AppJournal) -> Result<()> {
        DeviceExecutor::new(self.ctx, self.sources, &mut self.watch()).persist(journal)?;
        if let Some(event) = told(&self.told, journal) {
            self.ctx.sink.emit(&event);
        }
        self.told = journal.phase.clone();
        Ok(())
    }

    fn run(&mut self, effect: &AppEffect) -> Result<Option<AppDone>> {
        crate::sys::systemd::progress();
        match effect {
            // It takes its time, and what runs is looked after meanwhile.
            AppEffect::Stage(_) => {
                DeviceExecutor::new(self.ctx, self.sources, &mut Supervisor::default()).run(effect)
            }
            _ => DeviceExecutor::new(self.ctx, self.sources, &mut self.watch()).run(effect),
        }
    }
}

/// What is told when the journal goes on from `before`.
fn told(before: &AppPhase, journal: &AppJournal) -> Option<Event> {
    let step = |step, change: &Change, reason: Option<ReasonCode>, text: &str| {
        let apps = change.moves.iter().map(in_words).collect();
        Some(Event::Apps { step, apps, reason, text: text.to_owned() })
    };
    match (&journal.phase, before) {
        (AppPhase::Staged(change), AppPhase::Staging(_)) => {
            step(AppsStep::Staged, change, None, "")
        }
        (AppPhase::Switching(change), AppPhase::Idle | AppPhase::Staged(_)) => {
            step(AppsStep::Switching, change, None, "")
        }
        (AppPhase::Idle, before) if *before != AppPhase::Idle => {
            let AppOutcome { outcome, change, reason, detail, .. } = journal.last.as_ref()?;
            let end = match outcome {
                AppEnded::Updated => AppsStep::Updated,
                AppEnded::RolledBack => AppsStep::RolledBack,
                AppEnded::Failed => AppsStep::Failed,
            };
            step(end, change, *reason, detail)
        }
        _ => None,
    }
}
