//! The bytes of one artifact, through a socket at whose other end a caged child reads the medium.

use super::Fetch;
use super::fetch::each_range;
use super::wire::{PIECE_MAX, REASON_MAX, number, question};
use crate::model::{Failure, ReasonCode, Result, printable};
use crate::sys::cage::Caged;
use crate::sys::unix::readable;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Questions that are put before the first answer is read. All of them fit into the buffer of a
/// socket: asking never waits for an answer that is not read yet.
const QUESTIONS_MAX: usize = 128;

/// For one answer. A stick that is slower than a piece in this time, or a child that turns in
/// circles, is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// For the first one: the child follows the chain of the whole file before it answers.
const FIRST_PATIENCE: Duration = Duration::from_secs(90);

/// The artifact at the other end of such a socket.
#[derive(Debug)]
pub struct RangeSocket {
    stream: UnixStream,
    /// One asks at a time. False once an answer was missing: what comes after it cannot be told
    /// from it.
    whole: Mutex<bool>,
    len: u64,
    name: String,
    /// Killed when this is dropped.
    _child: Option<Caged>,
}

impl RangeSocket {
    /// What another process has handed over, if it is a socket; else it is given back.
    pub(super) fn handed(
        fd: OwnedFd,
        name: &str,
    ) -> std::result::Result<Result<RangeSocket>, OwnedFd> {
        let file = File::from(fd);
        match file.metadata() {
            Ok(about) if about.file_type().is_socket() => {
                Ok(RangeSocket::new(UnixStream::from(OwnedFd::from(file)), name))
            }
            _ => Err(file.into()),
        }
    }

    /// A child of this process at the other end. `SOURCE_LOST` if it does not answer,
    /// `FILE_DAMAGED` if what it was to read ended it.
    pub(crate) fn of_child(stream: UnixStream, child: Caged, name: &str) -> Result<RangeSocket> {
        match RangeSocket::new(stream, name) {
            Ok(socket) => Ok(RangeSocket { _child: Some(child), ..socket }),
            Err(failure) => Err(blamed(failure, child, name)),
        }
    }

    fn new(stream: UnixStream, name: &str) -> Result<RangeSocket> {
        let told = |e: Error| lost(name, 0, &e);
        stream.set_read_timeout(Some(FIRST_PATIENCE)).map_err(told)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(told)?;
        let mut len = [0; 8];
        (&stream)
            .write_all(&question(0, 0))
            .and_then(|()| answer(&stream, &mut len))
            .map_err(told)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        let (whole, name) = (Mutex::new(true), name.to_owned());
        Ok(RangeSocket { stream, whole, len: u64::from_le_bytes(len), name, _child: None })
    }
}

/// The child's own words: why it gives nothing.
#[derive(Debug)]
struct Said(ReasonCode, String);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl std::error::Error for Said {}

fn lost(name: &str, offset: u64, error: &Error) -> Failure {
    if let Some(Said(code, why)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return Failure::new(*code, format!("{name} at byte {offset}: {why}"));
    }
    let what = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".to_owned(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "the medium or its reader is gone".to_owned()
        }
        _ => error.to_string(),
    };
    Failure::new(ReasonCode::SourceLost, format!("{name} at byte {offset}: {what}"))
}

/// A child that ended before its first answer and could not say why: what the system says of its end.
fn blamed(failure: Failure, child: Caged, name: &str) -> Failure {
    if failure.code() != ReasonCode::SourceLost {
        return failure;
    }
    match child.end(Duration::from_secs(1)) {
        Some(end) if end.is_over_what_it_read() => {
            let why = format!("{name}: its reader cannot follow its entry: {end}");
            Failure::new(ReasonCode::FileDamaged, why)
        }
        Some(end) => Failure::new(failure.code(), format!("{}: {end}", failure.detail())),
        None => failure,
    }
}

/// The socket, read by a thread that may be told to stop.
struct Watched<'a>(&'a UnixStream);

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        readable(self.0.as_fd(), self.0.read_timeout()?.unwrap_or(PATIENCE))?;
        self.0.read(buf)
    }
}

/// `buf` is what is awaited.
fn answer(stream: &UnixStream, buf: &mut [u8]) -> std::io::Result<()> {
    let mut stream = Watched(stream);
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    if head[..4] != [0; 4] {
        let len = u32::from_le_bytes([4, 5, 6, 7].map(|i| head[i]));
        let mut why = vec![0; usize::try_from(len).map_or(REASON_MAX, |l| l.min(REASON_MAX))];
        stream.read_exact(&mut why)?;
        let why = printable(&String::from_utf8_lossy(&why), REASON_MAX);
        let code = match head[0] {
            2 => ReasonCode::FileDamaged,
            _ => ReasonCode::SourceLost,
        };
        return Err(Error::other(Said(code, why)));
    }
    if head[4..] != number(buf.len()) {
        return Err(Error::other("the answer is none"));
    }
    stream.read_exact(buf)
}

/// Pieces of what is wanted: each from its offset.
type Pieces<'a> = [(u64, &'a mut [u8])];

/// Puts all questions, then reads the answers: one round trip. Where it fails says the offset.
fn ask(stream: &UnixStream, pieces: &mut Pieces) -> std::result::Result<(), (u64, Error)> {
    let first = pieces.first().map_or(0, |(at, _)| *at);
    let asked: Vec<u8> = pieces.iter().flat_map(|(at, buf)| question(*at, buf.len())).collect();
    let mut put = stream;
    put.write_all(&asked).map_err(|e| (first, e))?;
    pieces.iter_mut().try_for_each(|(at, buf)| answer(stream, buf).map_err(|e| (*at, e)))
}

impl Fetch for RangeSocket {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = offset..offset.saturating_add(buf.len() as u64);
        self.read_ranges(std::slice::from_ref(&range), buf)
    }

    fn read_ranges(&self, ranges: &[Range<u64>], buf: &mut [u8]) -> Result<()> {
        let mut pieces = Vec::new();
        each_range(ranges, buf, |range, part| {
            if range.end > self.len {
                let (name, start, len) = (&self.name, range.start, self.len);
                let text = format!("{name} at byte {start}: it ends at {len}");
                return Err(Failure::new(ReasonCode::Truncated, text));
            }
            let starts = (range.start..).step_by(PIECE_MAX);
            pieces.extend(starts.zip(part.chunks_mut(PIECE_MAX)));
            Ok(())
        })?;
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        for some in pieces.chunks_mut(QUESTIONS_MAX) {
            let done = match *whole {
                true => ask(&self.stream, some),
                false => Err((some[0].0, ErrorKind::UnexpectedEof.into())),
            };
            if let Err((at, error)) = done {
                *whole = false;
                return Err(lost(&self.name, at, &error));
            }
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.stream.as_fd())
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
