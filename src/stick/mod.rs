//! What strangers hand over on a medium: which artifacts are on it, and their bytes. File systems
//! and partition tables of a stick are read by a caged child of this program; nothing is mounted,
//! nothing on a stick is run, and this room never judges an artifact.
//!
//! Three children do the work, each for one thing: `fat-read list` says what is there, `fat-read
//! serve` gives the bytes of one artifact, `fat-write` leaves a report. They share the code in
//! `disk`, `table`, `kind` and `fat`; the parent's side is in `open`.

mod advice;
mod child;
mod choose;
mod disk;
mod fat;
mod kind;
mod names;
mod open;
mod status;
mod table;
mod words;

pub use advice::advice;
pub use child::run_errand;
pub use choose::{Came, Choice, Judged, Verdict, choose, fates, summary};
pub use kind::Kind;
pub use names::{Candidate, Named, gather, is_artifact};
pub use open::{Found, Place, Stick};
pub use status::{Board, Shown};

/// Places on one medium that are looked at: file systems in partitions.
pub(crate) const PLACES_MAX: usize = 8;

/// Names that are reported of one place.
pub(crate) const NAMES_MAX: usize = 256;

/// Names that are reported of files that are nearly artifacts.
pub(crate) const NEAR_MAX: usize = 8;

/// Entries of folders that are looked at in one place.
pub(crate) const ENTRIES_MAX: usize = 10_000;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
