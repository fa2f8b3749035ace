//! Where an artifact's bytes come from: a file on this device, something that can be read at any
//! offset, or a stream; and the signed channel that says which artifact is for which device. This room
//! never interprets an artifact and never decides whether it is wanted.

mod budget;
pub mod channel;
mod fetch;
#[cfg(feature = "http")]
pub mod http;
mod kinds;
mod local;
#[cfg(feature = "http")]
mod metered;
pub mod names;
mod reached;
mod serve;
mod settings;
mod setup;
mod socket;
mod stream;
mod wire;

pub use budget::Budget;
pub use fetch::{Fetch, Sequential};
pub use kinds::Source;
pub use local::LocalFile;
pub use reached::Reached;
pub(crate) use serve::{answer_ranges, refuse_ranges};
pub use settings::Settings;
pub use setup::{Fetching, Setup, Tries};
pub use socket::RangeSocket;
pub use stream::{ByteStream, SILENCE};
