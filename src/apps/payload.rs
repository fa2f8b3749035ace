//! The plain bytes of one payload of a bundle, each chunk compared with its signed hashes before a byte of it is given.

use crate::artifact::{Chunk, Codec, Decoder, History, Payload, Release};
use crate::model::{Failure, ReasonCode, Result};
use crate::source::Fetch;
use crate::sys::stop;
use std::io::{self, Read};

/// Reads one payload from its beginning to its end.
pub struct PayloadReader<'a> {
    source: &'a dyn Fetch,
    /// What reads ahead of us, where the source is far away.
    ahead: Option<Box<dyn Read + Send + 'a>>,
    chunks: std::slice::Iter<'a, Chunk>,
    at: u64,
    decoder: Decoder,
    history: History,
    plain: Vec<u8>,
    /// Bytes of `plain` that were given.
    given: usize,
    /// Zeros to be given after it.
    zeros: u64,
}

impl<'a> PayloadReader<'a> {
    /// A reader of this payload of a release, from its first byte.
    pub fn new(
        source: &'a dyn Fetch,
        release: &'a Release,
        payload: &Payload,
    ) -> Result<PayloadReader<'a>> {
        let chunks = release.chunks_of(payload);
        let at = release.stored_offset_of(payload);
        let all = at..at.saturating_add(payload.stored_size);
        let ahead = source.in_order(std::slice::from_ref(&all))?;
        Ok(PayloadReader {
            source,
            ahead,
            chunks: chunks.iter(),
            at,
            decoder: Decoder::new()?,
            history: History::of(chunks),
            plain: Vec::new(),
            given: 0,
            zeros: 0,
        })
    }

    /// Decodes the next chunk. False behind the last one.
    fn next(&mut self) -> Result<bool> {
        let Some(chunk) = self.chunks.next() else { return Ok(false) };
        stop::look()?;
        self.given = 0;
        self.plain.clear();
        if chunk.codec == Codec::Zero {
            self.zeros = u64::from(chunk.plain_len);
            return Ok(true);
        }
        let mut stored = vec![0; chunk.stored_len as usize];
        match &mut self.ahead {
            Some(ahead) => ahead.read_exact(&mut stored).map_err(|e| told(&e))?,
            None => self.source.read_at(self.at, &mut stored)?,
        }
        self.at += u64::from(chunk.stored_len);
        self.plain.resize(chunk.plain_len as usize, 0);
        let context = self.history.context(chunk)?;
        self.decoder.decode(chunk, context, &stored, &mut self.plain)?;
        self.history.push(&self.plain)?;
        Ok(true)
    }
}

impl Read for PayloadReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = &self.plain[self.given..];
            if !left.is_empty() {
                let len = left.len().min(buf.len());
                buf[..len].copy_from_slice(&left[..len]);
                self.given += len;
                return Ok(len);
            }
            if self.zeros > 0 {
                let len = usize::try_from(self.zeros).map_or(buf.len(), |z| z.min(buf.len()));
                buf[..len].fill(0);
                self.zeros -= len as u64;
                return Ok(len);
            }
            match self.next() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(failure) => {
                    // No byte of a chunk that is not what was signed is given.
                    self.plain.clear();
                    self.given = 0;
                    return Err(io::Error::other(failure));
                }
            }
        }
    }
}

/// The failure that a reader carries, or that it is lost.
pub(super) fn told(error: &io::Error) -> Failure {
    let own = error.get_ref().and_then(|inner| inner.downcast_ref::<Failure>());
    own.cloned().unwrap_or_else(|| {
        Failure::new(ReasonCode::SourceLost, format!("reading the bundle: {error}"))
    })
}
