//! What of a span comes from the old release, and bringing it.

use crate::model::{Failure, ReasonCode, Result};
use std::ops::Range;

/// A run of bytes of a span that old bytes are copied to, or added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the old image.
    pub(super) old: u64,
    /// Where it begins in the span.
    at: u32,
    /// Bytes; the lowest bit says whether they are added.
    len_and_add: u32,
}

impl Piece {
    pub(super) fn new(at: usize, len: usize, old: u64, add: bool) -> Result<Piece> {
        let long = |_| Failure::new(ReasonCode::Internal, "a span of more than 2 GiB");
        let len = u32::try_from(len).map_err(long)?;
        let len_and_add = len.checked_mul(2).map(|len| len | u32::from(add));
        let len_and_add =
            len_and_add.ok_or_else(|| Failure::new(ReasonCode::Internal, "a long piece"))?;
        Ok(Piece { old, at: u32::try_from(at).map_err(long)?, len_and_add })
    }

    /// Bytes.
    pub fn len(self) -> u32 {
        self.len_and_add >> 1
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn adds(self) -> bool {
        self.len_and_add & 1 != 0
    }

    fn end(self) -> u64 {
        self.old + u64::from(self.len())
    }

    /// The rest of it, from old byte `from` on.
    fn rest(self, from: u64) -> Piece {
        // Inside the piece, whose length is a u32.
        let skipped = u32::try_from(from - self.old).unwrap_or(self.len());
        let len_and_add = (self.len() - skipped) << 1 | u32::from(self.adds());
        Piece { old: from, at: self.at + skipped, len_and_add }
    }
}

/// Gaps up to this are read along, bytes.
const GAP: u64 = 16 << 10;

/// Brings all pieces of the span `out`. The old image has `len` bytes; it is read in the order of its
/// bytes, in reads of whole blocks of `block` bytes (a power of two) as far as `len` goes, each at most
/// `window` long, which is at least two blocks. `read` gets the first byte and what to fill.
pub fn carry_out(
    pieces: &mut [Piece],
    out: &mut [u8],
    (len, block): (u64, u64),
    window: &mut [u8],
    read: &mut dyn FnMut(u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    if pieces.iter().any(|piece| piece.end() > len) {
        let detail = "an op reads behind the old image";
        return Err(Failure::new(ReasonCode::DeltaInvalid, detail));
    }
    pieces.sort_unstable_by_key(|piece| piece.old);
    let room = window.len() as u64;
    let mut have: Range<u64> = 0..0;
    for first in 0..pieces.len() {
        let mut rest = pieces[first];
        while !rest.is_empty() {
            if !have.contains(&rest.old) {
                let start = rest.old - rest.old % block;
                let wanted = reach(&pieces[first..], start + room);
                let end = wanted.next_multiple_of(block).min(start + room).min(len);
                // At most the window, so it fits.
                let some = usize::try_from(end - start).unwrap_or(0);
                read(start, &mut window[..some])?;
                have = start..end;
            }
            let until = rest.end().min(have.end);
            let from = usize::try_from(rest.old - have.start).unwrap_or(0);
            let some = usize::try_from(until - rest.old).unwrap_or(0);
            let old = &window[from..from + some];
            let at = rest.at as usize;
            let new = out.get_mut(at..at + some).ok_or_else(outside)?;
            match rest.adds() {
                true => {
                    new.iter_mut().zip(old).for_each(|(new, old)| *new = new.wrapping_add(*old))
                }
                false => new.copy_from_slice(old),
            }
            rest = rest.rest(until);
        }
    }
    Ok(())
}

/// How far it is worth reading for these pieces, the first of which is needed: the end of the last one
/// before a gap or before `most`.
fn reach(pieces: &[Piece], most: u64) -> u64 {
    let mut end = 0u64;
    for piece in pieces {
        if end != 0 && (piece.old > end.saturating_add(GAP) || piece.old >= most) {
            break;
        }
        end = end.max(piece.end());
    }
    end
}

fn outside() -> Failure {
    Failure::new(ReasonCode::Internal, "a piece lies outside its span")
}
