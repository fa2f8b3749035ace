//! Compares what the medium holds with what the chunk table says. Reads only.

use super::progress::Progress;
use super::small;
use super::spans::Places;
use crate::artifact::{Chunk, Codec};
use crate::disk::BlockDevice;
use crate::model::Result;
use crate::sys::{AlignedBuf, spare, stop};
use sha2::{Digest as _, Sha256};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One direct read: large enough for full speed, small enough for a cache.
const READ: usize = 1 << 20;

/// One direct read where single chunks are read: each worker holds two such buffers.
pub(super) const CHUNK_READ: usize = 256 << 10;

/// Image bytes that one thread compares at a stretch.
pub(super) const STRETCH: u64 = 8 << 20;

/// How many threads compare or hash side by side. Small devices have two to four cores, and two
/// hash as fast as their storage reads.
pub(super) const THREADS: usize = 2;

/// The same where each of them also waits for the medium: one more keeps the cores busy.
pub(super) const WAITING_THREADS: usize = THREADS + 1;

/// Reads a device in aligned pieces, from the medium.
pub(super) struct MediumReader<'a> {
    device: &'a dyn BlockDevice,
    buf: AlignedBuf,
}

impl<'a> MediumReader<'a> {
    pub(super) fn new(device: &'a dyn BlockDevice) -> Result<MediumReader<'a>> {
        Ok(MediumReader { device, buf: AlignedBuf::try_new(READ)? })
    }

    /// One for single chunks, of which most are shorter than [`CHUNK_READ`].
    pub(super) fn of_chunks(device: &'a dyn BlockDevice) -> Result<MediumReader<'a>> {
        Ok(MediumReader { device, buf: AlignedBuf::try_new(CHUNK_READ)? })
    }

    /// Hands the bytes of `range` to `take`, in order, in pieces.
    pub(super) fn each(
        &mut self,
        range: Range<u64>,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let block = self.device.block_size() as u64;
        let mut at = range.start;
        while at < range.end {
            stop::look()?;
            let first = at - at % block;
            let room = first + self.buf.len() as u64;
            let last = range.end.next_multiple_of(block).min(self.device.len());
            let piece = &mut self.buf[..small(room.min(last) - first)];
            self.device.read_at(first, piece)?;
            let end = room.min(range.end);
            take(&piece[small(at - first)..small(end - first)])?;
            at = end;
        }
        Ok(())
    }

    /// Compares each chunk of `run` that `wanted` names, and reports it to `found`: with its
    /// signed hash, or with the CRC that `written` has of it.
    pub(super) fn compare(
        &mut self,
        places: &Places,
        run: Range<usize>,
        wanted: impl Fn(usize) -> bool,
        written: impl Fn(usize) -> Option<u32>,
        mut found: impl FnMut(usize, bool) -> Result<()>,
    ) -> Result<()> {
        let mut next = run.start;
        while let Some(first) = (next..run.end).find(|i| wanted(*i)) {
            if self.is_hole(places, first) {
                found(first, true)?;
                next = first + 1;
                continue;
            }
            let over = |i: &usize| !wanted(*i) || self.is_hole(places, *i);
            let end = (first + 1..run.end).find(over).unwrap_or(run.end);
            let mut index = first;
            let mut sum = Sum::of(&places.chunks[index], written(index));
            self.each(places.of(first).start..places.of(end - 1).end, |bytes| {
                let mut bytes = bytes;
                while !bytes.is_empty() {
                    bytes = sum.take(bytes);
                    if sum.left == 0 {
                        found(index, sum.matches(&places.chunks[index]))?;
                        index += 1;
                        if index < end {
                            sum = Sum::of(&places.chunks[index], written(index));
                        }
                    }
                }
                Ok(())
            })?;
            next = end;
        }
        Ok(())
    }

    /// Whether a chunk is zeros and stands in a hole, where there is nothing to read.
    fn is_hole(&self, places: &Places, index: usize) -> bool {
        let image = places.of(index);
        places.chunks[index].is_zero() && self.device.is_hole(image.start, image.end - image.start)
    }

    /// Whether `chunk` is `begins` (bytes in memory) followed by `rest` of the medium.
    pub(super) fn completes(
        &mut self,
        chunk: &Chunk,
        begins: &[u8],
        rest: Range<u64>,
    ) -> Result<bool> {
        let mut sum = Sum::of(chunk, None);
        sum.take(begins);
        self.each(rest, |bytes| {
            sum.take(bytes);
            Ok(())
        })?;
        Ok(sum.left == 0 && sum.matches(chunk))
    }
}

/// What has been seen of one chunk.
struct Sum {
    left: usize,
    content: Content,
}

enum Content {
    Hash(Sha256),
    /// What was seen, and the CRC-32 of what was written.
    Crc(crc32fast::Hasher, u32),
    Zeros(bool),
}

impl Sum {
    fn of(chunk: &Chunk, written: Option<u32>) -> Sum {
        let content = match (chunk.codec, written) {
            (Codec::Zero, _) => Content::Zeros(true),
            (_, Some(crc)) => Content::Crc(crc32fast::Hasher::new(), crc),
            (_, None) => Content::Hash(Sha256::new()),
        };
        Sum { left: chunk.plain_len as usize, content }
    }

    /// Takes this chunk's share of `bytes` and returns the rest.
    fn take<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (mine, rest) = bytes.split_at(self.left.min(bytes.len()));
        match &mut self.content {
            Content::Hash(hash) => hash.update(mine),
            Content::Crc(seen, _) => seen.update(mine),
            Content::Zeros(all) => *all &= is_zero(mine),
        }
        self.left -= mine.len();
        rest
    }

    fn matches(&mut self, chunk: &Chunk) -> bool {
        match &mut self.content {
            Content::Hash(hash) => hash.finalize_reset().as_slice() == chunk.plain.0,
            Content::Crc(seen, written) => seen.clone().finalize() == *written,
            Content::Zeros(all) => *all,
        }
    }
}

/// Whether all of `bytes` are zero. Eight bytes at a time in any build: the device's is made for
/// size, and a byte loop would cost more than the reading.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let word = |b: &[u8]| b.iter().fold(0, |all, byte| all | byte);
    let mut blocks = bytes.chunks_exact(64);
    blocks.all(|b| {
        let (words, _) = b.as_chunks::<8>();
        words.iter().fold(0, |all, w| all | u64::from_ne_bytes(*w)) == 0
    }) && word(bytes.chunks_exact(64).remainder()) == 0
}

/// Compares every chunk that `wanted` names with the medium, on several threads. Returns which
/// of all chunks stand there; unwanted ones count as not standing.
pub(super) fn standing(
    device: &dyn BlockDevice,
    places: &Places,
    wanted: impl Fn(usize) -> bool + Sync,
    progress: &Progress,
) -> Result<Vec<bool>> {
    let runs = places.runs(0..places.count(), STRETCH);
    let next = AtomicUsize::new(0);
    let stands: Vec<AtomicBool> = places.chunks.iter().map(|_| false.into()).collect();
    let work = || -> Result<()> {
        let mut reader = MediumReader::new(device)?;
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = |index: usize, same| {
                stands[index].store(same, Ordering::Relaxed);
                progress.add(u64::from(places.chunks[index].plain_len));
                Ok(())
            };
            reader.compare(places, run.clone(), &wanted, |_| None, found)?;
        }
        Ok(())
    };
    on_threads(WAITING_THREADS, work)?;
    Ok(stands.into_iter().map(AtomicBool::into_inner).collect())
}

/// Runs `work` on `count` threads and returns the first failure. Where the system gives no more
/// threads, those that there are do all of it.
pub(super) fn on_threads(count: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    let carried = stop::carried();
    let carried_on = || carried.over(&work);
    std::thread::scope(|scope| {
        let start = |_| spare::scoped(scope, "compare", carried_on).ok();
        let others: Vec<_> = (1..count).map_while(start).collect();
        let mine = work();
        others.into_iter().fold(mine, |first, other| {
            let other = other.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
            first.and(other)
        })
    })
}
