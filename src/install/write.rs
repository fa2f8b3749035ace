//! Writes a release to the slot that nobody needs, in the order that a power cut cannot hurt.

use super::feed::Supply;
use super::lay::zero;
use super::medium::MediumReader;
use super::origin::{Origin, Other};
use super::pipeline::{self, Pipeline};
use super::progress::Progress;
use super::readers::{Readers, read_back_failed};
use super::spans::{Places, Work, work};
use super::{FIRST_BLOCK, FIRST_LEN, small};
use crate::artifact::Chunk;
use crate::disk::BlockDevice;
use crate::event::{Phase, Sink};
use crate::model::{Failure, ReasonCode, Result};
use crate::slot::record::record_offset;
use crate::source::Input;
use crate::sys::{AlignedBuf, spare};
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicU64;

/// What was done, in bytes of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The length of the image.
    pub image: u64,
    /// Written, the first 128 KiB and the slot record included.
    pub written: u64,
    /// Stood there already, and was verified.
    pub kept: u64,
    /// Made to read as zeros, or found to.
    pub zeroed: u64,
    /// Stored bytes used from the artifact.
    pub fetched: u64,
}

/// A copy that a direct write accepts.
pub(super) fn aligned(bytes: &[u8]) -> Result<AlignedBuf> {
    let mut copy = AlignedBuf::try_new(bytes.len())?;
    copy.copy_from_slice(bytes);
    Ok(copy)
}

/// What is written, without the proofs that it may be: those are [`Job`]'s.
pub(super) struct Order<'a> {
    pub(super) table: &'a [Chunk],
    /// The page hashes between head and payload.
    pub(super) pages: &'a [u8],
    pub(super) first_chunk: usize,
    pub(super) places: Places<'a>,
    pub(super) record: AlignedBuf,
    /// Where copies come from; without one, everything that does not stand is fetched.
    pub(super) other: Option<Other<'a>>,
}

impl Order<'_> {
    /// Writes what does not stand, destroys before and finishes after. One origin for each chunk; with
    /// a stream none of them is a copy.
    pub(super) fn carry_out(
        self,
        device: &dyn BlockDevice,
        input: Input,
        origins: &[Origin],
        sink: &dyn Sink,
    ) -> Result<Report> {
        let work = work(&self.places, origins);
        // What will certainly be needed is asked for while nothing is lost yet.
        spare::room(pipeline::memory(&work))?;
        destroy(device)?;
        let supply = Supply::new(input, self.table, self.pages);
        let done =
            self.write_rest(device, supply, (&work, origins), sink).and_then(|(first, report)| {
                self.finish(device, &first, sink)?;
                Ok(report)
            });
        done.map_err(|f| f.at("left without a system"))
    }

    /// Everything but the first 128 KiB, read back from the medium; then the source's end.
    fn write_rest(
        &self,
        device: &dyn BlockDevice,
        supply: Supply,
        (work, origins): (&Work, &[Origin]),
        sink: &dyn Sink,
    ) -> Result<(AlignedBuf, Report)> {
        let len = |r: &std::ops::Range<u64>| r.end - r.start;
        let carried = work.spans.iter().map(|s| len(&s.image)).sum();
        let zeroed = work.zeros.iter().map(len).sum();
        let progress = Progress::start(sink, Phase::Write, carried);
        // A chunk that stands shares a block with its neighbour: if that was written, so was its edge.
        let fresh = |i: usize| origins.get(i).is_some_and(|o| *o != Origin::Stands);
        let suspect = |i: usize| fresh(i) || fresh(i + 1) || (i > 0 && fresh(i - 1));
        for range in &work.zeros {
            zero(device, range)?;
        }
        let pipeline = Pipeline {
            device,
            places: &self.places,
            work,
            readers: Readers::new(device, &self.places, &suspect),
            progress: &progress,
            origins,
            other: self.other,
            fetched: AtomicU64::new(0),
        };
        let (first, mut supply) = pipeline.run(self.first_chunk, supply)?;
        let fetched = pipeline.fetched.into_inner();
        supply.finish()?;
        progress.end();
        let report = Report {
            image: self.places.len(),
            written: carried + self.record.len() as u64,
            kept: self.places.len() - carried - zeroed,
            zeroed,
            fetched,
        };
        Ok((first, report))
    }

    /// The last phase: what makes the slot bootable, then what says what it is. The first block
    /// goes alone, so that no torn write of it offers half a filesystem; the record last, so that
    /// a record always describes a complete slot.
    fn finish(&self, device: &dyn BlockDevice, first: &AlignedBuf, sink: &dyn Sink) -> Result<()> {
        let len = (first.len() + self.record.len()) as u64;
        let progress = Progress::start(sink, Phase::Finish, len);
        self.complete(device, first)?;
        let (block, rest) = first.split_at(FIRST_BLOCK);
        put(device, FIRST_BLOCK as u64, rest)?;
        let last = put(device, 0, block)
            .and_then(|()| put(device, record_offset(device.len()), &self.record));
        if let Err(failure) = last {
            // What cannot be read back must not boot. If this fails too, the failure stands.
            let _best_effort = destroy(device);
            return Err(failure);
        }
        progress.add(len);
        progress.end();
        Ok(())
    }

    /// The chunks that touch the first 128 KiB are right, with the rest of the last one as the
    /// medium holds it.
    fn complete(&self, device: &dyn BlockDevice, first: &AlignedBuf) -> Result<()> {
        let mut reader = MediumReader::new(device)?;
        for index in 0..self.places.starting_below(FIRST_LEN) {
            let image = self.places.of(index);
            let (start, end) = (image.start, image.end.min(FIRST_LEN));
            let begins = &first[small(start)..small(end)];
            let chunk = &self.places.chunks[index];
            if !reader.completes(chunk, begins, end..image.end)? {
                return Err(read_back_failed(&self.places, index));
            }
        }
        Ok(())
    }
}

/// Makes sure that the slot claims no release and offers no kernel, whatever happens next. The
/// mirror of [`Order::finish`]: the record first, so that it never describes half a slot, then
/// the block without which nothing is found, then the rest of the first 128 KiB.
fn destroy(device: &dyn BlockDevice) -> Result<()> {
    let zeros = AlignedBuf::try_new(small(FIRST_LEN))?;
    let (block, rest) = zeros.split_at(FIRST_BLOCK);
    put(device, record_offset(device.len()), block)?;
    put(device, 0, block)?;
    put(device, FIRST_BLOCK as u64, rest)
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
