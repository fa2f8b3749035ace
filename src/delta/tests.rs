//! Pieces, and the numbers of the streams.

use super::pieces::{Piece, carry_out};
use crate::model::{ReasonCode, Result};

fn old(at: u64, buf: &mut [u8]) -> Result<()> {
    buf.iter_mut().zip(at..).for_each(|(out, at)| *out = (at % 251).to_le_bytes()[0]);
    Ok(())
}

#[test]
fn pieces_in_any_order_are_copied_and_added_in_few_reads_of_whole_blocks() {
    let pieces = [(0, 1000, 5000, false), (1000, 300, 10, true), (1300, 2000, 5500, true)];
    let make =
        |(at, len, old, add): (usize, usize, u64, bool)| Piece::new(at, len, old, add).unwrap();
    let mut list: Vec<Piece> = pieces.into_iter().map(make).collect();
    let mut out: Vec<u8> = (0..3300u64).map(|n| (n * 7 % 256).to_le_bytes()[0]).collect();
    let mut expected = out.clone();
    for (at, len, from, add) in pieces {
        let mut bytes = vec![0; len];
        old(from, &mut bytes).unwrap();
        for (new, old) in expected[at..at + len].iter_mut().zip(bytes) {
            *new = if add { new.wrapping_add(old) } else { old };
        }
    }
    let (mut reads, mut window) = (0, vec![0; 4096]);
    let mut read = |at: u64, buf: &mut [u8]| {
        reads += 1;
        assert!(
            at.is_multiple_of(512)
                && (buf.len().is_multiple_of(512) || at + buf.len() as u64 == 7777)
        );
        old(at, buf)
    };
    carry_out(&mut list, &mut out, (7777, 512), &mut window, &mut read).unwrap();
    assert!(out == expected);
    assert!(reads <= 3, "{reads}");
}

#[test]
fn what_lies_behind_the_old_image_is_not_read() {
    for from in [950, u64::MAX - 100] {
        let mut list = vec![Piece::new(0, 100, from, false).unwrap()];
        let (mut out, mut window) = (vec![0; 100], vec![0; 4096]);
        let made = carry_out(&mut list, &mut out, (1000, 512), &mut window, &mut old);
        assert_eq!(made.unwrap_err().code(), ReasonCode::DeltaInvalid);
    }
}
