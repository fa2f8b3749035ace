//! The far end of the pipeline: flush what was written, read it back from the medium, compare.
//!
//! What was written had its signed hash compared a moment ago, in memory. So the medium is asked
//! for less than that again: whether it gives back those bytes. A CRC-32 per chunk answers that at
//! a tenth of a hash's cost: it sees every fault of up to 32 bits, and of all others, a block of
//! something else among them, it misses one in four thousand million. No fault of a medium is
//! made to fit it. What was *not* written now (a neighbour that stood there) is hashed.

use super::FIRST_LEN;
use super::medium::{MediumReader, STRETCH};
use super::spans::Places;
use crate::disk::BlockDevice;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::stop;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Chunks that are written and wait to be read back.
pub(super) struct Run {
    chunks: Range<usize>,
    /// Whether they are zeros that nothing is written into any more.
    settled: bool,
    /// The flush that must come first.
    stamp: u64,
}

/// What the reading threads share with the writer.
pub(super) struct Readers<'a> {
    device: &'a dyn BlockDevice,
    places: &'a Places<'a>,
    /// Which chunks the medium must be read back for.
    suspect: &'a (dyn Fn(usize) -> bool + Sync),
    /// The CRC-32 of each chunk that was written.
    written: Vec<OnceLock<u32>>,
    /// Counts what was handed out; all of it is written.
    handed_out: AtomicU64,
    /// How much of that is on the medium.
    flushed: Mutex<u64>,
    /// The first failure, theirs or the writer's: everybody stops.
    failure: Mutex<Option<Failure>>,
}

impl<'a> Readers<'a> {
    pub(super) fn new(
        device: &'a dyn BlockDevice,
        places: &'a Places<'a>,
        suspect: &'a (dyn Fn(usize) -> bool + Sync),
    ) -> Readers<'a> {
        Readers {
            device,
            places,
            suspect,
            written: places.chunks.iter().map(|_| OnceLock::new()).collect(),
            handed_out: AtomicU64::new(0),
            flushed: Mutex::new(0),
            failure: Mutex::new(None),
        }
    }

    /// Remembers what is going to be written of a chunk: `plain` has just had its signed hash
    /// compared.
    pub(super) fn remember(&self, index: usize, plain: &[u8]) {
        // Each chunk is decoded once.
        let _never_set = self.written[index].set(crc32fast::hash(plain));
    }

    /// Hands out zeros that end with their blocks, once they are zeroed. They can be long; read
    /// back first they keep nobody waiting at the end.
    pub(super) fn hand_out_settled(&self, to: &Sender<Run>) {
        let all = (0..self.places.count()).filter(|i| self.is_settled(*i));
        self.send(all.map(|i| i..i + 1), true, to);
    }

    /// Hands out chunks that are written.
    pub(super) fn hand_out(&self, chunks: Range<usize>, to: &Sender<Run>) {
        let runs = self.places.runs(chunks, STRETCH);
        self.send(runs.into_iter(), false, to);
    }

    fn send(&self, runs: impl Iterator<Item = Range<usize>>, settled: bool, to: &Sender<Run>) {
        let stamp = self.handed_out.fetch_add(1, Ordering::AcqRel) + 1;
        for chunks in runs {
            let run = Run { chunks, settled, stamp };
            // The receiving end outlives every thread.
            let _never_fails = to.send(run);
        }
    }

    /// Whether a chunk is zeros that share no block with what is written.
    fn is_settled(&self, index: usize) -> bool {
        let block = self.device.block_size() as u64;
        let image = self.places.of(index);
        self.places.chunks[index].is_zero()
            && image.start >= FIRST_LEN
            && image.start.is_multiple_of(block)
            && image.end.is_multiple_of(block)
    }

    /// The work of one thread: until nothing more comes, or something has failed.
    pub(super) fn read_back(&self, runs: &Mutex<Receiver<Run>>) {
        let mut reader = match MediumReader::new(self.device) {
            Ok(reader) => reader,
            Err(failure) => return self.fail(failure),
        };
        let next = || runs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        while let Ok(run) = next() {
            let compared = self
                .go_on()
                .and_then(|()| self.flush(run.stamp))
                .and_then(|()| self.compare(&mut reader, run));
            if let Err(failure) = compared {
                return self.fail(failure);
            }
        }
    }

    fn compare(&self, reader: &mut MediumReader, run: Run) -> Result<()> {
        let wanted = |i| (self.suspect)(i) && self.is_settled(i) == run.settled;
        let written = |i: usize| self.written[i].get().copied();
        reader.compare(self.places, run.chunks, wanted, written, |index, same| match same {
            true => Ok(()),
            false => Err(read_back_failed(self.places, index)),
        })
    }

    /// Returns when everything handed out up to `stamp` is on the medium. The writer goes on
    /// meanwhile, and one flush serves all who wait for it.
    fn flush(&self, stamp: u64) -> Result<()> {
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        if *flushed < stamp {
            let handed_out = self.handed_out.load(Ordering::Acquire);
            self.device.flush()?;
            *flushed = handed_out;
        }
        Ok(())
    }

    /// Keeps the first failure.
    pub(super) fn fail(&self, failure: Failure) {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failure);
    }

    /// The first failure, if there is one; or the word to stop.
    pub(super) fn go_on(&self) -> Result<()> {
        stop::look()?;
        let first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.clone().map_or(Ok(()), Err)
    }
}

/// The medium does not hold what chunk `index` says.
pub(super) fn read_back_failed(places: &Places, index: usize) -> Failure {
    let bytes = places.of(index);
    Failure::new(
        ReasonCode::ReadBack,
        format!("bytes {}..{} read back differently (chunk {index})", bytes.start, bytes.end),
    )
}
