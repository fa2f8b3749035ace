//! A second bootloader, for tests and the simulator: what it remembers lies in two numbered files.
//! It is no bootloader of a real board and no build for a device has it. It is here so that
//! `BootControl` is not made to the measure of U-Boot: it has another store, other names, another
//! lock, no script, and its own rules for when a board comes back.
//!
//! Two files, `env-0` and `env-1`, lie in one folder. Each is whole text; the valid one with the
//! larger number counts, and a change replaces the other one:
//!
//! ```text
//! number=17
//! slot=a
//! trial=0
//! …
//! crc=1c291ca3
//! ```
//!
//! And if the power goes while a file is replaced? It is written under another name and renamed, so
//! that both files are whole at any time; the one that counts is not touched.

mod control;
mod copy;
mod findings;
mod store;
#[cfg(test)]
mod tests;

pub(super) use control::{NAME, NumberedControl};
pub(super) use copy::Copy;
pub(super) use store::NumberedStore;
