//! Whether an artifact would be installed here, without touching anything.

use super::world::{World, named};
use crate::artifact::{Release, read_head};
use crate::boot::BootControl;
use crate::event::Sink;
use crate::install::{Plan, check_stored, plan};
use crate::model::Result;
use crate::source::{FileSource, Input, Sequential};
use crate::trust::Verified;
use crate::update::{Allowed, Journal, Standing, Work, wanted};
use serde::Serialize;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// An artifact whose head a trusted key has signed, with its payload still unread.
pub(super) struct Offer {
    /// The release.
    pub(super) release: Verified<Release>,
    /// The payload.
    pub(super) input: Input,
}

/// Reads the head of a file, or of a stream that is then at its payload.
pub(super) fn open(world: &World, source: &super::Source) -> Result<Offer> {
    let trust = world.trust()?;
    match source {
        super::Source::File(path) => {
            let file = Arc::new(FileSource::open(path)?);
            let release = read_head(&mut Sequential::new(&*file))?.verify(&trust)?;
            Ok(Offer { release, input: Input::Seekable(file) })
        }
        super::Source::Stdin => {
            let mut stream: Box<dyn Read + Send> = crate::source::stdin();
            let release = read_head(&mut stream)?.verify(&trust)?;
            Ok(Offer { release, input: Input::Stream(stream) })
        }
    }
}

/// The plan for this device, and the move it makes. Refuses what is not for this device or not
/// wanted; pure but for reading.
pub(super) fn judge(
    world: &World,
    journal: &Journal,
    release: &Verified<Release>,
    allowed: Allowed,
) -> Result<(Plan, Work)> {
    let booted = world.booted()?;
    let slot = booted.other();
    let first = world.layout.first(slot);
    let plan = plan(release, &world.target()?, first.len)?;
    let boot = world.boot.look()?;
    let (running, offered) = (world.named(booted), named(&release.manifest));
    let digest = release.body_digest();
    // Where the journal knows how a transaction ended, it also knows whether the release is to blame.
    let ended = journal.last.as_ref().filter(|l| l.work.digest == digest);
    let ended = ended.and_then(|l| l.txn.as_ref());
    let standing = Standing {
        running: &running,
        committed: world.committed(&boot, booted),
        floor: world.floor_epoch(),
        denied: &journal.denied,
        given_up: boot.fallback.as_ref().filter(|txn| ended != Some(*txn)),
    };
    wanted(&offered, &digest, &standing, allowed)?;
    Ok((plan, world.move_into(slot, digest, offered)))
}

/// What `surefoot verify FILE` says.
#[derive(Debug, Clone, Serialize)]
pub struct Judgement {
    /// The version of this answer's shape.
    pub v: u32,
    /// What installing it would do.
    pub plan: Plan,
    /// The slot it would go to.
    pub slot: crate::model::SlotId,
    /// What runs now.
    pub running: String,
}

/// Whether this file would be installed here: every signature, every stored byte, every rule.
pub fn judge_file(world: &World, path: &Path, sink: &dyn Sink) -> Result<Judgement> {
    let offer = open(world, &super::Source::File(path.to_owned()))?;
    let (plan, work) = judge(world, &world.load_journal(), &offer.release, Allowed::default())?;
    if let Input::Seekable(source) = &offer.input {
        check_stored(&**source, &offer.release, sink)?;
    }
    Ok(Judgement { v: 1, plan, slot: work.slot, running: work.from.to_string() })
}
