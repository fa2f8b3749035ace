//! HTTP and JSON over a Unix socket, both ends. This room carries requests and answers; it knows
//! none of them, never opens a disk, and listens on no network.
//!
//! One thread waits at the door: it accepts, reads heads as they trickle in, and turns away who
//! is too slow or too many. Only a request whose head is whole gets a thread of its own.

mod ask;
mod body;
mod client;
mod door;
mod head;
mod limits;
mod reply;
#[cfg(test)]
mod tests;
mod waiting;

pub use ask::{Asking, Replied, Upload, ask};
pub use body::Body;
pub use client::{Answered, Call, Lines, call};
pub use door::{Door, Handler, May};
pub use head::Head;
pub use limits::Limits;
pub use reply::{Reply, Stream};

use crate::sys::unix::Peer;
use std::os::fd::OwnedFd;

/// One request, its body still unread.
pub struct Incoming {
    /// What is asked.
    pub head: Head,
    /// What comes after it.
    pub body: Body,
    /// A descriptor that was handed over with it.
    pub handed: Option<OwnedFd>,
    /// Who asks.
    pub peer: Peer,
    /// What the socket that it came through allows.
    pub may: May,
}

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
