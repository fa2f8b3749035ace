//! What every `BootControl` must do, run on each of them.

mod bench;
mod cuts;
mod suite;

pub(super) use bench::{Bench, FOREIGN};
pub(super) use suite::suite;
