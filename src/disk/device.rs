//! What the rooms above see of a disk.

use crate::model::{Failure, ReasonCode, Result};
use std::sync::Arc;

/// A disk, a partition or an image file. Offsets and lengths are bytes. Implementations are used
/// from several threads at once.
pub trait BlockDevice: Send + Sync {
    /// Size in bytes.
    fn len(&self) -> u64;

    /// True if there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unit in which direct writes must be aligned, in bytes (512 or 4096).
    fn block_size(&self) -> usize;

    /// The logical sector in which a DOS partition table counts, bytes; `None` where only the table
    /// itself can tell (an image file).
    fn sector_size(&self) -> Option<u64> {
        None
    }

    /// Fills `buf` from `offset`, from the medium and not from a cache (DESIGN 9.14).
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Writes all of `buf` at `offset`. Any offset and length are accepted; those that are whole
    /// blocks in a [`crate::sys::AlignedBuf`] go to the medium directly.
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()>;

    /// Makes `len` bytes from `offset` read as zeros, by the cheapest way that is certain
    /// (DESIGN 9.13); a range that is known to be a hole already is left alone.
    fn zero(&self, offset: u64, len: u64) -> Result<()>;

    /// Whether the range is known to read as zeros without being read: a hole of an image file.
    /// There is no medium below a hole that could hold anything else. Never true for a device.
    fn is_hole(&self, _offset: u64, _len: u64) -> bool {
        false
    }

    /// Returns only when everything written before is on the medium.
    fn flush(&self) -> Result<()>;
}

/// A part of a device, seen as a device: a partition. Nothing outside it can be reached.
#[derive(Clone)]
pub struct Window {
    device: Arc<dyn BlockDevice>,
    start: u64,
    len: u64,
}

impl Window {
    /// The bytes `start..start + len` of `device`.
    pub fn new(device: Arc<dyn BlockDevice>, start: u64, len: u64) -> Result<Window> {
        match start.checked_add(len) {
            Some(end) if end <= device.len() => Ok(Window { device, start, len }),
            _ => Err(Failure::new(
                ReasonCode::LayoutInvalid,
                format!("bytes {start}+{len} leave the disk of {} bytes", device.len()),
            )),
        }
    }

    fn place(&self, offset: u64, len: u64) -> Result<u64> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(self.start + offset),
            _ => Err(Failure::new(
                ReasonCode::LayoutInvalid,
                format!("bytes {offset}+{len} leave the partition of {} bytes", self.len),
            )),
        }
    }
}

impl BlockDevice for Window {
    fn len(&self) -> u64 {
        self.len
    }
    fn block_size(&self) -> usize {
        self.device.block_size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.device.read_at(self.place(offset, buf.len() as u64)?, buf)
    }
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.device.write_at(self.place(offset, buf.len() as u64)?, buf)
    }
    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        self.device.zero(self.place(offset, len)?, len)
    }
    fn is_hole(&self, offset: u64, len: u64) -> bool {
        self.place(offset, len).is_ok_and(|at| self.device.is_hole(at, len))
    }
    fn flush(&self) -> Result<()> {
        self.device.flush()
    }
}
