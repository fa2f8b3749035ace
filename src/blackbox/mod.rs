//! The black box of a trial: what the kernel and the services of a new system say while it is not
//! decided yet, on the data partition, where the old system finds it. This room never decides
//! anything, never runs outside a trial, and never holds up a boot.
//!
//! Two files of a fixed length hold it. They are written in place, so a data partition that
//! becomes full does not stop it; the older one is overwritten when the newer one is full. And if
//! the power goes here? Everything is a line that stands for itself: what a cut has torn is left
//! out when it is read.

mod evidence;
mod explain;
mod line;
pub mod pstore;
mod read;
mod record;
mod ring;

pub use evidence::UnitStory;
pub(crate) use evidence::{Questions, watchdog};
pub use explain::{BootStory, Cause, CauseKind, Watchdog};
pub(crate) use explain::{Facts, explain, put_aside, story};
pub use line::{Head, Kind, Line};
pub use read::{BootLog, read};
pub use record::{Job, record};
pub use ring::Ring;

/// How long each of the two files is, bytes.
pub const SEGMENT: u64 = 128 * 1024;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
