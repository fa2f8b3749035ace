//! The stored environment: real bytes through the project's own codec, torn at every byte.

use super::mistakes::Mistake;
use super::world::{Content, Copy, Violation, World};
use crate::boot::{BootMemory, bench};
use crate::model::{SlotId, Txn};
use std::collections::HashMap;

/// The length of a copy: room for all the variables, and some padding to tear in.
const LEN: usize = 320;

/// What an environment says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct View {
    pub(super) slot: SlotId,
    pub(super) good: SlotId,
    pub(super) txn: Option<Txn>,
    pub(super) trial: bool,
    pub(super) bootcount: u32,
    pub(super) fallback: Option<Txn>,
    pub(super) clean: u32,
}

impl View {
    fn of(said: &BootMemory) -> View {
        let said = said.clone();
        View {
            slot: said.slot.unwrap_or(SlotId::A),
            good: said.good.unwrap_or(SlotId::A),
            txn: said.txn,
            trial: said.trial,
            bootcount: said.bootcount,
            fallback: said.fallback,
            clean: said.clean,
        }
    }
}

/// A write onto a copy: what stood there, and what is to stand there.
type Write = (Copy, (u8, u16));

/// Every environment met so far, by number.
#[derive(Default)]
pub(super) struct Envs {
    all: Vec<(BootMemory, View)>,
    numbers: HashMap<Vec<u8>, u16>,
    edits: HashMap<(u16, u32), u16>,
    torn: HashMap<Write, Vec<Copy>>,
}

impl Envs {
    pub(super) fn number(&mut self, env: BootMemory) -> u16 {
        let bytes = bench::write_copy(&env, 0, LEN);
        let next = u16::try_from(self.all.len()).expect("few environments");
        *self.numbers.entry(bytes).or_insert_with(|| {
            let view = View::of(&env);
            self.all.push((env, view));
            next
        })
    }

    pub(super) fn view(&self, env: u16) -> &View {
        &self.all[usize::from(env)].1
    }

    /// `env` after `edit`, which `key` names.
    pub(super) fn edit(&mut self, env: u16, key: u32, edit: impl FnOnce(&mut BootMemory)) -> u16 {
        if let Some(known) = self.edits.get(&(env, key)) {
            return *known;
        }
        let mut edited = self.all[usize::from(env)].0.clone();
        edit(&mut edited);
        let number = self.number(edited);
        self.edits.insert((env, key), number);
        number
    }

    fn bytes(&self, copy: Copy) -> Option<Vec<u8>> {
        let (serial, env) = copy?;
        Some(bench::write_copy(&self.all[usize::from(env)].0, serial, LEN))
    }

    /// What a write that was cut can leave, over all bytes at which it can be: the first bytes
    /// are the new ones; the others the old ones, erased, or zero. Each is read by the real codec.
    fn tear(&mut self, write: Write) -> Vec<Copy> {
        if let Some(known) = self.torn.get(&write) {
            return known.clone();
        }
        let new = self.bytes(Some(write.1)).expect("alive");
        // Of a dead copy only that it is dead is kept: it reads as erased, or as half of this.
        let half = [&new[..LEN / 2], &[0xff; LEN - LEN / 2]].concat();
        let mut rests = vec![vec![0xff; LEN], vec![0; LEN], half];
        rests.extend(self.bytes(write.0));
        let mut outcomes = Vec::new();
        for at in 0..=LEN {
            for rest in &rests {
                let torn = [&new[..at], &rest[at..]].concat();
                let outcome = bench::said_by(&torn).map(|(env, serial)| (serial, self.number(env)));
                if !outcomes.contains(&outcome) {
                    outcomes.push(outcome);
                }
            }
        }
        self.torn.insert(write, outcomes.clone());
        outcomes
    }
}

/// Which copy U-Boot uses.
pub(super) fn chosen(world: &World, mistake: Option<Mistake>) -> Result<usize, Violation> {
    match world.copies {
        [Some((a, _)), Some((b, _))] if mistake == Some(Mistake::LargerSerialWins) => {
            Ok(usize::from(b > a))
        }
        [Some((a, _)), Some((b, _))] => Ok(bench::newer((a, b))),
        [Some(_), None] => Ok(0),
        [None, Some(_)] => Ok(1),
        [None, None] => Err(Violation::EnvironmentLost),
    }
}

/// The environment in force.
pub(super) fn env(world: &World, mistake: Option<Mistake>) -> Result<u16, Violation> {
    let copy = world.copies[chosen(world, mistake)?];
    copy.map(|(_, env)| env).ok_or(Violation::EnvironmentLost)
}

/// Far from the wrap only the order of serials matters, so that worlds that differ in nothing
/// else are one.
fn canonical(world: &mut World, newest: usize) {
    let [Some((a, _)), Some((b, _))] = world.copies else {
        if let Some((serial @ 4..=250, _)) = &mut world.copies[newest] {
            *serial = 100;
        }
        return;
    };
    if (4..=250).contains(&a) && (4..=250).contains(&b) {
        let top = a.max(b);
        if top - a.min(b) > 50 {
            return;
        }
        for (serial, _) in world.copies.iter_mut().flatten() {
            *serial = 100 - (top - *serial);
        }
    }
}

/// One write, to the copy that is not in force. Returns the world after it; the worlds in which
/// it was cut are added to `cut`.
pub(super) fn write(
    envs: &mut Envs,
    world: World,
    new: u16,
    mistake: Option<Mistake>,
    cut: &mut Vec<World>,
) -> Result<World, Violation> {
    let newest = chosen(&world, mistake)?;
    let target = if mistake == Some(Mistake::NewestCopyOverwritten) { newest } else { 1 - newest };
    let serial = world.copies[newest].map_or(0, |(serial, _)| serial);
    let serial = match mistake {
        Some(Mistake::SerialStuck) => serial.saturating_add(1),
        _ => serial.wrapping_add(1),
    };
    for outcome in envs.tear((world.copies[target], (serial, new))) {
        let mut torn = world;
        torn.copies[target] = outcome;
        landed(envs, &world, &mut torn, mistake)?;
        cut.push(torn);
    }
    let mut done = world;
    done.copies[target] = Some((serial, new));
    if chosen(&done, mistake)? != target {
        return Err(Violation::WriteWithoutEffect);
    }
    landed(envs, &world, &mut done, mistake)?;
    Ok(done)
}

/// What is true of a device after a write, by what was in force before and is now.
fn landed(
    envs: &Envs,
    before: &World,
    after: &mut World,
    mistake: Option<Mistake>,
) -> Result<(), Violation> {
    let newest = chosen(after, mistake)?;
    let (old, new) = (env(before, mistake)?, env(after, mistake)?);
    let (old, new) = (envs.view(old), envs.view(new));
    canonical(after, newest);
    if new.trial && (!old.trial || new.txn != old.txn) {
        (after.tried, after.ran) = (0, 0);
        let armed = after.content(new.slot);
        // A new trial, of a release that may have been committed before.
        after.kept &= !armed.bit();
        if !armed.is_whole() || new.txn.as_ref().is_some_and(|t| !t.names(&armed.digest())) {
            return Err(Violation::ArmedUnverified);
        }
    }
    if old.trial && !new.trial {
        let tried = before.content(old.slot);
        if new.slot == old.slot {
            if before.vouched & tried.bit() == 0 {
                return Err(Violation::ConfirmedUnchecked);
            }
            after.kept |= tried.bit();
            after.committed |= tried.bit();
        } else if new.fallback.is_some() && new.fallback == old.txn {
            if before.kept & tried.bit() != 0 && !before.rotten {
                return Err(Violation::CommitUndone);
            }
            for release in [Content::First, Content::Second] {
                let named = new.fallback.as_ref().is_some_and(|t| t.names(&release.digest()));
                after.fell |= if named { release.bit() } else { 0 };
            }
        }
    }
    Ok(())
}
