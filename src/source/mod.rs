//! Where an artifact's bytes come from: a file on this device, something that can be read at any
//! offset, or a stream. This room never interprets what it reads and never decides whether it is
//! wanted.

mod fetch;
mod kinds;
mod local;
mod socket;
mod stream;

pub use fetch::{Fetch, Sequential};
pub use kinds::Source;
pub use local::LocalFile;
pub use socket::RangeSocket;
pub(crate) use socket::{answer_ranges, refuse_ranges};
pub use stream::{ByteStream, SILENCE};
