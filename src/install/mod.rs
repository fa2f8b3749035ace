//! From a verified release to a verified slot: plan, then fetch → verify → decode → write → read
//! back. This room never decides whether a release is wanted, never touches the bootloader, and
//! never writes a byte whose signed hash it has not checked.
//!
//! The order of a slot's writes (`write.rs`) is what makes a power cut harmless: the first 128
//! KiB of every part are destroyed before anything else changes and come back after everything else
//! has been read back from the medium, those of the first part last. In between the slot offers no
//! kernel.

mod buffers;
mod check;
mod copies;
mod feed;
mod forecast;
mod held;
mod job;
mod lay;
mod line;
mod medium;
mod origin;
mod part;
mod pipeline;
mod plan;
mod progress;
mod readers;
mod rebuild;
mod reuse;
mod spans;
mod traffic;
mod verdict;
mod write;

use crate::slot::FIRST_LEN;

/// The block in which every filesystem that boots has its superblock, and every boot sector.
const FIRST_BLOCK: usize = 4096;

/// A length that is known to be that of something in memory.
fn small(len: u64) -> usize {
    usize::try_from(len).expect("because it is the length of something in memory")
}

pub use check::{Depth, check_file, check_length, image_head};
pub use copies::CopiedFrom;
pub use job::{Job, Prepared, estimate, forecast, write_slot};
pub use origin::Origin;
pub use plan::{PartPlan, Plan, Target, for_this_device, plan};
pub use rebuild::{FromDelta, check_delta, delta_length};
pub use reuse::Reuse;
pub use verdict::{SlotRecord, SlotVerdict, installed, slot_record, verify_slot};
pub use write::Report;

#[cfg(test)]
mod tests;
