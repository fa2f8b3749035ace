//! Keeps a device running: decides its trials, answers its control socket, serves its sticks.
//! This room never writes a slot or the environment itself: it asks `device`.

mod hub;

pub use hub::{Hub, Numbered};
