//! A device you can unplug: a folder with a disk image, the boot script's rules, a power plug.
//! This room never decides anything about an update: it does what U-Boot and a power cable do,
//! on the real bytes, with the script that is shipped.

mod boot;
mod cli;
mod device;
mod environment;
mod image;
mod judge;
mod new;
mod numbered;
mod powercut;
mod reboot;
mod told;
mod unplug;

pub use cli::{command, main};

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
