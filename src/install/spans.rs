//! Pure: from a chunk table to what is fetched, decoded and written in one go.

use super::origin::Origin;
use crate::artifact::{Chunk, MAX_CHUNK_LEN};
use std::ops::Range;

/// The most plain bytes of one span. One direct write each: large enough that a medium takes it
/// at full speed, small enough that a handful of them in flight stays below the memory budget.
pub(super) const SPAN_MAX: usize = 2 << 20;
const _: () = assert!(MAX_CHUNK_LEN as usize <= SPAN_MAX, "one chunk fits");

/// The chunks of one payload, each with its place in the image and in the artifact.
pub(super) struct Places<'a> {
    /// The payload's chunks, in image order.
    pub(super) chunks: &'a [Chunk],
    /// Where each begins in the image; one more entry for the end.
    image: Vec<u64>,
    /// Where each begins in the artifact.
    stored: Vec<u64>,
}

impl<'a> Places<'a> {
    /// `stored_at` is where the first chunk's stored bytes begin in the artifact.
    pub(super) fn new(chunks: &'a [Chunk], stored_at: u64) -> Places<'a> {
        let sums = |start: u64, len: fn(&Chunk) -> u32| {
            let mut at = start;
            let rest = chunks.iter().map(move |c| {
                at += u64::from(len(c));
                at
            });
            std::iter::once(start).chain(rest).collect()
        };
        Places {
            chunks,
            image: sums(0, |c| c.plain_len),
            stored: sums(stored_at, |c| c.stored_len),
        }
    }

    /// How many chunks there are.
    pub(super) fn count(&self) -> usize {
        self.chunks.len()
    }

    /// The bytes of chunk `index` in the image.
    pub(super) fn of(&self, index: usize) -> Range<u64> {
        self.image[index]..self.image[index + 1]
    }

    /// The length of the image.
    pub(super) fn len(&self) -> u64 {
        self.image[self.chunks.len()]
    }

    /// The bytes of a run of chunks in the artifact.
    pub(super) fn stored(&self, run: &Range<usize>) -> Range<u64> {
        self.stored[run.start]..self.stored[run.end]
    }

    /// How many chunks begin below `offset`.
    pub(super) fn starting_below(&self, offset: u64) -> usize {
        self.image[..self.chunks.len()].partition_point(|start| *start < offset)
    }

    /// How many chunks end at or below `offset`.
    pub(super) fn ending_by(&self, offset: u64) -> usize {
        self.image[1..].partition_point(|end| *end <= offset)
    }

    /// Image bytes of the chunks `first..end`.
    pub(super) fn between(&self, first: usize, end: usize) -> u64 {
        self.image[end] - self.image[first]
    }

    /// Splits `chunks` into runs of about `bytes` of image, one chunk at least.
    pub(super) fn runs(&self, chunks: Range<usize>, bytes: u64) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let mut first = chunks.start;
        while first < chunks.end {
            let goal = self.image[first] + bytes;
            let end = self.image.partition_point(|at| *at <= goal) - 1;
            let end = end.clamp(first + 1, chunks.end);
            runs.push(first..end);
            first = end;
        }
        runs
    }
}

/// A run of chunks that lie side by side in the image and in the artifact, all of them fetched or all of
/// them copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// Which chunks of the payload.
    pub(super) chunks: Range<usize>,
    /// Their bytes in the image.
    pub(super) image: Range<u64>,
    /// Their bytes in the artifact.
    pub(super) stored: Range<u64>,
    /// Whether they are copied.
    pub(super) copied: bool,
}

/// What is to be done to a slot: both lists in image order, nothing of a chunk that stands in either.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// What must be brought.
    pub(super) spans: Vec<Span>,
    /// Ranges of the image that must read as zeros.
    pub(super) zeros: Vec<Range<u64>>,
}

/// Plans the writing of every chunk that does not stand. One origin for each chunk.
pub(super) fn work(places: &Places, origins: &[Origin]) -> Work {
    let mut work = Work::default();
    for (index, origin) in origins.iter().enumerate() {
        if *origin == Origin::Stands {
            continue;
        }
        let image = places.of(index);
        let stored = places.stored(&(index..index + 1));
        if *origin == Origin::Zero {
            match work.zeros.last_mut() {
                Some(last) if last.end == image.start => last.end = image.end,
                _ => work.zeros.push(image),
            }
            continue;
        }
        match work.spans.last_mut() {
            Some(span)
                if span.chunks.end == index
                    && span.copied == origin.is_copy()
                    && image.end - span.image.start <= SPAN_MAX as u64 =>
            {
                span.chunks.end = index + 1;
                span.image.end = image.end;
                span.stored.end = stored.end;
            }
            _ => {
                let copied = origin.is_copy();
                work.spans.push(Span { chunks: index..index + 1, image, stored, copied });
            }
        }
    }
    work
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Codec;
    use crate::install::origin::without_copies;
    use crate::model::{Digest, SlotId};

    fn chunk(plain_len: u32, codec: Codec) -> Chunk {
        Chunk {
            plain_len,
            stored_len: if codec == Codec::Zero { 0 } else { 10 },
            codec,
            plain: Digest::NONE,
            stored: Digest::NONE,
        }
    }

    #[test]
    fn neighbours_become_one_span_up_to_its_limit() {
        let mib = 1 << 20;
        let chunks = [
            chunk(100, Codec::Raw),
            chunk(mib, Codec::Zstd),
            chunk(mib, Codec::Zstd),
            chunk(5, Codec::Zero),
            chunk(7, Codec::Zero),
            chunk(9, Codec::Raw),
            chunk(3, Codec::Raw),
            chunk(4, Codec::Raw),
        ];
        let places = Places::new(&chunks, 50);
        let origins: Vec<_> =
            chunks.iter().enumerate().map(|(i, c)| Origin::of(c, i == 6)).collect();
        let work = work(&places, &origins);
        let runs: Vec<_> = work.spans.iter().map(|s| s.chunks.clone()).collect();
        assert_eq!(runs, [0..2, 2..3, 5..6, 7..8]);
        let mib = u64::from(mib);
        assert_eq!(work.spans[1].image, 100 + mib..100 + 2 * mib);
        assert_eq!(work.spans[1].stored, 70..80);
        assert_eq!(work.zeros.len(), 1);
        assert_eq!(work.zeros[0], 100 + 2 * mib..112 + 2 * mib);
        assert_eq!(places.len(), 128 + 2 * mib);
    }

    #[test]
    fn what_is_copied_and_what_is_fetched_are_spans_of_their_own() {
        let chunks = [chunk(5, Codec::Raw); 6];
        let mut origins = [Origin::Fetch; 6];
        origins[2] = Origin::CopyFrom { slot: SlotId::A, at: 7 };
        origins[3] = Origin::CopyFrom { slot: SlotId::A, at: 90 };
        let spans = work(&Places::new(&chunks, 0), &origins).spans;
        let found: Vec<_> = spans.iter().map(|s| (s.chunks.clone(), s.copied)).collect();
        assert_eq!(found, [(0..2, false), (2..4, true), (4..6, false)]);
        assert!(without_copies(&origins).iter().all(|o| *o == Origin::Fetch));
    }

    #[test]
    fn runs_cover_every_chunk_once() {
        let chunks: Vec<_> = (1..200).map(|n| chunk(n * 37, Codec::Raw)).collect();
        let places = Places::new(&chunks, 0);
        for bytes in [0, 1, 5_000, 70_000, u64::from(u32::MAX)] {
            let runs = places.runs(0..chunks.len(), bytes);
            let all: Vec<usize> = runs.iter().cloned().flatten().collect();
            assert_eq!(all, (0..chunks.len()).collect::<Vec<_>>(), "{bytes}");
        }
        assert_eq!(places.starting_below(0), 0);
        assert_eq!(places.starting_below(1), 1);
        assert_eq!(places.starting_below(38), 2);
        assert!(Places::new(&[], 0).runs(0..0, 5).is_empty());
    }
}
