//! Repeats every power cut of an update and judges what is left: records what a real `surefoot`
//! writes, makes the disks that a cut could leave behind, boots each, and starts `surefoot` on it.
//! This room never decides anything about an update, and never judges by what it recorded: only by
//! what boots, by what stands in the slots, and by what the next update does.
//!
//! ```text
//! story ── record ──▶ write log ── history ──▶ at each deed: what is certain, what is in flight
//!                                                   │ landings: torn, lost, reordered, garbled
//!                                                   ▼
//!                                  image ── boot ROM ──▶ slot ── judge ──▶ rest, next update
//! ```

mod body;
mod chance;
mod choice;
mod deed;
mod files;
mod folder;
mod history;
mod image;
mod judge;
mod landing;
mod log;
mod pages;
mod phase;
mod plan;
mod record;
mod report;
mod rest;
mod rom;
mod run;
mod story;
mod system;
mod uboot;
mod way;
mod work;

pub use report::Report;
pub use rom::{Booted, Rom};
pub use run::{Order, Progress, run};
pub use uboot::UbootSandbox;

use crate::model::{Failure, ReasonCode};

/// A length or an offset of something that is in memory.
fn small(len: u64) -> usize {
    usize::try_from(len).expect("because it is the length of something in memory")
}

/// An error of the run itself, not a verdict.
fn broken(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Failure {
    Failure::new(ReasonCode::Io, format!("{what}: {why}"))
}
