//! What must hold of a world at rest.

use super::machine::{Machine, SHARED, bit, release, shop};
use super::world::{Nature, System, Violation, World};
use crate::apps::AppEnded;
use crate::apps::journal::{AppPhase, Cause};

impl Machine {
    pub(super) fn at_rest(&self, world: &World) -> Result<(), Violation> {
        let journal = self.journals.get(world.journal);
        let s = &self.scenario;
        match &journal.phase {
            AppPhase::Idle => {}
            // What was interrupted waits for its source, and what a person switches for the person.
            AppPhase::Staging(_) if world.cuts > 0 || world.failed || world.person => {}
            AppPhase::Staged(_) if s.stage || world.person || world.cuts > 0 => {}
            _ => return Err(Violation::LeftHalfway),
        }
        let set = journal.set_of(world.booted);
        let wanted = self.wanted(journal, &set);
        if journal.live != set || world.runs & wanted != wanted || set.is_empty() && !world.person {
            return Err(Violation::WrongSet);
        }
        if world.stopped && world.runs & (0b111 | SHARED) != 0 {
            return Err(Violation::StoppedRuns);
        }
        if world.runs & !self.containers_of_set(&set) != 0 {
            return Err(Violation::WrongSet);
        }
        let runs = set.get(&shop()).map_or(0, release);
        let bad = s.nature != Nature::Good;
        // What came with a system that was kept stays: there is no other set for it.
        let followed = s.joint && world.booted == world.home;
        if bad && runs == 2 && !followed {
            return Err(Violation::BadStays);
        }
        let cancelled = self.is_refused(journal, &set, world.offered);
        if world.offered > runs && !cancelled && journal.phase == AppPhase::Idle {
            return Err(Violation::OfferForgotten);
        }
        let idle = journal.phase == AppPhase::Idle && world.system == System::Committed;
        if idle && self.rubbish(world) {
            return Err(Violation::RubbishLeft);
        }
        if let Some(last) = &journal.last
            && matches!(last.change.cause, Cause::Asked(_))
            && journal.phase == AppPhase::Idle
        {
            let stays = last.outcome == AppEnded::Updated;
            let is_there = last.change.moves.iter().all(|m| set.get(&m.app) == m.to.as_ref());
            // A later system may have another set.
            if stays != is_there && s.systems == 0 {
                return Err(Violation::UntrueStory);
            }
        }
        self.promised(world, runs)
    }

    /// Where nothing disturbs it, it ends as its nature says.
    fn promised(&self, world: &World, runs: u8) -> Result<(), Violation> {
        let s = &self.scenario;
        if world.cuts > 0 || world.person || world.failed || world.ended || s.newer || s.stage {
            return Ok(());
        }
        let good = s.nature == Nature::Good && !(s.full && s.copies);
        let want = match () {
            () if s.systems > 0 && (world.systems == 0 || world.written) => return Ok(()),
            () if s.systems > 0 && s.joint => {
                if good && !s.bad_system {
                    2
                } else {
                    1
                }
            }
            () if world.offered == 2 => {
                if good {
                    2
                } else {
                    1
                }
            }
            () => 1,
        };
        let came_back = !good && world.offered == 2;
        let refused = self.journals.get(world.journal).refused.iter().any(|r| r.digest.0[0] == 2);
        if runs != want || good && refused || came_back && !refused {
            return Err(Violation::Promise);
        }
        let kept = self.journals.get(world.journal).previous.values().flatten();
        let before = kept.fold(0, |all, g| all | bit(release(g)));
        if runs == 2 && before & bit(1) == 0 { Err(Violation::Promise) } else { Ok(()) }
    }
}
