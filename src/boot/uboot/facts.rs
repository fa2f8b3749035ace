//! What an environment says, as the values that other rooms decide by.

use super::diagnose::diagnose;
use super::place::MISSING;
use super::scheme::{self, names};
use super::{CopyState, Env, EnvStore, Loaded, limits};
use crate::boot::{BootFacts, CopyFacts};
use crate::model::{CopyClaim, EnvClaims, Failure, ReasonCode, Txn};

/// All of it.
pub(super) fn facts(store: &EnvStore, loaded: &Loaded) -> BootFacts {
    let empty = Env::new();
    let env = loaded.env().unwrap_or(&empty);
    let copies = copies(store, loaded);
    let txn = |name| env.get(name)?.parse::<Txn>().ok();
    BootFacts {
        claims: claims(loaded),
        slot: scheme::slot_of(env, names::SLOT),
        txn: txn(names::TXN),
        trial: scheme::is_trial(env),
        bootcount: scheme::count_of(env, names::BOOTCOUNT),
        bootlimit: scheme::count_of(env, names::BOOTLIMIT),
        good: scheme::slot_of(env, names::GOOD),
        fallback: txn(names::FALLBACK),
        clean: scheme::number_of(env, names::CLEAN).unwrap_or(0),
        way_back: loaded.env().map(limits::findings).unwrap_or_default(),
        trouble: trouble(&copies),
        copies,
    }
}

/// What each copy says about slots and trials.
pub(super) fn claims(loaded: &Loaded) -> EnvClaims {
    let claim = |copy: &CopyState| match copy {
        CopyState::Dead(_) => CopyClaim::Dead,
        CopyState::Alive { env, .. } => scheme::claim(env),
    };
    EnvClaims { copies: loaded.copies.iter().map(claim).collect() }
}

fn copies(store: &EnvStore, loaded: &Loaded) -> Vec<CopyFacts> {
    let states = loaded.copies.iter().enumerate();
    let places = store.places();
    let both = states.zip(places).zip(diagnose(places, loaded));
    both.map(|(((index, state), place), elsewhere)| {
        let (dead, serial) = match state {
            CopyState::Dead(why) => (Some(why.clone()), None),
            CopyState::Alive { serial, .. } => (None, *serial),
        };
        let (on_disk, own_partition) = place.on_disk(store.disk());
        CopyFacts {
            place: format!("{} at byte {}", place.device.display(), place.offset()),
            dead,
            elsewhere,
            serial: serial.map(u64::from),
            chosen: loaded.chosen == Some(index),
            on_disk,
            own_partition,
        }
    })
    .collect()
}

/// Why nothing may be written: no copy is valid, or a healthy one stands where `fw_env.config` does
/// not say.
fn trouble(copies: &[CopyFacts]) -> Option<Failure> {
    let wrong = |why: String| Failure::new(ReasonCode::EnvConfig, why);
    let found = copies.iter().find_map(|c| c.elsewhere.as_ref());
    if copies.iter().any(|c| c.dead.is_none()) {
        let needs = &found?.needs;
        return Some(wrong(format!("fw_env.config is wrong: the environment needs {needs}")));
    }
    let whys = copies.iter().zip(1..);
    let whys = whys.filter_map(|(copy, n)| Some(format!("copy {n} ({})", copy.why()?)));
    let why = whys.collect::<Vec<_>>().join("; ");
    Some(match found {
        Some(found) => {
            let needs = &found.needs;
            wrong(format!("fw_env.config is wrong: a healthy environment needs {needs}; {why}"))
        }
        None if copies.iter().all(|c| c.dead.as_deref() == Some(MISSING)) => {
            wrong(format!("fw_env.config: {why}"))
        }
        None => {
            let said = format!("no copy of the environment is valid: {why}");
            Failure::new(ReasonCode::EnvUnreadable, said)
        }
    })
}
