//! A bootloader's memory without bytes: two records and serials, written independently of the
//! U-Boot code so that the shared suite compares two minds. Stricter than a real one: it counts
//! writes, dies in a chosen write leaving that copy dead, and refuses changes as the real one.

use super::{BootChange, BootControl, BootFacts, CopyFacts, Counter, Finding, Grade};
use crate::model::{CopyClaim, EnvClaims, Failure, ReasonCode, Result, SlotId, Txn};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What one copy remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// The slot that boots next.
    pub slot: Option<SlotId>,
    /// Who set it.
    pub txn: Option<Txn>,
    /// A trial is pending.
    pub trial: bool,
    /// Boots counted.
    pub bootcount: u32,
    /// Boots allowed.
    pub bootlimit: Option<u32>,
    /// Whether there is a way back.
    pub altbootcmd: bool,
    /// The slot to return to.
    pub good: Option<SlotId>,
    /// What was given up.
    pub fallback: Option<Txn>,
    /// Who counts.
    pub counter: Option<Counter>,
    /// Tries given back.
    pub clean: u32,
}

impl Memory {
    /// As a factory leaves it: slot `a`, no trial, rollback armed.
    pub fn factory() -> Memory {
        Memory {
            slot: Some(SlotId::A),
            txn: None,
            trial: false,
            bootcount: 0,
            bootlimit: Some(3),
            altbootcmd: true,
            good: Some(SlotId::A),
            fallback: None,
            counter: Some(Counter::Uboot),
            clean: 0,
        }
    }
}

struct State {
    copies: [Option<Memory>; 2],
    newest: usize,
    writes: u64,
    dies_in: Option<u64>,
}

/// The fake.
pub struct FakeControl {
    state: Mutex<State>,
}

impl FakeControl {
    /// Both copies say the same.
    pub fn new(memory: Memory) -> FakeControl {
        let copies = [Some(memory.clone()), Some(memory)];
        FakeControl { state: Mutex::new(State { copies, newest: 0, writes: 0, dies_in: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a copy was written.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// Loses power in the `nth` write from now on (1 is the next): that copy is dead after it.
    pub fn die_in_write(&self, nth: u64) {
        let mut state = self.state();
        state.dies_in = Some(state.writes + nth);
    }

    /// What the bootloader itself would do to the newest copy, in one write: counting, falling
    /// back.
    pub fn boot(&self, act: impl FnOnce(&mut Memory)) {
        let mut state = self.state();
        let newest = state.newest;
        if let Some(mut memory) = state.copies[newest].clone() {
            act(&mut memory);
            let stale = 1 - newest;
            state.copies[stale] = Some(memory);
            state.newest = stale;
        }
    }

    /// Kills a copy.
    pub fn kill(&self, copy: usize) {
        let mut state = self.state();
        state.copies[copy] = None;
        if state.newest == copy {
            state.newest = 1 - copy;
        }
    }
}

impl State {
    fn save(&mut self, memory: Memory) -> Result<()> {
        let stale = 1 - self.newest;
        self.writes += 1;
        if self.dies_in == Some(self.writes) {
            self.copies[stale] = None;
            return Err(Failure::new(ReasonCode::Io, "the power went"));
        }
        self.copies[stale] = Some(memory);
        self.newest = stale;
        Ok(())
    }

    fn newest(&self) -> Result<Memory> {
        let unreadable = || Failure::new(ReasonCode::EnvUnreadable, "both copies are dead");
        self.copies[self.newest].clone().ok_or_else(unreadable)
    }

    fn claims(&self) -> EnvClaims {
        let claim = |copy: &Option<Memory>| match copy {
            None => CopyClaim::Dead,
            Some(m) => CopyClaim::Alive { slot: m.slot, trial: m.trial },
        };
        EnvClaims { copies: self.copies.iter().map(claim).collect() }
    }

    fn facts(&self) -> BootFacts {
        let memory = self.newest().ok();
        let m = memory.as_ref();
        let copy = |index: usize| CopyFacts {
            device: PathBuf::from("fake"),
            offset: 0x40_0000 * [1, 2][index],
            len: 0x4000,
            dead: self.copies[index].is_none().then(|| "dead".to_owned()),
            elsewhere: None,
            serial: None,
            chosen: m.is_some() && index == self.newest,
            on_disk: None,
            own_partition: false,
        };
        BootFacts {
            claims: self.claims(),
            slot: m.and_then(|m| m.slot),
            txn: m.and_then(|m| m.txn.clone()),
            trial: m.is_some_and(|m| m.trial),
            bootcount: m.map(|m| m.bootcount),
            bootlimit: m.and_then(|m| m.bootlimit),
            way_back: match m {
                Some(m) if !m.altbootcmd => vec![Finding {
                    level: Grade::Off,
                    reason: "`altbootcmd` is not set".to_owned(),
                    remedy: "Set it.".to_owned(),
                }],
                _ => Vec::new(),
            },
            good: m.and_then(|m| m.good),
            fallback: m.and_then(|m| m.fallback.clone()),
            counter: m.and_then(|m| m.counter),
            clean: m.map_or(0, |m| m.clean),
            redundant: true,
            copies: vec![copy(0), copy(1)],
            share_erase_unit: false,
        }
    }
}

fn changed(mut m: Memory, change: &BootChange) -> Memory {
    match change.clone() {
        BootChange::Arm { slot, good, txn } => Memory {
            slot: Some(slot),
            good: Some(good),
            txn: Some(txn),
            trial: true,
            bootcount: 0,
            fallback: None,
            clean: 0,
            ..m
        },
        BootChange::Disarm { booted } => {
            Memory { slot: Some(booted), trial: false, bootcount: 0, ..m }
        }
        BootChange::Commit { slot, txn } => {
            Memory { slot: Some(slot), txn: Some(txn), trial: false, bootcount: 0, clean: 0, ..m }
        }
        BootChange::FallBack { to, txn } => {
            Memory { slot: Some(to), trial: false, bootcount: 0, fallback: Some(txn), ..m }
        }
        BootChange::GiveBack => {
            m.bootcount = m.bootcount.saturating_sub(1);
            m.clean += 1;
            m
        }
        BootChange::Point { slot } => Memory { slot: Some(slot), ..m },
    }
}

impl BootControl for FakeControl {
    fn look(&self) -> Result<BootFacts> {
        Ok(self.state().facts())
    }

    fn write(&self, change: &BootChange) -> Result<()> {
        let mut state = self.state();
        change.allowed_by(&state.facts())?;
        let old = state.newest()?;
        let new = changed(old.clone(), change);
        if new == old {
            return Ok(());
        }
        state.save(new)
    }

    fn settle(&self, booted: SlotId) -> Result<()> {
        let mut state = self.state();
        let newest = state.newest()?;
        if newest.trial && newest.slot == Some(booted) {
            let why = "the running slot is on trial";
            return Err(Failure::new(ReasonCode::TrialPending, why));
        }
        while !state.claims().all_settled_on(booted) {
            let settled = changed(state.newest()?, &BootChange::Disarm { booted });
            state.save(settled)?;
        }
        Ok(())
    }
}
