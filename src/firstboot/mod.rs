//! What is done once on a device, and the names under which its own disk is found: what a technician has laid beside it, in
//! `provision.toml` on the boot partition, and what that means. This room never takes part in an update.

mod links;
mod provision;

pub use links::{link, name_of};
pub use provision::{Found, PROVISION_FILE, PROVISION_LIMIT, Provision, Secret, Wifi, taken};

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
