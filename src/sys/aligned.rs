//! Memory that a direct write accepts.
#![allow(unsafe_code)]

use crate::model::{Failure, ReasonCode, Result};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// The alignment of every [`AlignedBuf`], in bytes: the largest logical block size in the field.
pub(crate) const ALIGNMENT: usize = 4096;

/// A buffer whose first byte stands on a multiple of 4096, as O_DIRECT wants it. Its capacity is
/// fixed when it is made; what it holds starts as zeros.
pub struct AlignedBuf {
    start: NonNull<u8>,
    capacity: usize,
    len: usize,
}

impl AlignedBuf {
    /// `len` zero bytes; the capacity is `len` rounded up to a multiple of 4096. For small buffers:
    /// where there is no memory the program ends.
    pub fn new(len: usize) -> AlignedBuf {
        AlignedBuf::try_new(len).unwrap_or_else(|_| handle_alloc_error(Self::layout(len)))
    }

    /// The same; `NO_MEMORY` where there is none.
    pub fn try_new(len: usize) -> Result<AlignedBuf> {
        let capacity = len.max(1).next_multiple_of(ALIGNMENT);
        let layout = Self::layout(capacity);
        // SAFETY: the layout has a size of at least 4096 bytes, never zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) });
        let start = start.ok_or_else(|| {
            Failure::new(ReasonCode::NoMemory, format!("a buffer of {len} bytes is needed"))
        })?;
        Ok(AlignedBuf { start, capacity, len })
    }

    fn layout(capacity: usize) -> Layout {
        Layout::from_size_align(capacity, ALIGNMENT)
            .expect("because no buffer comes near half of the address space")
    }

    /// The bytes it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes the buffer `len` bytes long, at most its capacity (more is cut to it). Bytes that
    /// come back into view are what they were before.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.capacity);
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points to `capacity` bytes that were zeroed when allocated, and
        // `len <= capacity` always holds.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the slice the only one.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and freed only here.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.capacity)) }
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} of {} bytes)", self.len, self.capacity)
    }
}

// SAFETY: the buffer owns its memory alone and has no interior mutability.
unsafe impl Send for AlignedBuf {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for AlignedBuf {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_on_a_block_boundary_and_keeps_its_capacity() {
        for len in [0, 1, 512, 4096, 4097, 1 << 20] {
            let mut buf = AlignedBuf::new(len);
            assert_eq!(buf.len(), len);
            assert_eq!(buf.as_ptr() as usize % ALIGNMENT, 0);
            assert!(buf.iter().all(|b| *b == 0));
            buf.fill(7);
            buf.set_len(usize::MAX);
            assert_eq!(buf.len(), buf.capacity());
            buf.set_len(len);
            assert!(buf.iter().all(|b| *b == 7));
        }
    }
}
