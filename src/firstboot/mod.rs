//! What is done once on a device, and the names under which its own disk is found. This room never
//! takes part in an update.

mod links;

pub use links::{link, name_of};
