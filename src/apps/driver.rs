//! Look, decide, persist or act, look again: the one loop.

use super::decide;
use super::facts::{AppCommand, AppDone, AppEffect, AppFacts, AppStep};
use super::journal::{AppJournal, AppPhase, Cause, Change};
use crate::model::{Failure, ReasonCode, Result};

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

/// Where the loop of apps came to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRest {
    /// The journal.
    pub journal: AppJournal,
    /// Why what was asked for is not done in this state.
    pub refused: Option<ReasonCode>,
    /// What the last effect has found, where no journal was written after it.
    pub done: Option<AppDone>,
}

impl AppRest {
    /// The change goes on by itself, and has come no further for now: drive it again after a pause.
    pub fn is_under_way(&self) -> bool {
        let waits = matches!(self.journal.phase, AppPhase::Staging(_) | AppPhase::Staged(_));
        !waits && self.journal.phase != AppPhase::Idle
    }
}

/// More steps than a change of apps takes; a loop that passes it is a defect, not a slow device. Each run-once service
/// may take two.
const STEPS_MAX: usize = 1024;

/// Runs the loop until nothing is left to do for `command`.
pub fn drive_apps(
    mut journal: AppJournal,
    command: &AppCommand,
    hands: &mut dyn AppExecutor,
) -> Result<AppRest> {
    let mut command = command.clone();
    let mut done = None;
    let mut before: Option<(AppEffect, AppFacts)> = None;
    for _ in 0..STEPS_MAX {
        let facts = hands.facts(&journal, &command, done.clone())?;
        match decide(&journal, &facts) {
            AppStep::Persist(next) => {
                hands.persist(&next)?;
                // What was asked for has come to its end, whichever: it is not begun again.
                if ends_what_was_asked(&journal, &command, &next) {
                    command = AppCommand::Settle;
                }
                (journal, done, before) = (next, None, None);
            }
            AppStep::Run(effect) => {
                let same = before.as_ref().is_some_and(|(e, f)| *e == effect && *f == facts);
                if same {
                    // It was done, has found nothing, and has changed nothing. The next look may.
                    return Ok(AppRest { journal, refused: None, done });
                }
                let found = hands.run(&effect)?;
                before = Some((effect, facts));
                done = found;
            }
            AppStep::Wait => return Ok(AppRest { journal, refused: None, done }),
            AppStep::Refuse(code) => return Ok(AppRest { journal, refused: Some(code), done }),
        }
    }
    let text = format!("the change of apps does not come to rest: {:?}", journal.phase);
    Err(Failure::new(ReasonCode::Internal, text))
}

/// Whether `next` is the end of the change that `command` is about.
pub(super) fn ends_what_was_asked(
    journal: &AppJournal,
    command: &AppCommand,
    next: &AppJournal,
) -> bool {
    let about = |change: &Change| match command {
        AppCommand::Change { moves, .. } => change.moves == *moves,
        _ => true,
    };
    let asked = |change: &Change| matches!(change.cause, Cause::Asked(_));
    next.phase == AppPhase::Idle && journal.change().is_some_and(|c| asked(c) && about(c))
}
