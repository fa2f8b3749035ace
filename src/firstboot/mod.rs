//! What is done once on a device, and the names under which its own disk is found: what a technician has laid beside it, in
//! `provision.toml` on the boot partition, and what that means. This room never takes part in an update.

mod allowed;
mod boot;
mod caged;
mod erase;
mod fragment;
mod grow;
mod identity;
mod keep;
mod keys;
mod links;
mod parts;
mod preload;
mod provision;
mod reset;
mod run;
mod shown;
mod take;
pub(crate) mod volume;
mod wifi;
mod work;

pub use caged::run_errand as read_boot_partition;
pub use links::{link, name_of};
pub use provision::{Found, PROVISION_FILE, PROVISION_LIMIT, Provision, Secret, Wifi, taken};
pub use reset::{KEPT, end_reset};
pub use run::{Became, FirstBoot, Stepped, first_boot, preloads, unfinished};

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
