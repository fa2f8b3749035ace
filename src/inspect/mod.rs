//! Tells people and programs about a device: the doctor, the status, a report for support. This room
//! only reads: it never writes a byte of the device's, and never decides.

mod doctor;
mod doctor_machine;
mod doctor_state;
mod finding;
mod redact;
mod report;
mod report_text;
mod status;

pub use doctor::doctor;
pub use finding::{Diagnosis, Finding, Level};
pub use report::report;
pub use report_text::text as report_text;
pub use status::{LastEnd, SlotView, Status, Trial, ended_in_words, status};

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
