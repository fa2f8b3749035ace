//! The plain bytes of one payload, from its stored ones.

use super::{Chunk, Codec, Decoder, History};
use crate::model::{Failure, ReasonCode, Result};
use std::io::{Error, Read};

/// Reads a payload whose stored bytes come next in `input`. Each chunk is checked before a byte of it is given; a
/// [`Failure`] travels inside the error.
pub struct PayloadContent<'a> {
    input: &'a mut dyn Read,
    chunks: std::slice::Iter<'a, Chunk>,
    decoder: Decoder,
    history: History,
    plain: Vec<u8>,
    at: usize,
    /// Zeros that no chunk stores.
    zeros: u64,
}

impl<'a> PayloadContent<'a> {
    /// The content of these chunks, which are all of one payload.
    pub fn new(input: &'a mut dyn Read, chunks: &'a [Chunk]) -> Result<PayloadContent<'a>> {
        let (decoder, history) = (Decoder::new()?, History::of(chunks));
        let chunks = chunks.iter();
        Ok(PayloadContent { input, chunks, decoder, history, plain: Vec::new(), at: 0, zeros: 0 })
    }

    /// All of a payload that has at most `most` bytes.
    pub fn read_all(mut self, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        super::input::read_some(&mut self, most.saturating_add(1), &mut bytes)?;
        match bytes.len() as u64 > most {
            true => {
                let text = format!("a payload has more than {most} bytes");
                Err(Failure::new(ReasonCode::ManifestInvalid, text))
            }
            false => Ok(bytes),
        }
    }

    fn next_chunk(&mut self, chunk: &Chunk) -> Result<()> {
        if chunk.codec == Codec::Zero {
            self.zeros = u64::from(chunk.plain_len);
            return Ok(());
        }
        let stored =
            super::input::read_exactly(self.input, u64::from(chunk.stored_len), "payload")?;
        self.plain.resize(chunk.plain_len as usize, 0);
        let context = self.history.context(chunk)?;
        self.decoder.decode(chunk, context, &stored, &mut self.plain)?;
        self.history.push(&self.plain)?;
        self.at = 0;
        Ok(())
    }
}

impl Read for PayloadContent<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while !buf.is_empty() {
            if self.zeros > 0 {
                let n = usize::try_from(self.zeros).map_or(buf.len(), |left| left.min(buf.len()));
                buf[..n].fill(0);
                self.zeros -= n as u64;
                return Ok(n);
            }
            let left = &self.plain[self.at..];
            if !left.is_empty() {
                let n = left.len().min(buf.len());
                buf[..n].copy_from_slice(&left[..n]);
                self.at += n;
                return Ok(n);
            }
            let Some(chunk) = self.chunks.next() else { return Ok(0) };
            self.next_chunk(chunk).map_err(Error::other)?;
        }
        Ok(0)
    }
}
