//! A fixed number of buffers: what bounds the memory of an installation.

use crate::model::Result;
use crate::sys::AlignedBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Empty buffers that are taken and given back.
pub(super) struct Buffers {
    free: Mutex<Free>,
    changed: Condvar,
}

struct Free {
    buffers: Vec<AlignedBuf>,
    closed: bool,
}

impl Buffers {
    /// `count` buffers of `len` bytes.
    pub(super) fn new(count: usize, len: usize) -> Result<Buffers> {
        let buffers = (0..count).map(|_| AlignedBuf::try_new(len)).collect::<Result<_>>()?;
        let free = Mutex::new(Free { buffers, closed: false });
        Ok(Buffers { free, changed: Condvar::new() })
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an empty one; `None` once closed.
    pub(super) fn take(&self) -> Option<AlignedBuf> {
        let free = self.free();
        let waiting = |free: &mut Free| free.buffers.is_empty() && !free.closed;
        let mut free =
            self.changed.wait_while(free, waiting).unwrap_or_else(PoisonError::into_inner);
        if free.closed {
            return None;
        }
        free.buffers.pop()
    }

    /// Gives one back.
    pub(super) fn give(&self, buffer: AlignedBuf) {
        self.free().buffers.push(buffer);
        self.changed.notify_one();
    }

    /// Nobody gets one any more.
    pub(super) fn close(&self) {
        self.free().closed = true;
        self.changed.notify_all();
    }
}
