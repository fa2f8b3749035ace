//! The signed channel: a small file on any web server that says which release is for which device, and
//! when. Pure: bytes, a clock and a device's own facts in, a choice out. This part never fetches, never
//! writes and never decides whether a release may be installed: the artifact's own signature does.

mod body;
mod choose;
mod envelope;
mod link;
mod phase;
mod report;
mod serial;

pub use body::{Audience, Body, DeltaLink, MAX_RELEASES, OptionValue, PhaseStart, Released};
pub use choose::{Asker, Choice, Waiting, choose};
#[cfg(feature = "forge")]
pub use envelope::write_channel;
pub use envelope::{Channel, MAX_BODY_LEN, MAX_CHANNEL_LEN, Unread};
pub use link::{names_host, resolve, without_login};
pub use phase::{place, reached};
pub use report::{End, Report};
pub use serial::{KeptSerial, judge_serial};

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;
