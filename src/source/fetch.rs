//! Bytes that can be read at any offset.

use crate::model::{Failure, ReasonCode, Result};
use std::io::Read;
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// Bytes that can be read at any offset. Implementations are used from several threads at once.
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

    /// Fills `buf` with the bytes of all `ranges`, one after the other; it is as long as they are
    /// together. What has to be asked for over a distance is asked for once. Fails as
    /// [`Fetch::read_at`] does.
    fn read_ranges(&self, ranges: &[Range<u64>], buf: &mut [u8]) -> Result<()> {
        each_range(ranges, buf, |range, part| self.read_at(range.start, part))
    }

    /// Whether a second read of the same bytes costs time or money that counts, as over a network.
    /// Such a source is read once, and each chunk is checked as it comes.
    fn is_dear(&self) -> bool {
        false
    }

    /// A reader of exactly the bytes of these ranges, one range after the other, that fetches ahead
    /// of its caller with a bounded memory; dropping it ends it. `None` where reading ahead brings
    /// nothing: such a source is read with [`Fetch::read_ranges`]. Errors of the reader carry the
    /// [`Failure`] that [`Fetch::read_at`] would end with.
    fn in_order(&self, _ranges: &[Range<u64>]) -> Result<Option<Box<dyn Read + Send + '_>>> {
        Ok(None)
    }

    /// Bytes of all answers so far, also those that came twice or were passed over. 0 where no
    /// network is involved.
    fn received(&self) -> u64 {
        0
    }

    /// What another process can read the same bytes from: a file, or a socket for [`super::RangeSocket`].
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Hands out each range with its part of `buf`. `INTERNAL` if `buf` is not as long as all of them.
pub(super) fn each_range<'a>(
    ranges: &[Range<u64>],
    buf: &'a mut [u8],
    mut take: impl FnMut(&Range<u64>, &'a mut [u8]) -> Result<()>,
) -> Result<()> {
    let mut rest = buf;
    for range in ranges {
        let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let (part, after) = rest.split_at_mut_checked(len).ok_or_else(mismatch)?;
        take(range, part)?;
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(mismatch()) }
}

fn mismatch() -> Failure {
    Failure::new(ReasonCode::Internal, "the buffer is not as long as the ranges")
}

/// Reads a [`Fetch`] from the front, for parsers that take a stream.
pub struct Sequential<'a> {
    bytes: &'a dyn Fetch,
    offset: u64,
}

impl<'a> Sequential<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a dyn Fetch) -> Sequential<'a> {
        Sequential { bytes, offset: 0 }
    }

    /// Starts at `offset`.
    pub fn starting_at(bytes: &'a dyn Fetch, offset: u64) -> Sequential<'a> {
        Sequential { bytes, offset }
    }
}

impl Read for Sequential<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let left = self.bytes.len().saturating_sub(self.offset);
        let want = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        self.bytes.read_at(self.offset, &mut buf[..want]).map_err(std::io::Error::other)?;
        self.offset += want as u64;
        Ok(want)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that has nothing but its bytes.
    struct Plain(&'static [u8]);

    impl Fetch for Plain {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            let at = usize::try_from(offset).unwrap();
            buf.copy_from_slice(&self.0[at..at + buf.len()]);
            Ok(())
        }
    }

    #[test]
    fn a_source_without_a_network_reads_ranges_one_by_one_and_receives_nothing() {
        let source = Plain(b"0123456789");
        let ranges = [7..9, 1..4];
        assert!(source.in_order(&ranges).unwrap().is_none());
        let mut buf = [0; 5];
        source.read_ranges(&ranges, &mut buf).unwrap();
        assert_eq!((&buf, source.received(), source.is_dear()), (b"78123", 0, false));
    }
}
