//! Drives a change of apps to its end, under the device's lock.

use super::gear::Gear;
use super::hands::Shared;
use super::journal::found;
use crate::apps::{AppCommand, AppJournal, AppRest, BundleSource, SlotTrial, drive_apps};
use crate::event::Sink;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::{stop, systemd};
use std::sync::PoisonError;

/// One run of the loop: as far as it comes without a pause.
pub(super) fn drive(
    gear: &Gear<'_>,
    journal: AppJournal,
    command: &AppCommand,
    sources: &[BundleSource<'_>],
    sink: &dyn Sink,
) -> Result<AppRest> {
    let ctx = gear.context(sink);
    let told = journal.phase.clone();
    let mut hands = Shared { ctx: &ctx, sources, watch: &gear.world.watch, told };
    drive_apps(journal, command, &mut hands)
}

/// The same to its end, with the pauses that a trial takes. A change that came with a system on trial is left where it
/// stands: the system's trial decides it. What refuses the command is the failure.
pub(super) fn carry_out(
    gear: &Gear<'_>,
    command: &AppCommand,
    sources: &[BundleSource<'_>],
    sink: &dyn Sink,
) -> Result<AppJournal> {
    let mut rest = drive(gear, found(gear, sink)?, command, sources, sink)?;
    if let Some(code) = rest.refused {
        return Err(Failure::new(code, code.meaning()));
    }
    while rest.is_under_way() && gear.slot() != SlotTrial::Running {
        let pause = gear.world.watch.lock().unwrap_or_else(PoisonError::into_inner).pause();
        stop::sleep(pause);
        stop::look()?;
        systemd::progress();
        rest = drive(gear, rest.journal, &AppCommand::Settle, sources, sink)?;
    }
    Ok(rest.journal)
}

/// Nothing is begun while something else goes on: `TRIAL_PENDING`.
pub(super) fn at_rest(journal: &AppJournal) -> Result<()> {
    match journal.holds_systems_back() {
        Some(code) => {
            let what =
                journal.change().map(|change| change.moves.iter().map(super::answer::in_words));
            let what = what.map_or_else(String::new, |all| all.collect::<Vec<_>>().join(", "));
            Err(Failure::new(code, format!("{what} is on trial")))
        }
        None => Ok(()),
    }
}

/// Takes back what is under way with apps, if something is that a person or a source asked for; says what.
pub(in crate::device) fn abandon(
    world: &crate::device::World,
    why: &str,
    sink: &dyn Sink,
) -> Result<Option<String>> {
    let Some(change) = world.apps_journal().and_then(|journal| journal.change().cloned()) else {
        return Ok(None);
    };
    let what = change.moves.iter().map(super::answer::in_words).collect::<Vec<_>>().join(", ");
    let gear = Gear::of(world)?;
    if gear.slot() == SlotTrial::Running {
        let code = ReasonCode::TrialPending;
        return Err(Failure::new(code, code.meaning()));
    }
    carry_out(&gear, &AppCommand::Abandon(why.to_owned()), &[], sink)?;
    Ok(Some(what))
}
