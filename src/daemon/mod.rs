//! Keeps a device running: decides its trials, answers its control socket, serves its sticks.
//! This room never writes a slot or the environment itself: it asks `device`.

mod api;
mod core;
mod hub;
mod keeper;
mod media;
mod metrics;
mod probe;
mod remote;
mod routes;
mod run;
mod stranded;

pub use hub::{Follower, Hub, Numbered};
pub use media::{Seen, stick, stick_gone};
pub use probe::answer_probe;
pub use remote::{Events, Remote};
pub use routes::{ROUTES, Route};
pub use run::run;

pub use crate::stick::run_errand;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
