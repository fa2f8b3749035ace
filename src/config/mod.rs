//! Finds, merges, explains and validates the settings that the rooms declare. This room never
//! opens a disk and never guesses a value that could cost a device.
//!
//! Three types (habit 9): a [`Fragment`] is what one file says, the merge is what all say with
//! the origin of each value, [`Settings`] is what is meant.

mod fragment;
mod line;
mod load;
mod missing;
mod mistakes;
#[cfg(any(feature = "forge", test))]
pub mod reference;
mod settings;
mod times;

pub use fragment::Fragment;
pub use load::{Examined, Loaded, Origin, Where, examine, examine_texts, load};
pub use settings::{DeviceSettings, Settings};

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
