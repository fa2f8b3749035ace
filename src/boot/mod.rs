//! What the bootloader will do next, and changing that in one write. This room never decides what
//! should boot, and never touches a slot.

#[cfg(test)]
pub(crate) mod bench;
mod change;
#[cfg(test)]
mod conformance;
mod control;
mod facts;
mod finding;
mod loader;
#[cfg(any(test, feature = "sim"))]
mod memory;
#[cfg(any(test, feature = "sim"))]
mod numbered;
pub mod uboot;

pub use change::{BootChange, GIVE_BACK_MAX};
pub use control::{BootControl, Description};
pub use facts::{BootFacts, CopyFacts, Elsewhere};
pub use finding::{Finding, Grade, overall};
pub use loader::{Bootloader, Loader};
#[cfg(any(test, feature = "sim"))]
pub use memory::BootMemory;

#[cfg(test)]
pub(crate) mod tests;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
