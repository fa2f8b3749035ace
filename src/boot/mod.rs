//! What the bootloader will do next, and changing that in one write. This room never decides what
//! should boot, and never touches a slot.

mod change;
#[cfg(test)]
mod conformance;
mod facts;
#[cfg(any(test, feature = "sim"))]
pub mod fake;
mod grade;
pub(crate) mod hush;
pub mod uboot;

pub use change::{BootChange, BootControl, GIVE_BACK_MAX};
pub use facts::{BootFacts, CopyFacts, Counter};
pub use grade::{Finding, Grade, grade, overall};

#[cfg(test)]
mod grade_tests;
#[cfg(test)]
mod tests;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
