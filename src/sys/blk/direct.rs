//! Transfers past the page cache: whole blocks from aligned memory as they are, everything else
//! through a buffer, with the blocks at the edges read, changed and written.

use super::number::as_u64;
use super::{BOUNCE, Blk};
use crate::sys::AlignedBuf;
use crate::sys::power::{self, Deed};
use crate::sys::spare::no_memory;
use std::io::Result;
use std::os::unix::fs::FileExt;
use std::sync::PoisonError;

/// Whole blocks around a part of a request: read or written from `start`, of which `take` bytes
/// after `skip` belong to the request.
struct Span {
    start: u64,
    skip: usize,
    take: usize,
    blocks: usize,
}

impl Blk {
    /// Whether a direct transfer takes this as it is.
    fn fits(&self, offset: u64, buf: &[u8]) -> bool {
        offset.is_multiple_of(as_u64(self.block))
            && buf.len().is_multiple_of(self.block)
            && (buf.as_ptr() as usize).is_multiple_of(self.block)
    }

    pub(super) fn read_direct(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if self.fits(offset, buf) {
            return self.file.read_exact_at(buf, offset);
        }
        let mut bounce =
            AlignedBuf::try_new(self.bounce_len(offset, buf.len())).map_err(no_memory)?;
        let mut done = 0;
        while done < buf.len() {
            let span = self.span(offset + as_u64(done), buf.len() - done);
            self.file.read_exact_at(&mut bounce[..span.blocks], span.start)?;
            buf[done..done + span.take].copy_from_slice(&bounce[span.skip..span.skip + span.take]);
            done += span.take;
        }
        Ok(())
    }

    pub(super) fn write_direct(&self, offset: u64, buf: &[u8]) -> Result<()> {
        if self.fits(offset, buf) {
            return power::writing(Deed::Write(&self.file, offset), buf, |part| {
                self.write_part(part, offset)
            });
        }
        let mut bounce =
            AlignedBuf::try_new(self.bounce_len(offset, buf.len())).map_err(no_memory)?;
        let mut done = 0;
        while done < buf.len() {
            let span = self.span(offset + as_u64(done), buf.len() - done);
            let tail = span.blocks - self.block;
            let partial = span.take != span.blocks;
            let _one_at_a_time =
                partial.then(|| self.edges.lock().unwrap_or_else(PoisonError::into_inner));
            if span.skip > 0 {
                self.file.read_exact_at(&mut bounce[..self.block], span.start)?;
            }
            // The last block is read only if the first read did not bring it already.
            if span.skip + span.take < span.blocks && (tail > 0 || span.skip == 0) {
                let at = span.start + as_u64(tail);
                self.file.read_exact_at(&mut bounce[tail..span.blocks], at)?;
            }
            bounce[span.skip..span.skip + span.take].copy_from_slice(&buf[done..done + span.take]);
            let blocks = &bounce[..span.blocks];
            power::writing(Deed::Write(&self.file, span.start), blocks, |part| {
                self.write_part(part, span.start)
            })?;
            done += span.take;
        }
        Ok(())
    }

    /// One request to the kernel. The simulator's power cut may leave a length that no direct
    /// write takes.
    fn write_part(&self, part: &[u8], offset: u64) -> Result<()> {
        if !part.len().is_multiple_of(self.block) {
            self.leave_direct()?;
        }
        self.file.write_all_at(part, offset)
    }

    fn bounce_len(&self, offset: u64, len: usize) -> usize {
        self.span(offset, len).blocks
    }

    /// The whole blocks around the next part of a request.
    fn span(&self, offset: u64, len: usize) -> Span {
        let into_block = offset % as_u64(self.block);
        let skip = usize::try_from(into_block).unwrap_or(0);
        let take = len.min(BOUNCE - skip);
        Span {
            start: offset - into_block,
            skip,
            take,
            blocks: (skip + take).next_multiple_of(self.block),
        }
    }
}
