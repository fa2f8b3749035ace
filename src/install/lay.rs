//! Lays decoded spans onto the medium, in order, in whole blocks, each block once.

use super::spans::Span;
use super::{FIRST_LEN, small};
use crate::disk::BlockDevice;
use crate::model::Result;
use crate::sys::AlignedBuf;
use std::ops::Range;

/// Room that a span's buffer has before its first byte, so that the buffer starts where a block
/// starts.
pub(super) fn lead(device: &dyn BlockDevice, span: &Span) -> usize {
    small(span.image.start % device.block_size() as u64)
}

/// Writes spans. The first 128 KiB of the image never reach the medium from here: they are kept
/// in memory for the last phase (DESIGN 9.2).
pub(super) struct Layer<'a> {
    device: &'a dyn BlockDevice,
    /// The first 128 KiB as they will be.
    first: AlignedBuf,
    /// The beginning of a block whose rest the next span brings.
    carry: AlignedBuf,
    /// How many bytes of it.
    carried: usize,
}

impl<'a> Layer<'a> {
    pub(super) fn new(device: &'a dyn BlockDevice) -> Layer<'a> {
        Layer {
            device,
            first: AlignedBuf::new(small(FIRST_LEN)),
            carry: AlignedBuf::new(device.block_size()),
            carried: 0,
        }
    }

    /// Writes one span; `buf` holds its bytes after [`lead`] free ones and has room for the
    /// rest of its last block. `follows`: the next span begins where this one ends.
    /// Returns the image offset below which everything is on its way to the medium.
    pub(super) fn lay(&mut self, span: &Span, buf: &mut AlignedBuf, follows: bool) -> Result<u64> {
        let block = self.device.block_size();
        let lead = lead(self.device, span);
        let at = span.image.start - lead as u64;
        if lead > 0 {
            if self.carried == lead {
                buf[..lead].copy_from_slice(&self.carry[..lead]);
            } else {
                self.held(at)?;
                buf[..lead].copy_from_slice(&self.carry[..lead]);
            }
        }
        self.carried = 0;
        let filled = lead + small(span.image.end - span.image.start);
        let tail = filled % block;
        let mut whole = filled - tail;
        if tail > 0 && follows {
            self.carry[..tail].copy_from_slice(&buf[whole..filled]);
            self.carried = tail;
        } else if tail > 0 {
            // What lies behind is not ours to change: a kept chunk, zeros, or the unused rest.
            self.held(at + whole as u64)?;
            buf[filled..whole + block].copy_from_slice(&self.carry[tail..]);
            whole += block;
        }
        self.put(at, &buf[..whole])?;
        Ok(at + whole as u64)
    }

    /// Reads the block at `at` into `carry`, as it is or will be.
    fn held(&mut self, at: u64) -> Result<()> {
        if at >= FIRST_LEN {
            return self.device.read_at(at, &mut self.carry);
        }
        let mine = &self.first[small(at)..][..self.carry.len()];
        self.carry.copy_from_slice(mine);
        Ok(())
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let first = small(FIRST_LEN.saturating_sub(at)).min(bytes.len());
        let (mine, rest) = bytes.split_at(first);
        if !mine.is_empty() {
            self.first[small(at)..][..first].copy_from_slice(mine);
        }
        if !rest.is_empty() {
            self.device.write_at(at + first as u64, rest)?;
        }
        Ok(())
    }

    /// Makes a range of the image read as zeros. Those in the first 128 KiB are zeros already.
    pub(super) fn zero(&mut self, range: &Range<u64>) -> Result<()> {
        let start = range.start.max(FIRST_LEN);
        if start < range.end {
            self.device.zero(start, range.end - start)?;
        }
        Ok(())
    }

    /// The first 128 KiB, when all else is written.
    pub(super) fn into_first(self) -> AlignedBuf {
        self.first
    }
}
