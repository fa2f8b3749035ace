//! Cuts the power before, inside and after every effect and every write, and asks of every world
//! it meets: is there a complete system to boot, and does the device come to rest?
//!
//! The environment here is the real one in small: two copies, a serial, the variables of the
//! contract, torn writes. The bootloader counts, falls back and gives way as boot.cmd does.

use super::*;
use crate::model::{Digest, ReasonCode, SlotId, Txn};
use std::collections::{HashMap, HashSet};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Vars {
    slot: SlotId,
    good: SlotId,
    txn: Option<Txn>,
    trial: bool,
    bootcount: u32,
    fallback: Option<Txn>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Content {
    Old,
    New,
    Torn,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Nature {
    Good,
    Unhealthy,
    Unbootable,
    Panics,
}

/// A device made of values: cheap to clone, so every cut is a branch.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    slots: [Content; 2],
    copies: [Option<Vars>; 2],
    newest: usize,
    journal: Journal,
    lost_journal: bool,
    booted: SlotId,
    boots: u32,
    done: Option<Done>,
    cuts: u32,
    nature: Nature,
}

const LIMIT: u32 = 3;

fn work() -> Work {
    let (from, to) = (Named::default(), Named::default());
    Work { digest: Digest::of(b"new"), slot: SlotId::B, partitions: vec![], from, to }
}

/// Where the power goes while something is written.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    None,
    Before,
    Torn,
    After,
}

const CUTS: [Cut; 3] = [Cut::Before, Cut::Torn, Cut::After];

impl World {
    fn new(nature: Nature) -> World {
        let vars = Vars {
            slot: SlotId::A,
            good: SlotId::A,
            txn: None,
            trial: false,
            bootcount: 0,
            fallback: None,
        };
        World {
            slots: [Content::Old, Content::Torn],
            copies: [Some(vars.clone()), Some(vars)],
            newest: 0,
            journal: Journal::default(),
            lost_journal: false,
            booted: SlotId::A,
            boots: 0,
            done: None,
            cuts: 0,
            nature,
        }
    }

    fn content(&self, slot: SlotId) -> Content {
        self.slots[slot as usize]
    }

    fn env(&self) -> &Vars {
        let chosen = self.copies[self.newest].as_ref().or(self.copies[1 - self.newest].as_ref());
        chosen.unwrap_or_else(|| panic!("both environment copies are lost: {self:?}"))
    }

    /// One environment write: only the stale copy is touched. False if the power went.
    fn write_env(&mut self, vars: Vars, cut: Cut) -> bool {
        let alive = if self.copies[self.newest].is_some() { self.newest } else { 1 - self.newest };
        let stale = 1 - alive;
        match cut {
            Cut::Before => return false,
            Cut::Torn => self.copies[stale] = None,
            Cut::After | Cut::None => {
                self.copies[stale] = Some(vars);
                self.newest = stale;
            }
        }
        cut == Cut::None
    }

    fn facts(&self, wish: Wish) -> Facts {
        let env = self.env();
        let settled = self
            .copies
            .iter()
            .all(|c| c.as_ref().is_some_and(|v| v.slot == self.booted && !v.trial));
        let target = match self.content(SlotId::B) {
            Content::New => Target::Recorded(work().digest),
            Content::Old | Content::Torn => Target::Nothing,
        };
        Facts {
            booted: self.booted,
            boot_id: self.boots.to_string(),
            env: EnvView {
                slot: Some(env.slot),
                txn: env.txn.clone(),
                trial: env.trial,
                bootcount: env.bootcount,
                fallback: env.fallback.clone(),
                clean: 0,
                settled,
            },
            target,
            wish,
            done: self.done.clone(),
            up: 0,
            rules: Rules::default(),
            now: 0,
        }
    }

    /// What the one who runs the device asks for, from what he can see.
    fn wish(&self) -> Wish {
        let journal = at_rest(&self.journal, &self.facts(Wish::Settle));
        match State::of(&journal) {
            State::Trying => Wish::Commit(None),
            State::Idle | State::Installing | State::Staged => Wish::Install(work(), Then::Switch),
            _ => Wish::Settle,
        }
    }

    /// True if what was asked for waits for a reboot.
    fn wants_reboot(&self) -> bool {
        matches!(self.journal.phase, Phase::Switching { .. } | Phase::Returning { .. })
            || self.env().slot != self.booted && !self.env().trial
    }

    /// One boot by the rules of boot.cmd on a board that counts by itself. `cut` falls on the
    /// `at`-th environment write of this boot. Returns false if the power went.
    fn boot(&mut self, cut: Cut, at: u32) -> bool {
        self.boots = (self.boots + 1) % 4;
        self.done = None;
        let mut writes = 0;
        let now = |w: u32| if w == at { cut } else { Cut::None };
        if self.env().trial {
            let mut vars = self.env().clone();
            vars.bootcount += 1;
            let over = vars.bootcount > LIMIT;
            if !self.write_env(vars, now(writes)) {
                return false;
            }
            writes += 1;
            if (over || !self.kernel_loads(self.env().slot)) && !self.give_up(now(writes)) {
                return false;
            }
        }
        let wanted = self.env().slot;
        let slot = if self.kernel_loads(wanted) { wanted } else { wanted.other() };
        assert!(self.kernel_loads(slot), "BRICK: {self:?}");
        assert_ne!(self.content(slot), Content::Torn, "a torn slot runs: {self:?}");
        self.booted = slot;
        !(self.content(slot) == Content::New && self.nature == Nature::Panics)
    }

    fn give_up(&mut self, cut: Cut) -> bool {
        let mut vars = self.env().clone();
        (vars.slot, vars.trial, vars.bootcount) = (vars.good, false, 0);
        vars.fallback = vars.txn.clone();
        self.write_env(vars, cut)
    }

    fn kernel_loads(&self, slot: SlotId) -> bool {
        match self.content(slot) {
            Content::Old => true,
            Content::New => self.nature != Nature::Unbootable,
            Content::Torn => false,
        }
    }

    /// Boots until something stays up.
    fn power_on(mut self) -> World {
        for _ in 0..16 {
            if self.boot(Cut::None, 0) {
                return self;
            }
        }
        panic!("never comes up: {self:?}")
    }

    /// Does one effect, with the power going at `cut`. False if it went.
    fn run(&mut self, effect: &Effect, cut: Cut) -> bool {
        self.done = None;
        let mut vars = self.env().clone();
        match effect {
            Effect::SettleEnv => {
                (vars.slot, vars.trial, vars.bootcount) = (self.booted, false, 0);
                // At most two writes; cutting the first covers both, as the loop comes again.
                return self.write_env(vars.clone(), cut) && self.write_env(vars, Cut::None);
            }
            Effect::WriteSlot(work) => {
                assert_ne!(work.slot, self.booted, "wrote the running slot");
                for copy in &self.copies {
                    let safe = copy.as_ref().is_some_and(|v| v.slot != work.slot && !v.trial);
                    assert!(safe, "wrote a slot that a copy may boot: {self:?}");
                }
                if cut == Cut::Before {
                    return false;
                }
                self.slots[work.slot as usize] =
                    if cut == Cut::Torn { Content::Torn } else { Content::New };
                self.done = Some(Done::Written);
            }
            Effect::Arm { slot, txn } => {
                assert_eq!(self.content(*slot), Content::New, "armed an unverified slot");
                (vars.good, vars.slot, vars.trial, vars.bootcount) = (self.booted, *slot, true, 0);
                (vars.txn, vars.fallback) = (Some(txn.clone()), None);
                return self.write_env(vars, cut);
            }
            Effect::Disarm => {
                (vars.slot, vars.trial, vars.bootcount) = (self.booted, false, 0);
                return self.write_env(vars, cut);
            }
            Effect::CheckHealth => {
                let bad =
                    self.content(self.booted) == Content::New && self.nature == Nature::Unhealthy;
                self.done =
                    Some(if bad { Done::Unhealthy("x".into()) } else { Done::Healthy("x".into()) });
            }
            Effect::Commit { slot, .. } => {
                assert_eq!(*slot, self.booted, "committed another slot than the running one");
                let healthy = matches!(self.nature, Nature::Good);
                assert!(healthy || self.content(*slot) == Content::Old, "confirmed without health");
                (vars.slot, vars.trial, vars.bootcount) = (*slot, false, 0);
                return self.write_env(vars, cut);
            }
            Effect::GiveBack => unreachable!("nobody leaves in good order here"),
            Effect::FallBack { to, txn } => {
                (vars.slot, vars.trial, vars.bootcount) = (*to, false, 0);
                vars.fallback = Some(txn.clone());
                return self.write_env(vars, cut);
            }
        }
        cut == Cut::None
    }

    /// The worlds that one step leads to; empty at rest.
    fn next(&self, max_cuts: u32) -> Vec<World> {
        let mut worlds = Vec::new();
        let mut cut_worlds = |mut world: World, act: &dyn Fn(&mut World, Cut)| {
            if self.cuts >= max_cuts {
                return;
            }
            for cut in CUTS {
                let mut cut_world = world.clone();
                cut_world.cuts += 1;
                act(&mut cut_world, cut);
                worlds.push(cut_world.clone().power_on());
                // And the power goes again while the bootloader writes.
                for at in 0..2 {
                    for again in CUTS.iter().filter(|_| cut_world.cuts < max_cuts) {
                        let mut twice = cut_world.clone();
                        twice.cuts += 1;
                        twice.boot(*again, at);
                        worlds.push(twice.power_on());
                    }
                }
            }
            world.done = None;
        };
        match decide(&self.journal, &self.facts(self.wish())) {
            Step::Refuse(_) | Step::Wait if self.wants_reboot() => {
                cut_worlds(self.clone(), &|_, _| ());
                worlds.push(self.clone().power_on());
            }
            Step::Refuse(_) | Step::Wait => {}
            Step::Persist(journal) => {
                let mut ok = self.clone();
                ok.journal = journal.clone();
                ok.done = None;
                cut_worlds(self.clone(), &|world, cut| {
                    if cut == Cut::After {
                        world.journal = journal.clone();
                    }
                });
                worlds.push(ok);
            }
            Step::Run(effect) => {
                cut_worlds(self.clone(), &|world, cut| {
                    world.run(&effect, cut);
                });
                let mut ok = self.clone();
                ok.run(&effect, Cut::None);
                worlds.push(ok);
            }
        }
        // The state folder is lost, at most once.
        if self.cuts < max_cuts && !self.lost_journal && !worlds.is_empty() {
            let mut lost = self.clone();
            (lost.journal, lost.lost_journal, lost.cuts) =
                (Journal::default(), true, self.cuts + 1);
            worlds.push(lost.power_on());
        }
        worlds
    }
}

fn explore(nature: Nature, max_cuts: u32) -> HashSet<World> {
    let mut seen = HashSet::new();
    let mut todo = vec![World::new(nature)];
    while let Some(world) = todo.pop() {
        if seen.insert(world.clone()) {
            assert!(seen.len() < 2_000_000, "does not terminate");
            todo.extend(world.next(max_cuts));
        }
    }
    seen
}

/// The same machine with no more cuts must come to rest, with nothing left armed.
fn settle(mut world: World, cache: &mut HashMap<World, World>) -> World {
    let start = world.clone();
    for _ in 0..200 {
        if let Some(known) = cache.get(&world) {
            world = known.clone();
        }
        let Some(next) = world.next(0).pop() else {
            assert!(!world.env().trial, "at rest with a trial armed: {world:?}");
            assert_eq!(world.env().slot, world.booted, "at rest and degraded: {world:?}");
            cache.insert(start, world.clone());
            return world;
        };
        world = next;
    }
    panic!("never comes to rest: {start:?}\nnow {world:?}")
}

#[test]
fn every_power_cut_ends_in_the_old_or_the_new_system() {
    for nature in [Nature::Good, Nature::Unhealthy, Nature::Unbootable, Nature::Panics] {
        let worlds = explore(nature, 3);
        assert!(worlds.len() > 50, "{nature:?}: only {} worlds", worlds.len());
        let mut cache = HashMap::new();
        let (mut new, mut old) = (0, 0);
        for world in &worlds {
            match settle(world.clone(), &mut cache) {
                end if end.content(end.booted) == Content::New => {
                    assert_eq!(nature, Nature::Good, "a bad system stayed: {end:?}");
                    // A journal lost after the commit has nothing to tell, and nothing to do.
                    let outcome = end.journal.last.as_ref().map(|l| l.outcome);
                    let forgotten = outcome.is_none() && end.lost_journal;
                    assert!(forgotten || outcome == Some(Ended::Updated), "{end:?}");
                    new += 1;
                }
                end => {
                    assert_ne!(State::of(&end.journal), State::Updated, "{end:?}");
                    old += 1;
                }
            }
        }
        println!(
            "{nature:?}: {} worlds, {new} end in the new system, {old} in the old",
            worlds.len()
        );
        let calm = settle(World::new(nature), &mut cache);
        let outcome = calm.journal.last.map(|l| (l.outcome, l.reason));
        let want = match nature {
            Nature::Good => (Ended::Updated, None),
            Nature::Unhealthy => (Ended::RolledBack, Some(ReasonCode::HealthFailed)),
            Nature::Unbootable | Nature::Panics => {
                (Ended::RolledBack, Some(ReasonCode::BootFailed))
            }
        };
        assert_eq!(outcome, Some(want), "without a cut");
    }
}
