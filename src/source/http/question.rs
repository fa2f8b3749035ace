//! What the fetcher is asked, and what it answers: one line of JSON each. It has no configuration
//! and keeps nothing, so that the question holds everything.
//!
//! ```text
//! asked      {"url": …, "want": …, "net": …}\n
//! answered   {"head": {…}}\n   or   {"failed": {…}}\n
//! then       frames: kind u32 | length u32 | received u64 | bytes
//!            0 bytes of the body   1 a failure, as JSON   2 the end
//! ranges     asked by: "SFRH" | count u32, and count times: start u64 | end u64
//!            with a socket beside "SFRH", the frames go there, and more may be asked meanwhile
//! ```
//! All numbers little endian. `received` counts the bytes of all bodies so far. An empty frame of
//! kind 0 only says that the fetcher is alive.

use crate::model::{Failure, ReasonCode, Result, WithReason, from_json};
pub use crate::source::Setup;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read, Write};
use std::ops::Range;
use std::time::Duration;

/// A longer line is no question.
pub(super) const QUESTION_MAX: u64 = 1 << 20;

/// A longer line is no answer.
pub(super) const ANSWER_MAX: u64 = 64 << 10;

/// What a request for ranges begins with.
pub(super) const ASKED: [u8; 4] = *b"SFRH";

/// Ranges of one request.
pub(super) const RANGES_MAX: usize = 1 << 17;

/// Bytes of one frame.
pub(super) const FRAME_MAX: usize = 64 << 10;

pub(super) const DATA: u32 = 0;
pub(super) const FAILED: u32 = 1;
pub(super) const END: u32 = 2;

/// Everything that the fetcher is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Question {
    /// What is to be fetched.
    pub(super) url: String,
    /// In which way.
    pub(super) want: Want,
    /// How.
    pub(super) net: Setup,
}

/// What is to be done with a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// An artifact: ranges where the server has them, else the whole as it comes.
    Artifact,
    /// A small document of one host: no other one is followed.
    Document {
        /// More bytes are refused.
        limit: u64,
        /// The mark of what is known already.
        etag: Option<String>,
    },
    /// Whether it takes connections: a [`crate::source::Reached`].
    Reach {
        /// `host:port`, each.
        witnesses: Vec<String>,
        /// After an update: where it does not, it is looked what else answers. Before: where it does.
        again: bool,
    },
    /// What stands on the way to it, for people: a list of [`super::Step`].
    Diagnose,
    /// Sends a report; the answer's body is of no interest.
    Report {
        /// JSON.
        body: String,
    },
}

/// The answer's first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Head(Head),
    Failed(Failed),
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Bytes, where the server says so.
    pub len: Option<u64>,
    /// The mark that a server gives to these bytes, if it is a strong one.
    pub etag: Option<String>,
    /// Whether parts of it can be asked for.
    pub ranges: bool,
    /// The status of the answer.
    pub status: u16,
    /// Where it lies, after all redirects and without credentials.
    pub url: String,
    /// The address of the server, or of the proxy.
    pub address: Option<String>,
}

/// Why there is nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failed {
    pub(super) reason: ReasonCode,
    pub(super) detail: String,
    /// Seconds for which the server wants not to be asked again.
    pub(super) wait: Option<u64>,
    /// Bytes of all bodies so far.
    #[serde(default)]
    pub(super) received: u64,
}

impl Failed {
    pub(super) fn of(failure: &Failure, wait: Option<Duration>, received: u64) -> Failed {
        let (reason, detail) = (failure.code(), failure.detail().to_owned());
        Failed { reason, detail, wait: wait.map(|w| w.as_secs()), received }
    }
}

/// Writes a line.
pub(super) fn put_line(mut to: impl Write, line: &impl Serialize) -> std::io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    to.write_all(text.as_bytes())
}

/// Reads a line of at most so many bytes, and at most `ahead` bytes of what follows it with it: 1 where
/// that belongs to others.
pub(super) fn take_line<T: serde::de::DeserializeOwned>(
    from: impl Read,
    ahead: usize,
    most: u64,
) -> std::io::Result<T> {
    let mut line = Vec::new();
    std::io::BufReader::with_capacity(ahead, from).take(most).read_until(b'\n', &mut line)?;
    from_json(&line).map_err(|e| std::io::Error::other(e.to_string()))
}

/// The head of a frame.
pub(super) fn frame(kind: u32, len: usize, received: u64) -> [u8; 16] {
    let mut head = [0; 16];
    head[..4].copy_from_slice(&kind.to_le_bytes());
    head[4..8].copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    head[8..].copy_from_slice(&received.to_le_bytes());
    head
}

/// The number of ranges, and the ranges.
pub(super) fn pack(ranges: &[Range<u64>]) -> Vec<u8> {
    let mut bytes = u32::try_from(ranges.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    for range in ranges {
        bytes.extend(range.start.to_le_bytes());
        bytes.extend(range.end.to_le_bytes());
    }
    bytes
}

/// Reads what [`pack`] has written, of a whole of `len` bytes.
pub(super) fn unpack(mut from: impl Read, len: u64) -> Result<Vec<Range<u64>>> {
    let bad = || Failure::new(ReasonCode::Internal, "the ranges that are asked for are none");
    let mut count = [0; 4];
    from.read_exact(&mut count).reason(ReasonCode::Internal, "ranges")?;
    let count = usize::try_from(u32::from_le_bytes(count)).unwrap_or(usize::MAX);
    if count > RANGES_MAX {
        return Err(bad());
    }
    let mut ranges = Vec::with_capacity(count);
    for _ in 0..count {
        let mut bytes = [0; 16];
        from.read_exact(&mut bytes).reason(ReasonCode::Internal, "ranges")?;
        let (start, end) = bytes.split_at(8);
        let number = |b: &[u8]| b.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
        let range = number(start)..number(end);
        if range.start > range.end || range.end > len {
            return Err(bad());
        }
        ranges.push(range);
    }
    Ok(ranges)
}
