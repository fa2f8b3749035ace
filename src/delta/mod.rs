//! Deltas: from the stored blocks of a delta and the bytes of the old release to those of the new one.
//! This room never reads a device and never decides about a release: its callers read the old bytes, and
//! hold what comes out against the new release's signed table.
//!
//! ```text
//! stored blocks ─▶ Blocks (hash) ─▶ Player (four streams, one op after the other)
//!                                     │ new bytes and differences, in place, and Pieces
//!                                     ▼
//!                       carry_out: old bytes copied or added ─▶ the caller compares the hash
//! ```

mod blocks;
mod head;
mod pieces;
mod player;
mod stream;

pub use blocks::Blocks;
pub use head::{
    ReadOld, check_blocks, nothing_follows, rebuild, release_head, same_release, stored_only,
};
pub use pieces::{Piece, carry_out};
pub use player::{BATCH_MAX, Player, STORED_BATCH_MAX, Shape};

/// Old bytes that are read at once, at the most.
pub const WINDOW: usize = 256 << 10;
/// An op that reads old bytes is at least so long: what bounds the pieces of a span.
pub const LEAST_OLD: u64 = 16;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;
