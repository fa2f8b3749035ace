//! What each effect does to a world, where it can be cut, and what it may not do.

use super::machine::{Machine, bit, release};
use super::mistakes::Mistake;
use super::world::{Found, NO_COPY, Nature, System, TORN, Violation, World};
use crate::apps::AppEffect;
use crate::apps::journal::{AppJournal, AppPhase, AppSet, Cause, Change};

/// Looks in which nothing is decided before time is over.
pub(super) const LOOKS: u8 = 2;

/// Who starts containers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Starts {
    /// The new side of a change.
    New,
    /// A set that counts.
    Old,
}

/// What a volume holds after another write by this release.
fn written(volume: u8, by: u8) -> u8 {
    let turn = if volume != TORN && volume / 8 == by { (volume % 8 + 1) % 3 } else { 0 };
    by * 8 + turn
}

impl Machine {
    /// Does one effect. Half of it is pushed to `cut`.
    pub(super) fn run(
        &mut self,
        world: &World,
        number: u16,
        fate: &mut Vec<World>,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        let effect = self.effects.get(number).clone();
        if self.scenario.flaky && !world.failed && effect != AppEffect::Collect {
            let found = match effect {
                AppEffect::Stage(_) => Found::NotStaged,
                _ => Found::EngineFailed,
            };
            fate.push(World { failed: true, found, ..*world });
        }
        let journal = self.journals.get(world.journal).clone();
        let mut now = World { found: Found::Nothing, ..*world };
        match &effect {
            AppEffect::Stage(change) => Ok(self.stage(now, change, cut)),
            AppEffect::StopOld(change) => self.stop(now, &journal, change, false, cut),
            AppEffect::StopNew(change) => self.stop(now, &journal, change, true, cut),
            AppEffect::CopyVolumes(_) if self.scenario.full => {
                Ok(World { found: Found::Failed, ..now })
            }
            AppEffect::CopyVolumes(change) => {
                (now.copy, now.copy_of) = (now.volume, change.number as u8);
                Ok(now)
            }
            AppEffect::RestoreVolumes(change)
                if self.scenario.lost
                    || now.copy == NO_COPY
                    || now.copy_of != change.number as u8 =>
            {
                Ok(World { found: Found::Failed, ..now })
            }
            AppEffect::RestoreVolumes(_) => {
                cut.push(World { volume: TORN, ..now });
                (now.volume, now.found) = (now.copy, Found::Restored);
                Ok(now)
            }
            AppEffect::StartNew(change) => self.start_new(now, &journal, change, cut),
            AppEffect::StartOld(change) => {
                let (_, should) = self.side(&journal, change, false);
                now = self.start_all(now, should, Starts::Old, cut)?;
                Ok(World { found: Found::Started, ..now })
            }
            AppEffect::Check(change) => Ok(self.check(now, &journal, change)),
            AppEffect::Collect => self.collect(now, &journal, cut),
        }
    }

    fn stage(&self, mut now: World, change: &Change, cut: &mut Vec<World>) -> World {
        let wanted = change.moves.iter().filter_map(|m| m.to.as_ref());
        let missing = wanted.fold(0, |all, g| all | bit(release(g))) & !now.synced;
        now.loose |= missing;
        cut.push(now);
        if self.mistake != Some(Mistake::NoSync) {
            now.synced |= now.loose;
            now.loose = 0;
        }
        now.found = Found::Staged;
        now
    }

    fn stop(
        &self,
        mut now: World,
        journal: &AppJournal,
        change: &Change,
        new: bool,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        let ((all, _), (_, others)) =
            (self.side(journal, change, new), self.side(journal, change, !new));
        let keeps = if self.mistake == Some(Mistake::SharedStopped) { 0 } else { others };
        for container in (0..8).map(|n| 1 << n).filter(|c| all & !keeps & c != 0) {
            if now.runs & container & others != 0 {
                return Err(Violation::UnchangedStopped);
            }
            now.runs &= !container;
            cut.push(now);
        }
        Ok(now)
    }

    fn start_new(
        &self,
        now: World,
        journal: &AppJournal,
        change: &Change,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        let (_, should) = self.side(journal, change, true);
        let bad = self.is_bad(change);
        if bad && self.scenario.nature == Nature::NeverStarts {
            let mut now = self.start_all(now, should, Starts::New, cut)?;
            now.runs &= !self.spec(2);
            return Ok(World { found: Found::Failed, ..now });
        }
        let mut now = self.start_all(now, should, Starts::New, cut)?;
        now.found = Found::Started;
        if bad && self.scenario.nature == Nature::Ends {
            now.runs &= !self.spec(2);
        }
        if bad && self.scenario.nature == Nature::Panics {
            return Ok(now.off());
        }
        Ok(now)
    }

    /// Whether the change brings the release that may be bad.
    pub(super) fn is_bad(&self, change: &Change) -> bool {
        let second = |m: &crate::apps::AppMove| m.to.as_ref().is_some_and(|g| release(g) == 2);
        self.scenario.nature != Nature::Good && change.moves.iter().any(second)
    }

    /// Starts what of these does not run.
    pub(super) fn start_all(
        &self,
        mut now: World,
        containers: u8,
        who: Starts,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        let missing = containers & !now.runs;
        for container in (0..8).map(|n| 1 << n).filter(|c| missing & c != 0) {
            now.runs |= container;
            let own = (1..=3).find(|r| self.spec(*r) == container);
            if (now.runs & 0b111).count_ones() > 1 {
                return Err(Violation::Mixed);
            }
            if let Some(release) = own {
                let spoilt = match who {
                    Starts::Old => now.volume != now.left,
                    // An older release may only run on newer data where a person wants it.
                    Starts::New => now.volume / 8 > release && !now.person,
                };
                if spoilt && self.scenario.copies && !self.scenario.lost {
                    return Err(Violation::DataLost);
                }
                now.volume = written(now.volume, release);
                if who == Starts::Old {
                    now.left = now.volume;
                }
            }
            cut.push(now);
        }
        Ok(now)
    }

    fn check(&self, mut now: World, journal: &AppJournal, change: &Change) -> World {
        let (_, should) = self.side(journal, change, true);
        let bad = self.is_bad(change);
        now.found = match self.scenario.nature {
            Nature::Late if bad && now.looks < LOOKS => Found::Undecided,
            _ if bad => Found::Unhealthy,
            _ if now.runs & should != should => Found::Unhealthy,
            _ => Found::Healthy,
        };
        if now.found == Found::Healthy {
            let new = change.moves.iter().filter_map(|m| m.to.as_ref());
            now.vouched |= new.fold(0, |all, g| all | bit(release(g)));
        }
        now
    }

    fn collect(
        &self,
        mut now: World,
        journal: &AppJournal,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        if now.system != System::Committed || journal.phase != AppPhase::Idle {
            return Err(Violation::CollectedInTrial);
        }
        let needed = match self.mistake {
            Some(Mistake::OtherSlotCollected) => {
                let runs = journal.live.values().fold(0, |all, g| all | bit(release(g)));
                let kept = journal.previous.values().flatten();
                kept.fold(runs, |all, g| all | bit(release(g)))
            }
            _ => self.needed(journal),
        };
        now.synced &= needed;
        now.loose &= needed;
        cut.push(now);
        now.copy = NO_COPY;
        now.copy_of = 0;
        Ok(now)
    }

    /// A journal is written: what it says must be true.
    pub(super) fn keep(&self, world: &World, next: u16) -> Result<World, Violation> {
        let (old, new) = (self.journals.get(world.journal), self.journals.get(next));
        let mut now = World { journal: next, found: Found::Nothing, looks: 0, ..*world };
        // With this mistake what was found is not used up.
        if self.mistake == Some(Mistake::FindingKept) {
            now.found = world.found;
        }
        if new.phase == AppPhase::Idle
            && let Some(change) = old.change()
        {
            self.ends(world, old, new, change)?;
            let (stays, copies) = (new.live != old.live, self.scenario.copies);
            if stays || !copies || self.scenario.lost {
                now.left = now.volume;
            }
            now.vouched = 0;
            if stays && matches!(change.cause, Cause::Asked(_)) {
                now.stopped = false;
            }
        }
        if let (AppPhase::Trying { change, .. }, AppPhase::Returning { reason, .. }) =
            (&old.phase, &new.phase)
            && matches!(change.cause, Cause::Asked(_))
            && (self.is_bad(change) && *reason != crate::model::ReasonCode::EngineFailed)
            && *reason != crate::model::ReasonCode::Requested
            && *reason != crate::model::ReasonCode::TrialPending
        {
            now.fell |= bit(2);
        }
        Ok(now)
    }

    fn ends(
        &self,
        world: &World,
        old: &AppJournal,
        new: &AppJournal,
        change: &Change,
    ) -> Result<(), Violation> {
        if new.live == old.live {
            return Ok(());
        }
        match change.cause {
            Cause::Asked(_) => {
                let new = change.moves.iter().filter_map(|m| m.to.as_ref());
                let brought = new.fold(0, |all, g| all | bit(release(g)));
                let checked = brought & !world.vouched == 0;
                if checked { Ok(()) } else { Err(Violation::CommittedUnchecked) }
            }
            Cause::Slot(_) if world.system == System::Trial || world.system == System::Leaving => {
                Err(Violation::CommittedInTrial)
            }
            Cause::Slot(_) => Ok(()),
        }
    }

    /// What must hold of every world.
    pub(super) fn holds(&self, world: &World) -> Result<(), Violation> {
        let journal = self.journals.get(world.journal);
        let images = |set: &AppSet| set.values().fold(0, |all, g| all | bit(release(g)));
        let mut needed =
            journal.sets.iter().flatten().fold(images(&journal.live), |all, set| all | images(set));
        needed |= journal.previous.values().flatten().fold(0, |all, g| all | bit(release(g)));
        if needed & !world.synced != 0 {
            return Err(Violation::NeededGone);
        }
        let change = journal.change();
        let brings = change.map_or(0, |c| {
            let new = c.moves.iter().filter_map(|m| m.to.as_ref());
            new.fold(0, |all, g| all | bit(release(g)))
        });
        let staged = !matches!(journal.phase, AppPhase::Idle | AppPhase::Staging(_));
        if staged && brings & !world.synced != 0 {
            return Err(Violation::StagedUnsynced);
        }
        let Some(Change { cause: Cause::Asked(order), .. }) = change else { return Ok(()) };
        let switched = matches!(journal.phase, AppPhase::Switching(_) | AppPhase::Trying { .. });
        if switched && world.system != System::Committed {
            return Err(Violation::TwoTrials);
        }
        let again = order.automatic && brings & world.fell != 0;
        let begun = !matches!(journal.phase, AppPhase::Returning { .. });
        if again && begun { Err(Violation::TriedAgain) } else { Ok(()) }
    }
}
