//! A head that is read by pages is the signed one, whatever the page hashes and the tables at hand say, and
//! costs what has changed.

use super::stranger::{Parts, Piece, raw, trust, with};
use std::cell::Cell;
use std::ops::Range;
use std::sync::LazyLock;
use surefoot::artifact::{Installed, Release, read_head, read_head_by_pages, read_record};
use surefoot::model::{Failure, ReasonCode, Result};
use surefoot::trust::{Trust, Verified};

static TRUST: LazyLock<Trust> = LazyLock::new(|| trust(1));

fn pieces(numbers: impl Iterator<Item = u32>) -> Vec<Piece> {
    numbers.map(|n| raw(&n.to_le_bytes())).collect()
}

/// The slot record of a release of these pieces.
fn known(parts: &Parts) -> Verified<Installed> {
    let release = read_head(&mut parts.bytes().as_slice()).unwrap().verify(&TRUST).unwrap();
    read_record(&release.record(&[0], 1 << 20).unwrap(), &TRUST).unwrap()
}

/// What was read of an artifact, and how often it was asked.
#[derive(Default)]
struct Cost {
    bytes: Cell<usize>,
    questions: Cell<usize>,
}

fn by_pages(bytes: &[u8], known: &[&Installed]) -> (Result<Verified<Release>>, Cost) {
    let cost = Cost::default();
    let read = |ranges: &[Range<u64>], buf: &mut [u8]| {
        cost.questions.set(cost.questions.get() + 1);
        let mut at = 0;
        for range in ranges {
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            let end = at + range.len();
            let found = bytes.get(range.clone());
            let lost = || Failure::new(ReasonCode::Truncated, "past the end");
            buf[at..end].copy_from_slice(found.ok_or_else(lost)?);
            at = end;
            cost.bytes.set(cost.bytes.get() + range.len());
        }
        assert_eq!(at, buf.len());
        Ok(())
    };
    let head = read_head_by_pages(bytes.len() as u64, &read, &TRUST, known);
    (head.and_then(|head| head.verify(&TRUST)), cost)
}

fn whole(bytes: &[u8]) -> Result<Verified<Release>> {
    read_head(&mut &*bytes)?.verify(&TRUST)
}

#[test]
fn only_the_pages_that_changed_are_read() {
    let old = with(pieces(0..5000));
    let new = with(pieces((0..1234).chain([9_999_999]).chain(1235..5000)));
    let (bytes, known) = (new.bytes(), known(&old));
    let (release, cost) = by_pages(&bytes, &[&known]);
    assert_eq!(release.unwrap().head_bytes(), whole(&bytes).unwrap().head_bytes());
    // Its table has 400,000 bytes, and its page hashes about 2,700.
    assert!(cost.bytes.get() < 16 << 10, "{}", cost.bytes.get());
    assert!(cost.questions.get() <= 4, "{}", cost.questions.get());
    // The same release again needs no page.
    let (same, cost) = by_pages(&old.bytes(), &[&known]);
    assert_eq!(same.unwrap().head_bytes(), whole(&old.bytes()).unwrap().head_bytes());
    assert!(cost.bytes.get() < 6 << 10, "{}", cost.bytes.get());
}

#[test]
fn without_a_table_at_hand_or_without_page_hashes_the_table_is_read_whole() {
    let old = known(&with(pieces(0..900)));
    let mut without = with(pieces(0..900));
    let pages = without.body.find("[pages]").unwrap();
    let payload = without.body.find("[[payloads]]").unwrap();
    without.body.replace_range(pages..payload, "");
    let (plain, few) = (with(pieces(0..900)), with(pieces(0..20)));
    for (parts, known) in [(&without, vec![&*old]), (&plain, vec![]), (&few, vec![&*old])] {
        let bytes = parts.bytes();
        let (release, cost) = by_pages(&bytes, &known);
        let head = whole(&bytes).unwrap().head_bytes();
        assert_eq!(release.unwrap().head_bytes(), head);
        assert!(cost.bytes.get() < head.len() + (2 << 10), "{}", cost.bytes.get());
    }
}

/// D03: an index that an attacker made for a valid artifact. The result is the signed table or none, in
/// bounded time and bytes.
#[test]
fn d03_page_hashes_that_are_not_the_signed_ones_cost_the_whole_table_and_nothing_else() {
    let (old, new) =
        (with(pieces(0..900)), with(pieces((0..400).chain(5000..5100).chain(500..900))));
    let (good, known) = (new.bytes(), known(&old));
    let right = whole(&good).unwrap().head_bytes();
    let block = right.len()..right.len() + new.pages().len();
    let most = 2 * right.len() + block.len();
    let mut hostile: Vec<Vec<u8>> = Vec::new();
    for change in [0u8, 1, 127, 128, 255] {
        // The number of records of every page, of one, and everything.
        let mut all = good.clone();
        block.clone().skip(32).step_by(16).for_each(|at| all[at] = change);
        let mut one = good.clone();
        one[block.start + 32 + 5 * 16] = change;
        let mut every = good.clone();
        every[block.clone()].fill(change);
        hostile.extend([all, one, every]);
    }
    // The block of another table: each page is one that the device has.
    let mut other = good.clone();
    let theirs = old.pages();
    let len = theirs.len().min(block.len());
    other[block.start..block.start + len].copy_from_slice(&theirs[..len]);
    hostile.push(other);
    // Not there at all.
    hostile.push(good[..block.start].to_vec());
    hostile.push(good[..block.start + 31].to_vec());
    hostile.push(good[..block.start + 100].to_vec());
    for bytes in hostile {
        let (release, cost) = by_pages(&bytes, &[&known]);
        assert!(cost.bytes.get() <= most, "{} of {most}", cost.bytes.get());
        // The stored bytes are not looked at here, and neither are the page hashes.
        match release {
            Ok(release) => assert_eq!(release.head_bytes(), right),
            Err(failure) => assert_eq!(failure.code(), ReasonCode::Truncated, "{failure}"),
        }
    }
}

#[test]
fn no_flipped_bit_and_no_truncation_makes_another_release() {
    let (old, new) =
        (with(pieces(0..300)), with(pieces((0..100).chain(7000..7010).chain(100..300))));
    let (good, known) = (new.bytes(), known(&old));
    let right = whole(&good).unwrap().head_bytes();
    let end = right.len() + new.pages().len();
    for at in (0..end).step_by(41).chain(0..100).chain(end - 100..end) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        let (release, cost) = by_pages(&bad, &[&known]);
        assert!(cost.bytes.get() <= 2 * end, "{}", cost.bytes.get());
        match (release, whole(&bad)) {
            // What is not read of the table cannot be wrong in it.
            (Ok(release), _) => assert_eq!(release.head_bytes(), right, "byte {at}"),
            (Err(failure), Err(ordinary)) => {
                assert_eq!(failure.code(), ordinary.code(), "byte {at}")
            }
            (Err(failure), Ok(_)) => panic!("byte {at}: {failure}"),
        }
    }
    for len in (0..right.len()).step_by(61) {
        let code = |r: Result<Verified<Release>>| r.err().map(|f| f.code());
        assert_eq!(code(by_pages(&good[..len], &[&known]).0), code(whole(&good[..len])), "{len}");
    }
}

#[test]
fn nothing_is_read_by_pages_of_what_nobody_trusted_signed() {
    let (old, mut new) = (with(pieces(0..900)), with(pieces(100..1000)));
    new.signers = vec![9];
    let (release, _) = by_pages(&new.bytes(), &[&known(&old)]);
    assert_eq!(release.unwrap_err().code(), ReasonCode::SignatureUntrusted);
}
