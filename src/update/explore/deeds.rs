//! What each effect does to a world, where it can be cut, and what it may not do.

use super::machine::Machine;
use super::mistakes::{self, Mistake};
use super::parts;
use super::world::{Content, Found, Violation, World};
use crate::boot::{BootChange, bench};
use crate::model::{ReasonCode, SlotId, Txn};
use crate::update::{Effect, Phase};

/// Names one part of an effect, done while this slot runs.
fn key(effect: u16, part: u32, booted: SlotId) -> u32 {
    (u32::from(effect) * 4 + part) * 2 + booted as u32
}

impl Machine {
    /// Does one effect.
    pub(super) fn run(
        &mut self,
        world: &World,
        number: u16,
        fate: &mut Vec<World>,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        let effect = self.effects.get(number).clone();
        let (booted, mut now) = (world.booted, *world);
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
                // A person may return to what fell, and what he merely disarmed stays welcome.
                if fell && !world.rotten && !world.person {
                    return Err(Violation::TriedAgain);
                }
                // What was cancelled is remembered for as long as the journal is.
                let stopped = world.stopped & world.content(slot).bit() != 0;
                if stopped && !world.lost {
                    return Err(Violation::TriedAgain);
                }
                BootChange::Arm { slot, good: booted, txn }
            }
            Effect::Disarm => BootChange::Disarm { booted },
            Effect::Commit { slot, txn } => {
                if self.mistake == Some(Mistake::RememberedFirst) {
                    now = self.remember_early(world, cut);
                    cut.push(now);
                }
                BootChange::Commit { slot, txn }
            }
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
            *env = bench::changed(env, &BootChange::Disarm { booted });
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
        let world = &self.before_writing(world, cut);
        cut.push(*world);
        let record = 1 << work.slot as u8;
        let comes = Content::of(work.digest);
        for left in parts::writing(self.scenario.parts, stood, comes, self.mistake) {
            let mut torn = *world;
            torn.slots[at] = left.content;
            torn.blank = if left.blank { world.blank | record } else { world.blank & !record };
            if !left.content.is_whole() && self.loads(&torn, work.slot) {
                return Err(Violation::TornOffersKernel);
            }
            if left.claims {
                return Err(Violation::RecordOfTorn);
            }
            if left.torn_part {
                return Err(Violation::TornOffersPart);
            }
            cut.push(torn);
        }
        // A record is written with the slot.
        let world = &World { blank: world.blank & !record, ..*world };
        let mut torn = *world;
        torn.slots[at] = Content::Torn;
        let mut done = World { found: Found::Written, ..*world };
        done.slots[at] = match (self.mistake, stood) {
            (Some(Mistake::ResumeTrusts), Content::Torn) => Content::Corrupt,
            _ => comes,
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
                let to_blame = matches!(
                    reason,
                    ReasonCode::HealthFailed | ReasonCode::HookVeto | ReasonCode::DeadlinePassed
                );
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
}
