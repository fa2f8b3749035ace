//! From what is asked to what is written: look at the slot first, then decide, then write.

use super::check::{Depth, check_chunks, check_length};
use super::origin::{Origin, without_copies};
use super::plan::Plan;
use super::reuse::{Reuse, origins};
use super::spans::Places;
use super::write::{Order, Report, aligned};
use crate::artifact::Release;
use crate::disk::BlockDevice;
use crate::event::Sink;
use crate::model::{Failure, ReasonCode, Result};
use crate::slot::Inactive;
use crate::slot::record::{PAYLOAD_MAX, encode_record};
use crate::source::Input;
use crate::trust::Verified;

const _: () = assert!(crate::artifact::MAX_RECORD_LEN == PAYLOAD_MAX, "build knows what fits");

/// One writing of one slot.
pub struct Job<'a> {
    /// What is written.
    pub release: &'a Verified<Release>,
    /// What [`super::plan`] said of it and of this slot.
    pub plan: &'a Plan,
    /// Where its payload comes from.
    pub input: Input,
    /// The slot.
    pub target: &'a Inactive,
    /// Whether to look for chunks that stand there already.
    pub reuse: Reuse,
    /// Where progress goes.
    pub sink: &'a dyn Sink,
}

/// A job whose source has the right length and whose slot has been compared: it is known where
/// each chunk comes from, and nothing is changed yet.
pub struct Prepared<'a> {
    order: Order<'a>,
    origins: Vec<Origin>,
    input: Input,
    target: &'a Inactive,
    sink: &'a dyn Sink,
}

impl<'a> Job<'a> {
    /// Looks at what the slot holds. Changes nothing.
    pub fn prepare(self) -> Result<Prepared<'a>> {
        let (release, device) = (self.release, self.target.device());
        let payload = &release.manifest.payloads[self.plan.payload];
        if self.plan.slot != device.len() || payload.size != self.plan.image {
            let detail = "the plan was made for another slot or release";
            return Err(Failure::new(ReasonCode::Internal, detail));
        }
        if let Input::Seekable(source) = &self.input {
            check_length(&**source, release)?;
        }
        let order = Order {
            table: &release.table.chunks,
            pages: release.pages(),
            first_chunk: payload.first_chunk as usize,
            places: Places::new(release.chunks_of(payload), release.stored_offset_of(payload)),
            record: aligned(&encode_record(&release.record(&[self.plan.payload], PAYLOAD_MAX)?)?)?,
            other: None,
        };
        let mut origins = origins(device, &order.places, &self.reuse, self.sink)
            .map_err(|f| f.at(format_args!("slot {}", self.target.id())))?;
        let Job { input, target, sink, .. } = self;
        if let Input::Stream(_) = input {
            origins = without_copies(&origins);
        }
        Ok(Prepared { order, origins, input, target, sink })
    }
}

impl Prepared<'_> {
    /// Checks the stored bytes of every missing chunk against their signed hashes, where the
    /// source can be read twice: what [`super::check_file`] is to a first installation
    /// (DESIGN 9.16), for one that goes on.
    ///
    /// The chunks that stand in the slot are not looked at in the source. Their plain bytes were
    /// just hashed on the medium, nothing of theirs will be read, and damage there cannot reach
    /// the slot: the installation ends with exactly the signed image or not at all. Refusing it
    /// would only keep a device from what it can safely have; and on a resume there is no system
    /// left in the slot that an early refusal could spare.
    pub fn check_missing(&self) -> Result<()> {
        match &self.input {
            Input::Seekable(source) => check_chunks(
                &**source,
                &self.order.places,
                |i| self.origins[i] == Origin::Fetch,
                Depth::Stored,
                self.sink,
            ),
            Input::Stream(_) => Ok(()),
        }
    }

    /// Writes the release to the slot and reads it back. On success the slot holds exactly the
    /// image, and its record.
    ///
    /// A failure (`CHUNK_CORRUPT`, `TRUNCATED`, `TRAILING_BYTES`, `SOURCE_LOST`, `READ_BACK`,
    /// `IO`, `NO_SPACE`) leaves the slot without its first 128 KiB and without a record: it
    /// offers no kernel, and the next installation may resume.
    pub fn write(self) -> Result<Report> {
        let device = self.target.device();
        let written = self.order.carry_out(device, self.input, &self.origins, self.sink);
        written.map_err(|f| f.at(format_args!("slot {}", self.target.id())))
    }
}

/// [`Job::prepare`] and [`Prepared::write`] in one.
pub fn write_slot(job: Job) -> Result<Report> {
    job.prepare()?.write()
}
