//! The promises that take a device: one program, so that all of them share the cores and are linked once. A new file is named here
//! (`tests/architecture.rs` refuses one that nothing compiles). `cargo test --test promises stick::` runs those of one file.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;
mod uboot_bench;
// How seeds are mutated: the unit tests do it the same way.
#[path = "../src/model/corpus.rs"]
#[allow(dead_code, reason = "the unit tests use the rest")]
mod corpus;
use common::{kept, media, skip};

mod adaptive;
mod adopt;
mod apps;
mod apps_delta;
mod artifact;
mod bad_input;
mod block_devices;
mod budget;
mod cancel;
mod channel;
mod comes_home;
mod configure;
mod daemon;
mod dear;
mod delta;
mod disks;
mod ended;
mod engines;
mod first_boot;
mod first_boot_kept;
mod flash;
mod followed;
mod hostile_entrances;
mod hostile_files;
mod hostile_mutants;
mod hostile_settings;
mod hostile_start;
mod hostile_text;
mod https;
mod imagecheck;
mod install;
mod life;
mod moments;
mod net;
mod numbered;
mod offers;
mod partition_tables;
mod parts;
mod postmortem;
mod power_cuts;
mod powercut;
mod push;
mod reached;
mod readiness;
mod releases;
mod remembered;
mod resume;
mod simulator;
mod state_folder;
mod stick;
mod support;
mod told;
mod trials;
mod uboot_environment;
mod uboot_environment_places;
mod warehouse;
mod way_back;
mod yocto_layer;
