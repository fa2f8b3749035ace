//! Where an image is cut into chunks. Cuts depend on the content near them and on nothing else,
//! so that what two images share is cut alike in both, wherever it stands.
//!
//! Zero runs are found first: whole 4 KiB blocks, aligned to the image. What lies between them is
//! cut where a rolling hash of the last 64 bytes has its top bits clear (a gear hash, see Xia et
//! al., "FastCDC", USENIX ATC 2016, with their normalisation: harder before the average length,
//! easier after it). No reader depends on these cuts; only what two artifacts can share does, so
//! a change here costs every device one full download.

use super::MAX_CHUNK_LEN;
use std::io::Read;

/// The unit of zero runs: the block of the file systems that images hold.
pub(super) const BLOCK: usize = 4096;
/// A zero run shorter than this stays in its chunk: zstd stores it in a few bytes, a record of
/// its own takes 80. On ext4 it hardly matters (docs/chunk-size.md).
const MIN_ZERO_RUN: usize = 8 * BLOCK;
static ZEROS: [u8; MIN_ZERO_RUN] = [0; MIN_ZERO_RUN];
/// The longest zero run of one chunk: the last multiple of a block that a u32 holds.
const MAX_ZERO_RUN: u32 = u32::MAX - 4095;
/// The average the measurements chose (docs/chunk-size.md).
pub const DEFAULT_AVERAGE: u32 = 64 * 1024;

/// A piece of an image.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A run of zeros of this length.
    Zeros(u32),
    /// Bytes, at most [`MAX_CHUNK_LEN`].
    Data(Vec<u8>),
}

/// A [`Piece`] without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Bytes.
    pub len: u32,
    /// All of them are zeros.
    pub zeros: bool,
}

impl Piece {
    pub(super) fn span(&self) -> Span {
        match self {
            Piece::Zeros(len) => Span { len: *len, zeros: true },
            // At most 1 MiB, so it fits.
            Piece::Data(data) => Span { len: u32::try_from(data.len()).unwrap_or(0), zeros: false },
        }
    }
}

/// Cuts what it reads into [`Piece`]s.
pub struct Cutter<R> {
    input: R,
    /// Read, and from `start` on not yet given out; `start` is at `offset` of the image.
    window: Vec<u8>,
    start: usize,
    offset: u64,
    ended: bool,
    min: usize,
    average: usize,
    max: usize,
    /// Places where a chunk must end, ascending; those that are behind are passed.
    cuts: std::iter::Peekable<std::vec::IntoIter<u64>>,
}

impl<R: Read> Cutter<R> {
    /// `average` is a power of two from 16 KiB to 256 KiB; a chunk has a quarter of it to four
    /// times it, but for those that a zero run or the end cuts short.
    pub fn new(input: R, average: u32) -> Cutter<R> {
        let average = average.next_power_of_two().clamp(16 * 1024, MAX_CHUNK_LEN / 4) as usize;
        Cutter {
            input,
            window: Vec::new(),
            start: 0,
            offset: 0,
            ended: false,
            min: average / 4,
            average,
            max: average * 4,
            cuts: Vec::new().into_iter().peekable(),
        }
    }

    /// Also cuts at these places of the image: where larger files begin and end. Ascending.
    pub fn at(mut self, cuts: Vec<u64>) -> Cutter<R> {
        self.cuts = cuts.into_iter().peekable();
        self
    }

    /// The next piece, `None` after the last.
    pub fn next_piece(&mut self) -> std::io::Result<Option<Piece>> {
        self.fill(self.max + MIN_ZERO_RUN)?;
        if self.rest().is_empty() {
            return Ok(None);
        }
        if self.zeros_at(0) {
            return self.zero_run().map(Some);
        }
        // A piece never reaches into a zero run.
        let mut limit = self.rest().len().min(self.max);
        while self.cuts.next_if(|cut| *cut <= self.offset).is_some() {}
        if let Some(cut) = self.cuts.peek() {
            limit = usize::try_from(cut - self.offset).map_or(limit, |cut| limit.min(cut));
        }
        let to_block = (BLOCK - self.place_in_block()) % BLOCK;
        let mut at = if to_block == 0 { BLOCK } else { to_block };
        while at < limit {
            if self.zeros_at(at) {
                limit = at;
            }
            at += BLOCK;
        }
        let len = cut(&self.rest()[..limit], self.min, self.average);
        let data = self.rest()[..len].to_vec();
        self.advance(len);
        Ok(Some(Piece::Data(data)))
    }

    /// Whether a zero run worth a chunk begins `at` bytes into the window.
    fn zeros_at(&self, at: usize) -> bool {
        if !(self.place_in_block() + at).is_multiple_of(BLOCK) {
            return false;
        }
        let rest = &self.rest()[at..];
        let run = &rest[..rest.len().min(MIN_ZERO_RUN)];
        // At the end of the image a shorter run will do: nothing follows whose context it breaks.
        let long_enough = run.len() == MIN_ZERO_RUN || (self.ended && !run.is_empty());
        long_enough && *run == ZEROS[..run.len()]
    }

    fn zero_run(&mut self) -> std::io::Result<Piece> {
        let mut len = 0u32;
        loop {
            self.fill(BLOCK)?;
            let block = &self.rest()[..self.rest().len().min(BLOCK)];
            let step = u32::try_from(block.len()).unwrap_or(0);
            if step == 0 || len >= MAX_ZERO_RUN || *block != ZEROS[..block.len()] {
                return Ok(Piece::Zeros(len));
            }
            len += step;
            self.advance(block.len());
        }
    }

    fn place_in_block(&self) -> usize {
        // Below 4096, so it fits.
        usize::try_from(self.offset % BLOCK as u64).unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        &self.window[self.start..]
    }

    fn advance(&mut self, len: usize) {
        self.start += len;
        self.offset += len as u64;
    }

    /// Reads until `want` bytes are there or the input ends.
    fn fill(&mut self, want: usize) -> std::io::Result<()> {
        while self.rest().len() < want && !self.ended {
            self.window.drain(..self.start);
            self.start = 0;
            // Well ahead of what is wanted, so that what is moved here is little beside it.
            let more = 4 * self.max as u64;
            self.ended = self.input.by_ref().take(more).read_to_end(&mut self.window)? == 0;
        }
        Ok(())
    }
}

/// The length of the chunk that `data` begins with.
fn cut(data: &[u8], min: usize, average: usize) -> usize {
    if data.len() <= min {
        return data.len();
    }
    let bits = average.trailing_zeros();
    let (hard, easy) = (64 - (bits + 2), 64 - (bits - 2));
    // Warmed up over the 64 bytes before, so that a cut knows nothing of where its chunk began.
    let mut hash = 0u64;
    for byte in &data[min - 64..min] {
        hash = (hash << 1).wrapping_add(GEAR[usize::from(*byte)]);
    }
    let soon = average.clamp(min, data.len());
    let found = first(&data[min..soon], &mut hash, hard).map(|at| min + at);
    let found = found.or_else(|| first(&data[soon..], &mut hash, easy).map(|at| soon + at));
    found.map_or(data.len(), |at| at + 1)
}

/// The first byte after which no bit of the hash above `shift` is set.
fn first(data: &[u8], hash: &mut u64, shift: u32) -> Option<usize> {
    let limit = 1u64 << shift;
    data.iter().position(|byte| {
        *hash = (*hash << 1).wrapping_add(GEAR[usize::from(*byte)]);
        *hash < limit
    })
}

/// 256 random numbers: splitmix64 from the seed 0.
static GEAR: [u64; 256] = {
    let mut table = [0u64; 256];
    let (mut state, mut n) = (0u64, 0);
    while n < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[n] = z ^ (z >> 31);
        n += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Repeatable noise without a repeating window.
    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..len).map(|_| next()).collect()
    }

    fn pieces(image: &[u8], average: u32) -> Vec<Piece> {
        pieces_at(image, average, Vec::new())
    }

    fn pieces_at(image: &[u8], average: u32, cuts: Vec<u64>) -> Vec<Piece> {
        let mut cutter = Cutter::new(image, average).at(cuts);
        std::iter::from_fn(|| cutter.next_piece().unwrap()).collect()
    }

    fn whole(pieces: &[Piece]) -> Vec<u8> {
        let bytes = pieces.iter().flat_map(|piece| match piece {
            Piece::Zeros(len) => vec![0; *len as usize],
            Piece::Data(data) => data.clone(),
        });
        bytes.collect()
    }

    #[test]
    fn the_pieces_are_the_image() {
        let zeros = vec![0u8; 5 * MIN_ZERO_RUN];
        let odd =
            [noise(100_000, 1), zeros.clone(), noise(5, 2), zeros, noise(70_001, 3), vec![0; 777]]
                .concat();
        for len in
            [0, 1, 4095, 4096, 4097, 40_000, 140_001, odd.len() - 778, odd.len() - 1, odd.len()]
        {
            let image = &odd[..len];
            assert!(whole(&pieces(image, 16 * 1024)) == image, "{len}");
        }
        assert!(pieces(&[], 65536).is_empty());
    }

    #[test]
    fn long_aligned_zeros_are_their_own_pieces_and_short_ones_are_not() {
        let image = [
            noise(BLOCK, 1),
            vec![0; MIN_ZERO_RUN],
            noise(BLOCK, 2),
            vec![0; MIN_ZERO_RUN - BLOCK],
            noise(BLOCK, 3),
        ]
        .concat();
        let runs: Vec<u32> = pieces(&image, 65536)
            .iter()
            .filter_map(|p| if let Piece::Zeros(len) = p { Some(*len) } else { None })
            .collect();
        assert_eq!(runs, [32768]);
        assert_eq!(pieces(&vec![0; 1 << 20], 65536), [Piece::Zeros(1 << 20)]);
        assert_eq!(pieces(&[0; 10], 65536), [Piece::Zeros(10)]);
    }

    #[test]
    fn chunks_keep_their_bounds_and_average() {
        let image = noise(8 << 20, 9);
        let all = pieces(&image, 64 * 1024);
        for (n, piece) in all.iter().enumerate() {
            let Piece::Data(data) = piece else { panic!("noise has no zeros") };
            assert!(data.len() <= 256 * 1024);
            assert!(data.len() >= 16 * 1024 || n + 1 == all.len());
        }
        let average = image.len() / all.len();
        assert!((48 * 1024..96 * 1024).contains(&average), "{average}");
    }

    #[test]
    fn a_chunk_ends_where_a_file_begins() {
        let zeros = vec![0; 2 * MIN_ZERO_RUN];
        let image = [noise(300_000, 1), zeros, noise(100_000, 2)].concat();
        let cuts = vec![0, 4096, 4096, 8192, 200_704, 204_800, 310_000, 1 << 40];
        let all = pieces_at(&image, 64 * 1024, cuts.clone());
        assert!(whole(&all) == image);
        let ends: Vec<usize> = all
            .iter()
            .scan(0, |at, piece| {
                *at += match piece {
                    Piece::Zeros(len) => *len as usize,
                    Piece::Data(data) => data.len(),
                };
                Some(*at)
            })
            .collect();
        for cut in [4096, 8192, 200_704, 204_800] {
            assert!(ends.contains(&cut), "{cut}: {ends:?}");
        }
        assert!(!ends.contains(&310_000), "zeros are not cut");
    }

    #[test]
    fn a_shift_changes_only_the_chunks_near_it() {
        let old = noise(4 << 20, 5);
        let mut new = noise(1234, 6);
        new.extend_from_slice(&old);
        let (old, new) = (pieces(&old, 32 * 1024), pieces(&new, 32 * 1024));
        let kept = old.iter().filter(|piece| new.contains(piece)).count();
        assert!(kept + 4 >= old.len(), "{kept} of {}", old.len());
    }

    #[test]
    fn a_source_that_gives_one_byte_at_a_time_is_cut_alike() {
        struct Slow<'a>(&'a [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                let len = buf.len().min(1);
                self.0.read(&mut buf[..len])
            }
        }
        let image = [noise(200_000, 1), vec![0; 100_000], noise(50_000, 2)].concat();
        let mut slow = Cutter::new(Slow(&image), 32 * 1024);
        let slow: Vec<Piece> = std::iter::from_fn(|| slow.next_piece().unwrap()).collect();
        assert!(slow == pieces(&image, 32 * 1024));
    }

    #[test]
    fn the_cuts_do_not_move_between_versions() {
        // A change here costs every device one full download: it must be meant.
        let lens = |len, average| -> Vec<usize> {
            let data = |p: &Piece| if let Piece::Data(d) = p { d.len() } else { 0 };
            pieces(&noise(len, 11), average).iter().map(data).collect()
        };
        assert_eq!(lens(400_000, 32 * 1024), CUTS);
        assert_eq!(DEFAULT_AVERAGE, 64 * 1024);
        // What `build` takes by itself.
        assert_eq!(lens(600_000, 64 * 1024), CUTS_64);
        assert_eq!(lens(1_200_000, 128 * 1024), CUTS_128);
        assert_eq!(lens(2_400_000, 256 * 1024), CUTS_256);
    }

    const CUTS: [usize; 11] =
        [43797, 40418, 39927, 23728, 49537, 10986, 51208, 35431, 45102, 21721, 38145];
    const CUTS_64: &[usize] =
        &[84215, 47357, 65835, 97625, 45102, 21721, 71821, 72062, 83195, 11067];
    const CUTS_128: &[usize] =
        &[131572, 163460, 66823, 71821, 162659, 52527, 185328, 141265, 156547, 67998];
    const CUTS_256: &[usize] = &[262248, 171428, 400514, 297812, 514280, 298391, 424810, 30517];
}
