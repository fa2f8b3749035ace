//! `install`: from an artifact to an armed slot.

use super::answer::{Answer, Cost, Next};
use super::beside;
use super::departure;
use super::hands::{Cargo, made_way, rest};
use super::installation::{Installation, Installed};
use super::look::look;
use super::moments;
use super::near::{Ahead, Near, distance, via};
use super::offer::{self, Offer};
use super::readiness;
use super::unfinished::{Begun, forget, is_the_same};
use super::ways::Ways;
use super::work::{PATIENCE, Working};
use super::world::World;
use crate::artifact::Release;
use crate::event::{Event, Sink};
use crate::hooks::Moment;
use crate::install::{Depth, Reuse, check_delta, check_file, forecast};
use crate::model::{Condition, Digest, Failure, ReasonCode, Result, State};
use crate::source::Source;
use crate::sys::stop::Stop;
use crate::update::{
    Allowed, Done, Ended, Journal, Order, Outcome, Phase, Reboot, Then, Wish, Work, at_rest,
};
use std::time::Duration;

/// An artifact as far as it has been looked at.
enum Brought {
    Unread(Source),
    Offered(Box<Offer>),
}

impl Brought {
    fn source(&self) -> &Source {
        match self {
            Brought::Unread(source) => source,
            Brought::Offered(offer) => &offer.source,
        }
    }
}

/// Brings a release. Whatever refuses it does so before the first byte that counts is touched.
pub fn install(
    world: &World,
    source: Source,
    ask: Installation,
    sink: &dyn Sink,
) -> Result<Installed> {
    install_by(world, &mut Ways::default(), source, ask, sink)
}

/// The same by any of these ways.
pub(super) fn install_by(
    world: &World,
    ways: &mut Ways<'_>,
    source: Source,
    ask: Installation,
    sink: &dyn Sink,
) -> Result<Installed> {
    // What keeps a system from being installed is no matter of an app.
    let conditions = match ask.is_of_an_app() {
        true => Vec::new(),
        false => readiness::ready(world, ask.dry_run.then_some(sink))?,
    };
    world.booted()?;
    if ask.dry_run {
        return by_ways(world, Brought::Unread(source), ask, conditions, None, ways, sink);
    }
    may_begin(world, &ask)?;
    let soon = Duration::from_millis(200);
    let (by, automatic) = (ask.order.by.clone(), ask.order.automatic);
    // What makes way for this one may begin again at once, and must find this one before it.
    let first = world.first_in_line(if automatic { soon } else { PATIENCE })?;
    let (held, brought) = match world.lock_to_install(&by, automatic, soon) {
        Ok(held) => (held, Brought::Unread(source)),
        Err(busy) if busy.code() == ReasonCode::Busy => {
            let offer = make_way(world, source, &ask, busy)?;
            (world.lock_to_install(&by, automatic, PATIENCE)?, Brought::Offered(Box::new(offer)))
        }
        Err(failure) => return Err(failure),
    };
    drop(first);
    // Somebody may have stopped automatic updates just before this one had its name.
    may_begin(world, &ask)?;
    let telling = held.telling(sink);
    let done =
        held.stop.over(|| by_ways(world, brought, ask, conditions, Some(&held), ways, &telling));
    match (done, held.stop.word()) {
        (Err(_), Some(word)) => Err(stopped(world, word, ways.begun.take(), sink)),
        (done, _) => done,
    }
}

/// Where a delta does not help, the full artifact does, and goes on with what stands.
fn by_ways(
    world: &World,
    brought: Brought,
    ask: Installation,
    conditions: Vec<Condition>,
    held: Option<&Working>,
    ways: &mut Ways<'_>,
    sink: &dyn Sink,
) -> Result<Installed> {
    ways.instead = beside::full_beside(brought.source(), &ask);
    let (first, told) = (ask.clone(), conditions.clone());
    let why = match bring(world, brought, first, told, held, ways, sink) {
        Err(why) => why,
        done => return done,
    };
    let sure = ways.instead.as_ref().is_some_and(|full| full.sure);
    let Some(full) = ways.instead.take().filter(|_| beside::may_fall_back(why.code(), sure)) else {
        return Err(why);
    };
    let (source, ask, name) = match ways.open_full(&full.origin, ask) {
        Ok(opened) => opened,
        // Where none is there, the delta is what is wrong.
        Err(_) if !sure => return Err(why),
        Err(failure) => return Err(failure),
    };
    sink.emit(&Event::Warning { text: format!("{why}: {name} takes its place") });
    ways.decided = true;
    match bring(world, Brought::Unread(source), ask, conditions, held, ways, sink) {
        Err(other) if other.code() == ReasonCode::OtherRelease && !sure => {
            sink.emit(&Event::Warning { text: format!("{name}: {other}") });
            Err(why)
        }
        done => done,
    }
}

/// An automatic installation that runs makes way for a newer release, once it is certain that this
/// one would be installed. What a person has begun does not.
fn make_way(world: &World, source: Source, ask: &Installation, busy: Failure) -> Result<Offer> {
    let Some(running) = world.named_automatic() else { return Err(busy) };
    let offer = offer::open(world, source)?;
    let counter = offer.release.manifest.release_counter;
    // Releases of an app and of a system have no order.
    if running.app || offer.release.manifest.app.is_some() {
        return Err(busy);
    }
    if counter <= running.release_counter {
        return Err(busy);
    }
    let journal = world.load_journal();
    let (_, work) = offer::weigh(world, &journal, &offer.release, ask.allowed)?;
    offer::not_cancelled(&journal, &work, &ask.order, ask.anew)?;
    let text = format!("{} takes its place", offer.release.manifest.version);
    world.stop_automatic(&Failure::new(ReasonCode::Superseded, text))?;
    Ok(offer)
}

/// The end of an installation that was told to stop. What a person has cancelled is remembered;
/// anything else goes on where it stopped.
fn stopped(world: &World, word: Failure, begun: Option<Work>, sink: &dyn Sink) -> Failure {
    if word.code() == ReasonCode::Interrupted && word.detail().starts_with("SIGINT") {
        // Whoever sat at the keyboard goes on with it, or nobody does.
        let _best_effort = forget(world);
    }
    let Some(work) = begun else { return word };
    if word.code() == ReasonCode::Superseded {
        // One that the journal speaks of ends when the other begins, and goes on should that be refused.
        let known = world.load_journal().work().is_some_and(|w| w.digest == work.digest);
        if !known {
            made_way(world, &Outcome::made_way(work, word.detail(), world.now()), sink);
        }
        return word;
    }
    if word.code() != ReasonCode::Cancelled {
        return word;
    }
    let why = word.detail().to_owned();
    let wish = Wish::Cancel { why: why.clone(), begun: Some(work.clone()) };
    if let Err(failure) = rest(world, world.load_journal(), &wish, None, sink) {
        // Whoever cancelled it sees to it.
        sink.emit(&Event::Warning { text: format!("cancelling: {failure}") });
    }
    super::cancel::told(&work, &why, sink);
    word
}

/// The work itself: under the lock, and told to others, unless nothing is to be done.
fn bring(
    world: &World,
    brought: Brought,
    ask: Installation,
    mut conditions: Vec<Condition>,
    held: Option<&Working>,
    ways: &mut Ways<'_>,
    sink: &dyn Sink,
) -> Result<Installed> {
    let booted = world.booted()?;
    let then = match ask.order.automatic && world.settings.confirm {
        true => Then::Stage,
        false => ask.then,
    };
    if !ask.dry_run {
        world.keep_reserve();
    }
    let mut journal = world.load_journal();
    if ask.dry_run {
        let facts = look(world, booted, &journal, &Wish::Settle, None)?;
        journal = at_rest(&journal, &facts);
    } else {
        // What was left to do before is no part of what may be stopped.
        let settled = || rest(world, journal, &Wish::Settle, None, sink);
        journal = Stop::default().over(settled)?.journal;
    }
    if let Phase::Trying { work, .. } | Phase::Returning { work, .. } = &journal.phase {
        let text = format!("{} in slot {} is on trial", work.to, work.slot);
        return Err(Failure::new(ReasonCode::TrialPending, text));
    }
    ways.counts(brought.source());
    let mut offer = match brought {
        Brought::Offered(offer) => *offer,
        Brought::Unread(source) => offer::open_naming(world, source, &mut ways.makes)?,
    };
    if offer.release.manifest.app.is_some() {
        return bring_app(world, held, offer, &ask, sink);
    }
    if ask.is_of_an_app() {
        let text = "the file is a release of a system, and no bundle of an app";
        let next = "Give it to `surefoot install`.";
        return Err(Failure::new(ReasonCode::AppInvalid, text).with_next(next));
    }
    #[cfg(feature = "apps")]
    {
        super::apps::may_arm(world)?;
        super::apps::may_change_store(world, &offer.release)?;
    }
    if !ask.dry_run {
        is_not_held(world, &ask)?;
    }
    let (asked, release) = (Begun::of(&ask, offer.source.path()), &offer.release);
    let digest = release.body_digest();
    is_the_same(ask.only, &digest)?;
    is_expected(ask.expected, release)?;
    // What was to be gone on with may have been ended before this one had the lock.
    let goes_on = matches!(&journal.phase, Phase::Installing(work) if work.digest == digest);
    if ask.only.is_some() && !goes_on {
        let text = format!("the installation of {} has ended meanwhile", release.manifest.version);
        return Err(Failure::new(ReasonCode::Cancelled, text));
    }
    // Asked again for what is under way, nothing is old or new about it.
    if let Some(answer) = already(world, &journal, &digest, then, ask.allowed) {
        if !ask.dry_run {
            reorder(world, &mut journal, &ask.order)?;
        }
        let via = via(distance(&offer.source).is_some(), offer.delta.is_some());
        let cost = Some(Cost::of(None, ways.received(), via));
        return Ok(Installed::Done(Answer { cost, ..answer }));
    }
    let (plan, work) = offer::weigh(world, &journal, release, ask.allowed)?;
    if let Phase::Staged(old) | Phase::Switching { work: old, .. } = &journal.phase
        && ask.order.automatic
        && old.digest != digest
    {
        not_before(old, &work)?;
    }
    let work = Work { order: ask.order.clone(), ..work };
    offer::not_cancelled(&journal, &work, &work.order, ask.anew)?;
    if ask.anew {
        // Kept with the first word of this installation, so that it also goes on after a power cut.
        journal = journal.resuming(&digest);
    }
    // What another way has begun stands as far as it came.
    let again = ways.begun.as_ref().is_some_and(|begun| begun.digest == digest);
    if let Some(held) = held {
        held.announce(&work);
        ways.begun = Some(work.clone());
    }
    // What a person cancelled stands there as far as it came.
    let before = match (&journal.phase, &journal.last) {
        (Phase::Installing(old), _) => Some(old),
        (Phase::Idle, Some(last)) if last.outcome == Ended::Cancelled => Some(&last.work),
        _ => None,
    };
    let resumes = before.is_some_and(|old| old.digest == digest && old.slot == work.slot);
    let resumes = resumes || again;
    let reuse = match world.installed(work.slot) {
        _ if resumes => Reuse::Resume,
        Some(standing) => Reuse::SharedWith(Box::new(standing)),
        None => Reuse::Nothing,
    };
    if !ask.dry_run {
        moments::asked(world, Moment::BeforeDownload, &work, sink)?;
    }
    ways.choose(world, &ask, &mut offer, (&plan, work.slot, &reuse), sink)?;
    #[cfg(feature = "apps")]
    let brought = super::apps::joint(world, &mut offer, &ask, sink)?;
    #[cfg(not(feature = "apps"))]
    refuse_joint(&offer)?;
    let Offer { release, source, millis, delta } = offer;
    let far = distance(&source);
    let via = via(far.is_some(), delta.is_some());
    // What goes on where it stopped checks the missing part, once it knows which that is.
    if let (Some(bytes), Some(from)) = (source.twice(), &delta) {
        check_delta(bytes, from, sink)?;
    } else if let Some(bytes) = source.twice()
        && (ask.dry_run || !resumes)
    {
        check_file(bytes, &release, Depth::Stored, sink)?;
        readiness::offers_a_system(bytes, &release, &plan)?;
    }
    if ask.dry_run {
        let (slot, findings) = (work.slot, conditions);
        let from_here = far.is_some() || delta.is_some();
        let near = from_here.then(|| Near::of(world, booted)).flatten();
        let other = near.as_ref().map(Near::copied_from);
        let target = world.parts(slot)?;
        let foreseen = forecast(&release, &plan, &target, &reuse, other, sink)?;
        let ahead = Ahead::of(&source, &release, delta.as_ref(), millis);
        let forecast = ahead.map(|ahead| ahead.foresees(foreseen));
        let sums = forecast.as_ref().unwrap_or(&foreseen);
        let cost = Cost::foreseen(sums, ways.elsewhere(), via, delta.as_ref());
        return Ok(Installed::Plan { v: 1, dry_run: true, slot, cost, plan, forecast, findings });
    }
    moments::asked(world, Moment::BeforeInstall, &work, sink)?;
    conditions.extend(world.take_baseline(sink)?);
    readiness::tell(&conditions, sink);
    let replaces = match &journal.phase {
        Phase::Installing(old) | Phase::Staged(old) if old.digest != digest => Some(old.clone()),
        _ => None,
    };
    let source = Some(source);
    let (release, plan, report) = (&release, &plan, None);
    let mut cargo = Cargo {
        release,
        plan,
        source,
        reuse,
        delta,
        millis,
        report,
        replaces,
        #[cfg(feature = "apps")]
        moves: brought.moves.clone(),
    };
    asked.keep(world, &work)?;
    let wish = Wish::Install(work.clone(), then);
    let rest = rest(world, journal, &wish, Some(&mut cargo), sink)?;
    if let Some(Done::NotWritten(code, detail)) = rest.done {
        return Err(Failure::new(code, detail));
    }
    if let Some(code) = rest.refused {
        return Err(Failure::new(code, code.meaning()));
    }
    let state = State::of(&rest.journal);
    match (state, &rest.journal.last) {
        (State::Switching | State::Staged, _) => {}
        (_, Some(last)) => {
            let code = last.reason.unwrap_or(ReasonCode::Internal);
            return Err(Failure::new(code, &last.detail));
        }
        _ => {
            return Err(Failure::new(ReasonCode::Internal, format!("installed, and yet {state}")));
        }
    }
    moments::at(world, Moment::AfterInstall, &work, sink);
    let (report, findings) = (cargo.report, conditions);
    let cost = Some(Cost::of(report.as_ref(), ways.received(), via));
    Ok(Installed::Done(Answer { cost, report, findings, ..installed_answer(state, &work) }))
}

/// Refuses what another release lies under the address of the one that was offered.
fn is_expected(expected: Option<Digest>, found: &Release) -> Result<()> {
    match expected.is_none_or(|expected| expected == found.body_digest()) {
        true => Ok(()),
        false => {
            let text = format!("{} lies where another release was offered", found.manifest.version);
            Err(Failure::new(ReasonCode::OtherRelease, text))
        }
    }
}

/// What comes by itself takes the place of neither what a person has asked for nor a newer release.
fn not_before(old: &Work, work: &Work) -> Result<()> {
    if !old.order.automatic {
        let text = format!("{} waits in slot {}, as a person asked for", old.to, old.slot);
        return Err(Failure::new(ReasonCode::Inhibited, text));
    }
    match old.to.release_counter >= work.to.release_counter {
        true => {
            let text = format!("{} is not newer than {}, which waits already", work.to, old.to);
            Err(Failure::new(ReasonCode::VersionOlder, text))
        }
        false => Ok(()),
    }
}

/// Whether anything may be installed at all just now.
fn may_begin(world: &World, ask: &Installation) -> Result<()> {
    world.no_reset()?;
    // A person may bring what only a hold allows: that is known once the head has been read.
    if ask.order.automatic {
        is_not_held(world, ask)?;
    }
    match departure::may_not_write(world).filter(|_| ask.order.automatic) {
        Some(text) => Err(Failure::new(ReasonCode::Inhibited, text)),
        None => Ok(()),
    }
}

fn is_not_held(world: &World, ask: &Installation) -> Result<()> {
    match world.hold() {
        Some(hold) if !ask.hold_ok => Err(Failure::new(ReasonCode::Held, hold.text())),
        _ => Ok(()),
    }
}

#[cfg(feature = "apps")]
fn bring_app(
    world: &World,
    held: Option<&Working>,
    offer: Offer,
    ask: &Installation,
    sink: &dyn Sink,
) -> Result<Installed> {
    super::apps::bring(world, held, offer, ask, sink).map(Installed::Apps)
}

/// This program has no apps.
#[cfg(not(feature = "apps"))]
fn refuse_joint(offer: &Offer) -> Result<()> {
    let bundle = crate::artifact::PayloadKind::Bundle;
    match offer.release.manifest.payloads.iter().any(|payload| payload.kind == bundle) {
        true => {
            let text = "it is a system with apps, and this program has no apps";
            Err(Failure::new(ReasonCode::UpdaterTooOld, text))
        }
        false => Ok(()),
    }
}

/// This program has no apps.
#[cfg(not(feature = "apps"))]
fn bring_app(
    _: &World,
    _: Option<&Working>,
    _: Offer,
    _: &Installation,
    _: &dyn Sink,
) -> Result<Installed> {
    let text = "it is a bundle of an app, and this program has no apps";
    Err(Failure::new(ReasonCode::UpdaterTooOld, text))
}

/// The same artifact again, while it waits: done, and nothing is written.
fn already(
    world: &World,
    journal: &Journal,
    digest: &crate::model::Digest,
    then: Then,
    allowed: Allowed,
) -> Option<Answer> {
    let work = journal.work().filter(|w| w.digest == *digest)?;
    let standing = world.target_in(work.slot) == crate::update::Target::Recorded(*digest);
    let state = State::of(journal);
    let waits = state == State::Switching || state == State::Staged && then == Then::Stage;
    (waits && standing && !allowed.reinstall).then(|| installed_answer(state, work))
}

/// Who asks again may ask for another time of the reboot; what comes by itself changes nothing that a
/// person has asked for.
fn reorder(world: &World, journal: &mut Journal, order: &Order) -> Result<()> {
    match &mut journal.phase {
        Phase::Switching { work, .. } | Phase::Staged(work)
            if work.order != *order && (work.order.automatic || !order.automatic) =>
        {
            work.order = order.clone();
            world.journal.save(journal)
        }
        _ => Ok(()),
    }
}

fn installed_answer(state: State, work: &Work) -> Answer {
    let (next, text) = match state {
        State::Staged => (
            Next::Switch,
            format!(
                "{} is written to slot {} and verified. Arm it with `surefoot switch`.",
                work.to, work.slot
            ),
        ),
        _ => {
            let then = match work.order.reboot {
                Reboot::Asked => "Reboot to try it; it stays after `surefoot commit`.",
                Reboot::Now => "The device reboots to try it.",
                Reboot::Window => "The device reboots in its next window to try it.",
            };
            (Next::Reboot, format!("{} is in slot {} and armed. {then}", work.to, work.slot))
        }
    };
    Answer::new(state, work, next, text)
}
