//! A journal in one word.

use super::{Ended, Facts, Identity, Journal, Phase, Step, decide};
use crate::model::State;

impl State {
    /// The word of a journal at rest.
    pub fn of(journal: &Journal) -> State {
        // A drill that came home or was called off has changed nothing: what runs now ran before it.
        if let (Phase::Idle, Some(last)) = (&journal.phase, &journal.last)
            && last.drill().is_some()
        {
            return match last.work.from.identity() {
                Identity::Factory => State::Idle,
                _ => State::Updated,
            };
        }
        match (&journal.phase, journal.last.as_ref().map(|l| l.outcome)) {
            (Phase::Installing(_), _) => State::Installing,
            (Phase::Staged(_), _) => State::Staged,
            (Phase::Switching { .. } | Phase::Returning { .. }, _) => State::Switching,
            (Phase::Trying { .. }, _) => State::Trying,
            (Phase::Idle, None | Some(Ended::Cancelled | Ended::Superseded)) => State::Idle,
            (Phase::Idle, Some(Ended::Updated)) => State::Updated,
            (Phase::Idle, Some(Ended::RolledBack)) => State::RolledBack,
            // A release that was asked for is not there.
            (Phase::Idle, Some(Ended::Failed | Ended::Vetoed)) => State::Failed,
        }
    }
}

/// The journal as the driver would leave it before its next effect: what a reader without the
/// lock shows, and nothing is written.
pub fn at_rest(journal: &Journal, facts: &Facts) -> Journal {
    let mut journal = journal.clone();
    for _ in 0..8 {
        match decide(&journal, facts) {
            Step::Persist(next) => journal = next,
            Step::Run(_) | Step::Wait | Step::Refuse(_) => break,
        }
    }
    journal
}
