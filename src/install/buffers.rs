//! A fixed number of buffers: what bounds the memory of an installation.
//!
//! They are given back in the order of the spans that they are for, and taken in another one. So the last
//! that is free is only for the lowest span that has none: whatever waits, that one goes on.

use crate::model::Result;
use crate::sys::AlignedBuf;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Empty buffers that are taken and given back.
pub(super) struct Buffers {
    free: Mutex<Free>,
    changed: Condvar,
}

struct Free {
    buffers: Vec<AlignedBuf>,
    /// The lowest span that has not got one.
    lowest: usize,
    /// Those above it that have.
    above: BTreeSet<usize>,
    closed: bool,
}

impl Buffers {
    /// `count` buffers of `len` bytes.
    pub(super) fn new(count: usize, len: usize) -> Result<Buffers> {
        let buffers = (0..count).map(|_| AlignedBuf::try_new(len)).collect::<Result<_>>()?;
        let free = Mutex::new(Free { buffers, lowest: 0, above: BTreeSet::new(), closed: false });
        Ok(Buffers { free, changed: Condvar::new() })
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an empty one for this span, each of which gets one; `None` once closed.
    pub(super) fn take(&self, span: usize) -> Option<AlignedBuf> {
        let free = self.free();
        let waiting = |free: &mut Free| {
            let spare = usize::from(span != free.lowest);
            free.buffers.len() <= spare && !free.closed
        };
        let mut free =
            self.changed.wait_while(free, waiting).unwrap_or_else(PoisonError::into_inner);
        if free.closed {
            return None;
        }
        free.above.insert(span);
        let mut lowest = free.lowest;
        while free.above.remove(&lowest) {
            lowest += 1;
        }
        free.lowest = lowest;
        // Another one may be the lowest now.
        self.changed.notify_all();
        free.buffers.pop()
    }

    /// Gives one back.
    pub(super) fn give(&self, buffer: AlignedBuf) {
        self.free().buffers.push(buffer);
        self.changed.notify_all();
    }

    /// Nobody gets one any more.
    pub(super) fn close(&self) {
        self.free().closed = true;
        self.changed.notify_all();
    }
}
