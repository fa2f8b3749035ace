//! Lengths and offsets from one type to another.

use std::io::{Error, ErrorKind, Result};

pub(super) fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

// With 32 bits every offset beyond 2 GiB of a disk would be an error.
const _: () = assert!(
    size_of::<nix::libc::off_t>() == 8,
    "offsets of files have 32 bits: build with RUSTFLAGS=--cfg=libc_unstable_gnu_time_bits=\"64\""
);

pub(super) fn as_off(n: u64) -> Result<nix::libc::off_t> {
    nix::libc::off_t::try_from(n)
        .map_err(|_| Error::new(ErrorKind::InvalidInput, "an offset beyond 2^63"))
}
