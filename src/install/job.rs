//! From what is asked to what is written: look at the slot first, then decide, then write.

use super::check::{check_chunks, check_length};
use super::copies::{CopiedFrom, find_copies};
use super::forecast::sums;
use super::origin::Origin;
use super::part::PartOrder;
use super::plan::{PartPlan, Plan};
use super::progress::Progress;
use super::rebuild::{FromDelta, delta_length, find_base};
use super::reuse::{Reuse, believe_standing, find_standing};
use super::spans::Places;
use super::write::{Order, Report, aligned};
use crate::artifact::Release;
use crate::disk::BlockDevice;
use crate::event::{Forecast, Phase, Sink};
use crate::model::{Failure, ReasonCode, Result, SlotId};
use crate::slot::record::{PAYLOAD_MAX, encode_record};
use crate::slot::{Inactive, OpenPart};
use crate::source::Source;
use crate::trust::Verified;

const _: () = assert!(crate::artifact::MAX_RECORD_LEN == PAYLOAD_MAX, "build knows what fits");

/// One writing of one slot.
pub struct Job<'a> {
    /// What is written.
    pub release: &'a Verified<Release>,
    /// What [`super::plan`] said of it and of this slot.
    pub plan: &'a Plan,
    /// Where its payload comes from; a stream is at the payload's first byte.
    pub source: Source,
    /// The slot.
    pub target: &'a Inactive,
    /// Whether to look for chunks that stand there already.
    pub reuse: Reuse,
    /// A slot that has chunks of the release perhaps: what is dear to fetch is copied from it.
    pub other: Option<CopiedFrom<'a>>,
    /// What makes the payload of that slot's bytes, where the source is a delta.
    pub delta: Option<FromDelta>,
    /// Where progress goes.
    pub sink: &'a dyn Sink,
}

/// A job whose source has the right length and whose slot has been compared: it is known where
/// each chunk comes from, and nothing is changed yet.
pub struct Prepared<'a> {
    order: Order<'a>,
    source: Source,
    slot: SlotId,
    sink: &'a dyn Sink,
}

impl<'a> Job<'a> {
    /// Looks at what the slot holds. Changes nothing.
    pub fn prepare(self) -> Result<Prepared<'a>> {
        let Job { release, plan, source, target, reuse, other, delta, sink } = self;
        let mut parts = parts(release, plan, target.parts())?;
        if let Some(bytes) = source.ranges() {
            match &delta {
                Some(from) => delta_length(bytes, &from.delta)?,
                None => check_length(bytes, release)?,
            }
        }
        if let Some(from) = &delta {
            let base = other.ok_or_else(|| {
                let detail = "the slot that runs has no record that is accepted";
                Failure::new(ReasonCode::DeltaBase, detail)
            })?;
            let payloads: Vec<usize> = plan.parts.iter().map(|part| part.payload).collect();
            find_base(&mut parts, &payloads, &from.delta, base, sink)?;
        }
        find_standing(&mut parts, &reuse, sink)
            .map_err(|f| f.at(format_args!("slot {}", target.id())))?;
        // What comes as a stream brings all of it anyway, and a file at hand is as near as the slot.
        if let Some(other) = other
            && delta.is_none()
            && source.ranges().is_some_and(|bytes| bytes.is_dear())
        {
            find_copies(&mut parts, other);
        }
        let mut payloads: Vec<usize> = plan.parts.iter().map(|part| part.payload).collect();
        payloads.sort_unstable();
        let record = aligned(&encode_record(&release.record(&payloads, PAYLOAD_MAX)?)?)?;
        let (table, pages) = (&release.table.chunks, release.pages());
        let firsts = release.manifest.payloads.iter().map(|p| p.first_chunk as usize).collect();
        let order = Order { table, pages, parts, record, delta, firsts };
        Ok(Prepared { order, source, slot: target.id(), sink })
    }
}

/// What a job would do for this slot, whose parts are opened for reading: what is said to stand is hashed,
/// what is said to be copied is not.
pub fn forecast(
    release: &Release,
    plan: &Plan,
    target: &[OpenPart],
    reuse: &Reuse,
    other: Option<CopiedFrom>,
    sink: &dyn Sink,
) -> Result<Forecast> {
    let mut parts = parts(release, plan, target)?;
    find_standing(&mut parts, reuse, sink)?;
    if let Some(other) = other {
        find_copies(&mut parts, other);
    }
    Ok(sums(&parts))
}

/// How many stored bytes [`forecast`] would say are to be fetched, as the records tell it: a target that
/// has a record is not read.
pub fn estimate(
    release: &Release,
    plan: &Plan,
    target: &[OpenPart],
    reuse: &Reuse,
    other: Option<CopiedFrom>,
    sink: &dyn Sink,
) -> Result<u64> {
    let mut parts = parts(release, plan, target)?;
    believe_standing(&mut parts, reuse, sink)?;
    if let Some(other) = other {
        find_copies(&mut parts, other);
    }
    Ok(sums(&parts).to_fetch)
}

/// The parts as planned, each on its partition. The plan was made for this slot and this release.
fn parts<'a>(
    release: &'a Release,
    plan: &Plan,
    target: &'a [OpenPart],
) -> Result<Vec<PartOrder<'a>>> {
    let other =
        || Failure::new(ReasonCode::Internal, "the plan was made for another slot or release");
    if plan.parts.len() != target.len() {
        return Err(other());
    }
    let part = |(planned, open): (&PartPlan, &'a OpenPart)| {
        let payload = release.manifest.payloads.get(planned.payload).ok_or_else(other)?;
        let same = planned.part == open.name
            && payload.part().as_ref() == Some(&open.name)
            && planned.partition == open.device.len()
            && planned.image == payload.size;
        if !same {
            return Err(other());
        }
        let places = Places::new(release.chunks_of(payload), release.stored_offset_of(payload));
        Ok(PartOrder::new(&open.name, &open.device, payload.first_chunk as usize, places))
    };
    plan.parts.iter().zip(target).map(part).collect()
}

impl Prepared<'_> {
    /// Where the bytes come from, as far as it is known before they are asked for.
    pub fn forecast(&self) -> Forecast {
        sums(&self.order.parts)
    }

    /// Checks the stored bytes of every missing chunk against their signed hashes, where the
    /// source is not dear to read twice: what [`super::check_file`] is to a first installation
    /// (DESIGN 9.16), for one that goes on.
    ///
    /// The chunks that stand in the slot are not looked at in the source. Their plain bytes were
    /// just hashed on the medium, nothing of theirs will be read, and damage there cannot reach
    /// the slot: the installation ends with exactly the signed image or not at all. Refusing it
    /// would only keep a device from what it can safely have; and on a resume there is no system
    /// left in the slot that an early refusal could spare.
    pub fn check_missing(&self) -> Result<()> {
        let Some(bytes) = self.source.twice() else { return Ok(()) };
        // All of a delta was checked before: a part of it cannot be.
        if self.order.delta.is_some() {
            return Ok(());
        }
        let parts = &self.order.parts;
        let missing = |part: &PartOrder, i: usize| part.origins[i] == Origin::Fetch;
        let stored = parts.iter().flat_map(|part| {
            let missing = (0..part.places.count()).filter(|i| missing(part, *i));
            missing.map(|i| u64::from(part.places.chunks[i].stored_len))
        });
        let progress = Progress::start(self.sink, Phase::Verify, stored.sum());
        for part in parts {
            let wanted = |i: usize| missing(part, i);
            check_chunks(bytes, &part.places, wanted, &progress)
                .map_err(part.place(parts.len()))?;
        }
        progress.end();
        Ok(())
    }

    /// Writes the release to the slot and reads it back. On success the slot holds exactly the
    /// images of its parts, and its record.
    ///
    /// A failure (`CHUNK_CORRUPT`, `TRUNCATED`, `TRAILING_BYTES`, `SOURCE_LOST`, `READ_BACK`,
    /// `IO`, `NO_SPACE`) leaves every part of the slot without its first 128 KiB, and the slot
    /// without a record: it offers no kernel, and the next installation may resume.
    pub fn write(self) -> Result<Report> {
        let written = self.order.carry_out(self.source, self.sink);
        written.map_err(|f| f.at(format_args!("slot {}", self.slot)))
    }
}

/// [`Job::prepare`] and [`Prepared::write`] in one.
pub fn write_slot(job: Job) -> Result<Report> {
    job.prepare()?.write()
}
