//! The bytes of one artifact, through a socket at whose other end a caged child reads the medium.
//!
//! ```text
//! asked     "SFRD" | length u32 | offset u64     length 0 asks how long the whole is
//! answered  0 u32 | length u32 | the bytes
//!           1 u32 | length u32 | why the medium could not be read
//!           2 u32 | length u32 | why the file cannot be read, whatever is tried
//! ```
//! All numbers little endian; no piece is longer than 1 MiB, and no reason than 200 bytes.

use super::Fetch;
use super::fetch::each_range;
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

const ASKED: [u8; 4] = *b"SFRD";

/// Bytes of one answer.
const PIECE_MAX: usize = 1 << 20;

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

/// How long a reason is at the most, bytes.
const REASON_MAX: usize = 200;

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
/// A limit or the cage ended it over this file, and would again. SIGKILL comes from outside.
fn blamed(failure: Failure, child: Caged, name: &str) -> Failure {
    if failure.code() != ReasonCode::SourceLost {
        return failure;
    }
    match child.end(Duration::from_secs(1)) {
        Some(end) if end.contains("signal") && !end.ends_with("signal 9") => {
            let why = format!("{name}: its reader cannot follow its entry: {end}");
            Failure::new(ReasonCode::FileDamaged, why)
        }
        Some(end) => Failure::new(failure.code(), format!("{}: {end}", failure.detail())),
        None => failure,
    }
}

/// The socket as one reads it who may be told to stop.
struct Watched<'a>(&'a UnixStream);

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        readable(self.0.as_fd(), self.0.read_timeout()?.unwrap_or(PATIENCE))?;
        self.0.read(buf)
    }
}

/// `len` 0 asks for the length of the whole.
fn question(offset: u64, len: usize) -> [u8; 16] {
    let mut asked = [0; 16];
    asked[..4].copy_from_slice(&ASKED);
    asked[4..8].copy_from_slice(&number(len));
    asked[8..].copy_from_slice(&offset.to_le_bytes());
    asked
}

fn number(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
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

/// The child's side: answers until nobody asks any more. `read` fills a piece from an offset.
pub(crate) fn answer_ranges(
    mut stream: &File,
    len: u64,
    read: &mut dyn FnMut(u64, &mut [u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut answer = Vec::new();
    loop {
        let mut asked = [0; 16];
        if stream.read_exact(&mut asked).is_err() || asked[..4] != ASKED {
            return Ok(());
        }
        let want = u32::from_le_bytes([4, 5, 6, 7].map(|i| asked[i]));
        let mut offset = [0; 8];
        offset.copy_from_slice(&asked[8..]);
        let offset = u64::from_le_bytes(offset);
        answer.clear();
        answer.resize(8, 0);
        if want == 0 {
            answer.extend_from_slice(&len.to_le_bytes());
        } else {
            let size = usize::try_from(want).unwrap_or(usize::MAX);
            let end = offset.checked_add(want.into());
            answer.resize(8 + size.min(PIECE_MAX), 0);
            let fits = size <= PIECE_MAX && end.is_some_and(|end| end <= len);
            let done = match fits {
                true => read(offset, &mut answer[8..]),
                false => Err(Error::other("that is not in the file")),
            };
            if let Err(error) = done {
                answer = reason(1, &format!("the medium failed: {error}"));
            }
        }
        let size = u32::try_from(answer.len() - 8).unwrap_or(0);
        answer[4..8].copy_from_slice(&size.to_le_bytes());
        stream.write_all(&answer)?;
    }
}

/// An answer without bytes of the file.
fn reason(status: u8, why: &str) -> Vec<u8> {
    let why = &why.as_bytes()[..why.len().min(REASON_MAX)];
    let mut answer = vec![status, 0, 0, 0, 0, 0, 0, 0];
    answer.extend_from_slice(why);
    answer
}

/// The child's side where there is nothing to serve: whatever is asked, this is why.
pub(crate) fn refuse_ranges(
    mut stream: &File,
    medium_failed: bool,
    why: &str,
) -> std::io::Result<()> {
    let mut answer = reason(if medium_failed { 1 } else { 2 }, why);
    let size = u32::try_from(answer.len() - 8).unwrap_or(0);
    answer[4..8].copy_from_slice(&size.to_le_bytes());
    let mut asked = [0; 16];
    while stream.read_exact(&mut asked).is_ok() {
        stream.write_all(&answer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(len: u64, fails_at: u64) -> (UnixStream, std::thread::JoinHandle<()>) {
        let (here, there) = UnixStream::pair().unwrap();
        let child = std::thread::spawn(move || {
            let stream = File::from(OwnedFd::from(there));
            let mut read = |offset: u64, buf: &mut [u8]| {
                if offset + buf.len() as u64 > fails_at {
                    return Err(Error::other("EIO"));
                }
                buf.iter_mut()
                    .zip(offset..)
                    .for_each(|(b, at)| *b = u8::try_from(at % 251).unwrap());
                Ok(())
            };
            let _ = answer_ranges(&stream, len, &mut read);
        });
        (here, child)
    }

    #[test]
    fn any_part_is_read_through_the_socket() {
        let size = 3 * PIECE_MAX + 17;
        let len = size as u64;
        let (here, child) = pair(len, u64::MAX);
        let socket = RangeSocket::handed(here.into(), "x").unwrap().unwrap();
        assert_eq!(socket.len(), len);
        let mut all = vec![0; size];
        socket.read_at(0, &mut all).unwrap();
        assert!(all.iter().zip(0u64..).all(|(b, at)| *b == u8::try_from(at % 251).unwrap()));
        let past = socket.read_at(len - 3, &mut [0; 4]).unwrap_err();
        assert_eq!(past.code(), ReasonCode::Truncated);
        drop(socket);
        child.join().unwrap();
    }

    /// A child that answers nothing before it has heard all questions would wait for ever, were
    /// they put one after the other.
    #[test]
    fn many_ranges_are_one_round_trip() {
        const COUNT: usize = 100;
        let (here, mut there) = UnixStream::pair().unwrap();
        let child = std::thread::spawn(move || {
            let mut asked = [0; 16];
            there.read_exact(&mut asked).unwrap();
            there.write_all(&[&[0; 4][..], &number(8), &5000_u64.to_le_bytes()].concat()).unwrap();
            let mut all = [0; 16 * COUNT];
            there.read_exact(&mut all).unwrap();
            for asked in all.chunks_exact(16) {
                assert_eq!(asked[..8], [&ASKED[..], &number(3)].concat());
                let bytes = [asked[8], asked[9], 7];
                there.write_all(&[&[0; 4][..], &number(3), &bytes].concat()).unwrap();
            }
        });
        let socket = RangeSocket::handed(here.into(), "x").unwrap().unwrap();
        socket.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let ranges: Vec<_> = (0..COUNT as u64).map(|n| 40 * n..40 * n + 3).collect();
        let mut buf = [0; 3 * COUNT];
        socket.read_ranges(&ranges, &mut buf).unwrap();
        for (range, bytes) in ranges.iter().zip(buf.chunks_exact(3)) {
            assert_eq!(bytes, [&range.start.to_le_bytes()[..2], &[7]].concat());
        }
        child.join().unwrap();
        let short = socket.read_ranges(&ranges, &mut [0; 3 * COUNT - 1]).unwrap_err();
        assert_eq!(short.code(), ReasonCode::Internal);
    }

    #[test]
    fn a_medium_that_fails_is_lost_and_stays_lost() {
        let (here, child) = pair(1000, 500);
        let socket = RangeSocket::handed(here.into(), "x").unwrap().unwrap();
        socket.read_at(0, &mut [0; 500]).unwrap();
        for offset in [500, 0] {
            let lost = socket.read_at(offset, &mut [0; 10]).unwrap_err();
            assert_eq!(lost.code(), ReasonCode::SourceLost);
            assert!(offset == 0 || lost.detail().contains("EIO"), "{lost}");
        }
        drop(socket);
        child.join().unwrap();
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        let lost = RangeSocket::handed(here.into(), "x").unwrap().unwrap_err();
        assert_eq!(lost.code(), ReasonCode::SourceLost);
    }

    #[test]
    fn a_childs_reason_and_its_class_reach_the_parent() {
        for (medium_failed, code) in
            [(false, ReasonCode::FileDamaged), (true, ReasonCode::SourceLost)]
        {
            let (here, there) = UnixStream::pair().unwrap();
            let why = format!("its chain ends\x1b[2J {}", "x".repeat(500));
            let child = std::thread::spawn(move || {
                refuse_ranges(&File::from(OwnedFd::from(there)), medium_failed, &why).unwrap();
            });
            let failure = RangeSocket::handed(here.into(), "x").unwrap().unwrap_err();
            assert_eq!(failure.code(), code);
            assert!(failure.detail().contains("its chain ends"), "{failure}");
            assert!(!failure.detail().contains('\x1b'), "{failure}");
            child.join().unwrap();
        }
    }

    #[test]
    fn what_is_no_socket_is_given_back() {
        let file = tempfile::tempfile().unwrap();
        assert!(RangeSocket::handed(file.into(), "x").is_err());
    }
}
