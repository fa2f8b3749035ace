//! A connection at the door whose head is not whole yet.

use super::head::{HEAD_MAX, Head, Parsed, parse};
use super::reply::{Reply, refusal};
use crate::sys::unix::{self, Peer};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// The client, since when it waits, and what it has said.
pub(super) struct Waiting {
    pub(super) stream: UnixStream,
    pub(super) peer: Peer,
    pub(super) since: Instant,
    pub(super) bytes: Vec<u8>,
    pub(super) handed: Option<OwnedFd>,
}

/// What has come of a head.
pub(super) enum Heard {
    /// Not all of it.
    More,
    /// The client is gone.
    Gone,
    /// The status that refuses it, and why.
    Bad(u16, &'static str),
    /// The head, and its length in what has come.
    Whole(Box<Head>, usize),
}

impl Waiting {
    /// Reads what is there.
    pub(super) fn hear(&mut self) -> Heard {
        let mut block = [0; 2048];
        match unix::receive(&self.stream, &mut block) {
            Ok((0, _)) => Heard::Gone,
            Ok((n, handed)) => {
                self.bytes.extend_from_slice(&block[..n]);
                self.handed = self.handed.take().or(handed);
                match parse(&self.bytes) {
                    Parsed::Whole(head, len) => Heard::Whole(head, len),
                    Parsed::Bad(status, text) => Heard::Bad(status, text),
                    Parsed::Partial if self.bytes.len() >= HEAD_MAX => {
                        Heard::Bad(431, "The request's head is too long.")
                    }
                    Parsed::Partial => Heard::More,
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Heard::More,
            Err(_) => Heard::Gone,
        }
    }
}

/// A word to a client that is sent away; one that does not take it goes without.
pub(super) fn refuse(stream: &UnixStream, status: u16, text: &str) {
    if let Ok(stream) = stream.try_clone() {
        let _ = Reply::new(stream).json(status, &refusal(text));
    }
}
