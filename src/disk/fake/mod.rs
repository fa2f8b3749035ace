//! A disk in memory that is stricter than any real one: what was not flushed may be lost in any
//! order, a sector may be torn, a write may fail, and a bit may be stuck. For tests and the
//! simulator.

mod ops;
mod table;

pub use ops::{Counts, Op, Survivors};
pub use table::gpt_disk;
#[cfg(test)]
pub(crate) use table::gpt_disk_with;

use super::BlockDevice;
use crate::model::{Failure, ReasonCode, Result};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

const SECTOR: usize = 512;

#[derive(Default)]
struct State {
    medium: Vec<u8>,
    /// Sectors written since the last flush.
    cache: BTreeMap<usize, [u8; SECTOR]>,
    counts: Counts,
    log: Option<Vec<Op>>,
    /// Fails the write of this number (from 1) with EIO.
    fail_write: Option<u64>,
    /// Loses power in the middle of the write of this number.
    cut_at_write: Option<(u64, usize)>,
    off: bool,
    stuck: Vec<(u64, u8)>,
    /// Reads that touch one of these bytes fail with EIO.
    worn: Vec<u64>,
}

/// The device. All switches may be thrown while it is in use.
pub struct FakeDevice {
    block: usize,
    len: u64,
    strict: bool,
    state: Mutex<State>,
}

impl FakeDevice {
    /// A device of these bytes, with blocks of 512.
    pub fn new(medium: Vec<u8>) -> FakeDevice {
        FakeDevice::with_blocks(medium, 512, false)
    }

    /// A device with blocks of `block` bytes; a `strict` one refuses every transfer that is not
    /// whole blocks from aligned memory, as O_DIRECT does.
    pub fn with_blocks(mut medium: Vec<u8>, block: usize, strict: bool) -> FakeDevice {
        medium.resize(medium.len().next_multiple_of(block.max(SECTOR)), 0);
        FakeDevice {
            block,
            len: u64::try_from(medium.len()).unwrap_or(0),
            strict,
            state: Mutex::new(State { medium, ..State::default() }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Starts to remember every request; see [`FakeDevice::log`].
    pub fn record(&self) {
        self.state().log = Some(Vec::new());
    }

    /// What was recorded.
    pub fn log(&self) -> Vec<Op> {
        self.state().log.clone().unwrap_or_default()
    }

    /// Fails the `nth` write from now on (1 is the next) once, nothing of it written.
    pub fn fail_write(&self, nth: u64) {
        let mut state = self.state();
        state.fail_write = Some(state.counts.writes + nth);
    }

    /// Loses power in the `nth` write from now on, after `bytes` of it. Later requests fail
    /// until [`FakeDevice::power_on`].
    pub fn cut_at_write(&self, nth: u64, bytes: usize) {
        let mut state = self.state();
        state.cut_at_write = Some((state.counts.writes + nth, bytes));
    }

    /// From now on the bits of `mask` read as 1 at this offset, whatever is written.
    pub fn stick(&self, offset: u64, mask: u8) {
        self.state().stuck.push((offset, mask));
    }

    /// From now on no read that touches this byte succeeds.
    pub fn wear_out(&self, offset: u64) {
        self.state().worn.push(offset);
    }

    /// Loses power now.
    pub fn cut(&self) {
        self.state().off = true;
    }

    /// Whether it has lost power.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Gives power back; what was not flushed is on the medium or not, as `survivors` says.
    pub fn power_on(&self, survivors: Survivors) {
        let mut state = self.state();
        let cache = std::mem::take(&mut state.cache);
        let mut seed = match survivors {
            // Neighbouring seeds must not give neighbouring outcomes.
            Survivors::Some(seed) => seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            _ => 0,
        };
        let torn = match survivors {
            Survivors::Some(seed) if !cache.is_empty() => {
                let count = u64::try_from(cache.len()).unwrap_or(1);
                usize::try_from(seed % count).ok()
            }
            _ => None,
        };
        for (nth, (sector, bytes)) in cache.into_iter().enumerate() {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let keep = match survivors {
                Survivors::Nothing => 0,
                Survivors::Everything => SECTOR,
                Survivors::Some(_) if torn == Some(nth) => usize::try_from(seed % 512).unwrap_or(0),
                Survivors::Some(_) => SECTOR * usize::from(seed >> 32 & 1 == 1),
            };
            let at = sector * SECTOR;
            state.medium[at..at + keep].copy_from_slice(&bytes[..keep]);
        }
        state.off = false;
        state.cut_at_write = None;
        state.fail_write = None;
    }

    /// The medium as a power cut would leave it if nothing unflushed survived.
    pub fn medium(&self) -> Vec<u8> {
        self.state().medium.clone()
    }

    /// The bytes as a reader sees them now.
    pub fn contents(&self) -> Vec<u8> {
        let state = self.state();
        let mut out = state.medium.clone();
        for (sector, bytes) in &state.cache {
            out[sector * SECTOR..][..SECTOR].copy_from_slice(bytes);
        }
        out
    }

    fn place(&self, state: &State, offset: u64, buf: &[u8]) -> Result<usize> {
        let fail = |why: &str| Err(Failure::new(ReasonCode::Io, why));
        if state.off {
            return fail("the power is off");
        }
        let end = offset.checked_add(u64::try_from(buf.len()).unwrap_or(u64::MAX));
        if end.is_none_or(|end| end > self.len) {
            let why = format!("bytes {offset}+{} leave the disk", buf.len());
            return Err(Failure::new(ReasonCode::LayoutInvalid, why));
        }
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let aligned = |n: usize| n.is_multiple_of(self.block);
        if self.strict && !(aligned(at) && aligned(buf.len()) && aligned(buf.as_ptr() as usize)) {
            return fail("not aligned (EINVAL)");
        }
        Ok(at)
    }
}

impl State {
    /// Counts one change; the number of bytes of it that happen.
    fn admit(&mut self, len: usize) -> Result<usize> {
        self.counts.writes += 1;
        if self.fail_write == Some(self.counts.writes) {
            return Err(Failure::new(ReasonCode::Io, "the write failed (EIO)"));
        }
        match self.cut_at_write {
            Some((nth, bytes)) if nth == self.counts.writes => {
                self.off = true;
                Ok(bytes.min(len))
            }
            _ => Ok(len),
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let (sector, skip) = ((at + done) / SECTOR, (at + done) % SECTOR);
            let take = (SECTOR - skip).min(bytes.len() - done);
            let medium = &self.medium;
            let entry = self.cache.entry(sector).or_insert_with(|| {
                let mut old = [0; SECTOR];
                old.copy_from_slice(&medium[sector * SECTOR..][..SECTOR]);
                old
            });
            entry[skip..skip + take].copy_from_slice(&bytes[done..done + take]);
            done += take;
        }
    }

    fn ended(&self) -> Result<()> {
        match self.off {
            true => Err(Failure::new(ReasonCode::Io, "the power went")),
            false => Ok(()),
        }
    }
}

impl BlockDevice for FakeDevice {
    fn len(&self) -> u64 {
        self.len
    }

    fn block_size(&self) -> usize {
        self.block
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut state = self.state();
        let at = self.place(&state, offset, buf)?;
        let touched = |b: &u64| b.checked_sub(offset).is_some_and(|n| n < buf.len() as u64);
        if state.worn.iter().any(touched) {
            return Err(Failure::new(ReasonCode::Io, "the read failed (EIO)"));
        }
        state.counts.read += u64::try_from(buf.len()).unwrap_or(0);
        buf.copy_from_slice(&state.medium[at..at + buf.len()]);
        let sectors = at / SECTOR..(at + buf.len()).div_ceil(SECTOR);
        for (sector, bytes) in state.cache.range(sectors) {
            let start = sector * SECTOR;
            let from = start.max(at);
            let to = (start + SECTOR).min(at + buf.len());
            buf[from - at..to - at].copy_from_slice(&bytes[from - start..to - start]);
        }
        for (place, mask) in &state.stuck {
            if let Some(into) = place.checked_sub(offset)
                && let Some(byte) = usize::try_from(into).ok().and_then(|i| buf.get_mut(i))
            {
                *byte |= mask;
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let mut state = self.state();
        let at = self.place(&state, offset, buf)?;
        let happens = state.admit(buf.len())?;
        state.put(at, &buf[..happens]);
        state.counts.written += u64::try_from(happens).unwrap_or(0);
        if let Some(log) = &mut state.log {
            log.push(Op::Write(offset, buf[..happens].to_vec()));
        }
        state.ended()
    }

    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        let mut state = self.state();
        let end = offset.checked_add(len);
        if end.is_none_or(|end| end > self.len) {
            let why = "a range to zero leaves the disk";
            return Err(Failure::new(ReasonCode::LayoutInvalid, why));
        }
        if state.off {
            return Err(Failure::new(ReasonCode::Io, "the power is off"));
        }
        let zeros = vec![0; usize::try_from(len).unwrap_or(0)];
        let happens = state.admit(zeros.len())?;
        state.put(usize::try_from(offset).unwrap_or(0), &zeros[..happens]);
        state.counts.zeroed += u64::try_from(happens).unwrap_or(0);
        if let Some(log) = &mut state.log {
            log.push(Op::Zero(offset, u64::try_from(happens).unwrap_or(0)));
        }
        state.ended()
    }

    fn flush(&self) -> Result<()> {
        let mut state = self.state();
        if state.off {
            return Err(Failure::new(ReasonCode::Io, "the power is off"));
        }
        state.counts.flushes += 1;
        for (sector, bytes) in std::mem::take(&mut state.cache) {
            state.medium[sector * SECTOR..][..SECTOR].copy_from_slice(&bytes);
        }
        if let Some(log) = &mut state.log {
            log.push(Op::Flush);
        }
        Ok(())
    }
}
