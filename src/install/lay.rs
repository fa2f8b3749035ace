//! Lays decoded spans out, in order, so that they are whole blocks and each block is written once.

use super::spans::Span;
use super::{FIRST_LEN, small};
use crate::disk::BlockDevice;
use crate::model::Result;
use crate::sys::{AlignedBuf, stop};
use std::ops::Range;

/// Room that a span's buffer has before its first byte, so that the buffer starts where a block
/// starts.
pub(super) fn lead(device: &dyn BlockDevice, span: &Span) -> usize {
    small(span.image.start % device.block_size() as u64)
}

/// What is to be written of a laid-out span.
pub(super) struct Placed {
    /// Where, in the image; whole blocks.
    pub(super) at: u64,
    /// Which bytes of its buffer.
    pub(super) bytes: Range<usize>,
}

/// Completes blocks. The first 128 KiB of the image never reach the medium from here: they are kept
/// in memory for the last phase (DESIGN 9.2).
pub(super) struct Layer<'a> {
    device: &'a dyn BlockDevice,
    /// The first 128 KiB as they will be.
    first: AlignedBuf,
    /// A block that the next span completes and writes.
    carry: AlignedBuf,
    carried: bool,
}

impl<'a> Layer<'a> {
    pub(super) fn new(device: &'a dyn BlockDevice) -> Result<Layer<'a>> {
        let first = AlignedBuf::try_new(small(FIRST_LEN))?;
        let carry = AlignedBuf::try_new(device.block_size())?;
        Ok(Layer { device, first, carry, carried: false })
    }

    /// Lays out one span; `buf` holds its bytes after [`lead`] free ones and has room for the
    /// rest of its last block. `next` is the span after it. A block that both touch is left to
    /// `next`; what nobody brings is filled with what the medium holds.
    pub(super) fn lay(
        &mut self,
        span: &Span,
        buf: &mut AlignedBuf,
        next: Option<&Span>,
    ) -> Result<Placed> {
        let block = self.device.block_size();
        let lead = lead(self.device, span);
        let at = span.image.start - lead as u64;
        if lead > 0 {
            if !self.carried {
                self.hold(at)?;
            }
            buf[..lead].copy_from_slice(&self.carry[..lead]);
        }
        let filled = lead + small(span.image.end - span.image.start);
        let tail = filled % block;
        let mut whole = filled - tail;
        let last = at + whole as u64;
        self.carried = tail > 0 && next.is_some_and(|n| n.image.start < last + block as u64);
        if tail > 0 {
            // What lies behind is not ours to change: a kept chunk, zeros, or the unused rest.
            if next.is_none_or(|n| n.image.start > span.image.end) {
                self.hold(last)?;
            }
            if self.carried {
                self.carry[..tail].copy_from_slice(&buf[whole..filled]);
            } else {
                buf[filled..whole + block].copy_from_slice(&self.carry[tail..]);
                whole += block;
            }
        }
        Ok(self.keep_first(at, &buf[..whole]))
    }

    /// Reads the block at `at` into `carry`, as it is or will be. Nobody is writing it: of two
    /// spans that touch a block only the later one does.
    fn hold(&mut self, at: u64) -> Result<()> {
        if at >= FIRST_LEN {
            return self.device.read_at(at, &mut self.carry);
        }
        let mine = &self.first[small(at)..][..self.carry.len()];
        self.carry.copy_from_slice(mine);
        Ok(())
    }

    fn keep_first(&mut self, at: u64, bytes: &[u8]) -> Placed {
        let first = small(FIRST_LEN.saturating_sub(at)).min(bytes.len());
        if first > 0 {
            self.first[small(at)..][..first].copy_from_slice(&bytes[..first]);
        }
        Placed { at: at + first as u64, bytes: first..bytes.len() }
    }

    /// The first 128 KiB.
    pub(super) fn into_first(self) -> AlignedBuf {
        self.first
    }
}

/// Zeros that one call makes: a card that has to write them takes less than a second for so many.
const ZEROED: u64 = 8 << 20;

/// Makes a range of the image read as zeros. Those in the first 128 KiB are zeros already.
pub(super) fn zero(device: &dyn BlockDevice, range: &Range<u64>) -> Result<()> {
    let mut start = range.start.max(FIRST_LEN);
    while start < range.end {
        stop::look()?;
        let end = range.end.min((start / ZEROED + 1) * ZEROED);
        device.zero(start, end - start)?;
        start = end;
    }
    Ok(())
}
