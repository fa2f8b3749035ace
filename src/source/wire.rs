//! What is said through the socket between a source and the caged child that reads the medium.
//!
//! ```text
//! asked     "SFRD" | length u32 | offset u64     length 0 asks how long the whole is
//! answered  0 u32 | length u32 | the bytes
//!           1 u32 | length u32 | why the medium could not be read
//!           2 u32 | length u32 | why the file cannot be read, whatever is tried
//! ```
//! All numbers little endian; no piece is longer than 1 MiB, and no reason than 200 bytes.

/// What every question begins with.
pub(super) const ASKED: [u8; 4] = *b"SFRD";

/// Bytes of one answer.
pub(super) const PIECE_MAX: usize = 1 << 20;

/// How long a reason is at the most, bytes.
pub(super) const REASON_MAX: usize = 200;

/// `len` 0 asks for the length of the whole; `offset` counts in the whole, bytes.
pub(super) fn question(offset: u64, len: usize) -> [u8; 16] {
    let mut asked = [0; 16];
    asked[..4].copy_from_slice(&ASKED);
    asked[4..8].copy_from_slice(&number(len));
    asked[8..].copy_from_slice(&offset.to_le_bytes());
    asked
}

/// A length as it is sent.
pub(super) fn number(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}
