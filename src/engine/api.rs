//! Questions to an engine, and its answers as values: the Docker Engine API, version 1.41, over a Unix socket. An
//! answer is capped, waited for so long and no longer, and read into small types that know what they need.

use crate::control::{Asking, Body, Replied, Upload, ask};
use crate::model::{Failure, ReasonCode, Result, from_json, printable};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::time::Duration;

/// The longest document that is read. A thousand images are one of 1 MiB.
const DOCUMENT_MAX: u64 = 4 << 20;

/// The longest message of an engine that is read, and how much of it is shown.
const WORDS_MAX: u64 = 64 << 10;
const WORDS_SHOWN: usize = 400;

/// An engine's socket.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) socket: PathBuf,
    /// For how long it may be silent where nothing says more.
    pub(super) patience: Duration,
    /// The same where it packs or unpacks an image.
    pub(super) long: Duration,
}

/// An answer that is not an error, or that there is no such thing.
pub(super) enum Said {
    /// With what is still to be read.
    Yes(Body),
    /// 404, with the engine's words.
    Absent(String),
}

impl Api {
    /// One question. `what` is what is being done, for people.
    pub(super) fn ask(
        &self,
        what: &str,
        method: &str,
        target: &str,
        upload: Upload<'_>,
    ) -> Result<Said> {
        self.ask_within(self.patience, what, method, target, upload)
    }

    pub(super) fn ask_within(
        &self,
        patience: Duration,
        what: &str,
        method: &str,
        target: &str,
        upload: Upload<'_>,
    ) -> Result<Said> {
        let target = format!("/v1.41{target}");
        let asking = Asking { method, target: &target, patience };
        let Replied { status, body } =
            ask(&self.socket, &asking, upload).map_err(|e| self.unanswered(what, &e))?;
        match status {
            200..400 => Ok(Said::Yes(body)),
            404 => Ok(Said::Absent(words(body))),
            _ => Err(refused(what, &words(body))),
        }
    }

    /// A document; `None` where there is no such thing.
    pub(super) fn get<T: DeserializeOwned>(&self, what: &str, target: &str) -> Result<Option<T>> {
        match self.ask(what, "GET", target, Upload::Nothing)? {
            Said::Yes(body) => self.document(what, body).map(Some),
            Said::Absent(_) => Ok(None),
        }
    }

    /// A document that must be there.
    pub(super) fn must<T: DeserializeOwned>(&self, what: &str, target: &str) -> Result<T> {
        match self.ask(what, "GET", target, Upload::Nothing)? {
            Said::Yes(body) => self.document(what, body),
            Said::Absent(words) => Err(refused(what, &words)),
        }
    }

    /// Something that is done, with what is told for it. `false` where there is no such thing.
    pub(super) fn act(
        &self,
        patience: Duration,
        what: &str,
        method: &str,
        target: &str,
    ) -> Result<bool> {
        match self.ask_within(patience, what, method, target, Upload::Nothing)? {
            Said::Yes(body) => self.text(what, body).map(|_| true),
            Said::Absent(_) => Ok(false),
        }
    }

    /// A document that is sent, and the one that is answered.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        what: &str,
        target: &str,
        document: &serde_json::Value,
    ) -> Result<T> {
        match self.ask(what, "POST", target, Upload::Json(&document.to_string()))? {
            Said::Yes(body) => self.document(what, body),
            Said::Absent(words) => Err(refused(what, &words)),
        }
    }

    /// The rest of an answer.
    pub(super) fn text(&self, what: &str, body: Body) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let read = body.take(DOCUMENT_MAX + 1).read_to_end(&mut text);
        read.map_err(|e| self.unanswered(what, &e))?;
        match text.len() as u64 > DOCUMENT_MAX {
            true => {
                Err(strange(what, format_args!("its answer is longer than {DOCUMENT_MAX} bytes")))
            }
            false => Ok(text),
        }
    }

    fn document<T: DeserializeOwned>(&self, what: &str, body: Body) -> Result<T> {
        let text = self.text(what, body)?;
        from_json(&text)
            .map_err(|e| strange(what, format_args!("its answer is not as expected: {e}")))
    }

    /// Why there is no answer.
    pub(super) fn unanswered(&self, what: &str, error: &std::io::Error) -> Failure {
        if let Some(own) = error.get_ref().and_then(|e| e.downcast_ref::<Failure>()) {
            return own.clone();
        }
        let socket = self.socket.display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::PermissionDenied => {
                Failure::new(ReasonCode::EngineMissing, format!("{socket}: {error}"))
            }
            ErrorKind::InvalidData => strange(what, format_args!("{error}")),
            ErrorKind::TimedOut => refused(what, "it is silent, and was waited for long enough"),
            ErrorKind::WouldBlock => {
                refused(what, "it takes no more questions: it may have stopped")
            }
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                refused(what, "it ended before its answer did")
            }
            _ => refused(what, &error.to_string()),
        }
    }
}

/// The engine says no.
pub(super) fn refused(what: &str, words: &str) -> Failure {
    let words = printable(words, WORDS_SHOWN);
    Failure::new(
        ReasonCode::EngineFailed,
        format!("the container engine could not {what}: {words}"),
    )
}

/// The engine breaks its protocol or a promise.
pub(super) fn strange(what: &str, why: std::fmt::Arguments<'_>) -> Failure {
    Failure::new(ReasonCode::EngineAnswer, format!("the container engine was to {what}: {why}"))
}

/// The engine's own words for an error: `{"message": …}`, or whatever text it sends.
pub(super) fn words(body: Body) -> String {
    #[derive(Deserialize)]
    struct Words {
        message: String,
    }
    let mut text = Vec::new();
    // What of it can be read is better than nothing.
    let _ = body.take(WORDS_MAX).read_to_end(&mut text);
    match from_json::<Words>(&text) {
        Ok(words) => words.message,
        Err(_) if text.is_empty() => "it does not say why".to_owned(),
        Err(_) => String::from_utf8_lossy(&text).into_owned(),
    }
}

/// A name or a document as a part of a path or a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
