//! The other end: one request, one answer.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What is asked.
pub struct Call<'a> {
    /// `GET`, `POST`.
    pub method: &'a str,
    /// The path with its query.
    pub target: &'a str,
    /// The body.
    pub body: &'a str,
    /// A descriptor to hand over.
    pub handed: Option<BorrowedFd<'a>>,
    /// For how long nothing may come; `None` waits for ever.
    pub patience: Option<Duration>,
}

/// The answer's beginning; the rest is still to be read.
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// What comes.
    pub lines: Lines,
}

/// An answer's lines as they come; a document is one line.
pub struct Lines {
    from: BufReader<UnixStream>,
    left: Left,
    line: Vec<u8>,
}

enum Left {
    Bytes(usize),
    Chunks,
    End,
}

/// No line of ours is longer: a client need not believe a server for ever.
const LINE_MAX: usize = 8 * 1024 * 1024;

/// No answer of ours that is taken as one text is longer.
const TEXT_MAX: usize = 4 * LINE_MAX;

/// No head of ours has more lines.
const HEADERS_MAX: usize = 64;

/// Asks, and waits for the beginning of the answer. An error means that nobody answers here.
pub fn call(socket: &Path, call: &Call<'_>) -> Result<Answered> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(call.patience)?;
    stream.set_write_timeout(call.patience)?;
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        call.method,
        call.target,
        call.body.len()
    );
    let sent = match call.handed {
        Some(fd) => crate::sys::unix::send_with(&stream, head.as_bytes(), fd)?,
        None => 0,
    };
    stream.write_all(&head.as_bytes()[sent..])?;
    stream.write_all(call.body.as_bytes())?;
    let mut from = BufReader::new(stream);
    let status = line(&mut from)?;
    let status = status.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(strange)?;
    let mut left = Left::Bytes(0);
    for number in 0.. {
        if number > HEADERS_MAX {
            return Err(strange());
        }
        let header = line(&mut from)?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        match header.split_once(':') {
            Some(("content-length", n)) => {
                let n = n.trim().parse().ok().filter(|n| *n <= TEXT_MAX);
                left = Left::Bytes(n.ok_or_else(strange)?);
            }
            Some(("transfer-encoding", _)) => left = Left::Chunks,
            _ => {}
        }
    }
    Ok(Answered { status, lines: Lines { from, left, line: Vec::new() } })
}

fn strange() -> Error {
    Error::new(ErrorKind::InvalidData, "this is no answer of ours")
}

fn line(from: &mut BufReader<UnixStream>) -> Result<String> {
    let mut text = Vec::new();
    from.by_ref().take(8 * 1024).read_until(b'\n', &mut text)?;
    match text.strip_suffix(b"\r\n") {
        Some(text) => String::from_utf8(text.to_vec()).map_err(|_| strange()),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

impl Lines {
    /// The next line; `None` at the end. An answer that breaks off is an error.
    pub fn line(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.line.iter().position(|b| *b == b'\n') {
                let rest = self.line.split_off(end + 1);
                let mut whole = std::mem::replace(&mut self.line, rest);
                whole.pop();
                return String::from_utf8(whole).map(Some).map_err(|_| strange());
            }
            if self.line.len() > LINE_MAX {
                return Err(strange());
            }
            match self.left {
                Left::End if self.line.is_empty() => return Ok(None),
                Left::End => self.line.push(b'\n'),
                Left::Bytes(n) => {
                    let most = u64::try_from(n).unwrap_or(u64::MAX);
                    let read = self.from.by_ref().take(most).read_to_end(&mut self.line)?;
                    if read < n {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    self.left = Left::End;
                }
                Left::Chunks => {
                    let size = line(&mut self.from)?;
                    let size = usize::from_str_radix(&size, 16).map_err(|_| strange())?;
                    if size > LINE_MAX {
                        return Err(strange());
                    }
                    let mut chunk = vec![0; size + 2];
                    self.from.read_exact(&mut chunk)?;
                    self.line.extend_from_slice(&chunk[..size]);
                    if size == 0 {
                        self.left = Left::End;
                    }
                }
            }
        }
    }

    /// All that is left, as one text.
    pub fn rest(mut self) -> Result<String> {
        let mut text = String::new();
        while let Some(line) = self.line()? {
            if line.len() >= TEXT_MAX - text.len() {
                return Err(strange());
            }
            text.push_str(&line);
            text.push('\n');
        }
        Ok(text)
    }
}
