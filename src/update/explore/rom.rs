//! The bootloader by the rules of boot.cmd and altboot.cmd, its own writes torn as any other.

use super::machine::Machine;
use super::mistakes::Mistake;
use super::world::{Board, Content, Nature, Violation, World};
use crate::boot::BootMemory;
use crate::model::SlotId;

/// Boots that a trial has.
pub(super) const LIMIT: u32 = 3;

const COUNT: u32 = u32::MAX;
const GIVE_UP: u32 = u32::MAX - 1;

impl Machine {
    /// One boot from power to kernel. Returns the world in which something runs, or in which
    /// nothing came up and the watchdog has reset it; cuts are added to `cut`.
    pub(super) fn boot(&mut self, world: World, cut: &mut Vec<World>) -> Result<World, Violation> {
        let mut world = world;
        let mut view = self.view(&world)?;
        let board = self.scenario.board;
        if board == Board::Deaf {
            return self.start(world, self.scenario.home);
        }
        if view.trial {
            let count = view.bootcount + 1;
            let unlimited = self.mistake == Some(Mistake::NoLimit);
            let over = count > LIMIT && !unlimited;
            // U-Boot counts before it looks at the limit; the script does not count a boot that
            // it does not try.
            if board == Board::Uboot || board == Board::Script && !over {
                let env = self.env(&world)?;
                let count = if unlimited { count.min(2) } else { count };
                let counted = self.envs.edit(env, COUNT - 16 - count, |env| {
                    env.bootcount = count;
                });
                world = self.write(world, counted, cut)?;
            }
            if over || !self.loads(&world, view.slot) {
                world = self.give_up(world, cut)?;
            }
            view = self.view(&world)?;
        }
        let slot = if self.loads(&world, view.slot) { view.slot } else { view.slot.other() };
        if !self.loads(&world, slot) {
            return Err(Violation::Brick);
        }
        self.start(world, slot)
    }

    fn start(&mut self, mut world: World, slot: SlotId) -> Result<World, Violation> {
        let content = world.content(slot);
        if !content.is_whole() {
            return Err(Violation::TornRuns);
        }
        let view = self.view(&world)?;
        if view.trial && view.slot == slot {
            world.tried += 1;
            if u32::from(world.tried) > LIMIT + crate::boot::GIVE_BACK_MAX && !world.rotten {
                return Err(Violation::TrialTooLong);
            }
        }
        if content == Content::First && self.scenario.nature == Nature::Panics {
            return Ok(world);
        }
        (world.on, world.booted) = (true, slot);
        // Only whether it is the boot of the journal matters.
        world.boot = self.other_boot(world.journal);
        Ok(world)
    }

    /// altbootcmd.
    fn give_up(&mut self, world: World, cut: &mut Vec<World>) -> Result<World, Violation> {
        let env = self.env(&world)?;
        let mistake = self.mistake;
        let after = self.envs.edit(env, GIVE_UP, |env| give_up(env, mistake));
        self.write(world, after, cut)
    }

    pub(super) fn loads(&self, world: &World, slot: SlotId) -> bool {
        match world.content(slot) {
            Content::Torn => false,
            Content::First => self.scenario.nature != Nature::Unbootable,
            _ => true,
        }
    }
}

fn give_up(env: &mut BootMemory, mistake: Option<Mistake>) {
    if mistake == Some(Mistake::FallbackToggles) {
        env.slot = Some(env.slot.unwrap_or(SlotId::A).other());
        return;
    }
    env.slot = Some(env.good.unwrap_or(SlotId::A));
    (env.trial, env.bootcount) = (false, 0);
    if mistake != Some(Mistake::GivenUpWithoutName) {
        env.fallback.clone_from(&env.txn);
    }
}
