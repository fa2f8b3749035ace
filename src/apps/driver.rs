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

#[cfg(test)]
mod tests {
    use super::super::decide_tests::{device, step_of};
    use super::super::{AppRules, Live, SlotTrial};
    use super::*;
    use crate::model::SlotId;
    use crate::update::Order;

    /// A device on which one thing goes as it is told; everything else works.
    struct Bench {
        /// Notes before a start goes on.
        notes: u32,
        /// What a stop leaves.
        stopped: Live,
        told: Vec<String>,
        from: Live,
        to: Live,
    }

    impl AppExecutor for Bench {
        fn facts(
            &mut self,
            _: &AppJournal,
            command: &AppCommand,
            done: Option<AppDone>,
        ) -> Result<AppFacts> {
            Ok(AppFacts {
                booted: SlotId::A,
                boot_id: "this".to_owned(),
                slot: SlotTrial::None,
                from: self.from,
                to: self.to,
                copied: false,
                copies: false,
                rubbish: false,
                command: command.clone(),
                done,
                rules: AppRules::default(),
                now: 0,
            })
        }

        fn persist(&mut self, journal: &AppJournal) -> Result<()> {
            self.told.push(format!("{:?}", journal.phase).split(['(', ' ']).take(1).collect());
            Ok(())
        }

        fn run(&mut self, effect: &AppEffect) -> Result<Option<AppDone>> {
            self.told.push(format!("{effect:?}").split('(').take(1).collect());
            Ok(match effect {
                AppEffect::Stage(_) => Some(AppDone::Staged),
                AppEffect::StopOld(_) => {
                    self.from = self.stopped;
                    None
                }
                AppEffect::StartNew(_) if self.notes > 0 => {
                    self.notes -= 1;
                    let ran = [format!("shop//{}", self.notes)].into();
                    Some(AppDone::Noted { ran, ports: Default::default() })
                }
                AppEffect::StartNew(_) => {
                    self.to = Live::All;
                    Some(AppDone::Started)
                }
                AppEffect::Check(_) => Some(AppDone::Healthy),
                _ => None,
            })
        }
    }

    fn bench(notes: u32, stopped: Live) -> Bench {
        Bench { notes, stopped, told: Vec::new(), from: Live::All, to: Live::Nothing }
    }

    fn asks() -> AppCommand {
        let moves = vec![step_of("shop", Some(1), Some(2))];
        AppCommand::Change { moves, order: Order::default(), switch: true }
    }

    #[test]
    fn a_change_is_driven_to_its_end_once_and_each_journal_comes_before_its_deed() {
        let mut bench = bench(1, Live::Nothing);
        let rest = drive_apps(device(), &asks(), &mut bench).unwrap();
        assert_eq!((rest.refused, rest.is_under_way()), (None, false));
        assert_eq!(rest.journal.ran.len(), 1);
        let told =
            "Staging Stage Staged Switching StopOld Trying StartNew Trying StartNew Check Idle";
        assert_eq!(bench.told.join(" "), told);
    }

    #[test]
    fn what_changes_nothing_is_not_done_for_ever() {
        let mut bench = bench(0, Live::Some);
        let rest = drive_apps(device(), &asks(), &mut bench).unwrap();
        assert!(rest.is_under_way());
        let stops = bench.told.iter().filter(|t| *t == "StopOld").count();
        assert!((1..=3).contains(&stops), "{:?}", bench.told);
    }

    #[test]
    fn a_loop_without_an_end_is_a_defect_and_ends() {
        let mut bench = bench(u32::MAX, Live::Nothing);
        let failure = drive_apps(device(), &asks(), &mut bench).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::Internal);
    }
}
