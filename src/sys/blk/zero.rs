//! Making ranges read as zeros, and knowing which already do.

use super::ioctl::{change_range, seek, zero_blocks};
use super::number::as_u64;
use super::{BOUNCE, Blk, Identity};
use crate::sys::AlignedBuf;
use crate::sys::power::{self, Deed};
use crate::sys::spare::no_memory;
use nix::libc;
use std::io::Result;
use std::sync::atomic::Ordering;

impl Blk {
    /// Makes `len` bytes from `offset` read as zeros, by the cheapest certain way. Holes of a
    /// file are left alone. Discard is never asked for: what it leaves behind is the device's
    /// choice.
    pub fn zero(&self, offset: u64, len: u64) -> Result<()> {
        self.check(offset, len)?;
        if len == 0 {
            return Ok(());
        }
        match self.identity {
            Identity::Device(_) => self.zero_device(offset, len),
            Identity::File(..) => self.zero_file(offset, len),
        }
    }

    fn zero_device(&self, offset: u64, len: u64) -> Result<()> {
        let block = as_u64(self.block);
        let end = offset + len;
        let first = offset.next_multiple_of(block).min(end);
        let last = (end - end % block).max(first);
        if first < last {
            self.dirty.store(true, Ordering::SeqCst);
            if power::acting(Deed::Zero(&self.file, first, last - first), || {
                zero_blocks(&self.file, first, last - first)
            })
            .is_err()
            {
                self.write_zeros(first, last - first)?;
            }
        }
        self.write_zeros(offset, first - offset)?;
        self.write_zeros(last, end - last)
    }

    fn zero_file(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset + len;
        let mut at = offset;
        while at < end {
            let Some(data) = seek(&self.file, at, libc::SEEK_DATA)?.filter(|d| *d < end) else {
                break;
            };
            let hole = seek(&self.file, data, libc::SEEK_HOLE)?.unwrap_or(end).min(end);
            self.zero_data(data, hole - data)?;
            at = hole;
        }
        Ok(())
    }

    /// Zeroes a part of a file that holds data. The space stays reserved where the file system
    /// can do that, so that a later write cannot run out of it.
    fn zero_data(&self, offset: u64, len: u64) -> Result<()> {
        self.dirty.store(true, Ordering::SeqCst);
        let keep = libc::FALLOC_FL_KEEP_SIZE;
        for how in [libc::FALLOC_FL_ZERO_RANGE, libc::FALLOC_FL_PUNCH_HOLE] {
            if power::acting(Deed::Zero(&self.file, offset, len), || {
                change_range(&self.file, how | keep, offset, len)
            })
            .is_ok()
            {
                return Ok(());
            }
        }
        self.write_zeros(offset, len)
    }

    fn write_zeros(&self, offset: u64, len: u64) -> Result<()> {
        let step = len.min(as_u64(BOUNCE));
        let zeros =
            AlignedBuf::try_new(usize::try_from(step).unwrap_or(BOUNCE)).map_err(no_memory)?;
        let mut done = 0;
        while done < len {
            let now = (len - done).min(step);
            self.write_at(offset + done, &zeros[..usize::try_from(now).unwrap_or(zeros.len())])?;
            done += now;
        }
        Ok(())
    }

    /// Whether the whole range is a hole of a file, known without reading it. Never true for a
    /// device.
    pub fn is_hole(&self, offset: u64, len: u64) -> bool {
        matches!(self.identity, Identity::File(..))
            && self.check(offset, len).is_ok()
            && matches!(seek(&self.file, offset, libc::SEEK_DATA), Ok(next) if next.is_none_or(|d| d >= offset + len))
    }
}
