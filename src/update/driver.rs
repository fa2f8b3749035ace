//! Look, decide, persist or act, look again: the one loop (DESIGN 4).

use super::{Done, Effect, Facts, Journal, Step, Wish, decide};
use crate::model::{Failure, ReasonCode, Result};

/// What the loop needs of the world. One implementation is the device; tests have others.
pub trait Hands {
    /// Looks at everything afresh.
    fn facts(&mut self, journal: &Journal, wish: &Wish, done: Option<Done>) -> Result<Facts>;
    /// Makes the journal durable.
    fn persist(&mut self, journal: &Journal) -> Result<()>;
    /// Does one thing. An error leaves the world as a power cut there would.
    fn run(&mut self, effect: &Effect) -> Result<Option<Done>>;
}

/// Where the loop came to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// The journal.
    pub journal: Journal,
    /// Why what was asked for is not done in this state.
    pub refused: Option<ReasonCode>,
    /// What the last effect found.
    pub done: Option<Done>,
}

/// More steps than any update takes; a loop that passes it is a defect, not a slow device.
const STEPS_MAX: usize = 64;

/// Runs the loop until nothing is left to do for `wish`.
pub fn drive(mut journal: Journal, wish: &Wish, hands: &mut dyn Hands) -> Result<Rest> {
    let mut done = None;
    for _ in 0..STEPS_MAX {
        let facts = hands.facts(&journal, wish, done.clone())?;
        match decide(&journal, &facts) {
            Step::Persist(next) => {
                // A finding is used up with the decision it led to, unless that decision was
                // only to write it down.
                hands.persist(&next)?;
                journal = next;
            }
            Step::Run(effect) => {
                if let Some(found) = hands.run(&effect)? {
                    done = Some(found);
                }
            }
            Step::Wait => {
                return Ok(Rest { journal, refused: None, done });
            }
            Step::Refuse(code) => {
                return Ok(Rest { journal, refused: Some(code), done });
            }
        }
    }
    let text = format!("the update does not come to rest: {:?}", journal.phase);
    Err(Failure::new(ReasonCode::Internal, text))
}
