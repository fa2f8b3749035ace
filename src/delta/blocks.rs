//! The stored bytes of a delta, each block held against its signed hash before anything looks into it.

use crate::artifact::{DELTA_BLOCK_LEN, StoredBlocks};
use crate::model::{Digest, Failure, ReasonCode, Result};
use std::io::{ErrorKind, Read};
use std::ops::Range;

/// How far a delta's stored blocks have been read. One block of 128 KiB is held.
#[derive(Clone, Default)]
pub struct Blocks {
    /// The next one to be read.
    next: usize,
    block: Vec<u8>,
    /// How much of it was handed out.
    at: usize,
    /// Of all blocks, and those before the first one that was read.
    given: u64,
    /// Where a part of the stored bytes ends; the last one ends with the blocks.
    end: Option<u64>,
}

impl Blocks {
    /// For these stored bytes only. The input stands where the block begins that has the first of them, which
    /// [`Blocks::taken`] says.
    pub fn part(part: Range<u64>) -> Blocks {
        let block = u64::from(DELTA_BLOCK_LEN);
        let next = usize::try_from(part.start / block).unwrap_or(usize::MAX);
        Blocks { next, block: Vec::new(), at: 0, given: part.start, end: Some(part.end) }
    }

    /// Stored bytes that were not handed out yet.
    pub fn left(&self, stored: &StoredBlocks) -> u64 {
        self.end.unwrap_or(stored.len).saturating_sub(self.given)
    }

    /// Bytes of the input that were read: whole blocks.
    pub fn taken(&self, stored: &StoredBlocks) -> u64 {
        (self.next as u64).saturating_mul(u64::from(DELTA_BLOCK_LEN)).min(stored.len)
    }

    /// Fills `buf` with the next stored bytes. `input` stands where this has read to. `CHUNK_CORRUPT`
    /// where a block is not the signed one, `DELTA_INVALID` where there are not so many, `TRUNCATED`
    /// where the input ends, and what the input says.
    pub fn read(
        &mut self,
        stored: &StoredBlocks,
        input: &mut dyn Read,
        buf: &mut [u8],
    ) -> Result<()> {
        if self.end.is_some() && (buf.len() as u64) > self.left(stored) {
            return Err(too_few());
        }
        let mut done = 0;
        while done < buf.len() {
            if self.at == self.block.len() {
                self.next_block(stored, input)?;
            }
            let some = (self.block.len() - self.at).min(buf.len() - done);
            buf[done..done + some].copy_from_slice(&self.block[self.at..self.at + some]);
            self.at += some;
            self.given += some as u64;
            done += some;
        }
        Ok(())
    }

    fn next_block(&mut self, stored: &StoredBlocks, input: &mut dyn Read) -> Result<()> {
        let Some(hash) = stored.hashes.get(self.next) else { return Err(too_few()) };
        let first = self.block.is_empty();
        self.block.resize(stored.block_len(self.next), 0);
        self.at = self.block.len();
        read_exactly(input, &mut self.block)?;
        if Digest::of(&self.block) != *hash {
            let detail = format!("stored block {} does not match its signed hash", self.next);
            return Err(Failure::new(ReasonCode::ChunkCorrupt, detail));
        }
        // A part may begin inside of its first block.
        let passed = if first { self.given % u64::from(DELTA_BLOCK_LEN) } else { 0 };
        (self.at, self.next) = (usize::try_from(passed).unwrap_or(0), self.next + 1);
        Ok(())
    }
}

fn too_few() -> Failure {
    let detail = "it says that there are more stored bytes than it has";
    Failure::new(ReasonCode::DeltaInvalid, detail)
}

pub(super) fn read_exactly(input: &mut dyn Read, buf: &mut [u8]) -> Result<()> {
    input.read_exact(buf).map_err(|e| {
        // A source that knows why it failed says so itself: its Failure travels inside the io::Error.
        let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<Failure>());
        let ended = e.kind() == ErrorKind::UnexpectedEof;
        inner.cloned().unwrap_or_else(|| match ended {
            true => Failure::new(ReasonCode::Truncated, "the delta ends before its last byte"),
            false => Failure::new(ReasonCode::SourceLost, format!("reading the delta: {e}")),
        })
    })
}
