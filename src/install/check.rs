//! Every stored byte of an artifact checked against its signed hash, and the form of every frame,
//! before anything destructive (DESIGN 9.16): a refused file changes nothing.

use super::medium::{THREADS, on_threads};
use super::progress::Progress;
use super::small;
use super::spans::Places;
use crate::artifact::{Chunk, Decoder, History, Release, check_pages};
use crate::event::{Phase, Sink};
use crate::model::{Failure, ReasonCode, Result};
use crate::source::Fetch;
use crate::sys::{spare, stop};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Stored bytes that one thread reads in one call, where its chunks are not larger.
const STRETCH: u64 = 512 << 10;

/// How far a chunk is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Its stored bytes are the signed ones, and exactly one frame of the form that a decoder takes.
    /// Damage on the way is always found so.
    Stored,
    /// It also decodes to the signed bytes: what a signer can have done wrong.
    Decoded,
}

/// Reads all of an artifact and checks its length and every chunk, those for other hardware too: a
/// file that is damaged anywhere is refused before the first destructive byte. `TRUNCATED`,
/// `TRAILING_BYTES`, `CHUNK_CORRUPT`; `SOURCE_LOST` if the source fails.
pub fn check_file(
    source: &dyn Fetch,
    release: &Release,
    depth: Depth,
    sink: &dyn Sink,
) -> Result<()> {
    check_length(source, release)?;
    let mut pages = Vec::new();
    spare::resize(&mut pages, release.pages().len())?;
    source.read_at(release.rest_offset(), &mut pages)?;
    check_pages(release.pages(), &pages)?;
    let places = Places::new(&release.table.chunks, release.payload_offset());
    let progress = Progress::start(sink, Phase::Verify, release.payload_len());
    match depth {
        Depth::Stored => check_chunks(source, &places, |_| true, &progress)?,
        Depth::Decoded => decode_chunks(source, &places, &progress)?,
    }
    progress.end();
    Ok(())
}

/// Checks the stored bytes of the chunks that `wanted` names. `CHUNK_CORRUPT`, and what the source
/// says.
pub(super) fn check_chunks(
    source: &dyn Fetch,
    places: &Places,
    wanted: impl Fn(usize) -> bool,
    progress: &Progress,
) -> Result<()> {
    let loads = loads(places, (0..places.count()).filter(|i| wanted(*i)));
    let next = AtomicUsize::new(0);
    on_threads(THREADS, || {
        let mut stored = Vec::new();
        while let Some(load) = loads.get(next.fetch_add(1, Ordering::Relaxed)) {
            stop::look()?;
            let ranges: Vec<Range<u64>> = load.iter().map(|run| places.stored(run)).collect();
            let len: u64 = ranges.iter().map(|bytes| bytes.end - bytes.start).sum();
            spare::resize(&mut stored, small(len))?;
            source.read_ranges(&ranges, &mut stored)?;
            let mut rest = stored.as_slice();
            for index in load.iter().cloned().flatten() {
                let chunk = &places.chunks[index];
                let (mine, after) = rest.split_at(chunk.stored_len as usize);
                check(index, chunk, mine)?;
                rest = after;
            }
            progress.add(len);
        }
        Ok(())
    })
}

/// Decodes every chunk. `CHUNK_CORRUPT`, and what the source says.
fn decode_chunks(source: &dyn Fetch, places: &Places, progress: &Progress) -> Result<()> {
    let groups = groups(places);
    let next = AtomicUsize::new(0);
    on_threads(THREADS, || {
        let (mut decoder, mut plain, mut stored) = (Decoder::new()?, Vec::new(), Vec::new());
        while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut history = History::of(&places.chunks[group.clone()]);
            for piece in loads(places, group.clone()).into_iter().flatten() {
                stop::look()?;
                let bytes = places.stored(&piece);
                spare::resize(&mut stored, small(bytes.end - bytes.start))?;
                source.read_at(bytes.start, &mut stored)?;
                let mut rest = stored.as_slice();
                for index in piece {
                    let chunk = &places.chunks[index];
                    let (mine, after) = rest.split_at(chunk.stored_len as usize);
                    if chunk.is_zero() {
                        check(index, chunk, mine)?;
                    } else {
                        spare::resize(&mut plain, chunk.plain_len as usize)?;
                        let context = history.context(chunk)?;
                        let decoded = decoder.decode(chunk, context, mine, &mut plain);
                        decoded.map_err(|f| f.at(format_args!("chunk {index}")))?;
                        history.push(&plain)?;
                    }
                    rest = after;
                }
                progress.add(bytes.end - bytes.start);
            }
        }
        Ok(())
    })
}

/// The first `len` bytes of a payload's image, or all of a shorter one: decodes the chunks that they
/// lie in. `CHUNK_CORRUPT`, and what the source says.
pub fn image_head(
    source: &dyn Fetch,
    release: &Release,
    payload: usize,
    len: usize,
) -> Result<Vec<u8>> {
    let payload = &release.manifest.payloads[payload];
    let places = Places::new(release.chunks_of(payload), release.stored_offset_of(payload));
    let (mut decoder, mut head) = (Decoder::new()?, Vec::new());
    let (mut plain, mut stored) = (Vec::new(), Vec::new());
    let mut history = History::of(places.chunks);
    for (index, chunk) in places.chunks.iter().enumerate() {
        if head.len() >= len {
            break;
        }
        let wanted = (chunk.plain_len as usize).min(len - head.len());
        if chunk.is_zero() {
            // No memory for all of it: a few bytes of the table may stand for 4 GiB of zeros.
            head.resize(head.len() + wanted, 0);
            continue;
        }
        spare::resize(&mut plain, chunk.plain_len as usize)?;
        let bytes = places.stored(&(index..index + 1));
        spare::resize(&mut stored, small(bytes.end - bytes.start))?;
        source.read_at(bytes.start, &mut stored)?;
        let context = history.context(chunk)?;
        let decoded = decoder.decode(chunk, context, &stored, &mut plain);
        decoded.map_err(|f| f.at(format_args!("chunk {index}")))?;
        history.push(&plain)?;
        head.extend(plain.iter().take(wanted));
    }
    Ok(head)
}

/// The source ends exactly where the signed lengths say: `TRUNCATED`, `TRAILING_BYTES`.
pub fn check_length(source: &dyn Fetch, release: &Release) -> Result<()> {
    let expected = release.artifact_len();
    let found = source.len();
    let refuse = |code| {
        let detail = format!("the artifact has {found} bytes where {expected} are signed");
        Err(Failure::new(code, detail))
    };
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => refuse(ReasonCode::Truncated),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => refuse(ReasonCode::TrailingBytes),
    }
}

/// One chunk's stored bytes: `CHUNK_CORRUPT` with the chunk's number.
pub(super) fn check(index: usize, chunk: &Chunk, stored: &[u8]) -> Result<()> {
    crate::artifact::check_stored(chunk, stored).map_err(|f| f.at(format_args!("chunk {index}")))
}

/// These chunks in loads of at most [`STRETCH`] stored bytes, or of one chunk that is larger. What is
/// read at once are runs of neighbours; neighbours alone are one run.
fn loads(places: &Places, chunks: impl Iterator<Item = usize>) -> Vec<Vec<Range<usize>>> {
    let mut loads: Vec<Vec<Range<usize>>> = Vec::new();
    let mut room = 0;
    for index in chunks {
        let len = u64::from(places.chunks[index].stored_len);
        match loads.last_mut().filter(|_| len <= room) {
            Some(load) => {
                match load.last_mut().filter(|run| run.end == index) {
                    Some(run) => run.end = index + 1,
                    None => load.push(index..index + 1),
                }
                room -= len;
            }
            None => {
                loads.push(std::iter::once(index..index + 1).collect());
                room = STRETCH.saturating_sub(len);
            }
        }
    }
    loads
}

/// All chunks, in runs of about [`STRETCH`] stored bytes and more, each of which can be decoded beside the
/// others: where none needs a context before it.
fn groups(places: &Places) -> Vec<Range<usize>> {
    let reach = places.reach(|_| true);
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, reach) in reach.into_iter().enumerate().take(places.count()) {
        match runs.last_mut() {
            Some(run)
                if reach < index
                    || places.stored(&(run.start..index + 1)).end - places.stored(run).start
                        <= STRETCH =>
            {
                run.end = index + 1;
            }
            _ => runs.push(index..index + 1),
        }
    }
    runs
}
