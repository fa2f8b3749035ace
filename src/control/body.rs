//! The body of a request or of an answer, as it comes.

use super::head::Length;
use crate::sys::unix::{Flow, readable};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Reads one body and not a byte more. A client that goes away before the end is an error, never
/// a short body.
pub struct Body {
    stream: UnixStream,
    /// What came with the head.
    ahead: Vec<u8>,
    left: Left,
    expects: bool,
    whole: Arc<AtomicBool>,
    flow: Flow,
}

enum Left {
    /// So many bytes, of the body or of a chunk; `true` if another chunk follows.
    Bytes(u64, bool),
    /// A chunk's size line is next.
    Size,
    /// All that comes until the other end closes.
    Open,
    End,
}

/// The longest size line of a chunk.
const LINE_MAX: usize = 64;

impl Body {
    /// Of a stream whose client may be silent for `patience`.
    pub(super) fn new(
        stream: UnixStream,
        ahead: Vec<u8>,
        length: Length,
        expects: bool,
        patience: Duration,
    ) -> Body {
        let left = match length {
            Length::Bytes(0) => Left::End,
            Length::Bytes(n) => Left::Bytes(n, false),
            Length::Chunked => Left::Size,
            Length::UntilEnd => Left::Open,
        };
        let whole = Arc::new(AtomicBool::new(matches!(left, Left::End)));
        Body { stream, ahead, left, expects, whole, flow: Flow::within(patience) }
    }

    /// Becomes true when it is read to its end.
    pub(super) fn whole(&self) -> Arc<AtomicBool> {
        self.whole.clone()
    }

    /// For how long the client may be silent from here on, or nearly so.
    pub fn wait_for(&mut self, most: Duration) -> Result<()> {
        self.flow = Flow::within(most);
        self.stream.set_read_timeout(Some(most))
    }

    /// Whether something has come, or comes within this time: then a read does not wait.
    pub fn comes(&self, within: Duration) -> Result<bool> {
        if !self.ahead.is_empty() || matches!(self.left, Left::End) {
            return Ok(true);
        }
        match readable(self.stream.as_fd(), within) {
            Err(e) if e.kind() == ErrorKind::TimedOut => Ok(false),
            came => came.map(|()| true),
        }
    }

    /// Says to a client that waits for it that the body is wanted. Reading says it too; an answer
    /// that begins before the body is read must say it first.
    pub fn invite(&mut self) -> Result<()> {
        match std::mem::take(&mut self.expects) {
            true => self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"),
            false => Ok(()),
        }
    }

    fn raw(&mut self, buf: &mut [u8]) -> Result<usize> {
        if !self.ahead.is_empty() {
            let n = buf.len().min(self.ahead.len());
            buf[..n].copy_from_slice(&self.ahead[..n]);
            self.ahead.drain(..n);
            return Ok(n);
        }
        self.invite()?;
        let start = Instant::now();
        readable(self.stream.as_fd(), self.flow.most())?;
        let n = self.stream.read(buf)?;
        self.flow.came(n, start.elapsed())?;
        match n {
            0 if !buf.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            n => Ok(n),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.raw(&mut byte)?;
            line.push(byte[0]);
            if line.len() > LINE_MAX {
                return Err(bad());
            }
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(|_| bad())
    }
}

fn bad() -> Error {
    Error::new(ErrorKind::InvalidData, "the body is not chunked as it says")
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match self.left {
                Left::End => {
                    self.whole.store(true, Ordering::SeqCst);
                    return Ok(0);
                }
                Left::Open => match self.raw(buf) {
                    Err(e) if e.kind() == ErrorKind::UnexpectedEof => self.left = Left::End,
                    came => return came,
                },
                Left::Bytes(0, true) => {
                    if !self.line()?.is_empty() {
                        return Err(bad());
                    }
                    self.left = Left::Size;
                }
                Left::Bytes(0, false) => self.left = Left::End,
                Left::Bytes(left, more) => {
                    let most = usize::try_from(left).map_or(buf.len(), |l| l.min(buf.len()));
                    let n = self.raw(&mut buf[..most])?;
                    self.left = Left::Bytes(left - n as u64, more);
                    self.whole.store(left == n as u64 && !more, Ordering::SeqCst);
                    return Ok(n);
                }
                Left::Size => {
                    let line = self.line()?;
                    let size = line.split(';').next().unwrap_or("").trim();
                    let hex = !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit());
                    let size = u64::from_str_radix(size, 16).ok().filter(|_| hex);
                    match size.ok_or_else(bad)? {
                        0 => {
                            // No trailers are known; the empty line ends it.
                            if !self.line()?.is_empty() {
                                return Err(bad());
                            }
                            self.left = Left::End;
                        }
                        n => self.left = Left::Bytes(n, true),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(length: Length, ahead: &[u8], rest: &[u8]) -> Result<Vec<u8>> {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(rest).unwrap();
        drop(there);
        let mut out = Vec::new();
        Body::new(here, ahead.to_vec(), length, false, Duration::from_secs(5))
            .read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn a_body_ends_where_it_says() {
        assert_eq!(read(Length::Bytes(5), b"he", b"llo, and more").unwrap(), b"hello");
        assert_eq!(read(Length::Bytes(0), b"", b"more").unwrap(), b"");
        let chunked = read(Length::Chunked, b"3\r\nabc\r", b"\n2;x=y\r\nde\r\n0\r\n\r\n").unwrap();
        assert_eq!(chunked, b"abcde");
    }

    #[test]
    fn a_body_that_ends_before_is_an_error() {
        assert!(read(Length::Bytes(5), b"he", b"l").is_err());
        for cut in ["", "3", "3\r\n", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "3\r\nabc\r\n0\r\n"] {
            assert!(read(Length::Chunked, b"", cut.as_bytes()).is_err(), "{cut:?}");
        }
        for wrong in
            ["x\r\n", "-1\r\n", "+1\r\na\r\n0\r\n\r\n", "ffffffffffffffffff\r\n", "1\r\nab\r\n"]
        {
            assert!(read(Length::Chunked, b"", wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(read(Length::Chunked, b"", &[b'0'; 5_000]).is_err());
    }
}
