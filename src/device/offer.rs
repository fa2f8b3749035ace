//! Whether an artifact would be installed here, without touching anything.

use super::from_delta;
use super::readiness;
use super::world::{World, named};
use crate::artifact::{
    Format, Payload, Release, Unverified, check_payload, read_head, read_head_by_pages,
};
use crate::boot::BootFacts;
use crate::event::Sink;
use crate::install::{
    Depth, FromDelta, Plan, check_file, check_length, delta_length, for_this_device, plan,
};
use crate::model::{Condition, Digest, Failure, Identifier, ReasonCode, Result, SlotId, Txn};
use crate::source::{Fetch, Sequential, Source};
use crate::trust::{Trust, Verified};
use crate::update::{Allowed, Journal, Named, Order, Standing, Work, not_rolled_back, wanted};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::time::Instant;

/// An artifact whose head a trusted key has signed, with its payload still unread.
pub(super) struct Offer {
    /// The release.
    pub(super) release: Verified<Release>,
    /// The payload.
    pub(super) source: Source,
    /// How long it took to read the head, milliseconds.
    pub(super) millis: u64,
    /// What makes the payload of what runs, where the source is a delta.
    pub(super) delta: Option<FromDelta>,
}

impl Offer {
    /// Whether the source has the length that is signed.
    fn has_its_length(&self) -> Result<()> {
        match (self.source.ranges(), &self.delta) {
            (None, _) => Ok(()),
            (Some(bytes), Some(from)) => delta_length(bytes, &from.delta),
            (Some(bytes), None) => check_length(bytes, &self.release),
        }
    }
}

/// Reads the head of a file, or of a stream that is then at its payload.
pub(super) fn open(world: &World, source: Source) -> Result<Offer> {
    open_naming(world, source, &mut None)
}

/// The same; `makes` is the release that a delta says it makes, where that is signed, though it may not help
/// here.
pub(super) fn open_naming(
    world: &World,
    mut source: Source,
    makes: &mut Option<Digest>,
) -> Result<Offer> {
    let (trust, begun) = (world.trust()?, Instant::now());
    let head = match &mut source {
        Source::Local(file) => read_head(&mut Sequential::new(file))?,
        Source::Ranges(bytes) if bytes.is_dear() => far_head(world, &**bytes, &trust)?,
        Source::Ranges(bytes) => read_head(&mut Sequential::new(&**bytes))?,
        Source::Stream(stream) => read_head(stream).map_err(cut_short)?,
    };
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if head.format() == Format::Delta {
        let opened = from_delta::open(world, head, &mut source, &trust, makes);
        let stream = matches!(source, Source::Stream(_));
        let (release, from) = if stream { opened.map_err(cut_short)? } else { opened? };
        return Ok(Offer { release, source, millis, delta: Some(from) });
    }
    #[cfg(feature = "apps")]
    if head.format() == Format::BundleDelta {
        let release = super::apps::made_by_delta(world, &source)?;
        return Ok(Offer { release, source, millis, delta: None });
    }
    Ok(Offer { release: head.verify(&trust)?, source, millis, delta: None })
}

/// The head of what is far away: of its table only what the records of the slots do not have.
fn far_head(world: &World, bytes: &dyn Fetch, trust: &Trust) -> Result<Unverified> {
    let known: Vec<_> = [SlotId::A, SlotId::B].iter().filter_map(|s| world.installed(*s)).collect();
    let known: Vec<_> = known.iter().map(|installed| &**installed).collect();
    let read = |ranges: &[_], buf: &mut [u8]| bytes.read_ranges(ranges, buf);
    read_head_by_pages(bytes.len(), &read, trust, &known)
}

/// A stream that ends too soon is not a short artifact: its sender went away, and may come again.
fn cut_short(failure: Failure) -> Failure {
    match failure.code() {
        ReasonCode::Truncated => {
            Failure::new(ReasonCode::SourceLost, format!("the stream ended: {}", failure.detail()))
        }
        _ => failure,
    }
}

/// The plan for this device, and the move it makes. Refuses what is not for this device or not
/// wanted; pure but for reading.
pub(super) fn weigh(
    world: &World,
    journal: &Journal,
    release: &Verified<Release>,
    allowed: Allowed,
) -> Result<(Plan, Work)> {
    let booted = world.booted()?;
    let slot = booted.other();
    let plan = plan(release, &world.target()?, world.layout.parts(slot))?;
    let boot = world.boot.look()?;
    let (running, offered) = (world.named(booted), named(&release.manifest));
    let digest = release.body_digest();
    let given_up = given_up(world, journal, &boot, &digest);
    let standing = Standing {
        running: &running,
        committed: world.committed(&boot, booted),
        floor: world.floor_epoch(),
        denied: &journal.denied,
        given_up: given_up.as_ref(),
    };
    wanted(&offered, &digest, &standing, allowed)?;
    Ok((plan, world.move_into(slot, digest, offered, Order::default())))
}

/// The transaction that the environment has given up, unless the journal or a drill says that the
/// release with this digest is not to blame for it.
fn given_up(world: &World, journal: &Journal, boot: &BootFacts, digest: &Digest) -> Option<Txn> {
    // Where the journal knows how a transaction ended, it also knows whether the release is to blame.
    let ended = journal.last.as_ref().filter(|l| l.work.digest == *digest);
    let ended = ended.and_then(|l| l.txn.as_ref());
    // A drill leaves its own in the environment, long after the journal speaks of something else.
    let drilled = world.certificate().and_then(|c| c.txn);
    let blamed = |txn: &&Txn| ended != Some(*txn) && drilled.as_ref() != Some(*txn);
    boot.fallback.as_ref().filter(blamed).cloned()
}

/// Whether the system `to` with this digest came back from a trial here: as for an installation,
/// by the journal and by the environment.
pub(super) fn came_back(
    world: &World,
    journal: &Journal,
    to: &Named,
    digest: &Digest,
) -> Result<()> {
    let given_up = given_up(world, journal, &world.boot.look()?, digest);
    not_rolled_back(to, digest, &journal.denied, given_up.as_ref())
}

/// What `surefoot verify FILE` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judgement {
    /// The version of this answer's shape.
    pub v: u32,
    /// What installing it would do.
    pub plan: Plan,
    /// The app that it is a bundle of: no slot is written for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Identifier>,
    /// The slot it would go to.
    pub slot: crate::model::SlotId,
    /// What runs now.
    pub running: String,
    /// The artifact: SHA-256 of its manifest.
    pub artifact: Digest,
    /// Whether a person has cancelled it, so that nothing but a person begins it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// What a person should know before; empty where only the head was looked at.
    #[serde(default)]
    pub findings: Vec<Condition>,
}

impl Judgement {
    /// The same where no person asks for it.
    pub fn unasked(self) -> Result<Judgement> {
        match self.cancelled {
            true => Err(cancelled(&self.plan.version)),
            false => Ok(self),
        }
    }
}

/// Refuses what a person has cancelled, where this order is no person's own.
pub(super) fn not_cancelled(
    journal: &Journal,
    work: &Work,
    order: &Order,
    anew: bool,
) -> Result<()> {
    match order.automatic && !anew && journal.cancelled.contains(&work.digest) {
        true => Err(cancelled(&work.to)),
        false => Ok(()),
    }
}

fn cancelled(what: &dyn Display) -> Failure {
    let text = format!("a person cancelled {what}; `surefoot install` begins it again");
    Failure::new(ReasonCode::Cancelled, text)
}

/// Whether this file would be installed here: what the device needs for that, every signature, every
/// stored byte, every rule.
pub fn judge(world: &World, source: Source, sink: &dyn Sink) -> Result<Judgement> {
    let findings = readiness::ready(world, Some(sink))?;
    Ok(Judgement { findings, ..examine(world, source, sink)? })
}

/// The same without a look at the device: no health check is run.
pub fn examine(world: &World, source: Source, sink: &dyn Sink) -> Result<Judgement> {
    let (mut offer, judgement) = look_at(world, source)?;
    if let Some(from) = &offer.delta {
        let whole = judgement.plan.parts.len() == offer.release.manifest.payloads.len();
        let slot = if whole { Some(judgement.slot.other()) } else { None };
        from_delta::check(world, (&offer.release, from), &mut offer.source, slot, sink)?;
        return Ok(judgement);
    }
    // Of what is read once only, whether the image holds a system to boot is seen when it is installed.
    if let Source::Stream(stream) = &mut offer.source {
        check_payload(&offer.release, stream, &|_| ()).map_err(cut_short)?;
    }
    if let Some(bytes) = offer.source.ranges() {
        check_file(bytes, &offer.release, Depth::Decoded, sink)?;
    }
    if let Some(bytes) = offer.source.twice().filter(|_| judgement.app.is_none()) {
        readiness::offers_a_system(bytes, &offer.release, &judgement.plan)?;
    }
    Ok(judgement)
}

/// The same by the head and the length alone, to choose among several: what is stored is checked
/// when one of them is installed.
pub fn glance(world: &World, source: Source) -> Result<Judgement> {
    let (offer, judgement) = look_at(world, source)?;
    offer.has_its_length()?;
    Ok(judgement)
}

fn look_at(world: &World, source: Source) -> Result<(Offer, Judgement)> {
    let offer = open(world, source)?;
    if let Some(app) = offer.release.manifest.app.clone() {
        let judgement = of_app(world, &offer.release, app)?;
        return Ok((offer, judgement));
    }
    let journal = world.load_journal();
    let (plan, work) = weigh(world, &journal, &offer.release, Allowed::default())?;
    let (running, artifact) = (work.from.to_string(), offer.release.body_digest());
    let (slot, cancelled) = (work.slot, journal.cancelled.contains(&artifact));
    let findings = Vec::new();
    Ok((offer, Judgement { v: 1, plan, app: None, slot, running, artifact, cancelled, findings }))
}

/// The same of a bundle: by what is signed of it. Whether the device has all that its app needs is asked when it is
/// installed.
fn of_app(world: &World, release: &Release, app: Identifier) -> Result<Judgement> {
    if !cfg!(feature = "apps") {
        let text = "it is a bundle of an app, and this program has no apps";
        return Err(Failure::new(ReasonCode::UpdaterTooOld, text));
    }
    let manifest = &release.manifest;
    for_this_device(manifest, &world.target()?)?;
    let sum = |of: fn(&Payload) -> u64| manifest.payloads.iter().map(of).sum::<u64>();
    let image = sum(|payload| payload.size);
    let plan = Plan {
        version: manifest.version.clone(),
        release_counter: manifest.release_counter,
        parts: Vec::new(),
        image,
        carried: image,
        stored: sum(|payload| payload.stored_size),
        chunks: release.table.chunks.len(),
        slot: 0,
    };
    let (slot, artifact) = (world.booted()?, release.body_digest());
    let running = world.named(slot).to_string();
    let findings = Vec::new();
    Ok(Judgement {
        v: 1,
        plan,
        app: Some(app),
        slot,
        running,
        artifact,
        cancelled: false,
        findings,
    })
}
