//! One scenario at work: journals, environments and answers are numbered, so that a world is a
//! handful of bytes and the same question is asked once.

use super::asks::{Question, work};
use super::flash::{self, Envs, View};
use super::mistakes::Mistake;
use super::numbered::Numbered;
use super::order::{Asked, Trusts};
use super::world::{Ask, Content, Found, Scenario, Violation, World};
use crate::boot::BootMemory;
use crate::model::Txn;
use crate::update::{Effect, Ended, Journal, Label, Memory, Outcome, Phase};
use std::collections::HashMap;

/// What it said.
#[derive(Clone, Copy)]
pub(super) enum Said {
    Persist(u16),
    Run(u16),
    Wait,
    Refuse,
}

/// One scenario, explored with or without a mistake in it.
pub(super) struct Machine {
    pub(super) scenario: Scenario,
    pub(super) mistake: Option<Mistake>,
    pub(super) envs: Envs,
    pub(super) journals: Numbered<Journal>,
    pub(super) effects: Numbered<Effect>,
    pub(super) memories: Numbered<Option<Memory>>,
    pub(super) names: Numbered<Label>,
    pub(super) labels: HashMap<Asked, Label>,
    pub(super) trusts: Trusts,
    pub(super) said: HashMap<Question, Said>,
    pub(super) asks: HashMap<(Question, bool, bool), Ask>,
}

impl Machine {
    pub(super) fn new(scenario: Scenario, mistake: Option<Mistake>) -> Machine {
        Machine {
            scenario,
            mistake,
            envs: Envs::default(),
            journals: Numbered::new(),
            effects: Numbered::new(),
            memories: Numbered::new(),
            names: Numbered::new(),
            labels: HashMap::new(),
            trusts: Trusts::new(),
            said: HashMap::new(),
            asks: HashMap::new(),
        }
    }

    /// A device that has updated before: `surefoot_good` and the count are what that left.
    pub(super) fn first(&mut self) -> World {
        let home = self.scenario.home;
        let (mut slots, txn) = ([Content::Older; 2], Txn::new(&Content::Old.digest(), 1));
        slots[home as usize] = Content::Old;
        let env = BootMemory {
            slot: Some(home),
            good: Some(home.other()),
            txn: Some(txn.clone()),
            bootcount: 3,
            ..BootMemory::factory()
        };
        let (env, serial) = (self.envs.number(env), self.scenario.serial);
        let (work, detail) = (work(Content::Old, home), String::new());
        let outcome = Ended::Updated;
        let last = Some(Outcome {
            outcome,
            work,
            txn: Some(txn),
            reason: None,
            detail,
            against: Default::default(),
            came_up: None,
            untried: false,
            at: 0,
        });
        let journal = Journal { attempts: 1, last, ..Journal::default() };
        // Nothing is remembered yet: the first commit of this program is its first memory.
        let nothing = self.memories.number(None);
        World {
            on: true,
            memory: [nothing; 2],
            blank: 0,
            committed: Content::Old.bit() | Content::Older.bit(),
            booted: home,
            slots,
            copies: [Some((serial, env)), Some((serial.wrapping_sub(1), env))],
            journal: self.journals.number(journal),
            boot: 0,
            up: 0,
            ask: None,
            found: Found::Nothing,
            offered: false,
            withdrawn: false,
            person: false,
            failed: false,
            lost: false,
            rotten: false,
            cuts: 0,
            tried: 0,
            ran: 0,
            vouched: Content::Old.bit() | Content::Older.bit(),
            kept: 0,
            fell: 0,
            stopped: 0,
        }
    }

    pub(super) fn env(&self, world: &World) -> Result<u16, Violation> {
        flash::env(world, self.mistake)
    }

    pub(super) fn view(&self, world: &World) -> Result<View, Violation> {
        Ok(self.envs.view(self.env(world)?).clone())
    }

    pub(super) fn write(
        &mut self,
        world: World,
        env: u16,
        cut: &mut Vec<World>,
    ) -> Result<World, Violation> {
        flash::write(&mut self.envs, world, env, self.mistake, cut)
    }

    /// The id, 0 or 1, of a boot that this journal does not know.
    pub(super) fn other_boot(&self, journal: u16) -> u8 {
        let known = match &self.journals.get(journal).phase {
            Phase::Switching { boot_id, .. } => boot_id == "0",
            Phase::Trying { spent, .. } => spent.boot_id.as_deref() == Some("0"),
            Phase::Returning { boot_id, .. } => boot_id.as_deref() == Some("0"),
            _ => false,
        };
        u8::from(known)
    }

    pub(super) fn settled(&self, world: &World) -> bool {
        world.copies.iter().all(|copy| {
            copy.is_some_and(|(_, env)| {
                let view = self.envs.view(env);
                view.slot == world.booted && !view.trial
            })
        })
    }

    /// A world, told for people.
    pub(super) fn told_of(&self, world: &World) -> String {
        let phase = match &self.journals.get(world.journal).phase {
            Phase::Idle => "idle".to_owned(),
            phase => format!("{phase:?}").split([' ', '(']).next().unwrap_or("").to_owned(),
        };
        let last = self.journals.get(world.journal).last.as_ref().map(|l| (l.outcome, l.reason));
        let copies = world.copies.map(|copy| match copy {
            None => "dead".to_owned(),
            Some((serial, env)) => {
                let v = self.envs.view(env);
                let txn = v.txn.as_ref().map_or("-", |t| t.as_str());
                format!(
                    "{serial}:{}{} n{} c{} {txn}",
                    v.slot,
                    if v.trial { "?" } else { "" },
                    v.bootcount,
                    v.clean
                )
            }
        });
        format!(
            "{} {:?} {phase} {last:?} [{}] [{}] slots {:?} ask {:?} {:?} boot {} up {} cuts {} tried {} ran {} offered {} withdrawn {} lost {} memory {:?} blank {}",
            if world.on { "on" } else { "off" },
            world.booted,
            copies[0],
            copies[1],
            world.slots,
            world.ask,
            world.found,
            world.boot,
            world.up,
            world.cuts,
            world.tried,
            world.ran,
            world.offered,
            world.withdrawn,
            world.lost,
            world.memory,
            world.blank
        )
    }
}
