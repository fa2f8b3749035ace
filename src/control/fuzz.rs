//! What the properties of requests need of this room.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::head::{self, Length, Parsed};
use super::{Body, Head};
use std::os::unix::net::UnixStream;

pub const HEAD_MAX: usize = super::head::HEAD_MAX;

/// What the bytes so far are.
pub enum P {
    Partial,
    Whole(Box<Head>, usize),
    Bad(u16),
}

pub fn head(bytes: &[u8]) -> P {
    match head::parse(bytes) {
        Parsed::Partial => P::Partial,
        Parsed::Whole(head, len) => P::Whole(head, len),
        Parsed::Bad(status, _) => P::Bad(status),
    }
}

pub fn body(stream: UnixStream, ahead: Vec<u8>, head: &Head) -> Body {
    Body::new(stream, ahead, head.length, head.expects, std::time::Duration::from_secs(2))
}

pub fn length(head: &Head) -> Option<u64> {
    match head.length {
        Length::Bytes(len) => Some(len),
        Length::Chunked | Length::UntilEnd => None,
    }
}
