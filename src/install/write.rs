//! Writes a release to the slot that nobody needs, in the order that a power cut cannot hurt.

use super::feed::Supply;
use super::lay::zero;
use super::medium::MediumReader;
use super::origin::Origin;
use super::part::PartOrder;
use super::pipeline::{self, Pipeline};
use super::progress::Progress;
use super::readers::{Readers, read_back_failed};
use super::rebuild::{FromDelta, Play, old_len};
use super::spans::{Work, work};
use super::traffic::Traffic;
use super::{FIRST_BLOCK, FIRST_LEN, small};
use crate::artifact::Chunk;
use crate::disk::BlockDevice;
use crate::event::{Phase, Sink};
use crate::model::{Failure, ReasonCode, Result};
use crate::slot::record::{RECORD_LEN, record_offset};
use crate::source::Source;
use crate::sys::{AlignedBuf, spare};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What was done, in bytes of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The length of the images of all parts.
    pub image: u64,
    /// Written, the first 128 KiB and the slot record included.
    pub written: u64,
    /// Stood there already, and was verified.
    pub kept: u64,
    /// Made to read as zeros, or found to.
    pub zeroed: u64,
    /// Copied from the slot that runs, and verified.
    #[serde(default)]
    pub copied: u64,
    /// Stored bytes used from the artifact.
    pub fetched: u64,
}

/// A copy that a direct write accepts.
pub(super) fn aligned(bytes: &[u8]) -> Result<AlignedBuf> {
    let mut copy = AlignedBuf::try_new(bytes.len())?;
    copy.copy_from_slice(bytes);
    Ok(copy)
}

/// What is written, without the proofs that it may be: those are [`super::Job`]'s.
pub(super) struct Order<'a> {
    pub(super) table: &'a [Chunk],
    /// The page hashes between head and payload.
    pub(super) pages: &'a [u8],
    /// In the order of the slot: the first one carries the record.
    pub(super) parts: Vec<PartOrder<'a>>,
    pub(super) record: AlignedBuf,
    /// What makes the payload of the slot that runs, if a delta does.
    pub(super) delta: Option<FromDelta>,
    /// The first chunk of each payload.
    pub(super) firsts: Vec<usize>,
}

impl Order<'_> {
    /// Writes what does not stand, destroys before and finishes after. With a stream nothing is a
    /// copy.
    pub(super) fn carry_out(self, mut source: Source, sink: &dyn Sink) -> Result<Report> {
        let rebuilt = self.delta.is_some();
        let works = self.parts.iter().map(|p| Work { rebuilt, ..work(&p.places, &p.origins) });
        let works: Vec<Work> = works.collect();
        // What will certainly be needed is asked for while nothing is lost yet. The parts come one
        // after the other; what stays of each is its first 128 KiB.
        let most = works.iter().map(pipeline::memory).max().unwrap_or(0);
        let most = most + self.delta.as_ref().map_or(0, FromDelta::memory);
        spare::room(most + self.parts.len() * small(FIRST_LEN))?;
        let wanted: Vec<Range<u64>> = self
            .in_table_order()
            .flat_map(|index| &works[index].spans)
            .filter(|span| !span.copied)
            .map(|span| span.stored.clone())
            .collect();
        let to_fetch = match &self.delta {
            Some(from) => from.delta.file_len(),
            None => wanted.iter().map(|stored| stored.end - stored.start).sum(),
        };
        let traffic = Traffic::new(&source, &self.parts, to_fetch);
        let supply = match &self.delta {
            Some(from) => {
                Supply::Delta(Play::new(&mut source, from, self.firsts.clone(), &traffic)?)
            }
            None => Supply::new(&mut source, self.table, self.pages, &wanted)?,
        };
        self.destroy()?;
        let done = self.write_rest(supply, &works, &traffic, sink).and_then(|(firsts, report)| {
            self.finish(&firsts, sink)?;
            Ok(report)
        });
        done.map_err(|f| f.at("left without a system"))
    }

    /// Everything but the first 128 KiB of each part, read back from the medium; then the source's
    /// end. Returns those 128 KiB, one for each part.
    fn write_rest(
        &self,
        mut supply: Supply,
        works: &[Work],
        traffic: &Traffic,
        sink: &dyn Sink,
    ) -> Result<(Vec<AlignedBuf>, Report)> {
        let len = |r: &std::ops::Range<u64>| r.end - r.start;
        let carried = works.iter().flat_map(|w| &w.spans).map(|s| len(&s.image)).sum();
        let zeroed: u64 = works.iter().flat_map(|w| &w.zeros).map(len).sum();
        let image = self.parts.iter().map(|p| p.places.len()).sum();
        let progress = Progress::of(sink, carried, traffic);
        let mut firsts = Vec::new();
        for index in self.in_table_order() {
            let part = &self.parts[index];
            let payload = self.firsts.iter().position(|first| *first == part.first_chunk);
            let old_len = match (&self.delta, payload) {
                (Some(from), Some(payload)) => old_len(part, payload, &from.delta),
                _ => 0,
            };
            let written = write_part(part, &works[index], supply, (&progress, traffic), old_len);
            let (first, rest) = written.map_err(part.place(self.parts.len()))?;
            firsts.push((index, first));
            supply = rest;
        }
        supply.finish()?;
        progress.end();
        firsts.sort_by_key(|(index, _)| *index);
        let (fetched, copied) = traffic.totals();
        let report = Report {
            image,
            written: carried + self.record.len() as u64,
            kept: image - carried - zeroed,
            zeroed,
            copied,
            fetched,
        };
        Ok((firsts.into_iter().map(|(_, first)| first).collect(), report))
    }

    /// The parts in the artifact's order: what comes in order brings them so.
    fn in_table_order(&self) -> impl Iterator<Item = usize> {
        let mut order: Vec<usize> = (0..self.parts.len()).collect();
        order.sort_by_key(|index| self.parts[*index].first_chunk);
        order.into_iter()
    }

    /// The last phase: what makes the slot bootable, then what says what it is. The first part comes
    /// last, and of each part the first block goes alone, so that no torn write of it offers half a
    /// filesystem. The record is the last of all, so that a record always describes a complete slot.
    fn finish(&self, firsts: &[AlignedBuf], sink: &dyn Sink) -> Result<()> {
        let len = firsts.iter().map(|first| first.len()).sum::<usize>() + self.record.len();
        let progress = Progress::start(sink, Phase::Finish, len as u64);
        let parts = || self.parts.iter().zip(firsts).rev();
        for (part, first) in parts() {
            complete(part, first).map_err(part.place(self.parts.len()))?;
        }
        let heads = parts().try_for_each(|(part, first)| {
            let (block, rest) = first.split_at(FIRST_BLOCK);
            put(part.device, FIRST_BLOCK as u64, rest)
                .and_then(|()| put(part.device, 0, block))
                .map_err(part.place(self.parts.len()))
        });
        let device = self.parts[0].device;
        let last = heads.and_then(|()| put(device, record_offset(device.len()), &self.record));
        if let Err(failure) = last {
            // What cannot be read back must not boot. If this fails too, the failure stands.
            let _best_effort = self.destroy();
            return Err(failure);
        }
        progress.add(len as u64);
        progress.end();
        Ok(())
    }

    /// Makes sure that the slot claims no release and offers no kernel, whatever happens next. The
    /// mirror of [`Order::finish`]: the record first, so that it never describes half a slot, then
    /// of each part the block without which nothing is found, then the rest of its first 128 KiB.
    fn destroy(&self) -> Result<()> {
        let zeros = AlignedBuf::try_new(small(FIRST_LEN))?;
        let (block, rest) = zeros.split_at(FIRST_BLOCK);
        let device = self.parts[0].device;
        put(device, record_offset(device.len()), block)?;
        // Where another part was the first one before, its record would describe what comes now.
        for part in &self.parts[1..] {
            stale_record(part)?.map_or(Ok(()), |at| put(part.device, at, block))?;
        }
        self.parts.iter().try_for_each(|part| {
            put(part.device, 0, block)
                .and_then(|()| put(part.device, FIRST_BLOCK as u64, rest))
                .map_err(part.place(self.parts.len()))
        })
    }
}

/// Writes a part but for its first 128 KiB, which it returns, with the supply for the next one.
fn write_part<'s>(
    part: &PartOrder,
    work: &Work,
    supply: Supply<'s>,
    (progress, traffic): (&Progress, &Traffic),
    old_len: u64,
) -> Result<(AlignedBuf, Supply<'s>)> {
    // A chunk that stands shares a block with its neighbour: if that was written, so was its edge.
    let fresh = |i: usize| part.origins.get(i).is_some_and(|o| *o != Origin::Stands);
    let suspect = |i: usize| fresh(i) || fresh(i + 1) || (i > 0 && fresh(i - 1));
    for range in &work.zeros {
        zero(part.device, range)?;
    }
    let pipeline = Pipeline {
        device: part.device,
        places: &part.places,
        work,
        readers: Readers::new(part.device, &part.places, &suspect),
        progress,
        origins: &part.origins,
        other: part.other,
        traffic,
        old_len,
    };
    pipeline.run(part.first_chunk, supply)
}

/// Where a record may lie in a part that carries none now; `None` where the image reaches so far, or
/// nothing but zeros stand there.
fn stale_record(part: &PartOrder) -> Result<Option<u64>> {
    let (len, at) = (part.device.len(), record_offset(part.device.len()));
    if len < RECORD_LEN || at < part.places.len().max(FIRST_LEN) {
        return Ok(None);
    }
    let mut found = AlignedBuf::try_new(FIRST_BLOCK)?;
    // What cannot be read now may be read later: it is written over as well.
    let read = part.device.read_at(at, &mut found).is_ok();
    Ok((!read || found.iter().any(|byte| *byte != 0)).then_some(at))
}

/// The chunks that touch the first 128 KiB are right, with the rest of the last one as the medium
/// holds it.
fn complete(part: &PartOrder, first: &AlignedBuf) -> Result<()> {
    let mut reader = MediumReader::new(part.device)?;
    for index in 0..part.places.starting_below(FIRST_LEN) {
        let image = part.places.of(index);
        let (start, end) = (image.start, image.end.min(FIRST_LEN));
        let begins = &first[small(start)..small(end)];
        let chunk = &part.places.chunks[index];
        if !reader.completes(chunk, begins, end..image.end)? {
            return Err(read_back_failed(&part.places, index));
        }
    }
    Ok(())
}

/// Writes, flushes and reads back.
fn put(device: &dyn BlockDevice, at: u64, bytes: &[u8]) -> Result<()> {
    device.write_at(at, bytes)?;
    device.flush()?;
    same(device, at, bytes)
}

/// `READ_BACK` unless the medium holds `bytes`.
fn same(device: &dyn BlockDevice, at: u64, bytes: &[u8]) -> Result<()> {
    let mut found = AlignedBuf::try_new(bytes.len())?;
    device.read_at(at, &mut found)?;
    if *found == *bytes {
        return Ok(());
    }
    Err(Failure::new(
        ReasonCode::ReadBack,
        format!("bytes {at}..{} read back differently", at + bytes.len() as u64),
    ))
}
