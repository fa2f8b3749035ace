//! Where one world can go: the next step, what others do in between, and every cut.

use super::machine::{Machine, Said};
use super::mistakes::{self, Mistake};
use super::world::{Ask, Content, Found, Nature, Violation, World};
use crate::boot::BootChange;
use crate::boot::uboot::apply;
use crate::model::{ReasonCode, SlotId, Txn};
use crate::update::{Effect, Phase, State};

/// Names one part of an effect, done while this slot runs.
fn key(effect: u16, part: u32, booted: SlotId) -> u32 {
    (u32::from(effect) * 4 + part) * 2 + booted as u32
}

/// The worlds next to one.
#[derive(Default)]
pub(super) struct Next {
    /// The step that follows if nothing happens; none at rest.
    pub(super) calm: Option<World>,
    /// What somebody else may do first.
    pub(super) fate: Vec<World>,
    /// After a cut.
    pub(super) cut: Vec<World>,
}

impl Machine {
    pub(super) fn next(&mut self, world: &World, max_cuts: u8) -> Result<Next, Violation> {
        let mut next = Next::default();
        let mut cut = Vec::new();
        if !world.on {
            let up = self.boot(*world, &mut cut)?;
            // A boot that came to nothing resets the board; it may have got through its writes.
            next.calm = Some(up);
        } else {
            next.calm = self.step(world, &mut next.fate, &mut cut)?;
            self.others(world, &mut next.fate)?;
            cut.push(*world);
        }
        if world.cuts >= max_cuts {
            return Ok(next);
        }
        let dark = cut.into_iter().map(World::cut).collect::<Vec<_>>();
        next.cut.extend(dark);
        if world.on && !world.lost {
            let mut lost = world.cut();
            (lost.journal, lost.lost, lost.ran) = (self.empty_journal(), true, 0);
            next.cut.push(lost);
        }
        if world.on
            && self.scenario.rot
            && !world.rotten
            && world.copies.iter().all(Option::is_some)
        {
            let newest = super::flash::chosen(world, self.mistake)?;
            let mut rotten = world.cut();
            (rotten.copies[newest], rotten.rotten) = (None, true);
            next.cut.push(rotten);
        }
        next.cut.retain(|w| w.on != world.on || w.copies != world.copies);
        Ok(next)
    }

    /// Whether the new system runs and is undecided.
    fn on_trial(&self, world: &World) -> Result<bool, Violation> {
        let view = self.view(world)?;
        let returning = matches!(self.journals.get(world.journal).phase, Phase::Returning { .. });
        Ok(view.trial && view.slot == world.booted && !returning)
    }

    /// An offer turns up, time passes, somebody reboots the device in good order.
    fn others(&mut self, world: &World, fate: &mut Vec<World>) -> Result<(), Violation> {
        if self.scenario.offer && !world.offered {
            fate.push(World { offered: true, ..*world });
        }
        if self.scenario.person && !world.person && world.ask != Some(Ask::Leave) {
            let (ask, found) = (Some(Ask::Rollback), Found::Nothing);
            fate.push(World { ask, found, person: true, ..*world });
        }
        if world.ask == Some(Ask::Leave) || !self.on_trial(world)? {
            return Ok(());
        }
        if self.scenario.orderly {
            fate.push(World { ask: Some(Ask::Leave), found: Found::Nothing, ..*world });
        }
        if self.scenario.nature == Nature::Hangs && world.ran + world.up < self.scenario.deadline()
        {
            fate.push(World { up: world.up + 1, ..*world });
        }
        Ok(())
    }

    fn step(
        &mut self,
        world: &World,
        fate: &mut Vec<World>,
        cut: &mut Vec<World>,
    ) -> Result<Option<World>, Violation> {
        let ask = match world.ask {
            Some(ask) => ask,
            None => self.next_ask(world)?,
        };
        let said = self.decide(world, ask)?;
        let asked = World { ask: Some(ask), ..*world };
        self.in_time(world, said)?;
        match said {
            Said::Persist(journal) => {
                let mut kept = asked;
                if let Some(early) = mistakes::deed_before_journal(self, world, journal) {
                    kept = self.run(&asked, early, fate, cut)?;
                    cut.push(kept);
                }
                kept.journal = journal;
                self.told(&kept)?;
                Ok(Some(kept))
            }
            Said::Run(effect) => self.run(&asked, effect, fate, cut).map(Some),
            Said::Wait | Said::Refuse if ask == Ask::Leave => {
                let mut left = world.off();
                left.ran = world.ran.saturating_add(world.up);
                Ok(Some(left))
            }
            Said::Wait | Said::Refuse if world.found != Found::Nothing => {
                // Not decided: time passes, and it is asked again.
                let passes = u8::from(world.found == Found::Unknown);
                Ok(Some(World {
                    ask: None,
                    found: Found::Nothing,
                    up: world.up + passes,
                    ..*world
                }))
            }
            Said::Wait | Said::Refuse => {
                let idle = World { ask: None, ..*world };
                if self.next_ask(&idle)? != ask {
                    return Ok(Some(idle));
                }
                // Only a device that says so is rebooted by the one who runs it.
                let journal = self.journals.get(world.journal);
                Ok((State::of(journal) == State::Switching).then(|| world.off()))
            }
        }
    }

    /// Past its deadline a trial may only be left.
    fn in_time(&self, world: &World, said: Said) -> Result<(), Violation> {
        let time = world.ran.saturating_add(world.up);
        let trying = matches!(self.journals.get(world.journal).phase, Phase::Trying { .. });
        if !trying || world.rotten || time < self.scenario.deadline() || !self.on_trial(world)? {
            return Ok(());
        }
        match said {
            Said::Persist(next)
                if matches!(self.journals.get(next).phase, Phase::Returning { .. }) =>
            {
                Ok(())
            }
            _ => Err(Violation::TrialTooLong),
        }
    }

    /// A journal may not tell of an update that nobody vouched for.
    fn told(&self, world: &World) -> Result<(), Violation> {
        let view = self.view(world)?;
        let journal = self.journals.get(world.journal);
        let updated = journal.last.as_ref().is_some_and(|l| {
            l.outcome == crate::update::Ended::Updated && l.work.slot == world.booted
        });
        let runs = world.content(world.booted);
        let news = journal.phase == Phase::Idle && !view.trial && view.slot == world.booted;
        if news && updated && world.vouched & runs.bit() == 0 {
            return Err(Violation::ConfirmedUnchecked);
        }
        Ok(())
    }

    /// Does one effect.
    pub(super) fn run(
        &mut self,
        world: &World,
        number: u16,
        fate: &mut Vec<World>,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        let effect = self.effects.get(number).clone();
        let booted = world.booted;
        let change = match effect {
            Effect::SettleEnv => return self.settle(world, number, cut),
            Effect::WriteSlot(work) => {
                return self.write_slot(world, &work, fate, cut);
            }
            Effect::CheckHealth => {
                let mut checked = World { found: self.health(world), ..*world };
                if checked.found == Found::Healthy {
                    checked.vouched |= world.content(booted).bit();
                }
                return Ok(checked);
            }
            Effect::Arm { slot, txn } => {
                if !world.content(slot).is_whole() {
                    return Err(Violation::ArmedUnverified);
                }
                let fell = world.fell & world.content(slot).bit() != 0;
                if fell && !world.rotten && !world.person {
                    return Err(Violation::TriedAgain);
                }
                BootChange::Arm { slot, good: booted, txn }
            }
            Effect::Disarm => BootChange::Disarm { booted },
            Effect::Commit { slot, txn } => BootChange::Commit { slot, txn },
            Effect::FallBack { to, txn } => {
                let view = self.view(world)?;
                let stays = world.kept & world.content(booted).bit() != 0;
                if stays && !view.trial && view.slot == booted {
                    return Err(Violation::CommitUndone);
                }
                self.knows_why(world, &txn)?;
                BootChange::FallBack { to, txn }
            }
            Effect::GiveBack => BootChange::GiveBack,
        };
        let mut now = *world;
        for part in mistakes::writes(self.mistake, &change) {
            let env = self.env(&now)?;
            let key = key(number, part, booted);
            let mistake = self.mistake;
            let after = self.envs.edit(env, key, |env| {
                mistakes::change(mistake, env, &change, part);
            });
            if after != env {
                now = self.write(now, after, cut)?;
            }
        }
        Ok(now)
    }

    fn settle(
        &mut self,
        world: &World,
        number: u16,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        let (mut now, booted) = (*world, world.booted);
        let env = self.env(world)?;
        let after = self.envs.edit(env, key(number, 0, booted), |env| {
            apply(env, &BootChange::Disarm { booted }).expect("our own words");
        });
        for _ in 0..2 {
            if !self.settled(&now) {
                now = self.write(now, after, cut)?;
            }
        }
        Ok(now)
    }

    fn write_slot(
        &mut self,
        world: &World,
        work: &crate::update::Work,
        fate: &mut Vec<World>,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        let names_it = world.copies.iter().flatten().any(|(_, env)| {
            let view = self.envs.view(*env);
            view.slot == work.slot || view.trial
        });
        if work.slot == world.booted || names_it {
            return Err(Violation::WroteNeeded);
        }
        let at = work.slot as usize;
        let stood = world.slots[at];
        let mut torn = *world;
        torn.slots[at] = match self.mistake {
            Some(Mistake::SuperblockLeft) => Content::TornBootable,
            _ => Content::Torn,
        };
        if self.loads(&torn, work.slot) {
            return Err(Violation::TornOffersKernel);
        }
        cut.push(torn);
        let mut done = World { found: Found::Written, ..*world };
        done.slots[at] = match (self.mistake, stood) {
            (Some(Mistake::ResumeTrusts), Content::Torn) => Content::Corrupt,
            _ => Content::of(work.digest),
        };
        if self.scenario.flaky && !world.failed {
            let mut bad = World { failed: true, found: Found::NotWritten, ..torn };
            if self.mistake == Some(Mistake::NoReadBack) {
                bad.found = Found::Written;
                bad.slots[at] = Content::Corrupt;
            }
            fate.push(bad);
        }
        Ok(done)
    }

    /// The reason of a decision is in the journal before the flip, and so is the denial.
    fn knows_why(&self, world: &World, txn: &Txn) -> Result<(), Violation> {
        let journal = self.journals.get(world.journal);
        let ended = journal.last.as_ref().and_then(|l| l.txn.as_ref()) == Some(txn);
        match &journal.phase {
            Phase::Idle if ended => Ok(()),
            Phase::Returning { work, reason, .. } => {
                let to_blame =
                    matches!(reason, ReasonCode::HealthFailed | ReasonCode::DeadlinePassed);
                // Where the journal was lost nobody knows the release by its whole name.
                let nameless = work.digest == crate::model::Digest::NONE;
                match !to_blame || nameless || self.denies(world, &work.digest) {
                    true => Ok(()),
                    false => Err(Violation::FlippedFirst),
                }
            }
            _ => Err(Violation::FlippedFirst),
        }
    }

    fn empty_journal(&mut self) -> u16 {
        self.journals.number(crate::update::Journal::default())
    }
}
