//! Keeps a device running: decides its trials, answers its control socket, serves its sticks.
//! This room never writes a slot or the environment itself: it asks `device`.

mod api;
#[cfg(feature = "apps")]
mod apps;
mod core;
mod hub;
mod keeper;
mod left;
mod media;
mod metrics;
mod poll;
mod probe;
mod run;
mod stranded;
mod wakes;

pub use hub::{Follower, Hub};
pub use media::{Seen, stick, stick_gone};
pub use probe::answer_probe;
pub use run::run;
