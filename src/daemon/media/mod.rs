//! Artifacts that come by hand: on a stick, or as files in the inbox. Both are judged alike, the
//! newest that fits is installed, and a report says what was found and what became of it.

mod desk;
mod inbox;
mod patience;
mod report;
mod shelf;
mod stick;
mod visit;

pub(super) use inbox::watch;
pub use stick::{Seen, stick, stick_gone};
