//! Pure: from a chunk table to what is fetched, decoded and written in one go.

use super::origin::Origin;
use crate::artifact::{Chunk, MAX_CHUNK_LEN, context_starts};
use std::ops::Range;

/// The most plain bytes of one span. One direct write each: large enough that a medium takes it
/// at full speed, small enough that a handful of them in flight stays below the memory budget.
pub(super) const SPAN_MAX: usize = 3 << 19;
const _: () = assert!(MAX_CHUNK_LEN as usize <= SPAN_MAX, "one chunk fits");

/// The chunks of one payload, each with its place in the image and in the artifact.
pub(super) struct Places<'a> {
    /// The payload's chunks, in image order.
    pub(super) chunks: &'a [Chunk],
    /// Where each begins in the image; one more entry for the end.
    image: Vec<u64>,
    /// Where each begins in the artifact.
    stored: Vec<u64>,
    /// Plain bytes of the data chunks before each; one more entry for all.
    data: Vec<u64>,
    /// The first chunk of the context of each; itself, where it has none.
    context: Vec<usize>,
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
            data: sums(0, |c| if c.is_zero() { 0 } else { c.plain_len }),
            context: context_starts(chunks),
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

    /// The first chunk of the context of chunk `index`, if it has one.
    pub(super) fn context(&self, index: usize) -> Option<usize> {
        let first = self.context[index];
        (first < index).then_some(first)
    }

    /// Nothing is decoded from what is stored in the artifact: no chunk needs another one.
    pub(super) fn alone(&mut self) {
        self.context = (0..self.count()).collect();
    }

    /// Plain bytes of the data chunks among `first..end`.
    pub(super) fn data_between(&self, first: usize, end: usize) -> usize {
        super::small(self.data[end] - self.data[first])
    }

    /// For each chunk and for the end: the first chunk that is a context of it or of a later one. Only
    /// those that are `decoded` need one. A chunk that reaches not before itself begins something that
    /// can be decoded beside everything else.
    pub(super) fn reach(&self, decoded: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut reach = vec![self.count(); self.count() + 1];
        for index in (0..self.count()).rev() {
            let own = if decoded(index) { self.context[index] } else { index };
            reach[index] = reach[index + 1].min(own);
        }
        reach
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
    /// The first chunk that a later span needs as context; the end of its own, where none does.
    pub(super) keep_from: usize,
}

/// What is to be done to a slot: both lists in image order, nothing of a chunk that stands in either.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// What must be brought.
    pub(super) spans: Vec<Span>,
    /// Ranges of the image that must read as zeros.
    pub(super) zeros: Vec<Range<u64>>,
    /// Runs of spans that one worker brings one after the other: each but the first needs what the one
    /// before brought.
    pub(super) strands: Vec<Range<usize>>,
    /// See [`Places::reach`].
    pub(super) reach: Vec<usize>,
    /// The most plain bytes that a worker holds as context besides a span.
    pub(super) context: usize,
    /// Whether a delta brings it: then one worker less leaves room for the windows of its streams.
    pub(super) rebuilt: bool,
}

/// Plans the writing of every chunk that does not stand. One origin for each chunk.
pub(super) fn work(places: &Places, origins: &[Origin]) -> Work {
    let decoded = |i: usize| matches!(origins[i], Origin::Fetch | Origin::CopyFrom { .. });
    let mut work = Work { reach: places.reach(decoded), ..Work::default() };
    // Where what begins with each chunk, and needs nothing before it, ends.
    let mut ends = vec![places.count(); places.count() + 1];
    for i in (0..places.count()).rev() {
        ends[i] = if work.reach[i + 1] > i { i + 1 } else { ends[i + 1] };
    }
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
        // What can be decoded by itself is not torn in two where it fits.
        let whole = match work.reach[index] >= index {
            true => places.of(ends[index] - 1).end,
            false => image.end,
        };
        match work.spans.last_mut() {
            Some(span)
                if span.chunks.end == index
                    && span.copied == origin.is_copy()
                    && whole - span.image.start <= SPAN_MAX as u64 =>
            {
                span.chunks.end = index + 1;
                span.image.end = image.end;
                span.stored.end = stored.end;
            }
            _ => work.spans.push(Span {
                chunks: index..index + 1,
                image,
                stored,
                copied: origin.is_copy(),
                keep_from: 0,
            }),
        }
    }
    tie(places, &mut work);
    work
}

/// Finds which spans need each other, and what must be held for that.
fn tie(places: &Places, work: &mut Work) {
    for n in 0..work.spans.len() {
        let next = work.spans.get(n + 1).map_or(places.count(), |next| next.chunks.start);
        let span = &mut work.spans[n];
        span.keep_from = work.reach[next].min(span.chunks.end);
        let mut held = places.data_between(span.keep_from, span.chunks.end);
        for index in span.chunks.clone() {
            if places.context(index).is_some_and(|first| first < span.chunks.start) {
                held = held.max(places.data_between(work.reach[index], index));
            }
        }
        work.context = work.context.max(held);
        match work.strands.last_mut() {
            Some(strand) if n > 0 && work.spans[n - 1].keep_from < work.spans[n - 1].chunks.end => {
                strand.end = n + 1;
            }
            _ => work.strands.push(n..n + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Codec;
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
        assert_eq!(work.strands, [0..1, 1..2, 2..3, 3..4], "nothing needs another");
        assert_eq!(work.context, 0);
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

    #[test]
    fn what_can_be_decoded_by_itself_is_one_span_or_one_strand() {
        let kib = 1 << 10;
        let back = |chunks| chunk(300 * kib, Codec::Context { chunks });
        let group = [chunk(300 * kib, Codec::Zstd), back(1), back(2)];
        // Two groups of 900 KiB, one of 2.4 MiB with zeros in it, one that begins behind zeros.
        let mut chunks = [group, group, group].concat();
        chunks.extend([chunk(kib, Codec::Zero), back(3), back(4), back(1), back(1), back(7)]);
        chunks.extend([chunk(kib, Codec::Zero), chunk(9, Codec::Zstd)]);
        let places = Places::new(&chunks, 0);
        let origins: Vec<_> = chunks.iter().map(|c| Origin::of(c, false)).collect();
        let all = work(&places, &origins);
        let runs: Vec<_> = all.spans.iter().map(|s| (s.chunks.clone(), s.keep_from)).collect();
        assert_eq!(runs, [(0..3, 3), (3..6, 6), (6..9, 6), (10..15, 15), (16..17, 17)]);
        assert_eq!(all.strands, [0..1, 1..2, 2..4, 4..5]);
        assert_eq!(all.context, 7 * 300 * kib as usize);
        // What stands needs nothing; what is missing is decoded with what stands.
        let missing = |i: usize| Origin::of(&chunks[i], ![5, 12].contains(&i));
        let some = work(&places, &(0..chunks.len()).map(missing).collect::<Vec<_>>());
        assert_eq!(some.spans.iter().map(|s| s.chunks.clone()).collect::<Vec<_>>(), [5..6, 12..13]);
        assert_eq!(some.strands, [0..1, 1..2]);
        assert_eq!(some.context, 2 * 300 * kib as usize);
    }
}
