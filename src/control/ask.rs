//! A client of servers that are not ours: one request and one answer by connection, and nothing of the answer is
//! believed. Every wait has its end, and the head its limit; who reads the body caps it.

use super::body::Body;
use super::head::{HEAD_MAX, parse_answer};
use crate::sys::unix::{Flow, connect, readable, writable};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is asked of a server.
pub struct Asking<'a> {
    /// `GET`, `POST`, `DELETE`.
    pub method: &'a str,
    /// The path with its query, encoded.
    pub target: &'a str,
    /// For how long the server may be silent, or nearly so.
    pub patience: Duration,
}

/// The body of a request.
pub enum Upload<'a> {
    /// None.
    Nothing,
    /// A document.
    Json(&'a str),
    /// An archive of this length, written while it is made. An error ends the connection before the end.
    Archive(u64, &'a mut dyn FnMut(&mut dyn Write) -> Result<()>),
}

/// The beginning of an answer; the rest is still to be read.
pub struct Replied {
    /// The HTTP status.
    pub status: u16,
    /// What comes.
    pub body: Body,
}

/// Asks, and waits for the beginning of the answer.
pub fn ask(socket: &Path, asking: &Asking<'_>, upload: Upload<'_>) -> Result<Replied> {
    let stream = connect(socket)?;
    let (kind, len) = match &upload {
        Upload::Nothing => ("application/json", 0),
        Upload::Json(text) => ("application/json", text.len() as u64),
        Upload::Archive(len, _) => ("application/x-tar", *len),
    };
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n",
        asking.method, asking.target
    );
    let mut out = Sending { stream: &stream, flow: Flow::within(asking.patience), gone: false };
    let sent = out.write_all(head.as_bytes()).and_then(|()| match upload {
        Upload::Nothing => Ok(()),
        Upload::Json(text) => out.write_all(text.as_bytes()),
        Upload::Archive(_, write) => write(&mut out),
    });
    match sent {
        // A server that has seen enough says why, and closes.
        Err(error) if out.gone => replied(stream, asking.patience).map_err(|_| error),
        Err(error) => Err(error),
        Ok(()) => replied(stream, asking.patience),
    }
}

fn replied(stream: UnixStream, patience: Duration) -> Result<Replied> {
    let (mut head, mut flow) = (Vec::new(), Flow::within(patience));
    loop {
        if let Some((status, length, len)) = parse_answer(&head).map_err(strange)? {
            let ahead = head.split_off(len);
            stream.set_nonblocking(false)?;
            return Ok(Replied { status, body: Body::new(stream, ahead, length, false, patience) });
        }
        let start = Instant::now();
        readable(stream.as_fd(), patience)?;
        let mut buf = [0; HEAD_MAX];
        match (&stream).read(&mut buf)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => {
                head.extend_from_slice(&buf[..n]);
                flow.came(n, start.elapsed())?;
            }
        }
    }
}

fn strange(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

/// Writes to a server that may stop reading.
struct Sending<'a> {
    stream: &'a UnixStream,
    flow: Flow,
    gone: bool,
}

impl Write for Sending<'_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        let start = Instant::now();
        writable(self.stream.as_fd(), self.flow.most())?;
        match (&mut &*self.stream).write(buf) {
            Ok(n) => {
                self.flow.came(n, start.elapsed())?;
                Ok(n)
            }
            Err(error) => {
                self.gone = matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe
                        | ErrorKind::ConnectionReset
                        | ErrorKind::ConnectionAborted
                );
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
