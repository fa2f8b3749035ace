//! An installation whose artifact turns out to be a bundle of an app.

use super::answer::{AppsAnswer, AppsDid};
use super::carry::{at_rest, carry_out};
use super::gear::Gear;
use super::journal::found;
use super::locks;
use super::spool::{spool, tidy};
use crate::apps::{
    Admission, AppAsk, AppCommand, AppEnded, AppJournal, AppMove, AppOutcome, AppPhase, BundleHead,
    BundleSource, admit, read_bundle_here, stage_bundles,
};
use crate::device::installation::Installation;
use crate::device::offer::Offer;
use crate::device::work::Working;
use crate::device::world::World;
use crate::event::Sink;
use crate::model::{Failure, ReasonCode, Result};
use crate::source::{Fetch, Source};
use crate::sys::stop::{self, Stop};
use crate::update::{Allowed, Order, Then};

/// What is settled about a change.
pub(super) struct How {
    pub(super) order: Order,
    pub(super) allowed: Allowed,
    /// Do not switch.
    pub(super) stage: bool,
    /// Also where a service holds its lock.
    pub(super) force: bool,
    /// Do nothing.
    pub(super) dry_run: bool,
}

/// Brings the app of a bundle, whose head has been read: admits it, stages it, switches to it, and returns when its
/// trial has ended. `held` is the device's lock, but for a rehearsal.
pub(in crate::device) fn bring(
    world: &World,
    held: Option<&Working>,
    offer: Offer,
    ask: &Installation,
    sink: &dyn Sink,
) -> Result<AppsAnswer> {
    may_bring(world, &offer, ask)?;
    if held.is_some() {
        tidy(world);
    }
    let gear = Gear::of(world)?;
    let (spooled, kept);
    let bytes: &dyn Fetch = match (offer.source, ask.dry_run) {
        (Source::Stream(_), true) => {
            let text = "what comes once cannot be rehearsed: name a file";
            return Err(Failure::new(ReasonCode::Usage, text));
        }
        (Source::Stream(mut stream), false) => {
            let (head, len) = (offer.release.head_bytes(), offer.release.artifact_len());
            spooled = spool(world, &head, &mut stream, len, sink)?;
            spooled.file()
        }
        (source, _) => {
            kept = source;
            kept.ranges().ok_or_else(|| Failure::new(ReasonCode::Internal, "no bytes"))?
        }
    };
    let head = read_bundle_here(&gear.context(sink), bytes)?;
    if let Some(held) = held {
        let counter = head.release().manifest.release_counter;
        held.announce_app(&name(&head), counter, head.digest());
    }
    let words = ask.apps.clone().unwrap_or_default();
    let asks = [AppAsk::Install { head: &head, config: words.values }];
    let sources = [BundleSource { digest: head.digest(), bytes }];
    let how = How {
        order: ask.order.clone(),
        allowed: ask.allowed,
        stage: ask.then == Then::Stage,
        force: words.force,
        dry_run: ask.dry_run,
    };
    change(&gear, &asks, &sources, &how, sink)
}

fn name(head: &BundleHead) -> String {
    format!("{} {}", head.app(), head.release().manifest.version)
}

/// Development keys speak only under a hold; for all others a hold is one.
fn may_bring(world: &World, offer: &Offer, ask: &Installation) -> Result<()> {
    match (world.hold(), offer.release.is_development()) {
        (None, true) => {
            let code = ReasonCode::NotHeld;
            Err(Failure::new(code, code.meaning()))
        }
        (Some(hold), false) if !ask.hold_ok => Err(Failure::new(ReasonCode::Held, hold.text())),
        _ => Ok(()),
    }
}

/// Has it done, and waits for its end. What was begun and is cancelled is taken back.
pub(super) fn change(
    gear: &Gear<'_>,
    asks: &[AppAsk<'_>],
    sources: &[BundleSource<'_>],
    how: &How,
    sink: &dyn Sink,
) -> Result<AppsAnswer> {
    let journal = match how.dry_run {
        true => found(gear, sink)?,
        // What was left to do before is no part of what may be stopped.
        false => Stop::default().over(|| carry_out(gear, &AppCommand::Settle, &[], sink))?,
    };
    at_rest(&journal)?;
    let ctx = gear.context(sink);
    let admission = admit(&ctx, &journal, asks, how.allowed)?;
    if how.dry_run {
        return Ok(AppsAnswer::of(AppsDid::Planned, &admission));
    }
    if admission.moves.is_empty() {
        // What an engine's store has lost of it comes back.
        stage_bundles(&ctx, &admission.same, sources)?;
        let code = ReasonCode::AlreadyInstalled;
        return Err(Failure::new(code, "all of it runs already"));
    }
    super::develop::remember(gear, &journal, &admission.moves)?;
    let command = AppCommand::Change {
        moves: admission.moves.clone(),
        order: how.order.clone(),
        switch: false,
    };
    let staged = match carry_out(gear, &command, sources, sink) {
        Err(failure) => return Err(taken_back(gear, failure, sink)),
        Ok(journal) => journal,
    };
    if !matches!(staged.phase, AppPhase::Staged(_)) {
        return Err(ended(&staged));
    }
    if how.stage {
        return Ok(AppsAnswer::of(AppsDid::Staged, &admission));
    }
    switch_over(gear, &admission.moves, how.force, sources, sink)?;
    Ok(AppsAnswer::of(AppsDid::Updated, &admission))
}

/// Switches to what an order before this one has staged.
pub(super) fn switch_to_staged(
    gear: &Gear<'_>,
    force: bool,
    sink: &dyn Sink,
) -> Result<AppsAnswer> {
    let journal = Stop::default().over(|| carry_out(gear, &AppCommand::Settle, &[], sink))?;
    at_rest(&journal)?;
    let AppPhase::Staged(change) = &journal.phase else {
        return Err(Failure::new(ReasonCode::NotStaged, "no change of apps is staged"));
    };
    switch_over(gear, &change.moves, force, &[], sink)?;
    let (moves, notes) = (change.moves.clone(), Vec::new());
    Ok(AppsAnswer::of(AppsDid::Updated, &Admission { moves, notes, ..Admission::default() }))
}

/// From what is staged to the end of its trial.
fn switch_over(
    gear: &Gear<'_>,
    moves: &[AppMove],
    force: bool,
    sources: &[BundleSource<'_>],
    sink: &dyn Sink,
) -> Result<()> {
    if !force {
        locks::none_is_held(&gear.world.settings.run, moves)?;
    }
    let journal = carry_out(gear, &AppCommand::Switch, sources, sink)?;
    match &journal.last {
        Some(AppOutcome { outcome: AppEnded::Updated, change, .. })
            if change.moves == moves && journal.phase == AppPhase::Idle =>
        {
            Ok(())
        }
        _ => Err(ended(&journal)),
    }
}

/// Why a change that should be under way, or done, has ended.
fn ended(journal: &AppJournal) -> Failure {
    match &journal.last {
        Some(AppOutcome { reason: Some(code), detail, .. }) => Failure::new(*code, detail),
        _ => Failure::new(ReasonCode::Internal, format!("changed, and yet {:?}", journal.phase)),
    }
}

/// What a person has stopped while it was staged is taken back at once; anything else waits where it stopped.
fn taken_back(gear: &Gear<'_>, failure: Failure, sink: &dyn Sink) -> Failure {
    let word = stop::carried().word();
    let stopped = word.filter(|word| word.code() != ReasonCode::Interrupted);
    if let Some(word) = stopped {
        let abandon = AppCommand::Abandon(word.detail().to_owned());
        let done = Stop::default().over(|| carry_out(gear, &abandon, &[], sink));
        if let Err(other) = done {
            log::warn!("taking back: {other}");
        }
        return word;
    }
    failure
}
