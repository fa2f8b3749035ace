//! Surefoot: A/B operating-system updates for embedded Linux.
//!
//! This file is the map: one module per room. A room uses only rooms on floors below it; the
//! table in ARCHITECTURE.md names every edge and `tests/architecture.rs` holds the code to it.

// Floor 0
pub mod event;
pub mod model;
// Floor 1
pub mod sys;
pub mod trust;
// Floor 2
pub mod artifact;
#[cfg(any(feature = "apps", feature = "forge"))]
pub mod bundle;
pub mod control;
pub mod delta;
pub mod disk;
// Floor 3
pub mod blackbox;
pub mod boot;
#[cfg(feature = "apps")]
pub mod engine;
pub mod health;
pub mod hooks;
pub mod inhibit;
#[cfg(any(feature = "apps", feature = "forge"))]
pub mod layer;
pub mod slot;
pub mod source;
pub mod stick;
// Floor 4
pub mod install;
// Floor 5
pub mod update;
// Floor 6
#[cfg(feature = "apps")]
pub mod apps;
pub mod config;
// Floor 7
pub mod device;
pub mod firstboot;
pub mod inspect;
// Floor 8
pub mod request;
// Floor 9
pub mod daemon;
// Floor 10
pub mod cli;
// Floor H: hosts only
#[cfg(feature = "forge")]
pub mod forge;
#[cfg(any(feature = "forge", feature = "sim"))]
pub mod imagecheck;
#[cfg(feature = "sim")]
pub mod powercut;
#[cfg(any(feature = "forge", feature = "sim"))]
pub mod provision;
#[cfg(any(feature = "forge", feature = "sim"))]
pub mod rootfs;
#[cfg(feature = "sim")]
pub mod sim;
