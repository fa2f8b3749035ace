//! Where the device stands, by its journal and by the facts. Reads only, and needs no lock.

use super::world::World;
use crate::model::{Result, SlotId, Txn};
use crate::update::{Done, EnvView, Facts, Journal, Phase, Target, Wish, Work, at_rest};

/// Facts without an artifact at hand.
pub(crate) fn look(
    world: &World,
    booted: SlotId,
    journal: &Journal,
    wish: &Wish,
    done: Option<Done>,
) -> Result<Facts> {
    let boot = world.boot.look()?;
    let slot = match (journal.work(), wish) {
        (Some(work), _) => Some(work.slot),
        (None, Wish::Return(work) | Wish::Install(work, _)) => Some(work.slot),
        (None, _) => None,
    };
    // A trial or a fallback that the journal does not speak of.
    let nameless = journal.phase == Phase::Idle && (boot.trial || boot.fallback.is_some());
    Ok(Facts {
        booted,
        boot_id: world.boot_id(),
        env: EnvView {
            settled: boot.claims.all_settled_on(booted),
            slot: boot.slot,
            txn: boot.txn,
            trial: boot.trial,
            // A count that is no number was not counted.
            bootcount: boot.bootcount.unwrap_or(0),
            fallback: boot.fallback,
            clean: boot.clean,
        },
        target: slot.map_or(Target::Nothing, |slot| world.target_in(slot)),
        labels: nameless.then(|| Box::new(world.labels())),
        wish: wish.clone(),
        done,
        up: world.up(),
        rules: world.settings.trial,
        now: world.now(),
    })
}

/// The journal as it stands, without the lock.
pub(crate) fn standing(world: &World) -> Result<(Journal, bool)> {
    let booted = world.booted()?;
    let journal = world.load_journal();
    let facts = look(world, booted, &journal, &Wish::Settle, None)?;
    Ok((at_rest(&journal, &facts), facts.env.trial))
}

/// The move on trial in the system that runs, and its id.
pub fn on_trial(world: &World) -> Result<Option<(Work, Txn)>> {
    let booted = world.booted()?;
    Ok(match standing(world)?.0.phase {
        Phase::Trying { work, txn, .. } if work.slot == booted => Some((work, txn)),
        _ => None,
    })
}

/// Whether the environment still says that the system that runs is on trial, though the journal may
/// know better already.
pub fn is_undecided(world: &World) -> Result<bool> {
    let (boot, booted) = (world.boot.look()?, world.booted()?);
    Ok(boot.trial && boot.slot == Some(booted))
}

/// The move that the next boot tries.
pub fn armed(world: &World) -> Result<Option<Work>> {
    let booted = world.booted()?;
    Ok(match standing(world)? {
        (Journal { phase: Phase::Switching { work, .. }, .. }, true) if work.slot != booted => {
            Some(work)
        }
        _ => None,
    })
}

/// The journal as it would be at rest; nothing is written.
pub(crate) fn rested(world: &World) -> Result<Journal> {
    let booted = world.booted()?;
    let journal = world.load_journal();
    Ok(at_rest(&journal, &look(world, booted, &journal, &Wish::Settle, None)?))
}
