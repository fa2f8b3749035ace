//! What is answered: one JSON document, one text, or lines for as long as there are any.

use crate::sys::unix;
use serde::Serialize;
use std::io::{Read, Result, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The answer that is owed. Dropped unanswered, the connection closes without a word.
pub struct Reply {
    stream: UnixStream,
    /// Whether the body was read to its end, where somebody has the time to wait for that.
    whole: Option<Arc<AtomicBool>>,
}

/// For how long what a client still sends is read and thrown away.
const LINGER: Duration = Duration::from_secs(2);

impl Reply {
    pub(super) fn new(stream: UnixStream) -> Reply {
        Reply { stream, whole: None }
    }

    /// A client that is still sending its body reads the answer, and not a broken pipe.
    pub(super) fn lingering(stream: UnixStream, whole: Arc<AtomicBool>) -> Reply {
        Reply { stream, whole: Some(whole) }
    }

    /// A JSON document and the end.
    pub fn json<T: Serialize>(self, status: u16, value: &T) -> Result<()> {
        let text = serde_json::to_string(value)?;
        self.text(status, "application/json", &format!("{text}\n"))
    }

    /// A text and the end.
    pub fn text(self, status: u16, kind: &str, text: &str) -> Result<()> {
        self.whole(status, "", kind, text)
    }

    /// 405: what is there knows only these methods. `HEAD` gets no document, as it must not.
    pub fn other_method<T: Serialize>(self, allow: &str, head: bool, value: &T) -> Result<()> {
        let text = if head { String::new() } else { serde_json::to_string(value)? + "\n" };
        self.whole(405, &format!("Allow: {allow}\r\n"), "application/json", &text)
    }

    fn whole(mut self, status: u16, more: &str, kind: &str, text: &str) -> Result<()> {
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n",
            phrase(status),
            text.len()
        );
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(text.as_bytes())?;
        linger(&mut self.stream, self.whole.as_deref());
        Ok(())
    }

    /// JSON lines, as they come.
    pub fn lines(mut self) -> Result<Stream> {
        self.stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\
              Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        )?;
        Ok(Stream { stream: self.stream, whole: self.whole })
    }
}

/// Says that nothing more comes, and reads what is still on its way for a moment.
fn linger(stream: &mut UnixStream, whole: Option<&AtomicBool>) {
    if whole.is_none_or(|whole| whole.load(Ordering::SeqCst)) {
        return;
    }
    let (start, mut block) = (Instant::now(), [0; 16 * 1024]);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(LINGER));
    while start.elapsed() < LINGER && stream.read(&mut block).is_ok_and(|n| n > 0) {}
}

/// An answer that goes on. A client that is gone, or does not read, is an error on the next line.
pub struct Stream {
    stream: UnixStream,
    whole: Option<Arc<AtomicBool>>,
}

impl Stream {
    /// One line.
    pub fn line<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let text = serde_json::to_string(value)?;
        let chunk = format!("{:x}\r\n{text}\n\r\n", text.len() + 1);
        self.stream.write_all(chunk.as_bytes())
    }

    /// The last line is behind us: without it the client knows that something is missing.
    pub fn end(mut self) -> Result<()> {
        self.stream.write_all(b"0\r\n\r\n")?;
        linger(&mut self.stream, self.whole.as_deref());
        Ok(())
    }

    /// Waits until something is at `bell`; false if the client has gone meanwhile.
    pub fn rest(&self, bell: &UnixStream) -> Result<bool> {
        unix::wait_unless_gone(bell, &self.stream)
    }
}

/// An error that no reason code stands for: the request did not get that far.
pub(super) fn refusal(text: &str) -> serde_json::Value {
    serde_json::json!({ "v": 1, "error": { "code": "HTTP", "detail": text } })
}

/// RFC 9110's words.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
