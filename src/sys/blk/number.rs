//! Lengths and offsets from one type to another.

use std::io::{Error, ErrorKind, Result};

pub(super) fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// An offset as the kernel takes it: 64 bits everywhere, also where `off_t` has 32.
pub(super) fn as_off(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(|_| Error::new(ErrorKind::InvalidInput, "an offset beyond 2^63"))
}
