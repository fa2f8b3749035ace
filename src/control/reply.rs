//! What is answered: one JSON document, one text, or lines for as long as there are any.

use serde::Serialize;
use std::io::{Result, Write};
use std::os::unix::net::UnixStream;

/// The answer that is owed. Dropped unanswered, the connection closes without a word.
pub struct Reply {
    stream: UnixStream,
}

impl Reply {
    pub(super) fn new(stream: UnixStream) -> Reply {
        Reply { stream }
    }

    /// A JSON document and the end.
    pub fn json<T: Serialize>(self, status: u16, value: &T) -> Result<()> {
        let text = serde_json::to_string(value)?;
        self.text(status, "application/json", &format!("{text}\n"))
    }

    /// A text and the end.
    pub fn text(mut self, status: u16, kind: &str, text: &str) -> Result<()> {
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            phrase(status),
            text.len()
        );
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(text.as_bytes())
    }

    /// JSON lines, as they come.
    pub fn lines(mut self) -> Result<Stream> {
        self.stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\
              Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        )?;
        Ok(Stream { stream: self.stream })
    }
}

/// An answer that goes on. A client that is gone, or does not read, is an error on the next line.
pub struct Stream {
    stream: UnixStream,
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
        self.stream.write_all(b"0\r\n\r\n")
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
