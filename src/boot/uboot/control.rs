//! `BootControl` over a stored U-Boot environment.

use super::facts::{claims, facts};
use super::grade::{copies, places, trespasses};
use super::scheme::{self, names, slot_of};
use super::{EnvStore, apply};
use crate::boot::{BootChange, BootControl, BootFacts, Description, Finding};
use crate::disk::{Disk, PartitionTable};
use crate::model::{Digest, Failure, ReasonCode, Result, SlotId, Txn};

/// What the configuration calls it.
pub(in crate::boot) const NAME: &str = "uboot";

/// Variables that a support report tells besides `surefoot_*`. Others may be anybody's.
const TOLD: [&str; 12] = [
    "upgrade_available",
    "bootcount",
    "bootlimit",
    "altbootcmd",
    "bootcmd",
    "bootdelay",
    "devtype",
    "devnum",
    "ver",
    "board",
    "board_name",
    "fdtfile",
];

/// A device that boots with U-Boot.
pub struct UbootControl {
    store: EnvStore,
    accept_single_copy: bool,
}

impl UbootControl {
    /// Over this store. A single copy is no place to arm an update from.
    pub fn new(store: EnvStore) -> UbootControl {
        UbootControl { store, accept_single_copy: false }
    }

    /// Whether a single copy, which one torn write loses, is good enough (DESIGN 9.15).
    #[must_use]
    pub fn accept_single_copy(self, accept_single_copy: bool) -> UbootControl {
        UbootControl { accept_single_copy, ..self }
    }

    /// The store itself: the boot ROM of a simulator, a factory.
    pub fn store(&self) -> &EnvStore {
        &self.store
    }

    fn table(&self) -> Option<PartitionTable> {
        self.store.disk().and_then(|disk| Disk::table(disk).ok())
    }

    /// A dead copy is what the next write goes to. And if it is dead because its line in
    /// `fw_env.config` is wrong? Then a slot or the partition table would be written over: what
    /// lies in one of these is no target. A copy that is alive shows by its checksum that it is one.
    fn hits_nothing_else(&self, facts: &BootFacts) -> Result<()> {
        // Without a table nothing is known to be hit, and a trial must still be ended.
        let Some(table) = self.table() else { return Ok(()) };
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
}

impl BootControl for UbootControl {
    fn look(&self) -> Result<BootFacts> {
        Ok(facts(&self.store, &self.store.load()?))
    }

    fn write(&self, change: &BootChange) -> Result<()> {
        let mut session = self.store.begin()?;
        let facts = facts(&self.store, session.loaded());
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
        let facts = facts(&self.store, session.loaded());
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

    fn rehearse(&self, booted: SlotId) -> Result<()> {
        let session = self.store.begin()?;
        let facts = facts(&self.store, session.loaded());
        facts.writable()?;
        self.hits_nothing_else(&facts)?;
        let mut env = session.loaded().env()?.clone();
        let (slot, good) = (booted.other(), booted);
        let txn = Txn::new(&Digest::NONE, u32::MAX);
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

    fn findings(&self, facts: &BootFacts) -> Vec<Finding> {
        let mut out = copies(facts, self.store.places(), self.accept_single_copy);
        out.extend(self.table().iter().flat_map(|table| places(&facts.copies, table)));
        out.extend(facts.way_back.iter().cloned());
        out
    }

    fn variable(&self, name: &str) -> Option<String> {
        let loaded = self.store.load().ok()?;
        loaded.env().ok()?.get(name).map(|value| value.into_owned())
    }

    fn describe(&self) -> Result<Description> {
        let loaded = self.store.load()?;
        let mut variables = Vec::new();
        if let Ok(env) = loaded.env() {
            let told = |name: &str| name.starts_with("surefoot_") || TOLD.contains(&name);
            let told = env.iter().filter(|(name, _)| told(name));
            variables.extend(told.map(|(name, value)| (name.into_owned(), value.into_owned())));
        }
        Ok(Description { name: NAME, copies: facts(&self.store, &loaded).copies, variables })
    }
}
