//! Every world that a device with apps can come into with up to three cuts: of the power and of the daemon alone, before,
//! inside and after every effect and every write of the journal, with a system that is armed, tried, kept and left in
//! between. Nothing here touches an engine; the decisions are the real ones.
//!
//! As in `update::explore`: a step without a cut is *calm*, what somebody else may do in between is *fate*. Without
//! another cut every way must end, at rest, in a whole set; and each mistake of [`mistakes`] must break a promise of
//! [`world::Violation`].

// A journal and a graph of values on a host: numbers here are small.
#![allow(clippy::cast_possible_truncation, clippy::unwrap_used)]

mod deeds;
mod machine;
mod mistakes;
mod rest;
mod steps;
mod tests;
mod world;
