//! `BootControl` over two numbered files.

use super::store::{Loaded, NumberedStore};
use super::{Copy, findings};
use crate::boot::{
    BootChange, BootControl, BootFacts, BootMemory, CopyFacts, Description, Finding,
};
use crate::model::{CopyClaim, Digest, EnvClaims, Failure, ReasonCode, Result, SlotId, Txn};

/// What the configuration calls it.
pub(in crate::boot) const NAME: &str = "numbered";

/// A device that boots with it.
pub(in crate::boot) struct NumberedControl {
    store: NumberedStore,
}

impl NumberedControl {
    pub(in crate::boot) fn new(store: NumberedStore) -> NumberedControl {
        NumberedControl { store }
    }

    #[cfg(test)]
    pub(in crate::boot) fn store(&self) -> &NumberedStore {
        &self.store
    }

    fn facts(&self, loaded: &Loaded) -> BootFacts {
        let memory = loaded.copy().ok().map(|copy| &copy.memory);
        let said = memory.cloned();
        BootFacts {
            claims: claims(loaded),
            slot: said.as_ref().and_then(|m| m.slot),
            txn: said.as_ref().and_then(|m| m.txn.clone()),
            trial: said.as_ref().is_some_and(|m| m.trial),
            bootcount: said.as_ref().map(|m| m.bootcount),
            bootlimit: said.as_ref().map(|m| m.bootlimit),
            good: said.as_ref().and_then(|m| m.good),
            fallback: said.as_ref().and_then(|m| m.fallback.clone()),
            clean: said.as_ref().map_or(0, |m| m.clean),
            way_back: memory.map(findings::way_back).unwrap_or_default(),
            copies: self.copies(loaded),
            trouble: loaded.copy().err(),
        }
    }

    fn copies(&self, loaded: &Loaded) -> Vec<CopyFacts> {
        let copies = loaded.copies.iter().enumerate().map(|(index, copy)| CopyFacts {
            place: self.store.file(index).display().to_string(),
            dead: copy.as_ref().err().cloned(),
            elsewhere: None,
            serial: copy.as_ref().ok().map(|c| c.number),
            chosen: loaded.chosen == Some(index),
            on_disk: None,
            own_partition: false,
        });
        copies.collect()
    }
}

fn claims(loaded: &Loaded) -> EnvClaims {
    let claim = |copy: &std::result::Result<Copy, String>| match copy {
        Err(_) => CopyClaim::Dead,
        Ok(copy) => CopyClaim::Alive { slot: copy.memory.slot, trial: copy.memory.trial },
    };
    EnvClaims { copies: loaded.copies.iter().map(claim).collect() }
}

impl BootControl for NumberedControl {
    fn look(&self) -> Result<BootFacts> {
        Ok(self.facts(&self.store.load()?))
    }

    fn write(&self, change: &BootChange) -> Result<()> {
        let mut session = self.store.begin()?;
        change.allowed_by(&self.facts(session.loaded()))?;
        let memory = session.memory()?;
        let after = memory.after(change);
        if after == *memory {
            return Ok(());
        }
        session.save(&after)
    }

    fn settle(&self, booted: SlotId) -> Result<()> {
        let mut session = self.store.begin()?;
        let memory = session.memory()?;
        if memory.trial && memory.slot == Some(booted) {
            let why = "the running slot is on trial";
            return Err(Failure::new(ReasonCode::TrialPending, why));
        }
        let after = memory.after(&BootChange::Disarm { booted });
        for _ in 0..session.loaded().copies.len() {
            if claims(session.loaded()).all_settled_on(booted) {
                return Ok(());
            }
            session.save(&after)?;
        }
        if claims(session.loaded()).all_settled_on(booted) {
            return Ok(());
        }
        let why = "a file of the bootloader does not keep what was written";
        Err(Failure::new(ReasonCode::EnvReadBack, why))
    }

    fn rehearse(&self, booted: SlotId) -> Result<()> {
        let session = self.store.begin()?;
        let mut memory: BootMemory = session.memory()?.clone();
        let (slot, good) = (booted.other(), booted);
        let txn = Txn::new(&Digest::NONE, u32::MAX);
        for change in [
            BootChange::Arm { slot, good, txn: txn.clone() },
            BootChange::GiveBack,
            BootChange::FallBack { to: good, txn },
        ] {
            memory = memory.after(&change);
            session.next(&memory)?;
        }
        Ok(())
    }

    fn findings(&self, facts: &BootFacts) -> Vec<Finding> {
        findings::all(facts)
    }

    fn variable(&self, name: &str) -> Option<String> {
        let loaded = self.store.load().ok()?;
        let copy = loaded.copy().ok()?;
        let own = copy.values().into_iter().find(|(known, _)| *known == name);
        let rest = || copy.rest.iter().find(|(known, _)| known == name);
        own.map(|(_, value)| value).or_else(|| rest().map(|(_, value)| value.clone()))
    }

    fn describe(&self) -> Result<Description> {
        let loaded = self.store.load()?;
        // What the board has written beside them may be anything.
        let own = loaded.copy().map(Copy::values).unwrap_or_default();
        let variables = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Description { name: NAME, copies: self.copies(&loaded), variables })
    }
}
