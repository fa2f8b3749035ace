//! The life of an update: one pure `decide`, one journal, one driver. This room never touches a
//! disk itself: boot, slot, install and health do, when it says so.
//!
//! Level-triggered (DESIGN 4): look, decide, persist or act, look again. Start-up runs the same
//! loop as the middle of an update; there is no recovery path.

mod committed;
mod decide;
mod driver;
mod endings;
#[cfg(test)]
pub(crate) mod explore;
mod facts;
mod floor;
mod history;
mod identify;
mod journal;
mod named;
mod policy;
mod store;
mod trial;
mod words;

pub use committed::{CommittedStore, Kept, Memory, Remembered, parse as parse_committed};
pub use decide::decide;
pub use driver::{Hands, Rest, drive};
pub use facts::{Done, Effect, EnvView, Facts, Rules, Step, Target, Then, Wish};
pub use floor::{Floor, FloorStore};
pub use history::History;
pub use identify::{RecordSays, Stand, Traces, identify};
pub use journal::{Denied, Drill, Ended, Journal, Order, Outcome, Phase, Reboot, Spent, Work};
pub use named::{Doubt, Identity, Label, Named};
pub use policy::{Allowed, Standing, not_rolled_back, wanted};
pub use store::{JournalStore, Stored};
pub use words::at_rest;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
