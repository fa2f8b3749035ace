//! Is there something for me, and give me its bytes from offset *n*. This room never interprets
//! what it fetches and never decides whether it is wanted.

pub mod file;

pub use file::FileSource;

use crate::model::{ReasonCode, Result, WithReason};
use crate::sys::unix::Stdin;
use std::io::Read;
use std::sync::Arc;

/// Bytes that can be read at any offset: a file, later a web server that knows ranges.
/// Implementations are used from several threads at once.
pub trait Fetch: Send + Sync {
    /// The length of the whole, in bytes.
    fn len(&self) -> u64;

    /// True if there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from `offset`. `TRUNCATED` if the source ends before, `SOURCE_LOST` if it
    /// fails.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;
}

/// Where an artifact's payload comes from.
pub enum Input {
    /// Any part can be read, in any order and twice.
    Seekable(Arc<dyn Fetch>),
    /// Standard input, a pipe: once, in order. The next byte is the first of the payload.
    Stream(Box<dyn Read + Send>),
}

/// Standard input as it comes, by whoever reads it: nothing is kept between two reads.
pub fn stdin() -> Result<Box<dyn Read + Send>> {
    let stdin = Stdin::of_this_process().reason(ReasonCode::SourceLost, "standard input")?;
    Ok(Box::new(stdin))
}

/// Reads a [`Fetch`] from the front, for parsers that take a stream.
pub struct Sequential<'a> {
    source: &'a dyn Fetch,
    offset: u64,
}

impl<'a> Sequential<'a> {
    /// Starts at the first byte of `source`.
    pub fn new(source: &'a dyn Fetch) -> Sequential<'a> {
        Sequential { source, offset: 0 }
    }
}

impl Read for Sequential<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let left = self.source.len().saturating_sub(self.offset);
        let want = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        self.source.read_at(self.offset, &mut buf[..want]).map_err(std::io::Error::other)?;
        self.offset += want as u64;
        Ok(want)
    }
}
