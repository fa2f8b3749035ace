//! Hostile deltas: each is refused before a byte would be written, with its reason code.

use super::stranger::{Draft, draft, judge, number, signed};
use crate::artifact::stranger::trust;
use crate::common::rounds;
use sha2::{Digest, Sha256};
use surefoot::artifact::read_head;
use surefoot::delta::{Player, release_head};
use surefoot::model::Failure;
use surefoot::model::ReasonCode::{
    self, ChunkCorrupt, DeltaBase, DeltaInvalid, HeaderInvalid, SignatureInvalid, TrailingBytes,
    Truncated, UpdaterTooOld,
};
use surefoot::sys::stop::Stop;

#[track_caller]
fn refused(bytes: &[u8], draft: &Draft, code: ReasonCode) {
    match judge(bytes, draft, &trust(1)) {
        Ok(()) => panic!("accepted; expected {code}"),
        Err(failure) => assert_eq!(failure.code(), code, "{failure}"),
    }
}

/// The draft with something else in its streams.
#[track_caller]
fn broken(change: impl FnOnce(&mut Draft)) {
    let mut draft = draft();
    change(&mut draft);
    refused(&draft.bytes(), &draft, DeltaInvalid);
}

#[test]
fn ops_outside_old_or_new_are_refused() {
    // More than the payload has; the same by a number near 2^64.
    broken(|d| d.streams.zero(1));
    broken(|d| number(&mut d.streams.lengths, u64::MAX));
    broken(|d| d.streams.lengths = vec![0x81]);
    // Before the first old byte, behind the last one, and so far that the sum wraps.
    let first = |seek: i64| {
        move |d: &mut Draft| {
            d.streams = Default::default();
            d.streams.copy(38_096, seek);
        }
    };
    for seek in [-1, 1_905, 40_000, i64::MAX, i64::MIN] {
        broken(first(seek));
    }
    // A number with 70 bits, and one with zeros at its end.
    broken(|d| d.streams.seeks = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    broken(|d| d.streams.lengths.splice(..0, [0x80 | 4, 0]).for_each(drop));
    // No bytes, and fewer old ones than 16.
    broken(|d| d.streams.lengths.splice(..0, [0]).for_each(drop));
    broken(|d| {
        d.streams = Default::default();
        d.streams.copy(15, 0);
        d.streams.zero(38_096 - 15);
    });
}

#[test]
fn bytes_that_are_passed_end_with_the_work() {
    let (draft, trust) = (draft(), trust(1));
    let bytes = draft.bytes();
    let mut input = &bytes[..];
    let delta = read_head(&mut input).unwrap().verify_delta(&trust).unwrap();
    let (_, blocks) = release_head(&delta, &mut input, Some(&draft.from.table())).unwrap();
    let mut player = Player::new(&delta, blocks).unwrap();
    let stop = Stop::default();
    stop.set(Failure::new(ReasonCode::Cancelled, "by a person"));
    let pass = || player.bring(&delta.blocks, &mut input, (0, 30_000), &mut [], &mut Vec::new());
    assert_eq!(stop.over(pass).unwrap_err().code(), ReasonCode::Cancelled);
}

#[test]
fn streams_have_exactly_what_the_ops_take() {
    broken(|d| d.streams.extra.push(1));
    broken(|d| d.streams.extra.truncate(d.streams.extra.len() - 1));
    broken(|d| d.streams.differences.push(1));
    broken(|d| d.streams.differences.truncate(d.streams.differences.len() - 1));
    broken(|d| d.streams.seeks.push(0));
    broken(|d| d.streams.seeks.truncate(d.streams.seeks.len() - 1));
    broken(|d| d.streams.lengths.truncate(d.streams.lengths.len() - 1));
    broken(|d| d.streams = Default::default());
    // A stream that would decode to a gigabyte is decoded no further than the ops go.
    broken(|d| d.streams.extra.extend(vec![0; 64 << 20]));
    // A batch behind the last op; one that says it is empty, and one that says it is endless.
    broken(|d| d.behind = [[1u8, 0, 0, 0].as_slice(), &[0; 12], &[7]].concat());
    broken(|d| d.behind = vec![0; 16]);
    broken(|d| {
        d.streams.lengths.pop();
        d.behind = vec![0xff; 16];
    });
}

#[test]
fn windows_are_bounded_by_the_body_and_the_body_by_the_format() {
    let windows = "windows = [20, 20, 21, 23]";
    for wrong in ["[21, 20, 21, 23]", "[20, 20, 21, 24]", "[20, 20, 21, 31]", "[20, 9, 21, 23]"] {
        broken(|d| d.body = vec![(windows.to_owned(), format!("windows = {wrong}"))]);
    }
    // A frame that wants more than the body says. Its content is short, so that its header must say so.
    let mut draft = draft();
    draft.body = vec![(windows.to_owned(), "windows = [10, 10, 10, 10]".to_owned())];
    draft.frames = [10, 10, 10, 27];
    refused(&draft.bytes(), &draft, DeltaInvalid);
}

#[test]
fn bodies_that_lie_are_refused() {
    for (this, that) in [
        ("size = 38096", "size = 38097"),
        ("from_size = 40000", "from_size = 39999\nelse = 1"),
        ("from = 0\n", ""),
        ("release_counter = 6", "release_counter = 7"),
        ("version = '2.0.0'", "version = '2.0.1'"),
        ("security_epoch = 0", "security_epoch = 1"),
        ("kind = 'rootfs'", "kind = 'other'"),
        ("product = 'demo'", "product = 'other'"),
        ("format = 2\n", "format = 1\n"),
    ] {
        broken(|d| d.body = vec![(this.to_owned(), that.to_owned())]);
    }
    for (this, that) in
        [("format = 2\n", "format = 3\n"), ("updater = '0.3.0'", "updater = '9.0.0'")]
    {
        let mut draft = draft();
        draft.body = vec![(this.to_owned(), that.to_owned())];
        refused(&draft.bytes(), &draft, UpdaterTooOld);
    }
    let draft = draft();
    let (stored, head, table) = draft.stored();
    // Lengths that lead outside of what is stored.
    for (head, table) in [(head + 1, table - 1), (stored.len(), 1), (1 << 30, 1)] {
        let body = draft.body_of((stored.len(), head, table));
        let list = Sha256::digest(&stored);
        let failure = judge(&signed(&body, &list, &stored, 4), &draft, &trust(1)).unwrap_err();
        let codes = [DeltaInvalid, HeaderInvalid, Truncated];
        assert!(codes.contains(&failure.code()), "{failure}");
    }
}

#[test]
fn lists_that_lie_are_refused() {
    let draft = draft();
    let (stored, head, table) = draft.stored();
    let body = draft.body_of((stored.len(), head, table));
    let list = Sha256::digest(&stored).to_vec();
    refused(&signed(&body, &[&list[..], &list].concat(), &stored, 4), &draft, DeltaInvalid);
    refused(&signed(&body, &[0; 32], &stored, 4), &draft, ChunkCorrupt);
    // More or less stored than is said.
    let long = draft.body_of((stored.len() + 1, head, table));
    refused(&signed(&long, &list, &stored, 4), &draft, Truncated);
    let more = [&stored[..], &[0]].concat();
    refused(&signed(&body, &list, &more, 4), &draft, TrailingBytes);
    // A byte that was changed after it was signed.
    let good = draft.bytes();
    for at in [good.len() - 1, good.len() - stored.len()] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        refused(&bad, &draft, ChunkCorrupt);
    }
}

#[test]
fn a_release_is_no_delta_and_a_signature_for_one_is_none_for_the_other() {
    let mut draft = draft();
    draft.purpose = 2;
    refused(&draft.bytes(), &draft, SignatureInvalid);
    refused(&draft.to.bytes(), &draft, HeaderInvalid);
    draft.purpose = 4;
    let mut read = &draft.bytes()[..];
    let head = surefoot::artifact::read_head(&mut read).unwrap();
    assert_eq!(head.verify(&trust(1)).unwrap_err().code(), HeaderInvalid);
    // What the delta carries is verified as any release: an untrusted one stays one.
    draft.to.signers = vec![9];
    refused(&draft.bytes(), &draft, ReasonCode::SignatureUntrusted);
}

#[test]
fn on_other_old_bytes_nothing_wrong_comes_out() {
    let good = draft().bytes();
    let mut other = draft();
    for at in [10_000, 29_999, 5_000, 13_999] {
        other.old[at] ^= 1;
        refused(&good, &other, DeltaBase);
        other.old[at] ^= 1;
    }
    // Bytes that no op reads do not count.
    other.old[39_999] ^= 1;
    judge(&good, &other, &trust(1)).unwrap();
}

#[test]
fn ten_thousand_mutations_are_refused_or_right() {
    let (draft, trust) = (draft(), trust(1));
    let good = draft.bytes();
    let (stored, head, table) = draft.stored();
    let mut state = 11u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut accepted = 0;
    for round in 0..rounds(10_000) {
        // Half of them are signed again, so that what is behind the signature is met.
        let again = round % 2 == 0;
        let mut bytes = if again { stored.clone() } else { good.clone() };
        for _ in 0..=next(3) {
            // The op streams are where most can be wrong.
            let from =
                if again && next(4) > 0 && bytes.len() > head + table { head + table } else { 0 };
            let at = from + next(bytes.len() - from);
            match next(4) {
                0 => bytes[at] ^= 1 << next(8),
                1 => bytes[at] = next(256).to_le_bytes()[0],
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let piece = bytes[at..(at + next(64)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        let bytes = if again {
            let body = draft.body_of((bytes.len(), head, table));
            signed(&body, &stranger_list(&bytes), &bytes, 4)
        } else {
            bytes
        };
        // What is accepted makes exactly the signed chunks: `judge` compares them.
        if judge(&bytes, &draft, &trust).is_ok() {
            accepted += 1;
        }
    }
    assert!(accepted < rounds(10_000) / 10, "{accepted}");
}

fn stranger_list(stored: &[u8]) -> Vec<u8> {
    stored.chunks(131_072).flat_map(|block| Sha256::digest(block).to_vec()).collect()
}
