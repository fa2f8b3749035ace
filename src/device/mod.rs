//! Builds the world from the settings and answers requests on it. This room never parses words
//! and never prints: the command line asks it, later the control socket.

mod answer;
mod checks;
mod doctor;
mod hands;
mod install;
mod offer;
mod status;
mod verbs;
mod world;

pub use crate::health::parse_duration;
pub use crate::install::SlotVerdict;
pub use crate::source::FileSource;
pub use crate::sys::clock::{span, utc};
pub use crate::update::{Allowed, Ended, Outcome, State, Then};
pub use answer::{Answer, Next};
pub use doctor::{Diagnosis, Finding, Level, doctor};
pub use install::{Installation, Installed, Source, install};
pub use offer::{Judgement, glance, judge};
pub use status::{LastEnd, SlotView, Status, Trial, status};
pub use verbs::{
    come_to_rest, commit, decide, history, is_leaving, reboot, rollback, shutdown, switch,
    verify_slot,
};
pub use world::World;
