//! The daemon as a process, on a simulated device: what it decides, what it survives, and who may
//! say what to it.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

mod clients;
mod decides;
mod defects;
mod idle;
mod kills;
mod metrics;
mod notify;
mod policy;
mod socket;
mod trouble;
mod verbs;
