//! Every world that a device can come into with up to three cuts: before, inside and after every
//! effect and every write of the journal, of the environment at every byte, and of the bootloader.
//! Nothing here touches a disk; the decisions and the environment's bytes are the real ones.
//!
//! A step without a cut is *calm*, what somebody else may do in between is *fate* (an offer, time,
//! an orderly reboot). Without another cut every way through calm and fate must end, at rest, in
//! a complete system; and each mistake of [`mistakes`] must break a promise of [`world::Violation`].

// A journal, an environment and a graph of values on a host: numbers here are small.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::unwrap_used)]

mod asks;
mod deeds;
mod flash;
pub(crate) mod graph;
mod machine;
mod mistakes;
pub(crate) mod numbered;
mod order;
mod parts;
mod rest;
mod rom;
mod steps;
mod tests;
mod world;
