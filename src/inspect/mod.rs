//! Tells people and programs about a device: the doctor, the status, a report for support. This room
//! only reads: it never writes a byte of the device's, and never decides.

mod accounts;
#[cfg(feature = "apps")]
mod apps;
mod crypt;
mod doctor;
mod doctor_machine;
mod doctor_state;
mod finding;
mod production;
mod redact;
mod report;
mod report_text;
mod services;
mod status;

pub use doctor::doctor;
pub use doctor_machine::{boot_script, units_wired};
pub use doctor_state::keys as trusted_keys;
pub use finding::{Diagnosis, Finding, Level};
pub use production::{Product, judge_product, production};
pub use report::report;
pub use report_text::text as report_text;
pub use services::System;
pub use status::{LastEnd, SlotView, Status, Trial, ended_in_words, status};

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
