//! Runs the integrator's programs at named moments with a written contract (docs/hooks.md). This
//! room never decides what a veto means for the update, and never runs what is not the image's.
//!
//! A hook is asked before a step, with the facts in its environment and on its standard input; its
//! exit status is its answer. After a step it is told, and its answer is written down only.

mod answer;
mod context;
mod hook;
mod image;
mod log;
mod run;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use context::Context;
pub use hook::{Hook, Moment, check_all};
pub use image::Root;
pub use log::{Log, Report};
pub use run::{Hands, Permission, Ran, run};
