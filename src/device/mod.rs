//! Builds the world from the settings and answers requests on it. This room never parses words
//! and never prints: the command line asks it, later the control socket.

mod aftermath;
mod answer;
mod cancel;
mod checks;
mod departure;
mod doctor;
mod doctor_machine;
mod doctor_state;
mod drill;
mod evidence;
mod explain;
mod hands;
mod hold;
mod install;
mod memory;
mod moments;
mod offer;
mod postmortem;
mod readiness;
mod recorder;
mod redact;
mod report;
mod report_text;
mod rights;
mod status;
mod unfinished;
mod verbs;
mod waits;
mod work;
mod world;

pub use crate::install::SlotVerdict;
pub use crate::model::parse_duration;
pub use crate::source::FileSource;
pub use crate::sys::clock::{span, unix_seconds as now, utc};
pub use crate::sys::durable::write_foreign;
pub use crate::sys::host::{is_root, user};
pub use crate::sys::signals::set_up as set_up_signals;
pub use crate::update::{Allowed, Drill, Ended, Identity, Order, Outcome, Reboot, State, Then};
pub use aftermath::aftermath;
pub use answer::{Answer, Next};
pub use cancel::{Cancellation, cancel};
pub use departure::{Departure, Wait, Why, armed, departure, is_undecided, on_trial, why};
pub use doctor::{Diagnosis, Finding, Level, doctor};
pub use drill::{Certificate, drill, on_purpose};
pub use evidence::UnitStory;
pub use explain::{BootStory, Cause, CauseKind, Watchdog};
pub use hold::{Hold, hold, release};
pub use install::{Installation, Installed, Source, install};
pub use moments::{before_reboot, first_boot};
pub use offer::{Judgement, glance, judge};
pub use postmortem::{Postmortem, Summary, postmortem};
pub use recorder::black_box;
pub use report::report;
pub use report_text::text as report_text;
pub use rights::may_look;
pub use status::{LastEnd, SlotView, Status, Trial, ended_in_words, status};
pub use unfinished::{Unfinished, unfinished};
pub use verbs::{
    come_to_rest, commit, decide, history, reboot, rollback, shutdown, signed, switch, verify_slot,
};
pub use work::{Running, running};
pub use world::World;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
