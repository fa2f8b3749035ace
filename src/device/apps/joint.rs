//! A joint release: a system whose artifact carries bundles of apps, each with its own signature. The bundles are on the
//! device, and admitted together, before the first byte of the slot is written.

use super::carry::{at_rest, carry_out};
use super::gear::Gear;
use super::journal::found;
use super::spool::{Spooled, spool, tidy};
use crate::apps::{
    AppAsk, AppCommand, AppMove, BundleHead, BundleSource, PayloadReader, admit, read_bundle,
    stage_bundles,
};
use crate::artifact::PayloadKind;
use crate::device::installation::Installation;
use crate::device::offer::Offer;
use crate::device::world::World;
use crate::event::Sink;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::source::Source;
use crate::sys::stop::Stop;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Read;

/// More bundles beside a system than a device has apps.
const MOST: usize = 64;

/// What came with a system, and lives until its slot is written.
#[derive(Default)]
pub(in crate::device) struct Joint {
    /// What is switched to in the system's trial.
    pub(in crate::device) moves: Vec<AppMove>,
    /// The whole artifact, where it came once: the slot is written from it.
    _whole: Option<Spooled>,
}

/// Brings in the bundles of a joint release. `offer` is read from a file afterwards, where it came as a stream. Nothing
/// happens for a system alone.
pub(in crate::device) fn joint(
    world: &World,
    offer: &mut Offer,
    ask: &Installation,
    sink: &dyn Sink,
) -> Result<Joint> {
    let manifest = &offer.release.manifest;
    let beside = manifest.payloads.iter().filter(|p| p.kind == PayloadKind::Bundle).count();
    if beside == 0 {
        return Ok(Joint::default());
    }
    if beside > MOST {
        let text = format!("{beside} bundles beside a system; {MOST} at most");
        return Err(Failure::new(ReasonCode::ManifestInvalid, text));
    }
    if offer.delta.is_some() {
        let text = "a delta of a joint release is not read: install the whole artifact";
        return Err(Failure::new(ReasonCode::DeltaInvalid, text));
    }
    if !ask.dry_run {
        tidy(world);
    }
    let whole = whole(world, offer, sink)?;
    let bundles = nested(world, offer, sink)?;
    let (gear, trust) = (Gear::of(world)?, world.trust()?);
    let heads: Vec<BundleHead> = bundles
        .iter()
        .map(|bundle| read_bundle(&trust, bundle.file()).and_then(not_of_development))
        .collect::<Result<_>>()?;
    let asks: Vec<_> =
        heads.iter().map(|head| AppAsk::Install { head, config: BTreeMap::new() }).collect();
    let journal = match ask.dry_run {
        true => found(&gear, sink)?,
        // What was left to do before is no part of what may be stopped.
        false => Stop::default().over(|| carry_out(&gear, &AppCommand::Settle, &[], sink))?,
    };
    at_rest(&journal)?;
    let ctx = gear.context(sink);
    let admission = admit(&ctx, &journal, &asks, ask.allowed)?;
    if !ask.dry_run {
        let source = |(head, bundle): (&BundleHead, _)| {
            let bundle: &Spooled = bundle;
            BundleSource { digest: head.digest(), bytes: bundle.file() }
        };
        let sources: Vec<_> = heads.iter().zip(&bundles).map(source).collect();
        stage_bundles(&ctx, &admission.moves, &sources)?;
    }
    Ok(Joint { moves: admission.moves, _whole: whole })
}

/// A development key speaks for an app under hold, and never beside a system.
fn not_of_development(head: BundleHead) -> Result<BundleHead> {
    match head.is_development() {
        true => {
            let text = format!("the bundle of {} is signed by a development key", head.app());
            Err(Failure::new(ReasonCode::KeyRole, text))
        }
        false => Ok(head),
    }
}

/// Lays down an artifact that comes once: its bundles are read before the slot is written.
fn whole(world: &World, offer: &mut Offer, sink: &dyn Sink) -> Result<Option<Spooled>> {
    let Source::Stream(stream) = &mut offer.source else { return Ok(None) };
    let (head, len) = (offer.release.head_bytes(), offer.release.artifact_len());
    let spooled = spool(world, &head, stream, len, sink)?;
    offer.source = Source::Local(spooled.again()?);
    Ok(Some(spooled))
}

/// The bundles, each laid down and compared with the hash that the system's signature names.
fn nested(world: &World, offer: &Offer, sink: &dyn Sink) -> Result<Vec<Spooled>> {
    let none = || Failure::new(ReasonCode::Internal, "the bundles of a stream");
    let bytes = offer.source.ranges().ok_or_else(none)?;
    let release = &offer.release;
    let payloads = release.manifest.payloads.iter().filter(|p| p.kind == PayloadKind::Bundle);
    payloads
        .map(|payload| {
            let reader = PayloadReader::new(bytes, release, payload)?;
            let mut hashed = Hashed { reader, sha256: Sha256::new() };
            let spooled = spool(world, &[], &mut hashed, payload.size, sink)?;
            match Digest(hashed.sha256.finalize().into()) == payload.sha256 {
                true => Ok(spooled),
                false => {
                    let text = "a bundle does not have the manifest's SHA-256";
                    Err(Failure::new(ReasonCode::ChunkCorrupt, text))
                }
            }
        })
        .collect()
}

struct Hashed<'a> {
    reader: PayloadReader<'a>,
    sha256: Sha256,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buf)?;
        self.sha256.update(&buf[..read]);
        Ok(read)
    }
}
