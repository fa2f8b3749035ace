//! `BootControl` over a stored U-Boot environment.

use super::diagnose::diagnose;
use super::scheme::{self, names, number_of, slot_of};
use super::way_back;
use super::{CopyState, Env, EnvStore, Loaded, apply};
use crate::boot::grade::trespasses;
use crate::boot::{BootChange, BootControl, BootFacts, CopyFacts};
use crate::disk::Disk;
use crate::model::{CopyClaim, EnvClaims, Failure, ReasonCode, Result, SlotId, Txn};

/// Copies nearer than this may die together (DESIGN 9.10).
const ERASE_UNIT: u64 = 4 << 20;

/// A device that boots with U-Boot.
pub struct UbootControl {
    store: EnvStore,
}

impl UbootControl {
    /// Over this store.
    pub fn new(store: EnvStore) -> UbootControl {
        UbootControl { store }
    }

    /// The store itself: the boot ROM of a simulator, a factory.
    pub fn store(&self) -> &EnvStore {
        &self.store
    }

    /// Whether the next update could be armed from here: parses the environment, makes every copy
    /// that an update would write (the arming, a try given back, the way home), opens the place for
    /// writing, and writes nothing. An arming that fits alone would leave a trial that nothing ends.
    pub fn rehearse(&self, booted: SlotId) -> Result<()> {
        let session = self.store.begin()?;
        let facts = self.facts(session.loaded());
        facts.writable()?;
        self.hits_nothing_else(&facts)?;
        let mut env = session.loaded().env()?.clone();
        let (slot, good) = (booted.other(), booted);
        let txn = Txn::new(&crate::model::Digest::NONE, u32::MAX);
        for change in [
            BootChange::Arm { slot, good, txn: txn.clone() },
            BootChange::GiveBack,
            BootChange::FallBack { to: good, txn },
        ] {
            apply(&mut env, &change)?;
            session.rehearse(&env)?;
        }
        Ok(())
    }

    /// A dead copy is what the next write goes to. And if it is dead because its line in
    /// `fw_env.config` is wrong? Then a slot or the partition table would be written over: what
    /// lies in one of these is no target. A copy that is alive shows by its checksum that it is one.
    fn hits_nothing_else(&self, facts: &BootFacts) -> Result<()> {
        // Without a table nothing is known to be hit, and a trial must still be ended.
        let Some(Ok(table)) = self.store.disk().map(Disk::table) else {
            return Ok(());
        };
        let dead = facts.copies.iter().zip(1..).filter(|(copy, _)| copy.dead.is_some());
        for (copy, number) in dead {
            if let Some((place, _)) = trespasses(copy, &table).first() {
                let why = copy.why().unwrap_or_default();
                let why = format!("fw_env.config is wrong: copy {number} ({why}) lies {place}");
                return Err(Failure::new(ReasonCode::EnvConfig, why));
            }
        }
        Ok(())
    }

    fn facts(&self, loaded: &Loaded) -> BootFacts {
        let empty = Env::new();
        let env = loaded.env().unwrap_or(&empty);
        let copies = self.copy_facts(loaded);
        let txn = |name| env.get(name)?.parse::<Txn>().ok();
        BootFacts {
            claims: claims(loaded),
            slot: slot_of(env, names::SLOT),
            txn: txn(names::TXN),
            trial: scheme::is_trial(env),
            bootcount: scheme::count_of(env, names::BOOTCOUNT),
            bootlimit: scheme::count_of(env, names::BOOTLIMIT),
            way_back: loaded.env().map(way_back::findings).unwrap_or_default(),
            good: slot_of(env, names::GOOD),
            fallback: txn(names::FALLBACK),
            counter: scheme::counter_of(env),
            clean: number_of(env, names::CLEAN).unwrap_or(0),
            redundant: self.store.is_redundant(),
            share_erase_unit: share_erase_unit(&copies),
            copies,
        }
    }

    fn copy_facts(&self, loaded: &Loaded) -> Vec<CopyFacts> {
        let states = loaded.copies.iter().enumerate();
        let places = self.store.places();
        let both = states.zip(places).zip(diagnose(places, loaded));
        both.map(|(((index, state), place), elsewhere)| {
            let (dead, serial) = match state {
                CopyState::Dead(why) => (Some(why.clone()), None),
                CopyState::Alive { serial, .. } => (None, *serial),
            };
            let (on_disk, own_partition) = place.on_disk(self.store.disk());
            CopyFacts {
                device: place.device.clone(),
                offset: place.offset(),
                len: u64::try_from(place.size).unwrap_or(u64::MAX),
                dead,
                elsewhere,
                serial,
                chosen: loaded.chosen == Some(index),
                on_disk,
                own_partition,
            }
        })
        .collect()
    }
}

fn claims(loaded: &Loaded) -> EnvClaims {
    let claim = |copy: &CopyState| match copy {
        CopyState::Dead(_) => CopyClaim::Dead,
        CopyState::Alive { env, .. } => scheme::claim(env),
    };
    EnvClaims { copies: loaded.copies.iter().map(claim).collect() }
}

/// Two copies in one device whose units of 4 MiB meet. Copies in files say nothing: where a file
/// system puts them is its own choice.
fn share_erase_unit(copies: &[CopyFacts]) -> bool {
    let [first, second] = copies else {
        return false;
    };
    let units = |c: &CopyFacts| match &c.on_disk {
        Some(range) => (range.start / ERASE_UNIT, (range.end - 1) / ERASE_UNIT),
        None => (c.offset / ERASE_UNIT, (c.offset + c.len - 1) / ERASE_UNIT),
    };
    let (a, b) = (units(first), units(second));
    let same_device =
        first.device == second.device || (first.on_disk.is_some() && second.on_disk.is_some());
    same_device && a.0 <= b.1 && b.0 <= a.1
}

impl BootControl for UbootControl {
    fn look(&self) -> Result<BootFacts> {
        Ok(self.facts(&self.store.load()?))
    }

    fn write(&self, change: &BootChange) -> Result<()> {
        let mut session = self.store.begin()?;
        let facts = self.facts(session.loaded());
        change.allowed_by(&facts)?;
        let mut env = session.loaded().env()?.clone();
        apply(&mut env, change)?;
        if env == *session.loaded().env()? {
            return Ok(());
        }
        self.hits_nothing_else(&facts)?;
        session.save(&env)
    }

    fn settle(&self, booted: SlotId) -> Result<()> {
        let mut session = self.store.begin()?;
        let facts = self.facts(session.loaded());
        facts.writable()?;
        let mut env = session.loaded().env()?.clone();
        if scheme::is_trial(&env) && slot_of(&env, names::SLOT) == Some(booted) {
            let why = "the running slot is on trial";
            return Err(Failure::new(ReasonCode::TrialPending, why));
        }
        apply(&mut env, &BootChange::Disarm { booted })?;
        self.hits_nothing_else(&facts)?;
        for _ in 0..session.loaded().copies.len() {
            if claims(session.loaded()).all_settled_on(booted) {
                return Ok(());
            }
            session.save(&env)?;
        }
        if claims(session.loaded()).all_settled_on(booted) {
            return Ok(());
        }
        let why = "a copy of the environment does not keep what was written";
        Err(Failure::new(ReasonCode::EnvReadBack, why))
    }
}
