//! Where the pieces of an image end, found on all cores: so an image is cut once, whatever its chunks are
//! counted for.

use super::cut::{BLOCK, Cutter, Piece, Span};
use std::fs::File;
use std::io::{Error, Read, Result};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Where an image is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cuts {
    /// By its content, and at these places besides; ascending.
    Besides(Vec<u64>),
    /// At the ends of what [`spans`] has found in it.
    Found(Vec<Span>),
}

impl Default for Cuts {
    fn default() -> Cuts {
        Cuts::Besides(Vec::new())
    }
}

/// The pieces of what it reads.
pub(super) enum Pieces<R> {
    Cut(Box<Cutter<R>>),
    Found(R, std::vec::IntoIter<Span>),
}

impl<R: Read> Pieces<R> {
    pub(super) fn new(input: R, average: u32, cuts: Cuts) -> Pieces<R> {
        match cuts {
            Cuts::Besides(cuts) => Pieces::Cut(Box::new(Cutter::new(input, average).at(cuts))),
            Cuts::Found(spans) => Pieces::Found(input, spans.into_iter()),
        }
    }

    /// The next piece, `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Piece>> {
        let (input, spans) = match self {
            Pieces::Cut(cutter) => return cutter.next_piece(),
            Pieces::Found(input, spans) => (input, spans),
        };
        let changed = || Err(Error::other("it changes while it is read"));
        let Some(span) = spans.next() else {
            return if input.read(&mut [0])? == 0 { Ok(None) } else { changed() };
        };
        if span.zeros {
            return match are_zeros(input, u64::from(span.len))? {
                true => Ok(Some(Piece::Zeros(span.len))),
                false => changed(),
            };
        }
        let mut data = Vec::with_capacity(span.len as usize);
        match input.take(u64::from(span.len)).read_to_end(&mut data)? {
            read if read == span.len as usize => Ok(Some(Piece::Data(data))),
            _ => changed(),
        }
    }
}

/// Reads so many bytes, or to the first that is none.
fn are_zeros(input: &mut impl Read, mut left: u64) -> Result<bool> {
    let (mut block, zeros) = ([0; 16 * BLOCK], [0; 16 * BLOCK]);
    while left > 0 {
        let step = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        input.read_exact(&mut block[..step])?;
        if block[..step] != zeros[..step] {
            return Ok(false);
        }
        left -= step as u64;
    }
    Ok(true)
}

/// The pieces into which a [`Cutter`] cuts the first `len` bytes of `image`, found side by side.
pub fn spans(image: &File, len: u64, average: u32, cuts: &[u64]) -> Result<Vec<Span>> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(64);
    let sections = sections(image, len, cuts, (len / (4 * threads as u64)).max(1 << 20))?;
    in_sections(image, &sections, average, cuts, threads)
}

fn in_sections(
    image: &File,
    sections: &[(u64, u64)],
    average: u32,
    cuts: &[u64],
    threads: usize,
) -> Result<Vec<Span>> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((begin, end)) = sections.get(next.fetch_add(1, Ordering::Relaxed)) {
            let spans = section(image, (*begin, *end), average, cuts);
            found.lock().unwrap_or_else(PoisonError::into_inner).push((*begin, spans));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Each more is only faster.
            let _ = Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_unstable_by_key(|(begin, _)| *begin);
    let mut all = Vec::new();
    for (_, spans) in found {
        all.extend(spans?);
    }
    Ok(all)
}

/// Begins and ends of sections of at least `least` bytes that are cut alike alone and in the whole. One begins
/// where a cut is asked for, at a block, and behind a block with something in it: there a piece begins, whatever
/// is before it, as no run of zeros reaches over it.
fn sections(image: &File, len: u64, cuts: &[u64], least: u64) -> Result<Vec<(u64, u64)>> {
    let (mut sections, mut begin) = (Vec::new(), 0);
    let block = BLOCK as u64;
    for cut in cuts.iter().copied().filter(|cut| cut % block == 0 && *cut < len) {
        if cut - begin < least {
            continue;
        }
        let mut before = [0; BLOCK];
        image.read_exact_at(&mut before, cut - block)?;
        if before != [0; BLOCK] {
            sections.push((begin, cut));
            begin = cut;
        }
    }
    sections.push((begin, len));
    Ok(sections)
}

fn section(
    image: &File,
    (begin, end): (u64, u64),
    average: u32,
    cuts: &[u64],
) -> Result<Vec<Span>> {
    let inside = cuts.iter().filter(|cut| (begin..end).contains(cut)).map(|cut| cut - begin);
    let input = Section { image, at: begin, end };
    let mut cutter = Cutter::new(input, average).at(inside.collect());
    let mut spans = Vec::new();
    while let Some(piece) = cutter.next_piece()? {
        spans.push(piece.span());
    }
    Ok(spans)
}

struct Section<'a> {
    image: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let most =
            usize::try_from(self.end - self.at).map_or(buf.len(), |left| left.min(buf.len()));
        let read = self.image.read_at(&mut buf[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Noise, runs of zeros of every length around the shortest that counts, and cuts near their ends and in them.
    fn image() -> (Vec<u8>, Vec<u64>) {
        let (mut state, mut bytes, mut cuts) = (5u64, Vec::new(), Vec::new());
        for n in 0..60 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n);
            let blocks = 1 + (state >> 60);
            for _ in 0..blocks * 512 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.extend(state.to_be_bytes());
            }
            cuts.push(bytes.len() as u64);
            bytes.resize(bytes.len() + BLOCK * usize::try_from(n % 12).unwrap(), 0);
            cuts.extend([bytes.len() as u64 - 4096 * (n % 3).min(n % 12), bytes.len() as u64]);
        }
        bytes.extend([0; 777]);
        cuts.sort_unstable();
        (bytes, cuts)
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn an_image_in_sections_is_cut_as_in_one() {
        let (bytes, cuts) = image();
        let (image, len) = (file(&bytes), bytes.len() as u64);
        let mut cutter = Cutter::new(&bytes[..], 16 << 10).at(cuts.clone());
        let whole: Vec<_> =
            std::iter::from_fn(|| cutter.next_piece().unwrap()).map(|p| p.span()).collect();
        assert!(whole.iter().filter(|span| span.zeros).count() > 10);
        for (least, threads) in [(1, 1), (1, 3), (100_000, 2), (u64::MAX, 2)] {
            let sections = sections(&image, len, &cuts, least).unwrap();
            assert_eq!(sections.len() > 10, least < u64::MAX, "{least}: {}", sections.len());
            let found = in_sections(&image, &sections, 16 << 10, &cuts, threads).unwrap();
            assert!(found == whole, "{least}, {threads}");
        }
        assert!(spans(&image, len, 16 << 10, &cuts).unwrap() == whole);
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_packed_as_something_else() {
        let (bytes, cuts) = image();
        let found = spans(&file(&bytes), bytes.len() as u64, 16 << 10, &cuts).unwrap();
        let all = |bytes: &[u8]| {
            let mut pieces = Pieces::new(bytes, 16 << 10, Cuts::Found(found.clone()));
            let mut read = Vec::new();
            while let Some(piece) = pieces.next()? {
                match piece {
                    Piece::Zeros(len) => read.resize(read.len() + len as usize, 0),
                    Piece::Data(data) => read.extend(data),
                }
            }
            Ok::<_, Error>(read)
        };
        assert!(all(&bytes).unwrap() == bytes);
        assert!(all(&bytes[..bytes.len() - 1]).is_err(), "shorter");
        assert!(all(&[&bytes[..], b"x"].concat()).is_err(), "longer");
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() = 1;
        assert!(all(&changed).is_err(), "no zeros any more");
    }
}
