//! A stick is put in: what is on it is judged, the newest that fits is installed, and a report is
//! left on it. Whatever else may be on a stick changes nothing that boots.

#![allow(clippy::cast_possible_truncation, reason = "the media of a test are small")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod chosen;
mod daemon;
mod hostile;
mod places;
mod pulled;
mod turns;
