//! P: chunks, their table and their order.

use super::stranger::{
    Parts, Piece, TOP, after, frame, hex, judge, parts, payload_text, raw, refused, trust, with,
    zeros, zstd, zstd_as,
};
use sha2::Digest;
use surefoot::model::ReasonCode::{ChunkCorrupt, TableInvalid, TrailingBytes, Truncated};

#[test]
fn p01_p02_a_flipped_bit_anywhere() {
    let good = parts().bytes();
    let head = good.len() - parts().payload().len();
    for at in [head, head + 20, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        refused(&bad, &trust(1), ChunkCorrupt);
    }
}

#[test]
fn p03_p04_chunks_swapped_or_repeated() {
    let (one, two) = (raw(b"chunk one"), raw(b"chunk two"));
    let good = with(vec![one.clone(), two.clone()]);
    let head = good.bytes().len() - good.payload().len();
    for payload in
        [[&two.stored[..], &one.stored].concat(), [&one.stored[..], &one.stored].concat()]
    {
        let bytes = [&good.bytes()[..head], &payload].concat();
        refused(&bytes, &trust(1), ChunkCorrupt);
    }
}

#[test]
fn p05_h10_the_end_is_exact() {
    let good = parts();
    let bytes = good.bytes();
    let last = good.pieces.last().unwrap().stored.len();
    refused(&bytes[..bytes.len() - last], &trust(1), Truncated);
    for extra in [&b"\0"[..], b"x", b"\x89SFT\r\n\x1a\n"] {
        refused(&[&bytes[..], extra].concat(), &trust(1), TrailingBytes);
    }
}

#[test]
fn p06_a_bomb_stops_at_the_announced_length() {
    let bomb = frame(&vec![0u8; 64 << 20]);
    let mut piece = zstd_as(&vec![0u8; 1 << 20], bomb);
    refused(&with(vec![piece.clone()]).bytes(), &trust(1), ChunkCorrupt);
    // The table itself may not announce so much.
    piece.plain_len = 64 << 20;
    refused(&with(vec![piece]).bytes(), &trust(1), TableInvalid);
}

#[test]
fn p07_only_one_plain_frame() {
    let text = [b"a line of text that repeats, ".repeat(40), b"end".to_vec()].concat();
    let good = frame(&text);
    judge(&with(vec![zstd_as(&text, good.clone())]).bytes(), &trust(1)).unwrap();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    let (half, rest) = text.split_at(text.len() / 2);
    let mut reserved = good.clone();
    reserved[4] |= 8;
    let mut dictionary = good.clone();
    dictionary[4] |= 1;
    dictionary.insert(5, 7);
    // A window of 2 GiB instead of a single segment: descriptor without that bit, window byte.
    let mut window = good.clone();
    window[4] &= !0x20;
    window.insert(5, 21 << 3);
    let written = |parameter| {
        let mut context = zstd_safe::CCtx::create();
        context.set_parameter(parameter).unwrap();
        let mut bytes = Vec::with_capacity(2000);
        context.compress2(&mut bytes, &text).unwrap();
        bytes
    };
    // No content size at all, as a streaming writer leaves it.
    let streamed = written(zstd_safe::CParameter::ContentSizeFlag(false));
    // Right, and no part of the form: a reader may skip it.
    let checksum = written(zstd_safe::CParameter::ChecksumFlag(true));
    for (what, stored) in [
        ("a checksum", checksum),
        ("a skippable frame before", [&skippable[..], &good].concat()),
        ("a skippable frame after", [&good[..], &skippable].concat()),
        ("only a skippable frame", skippable.clone()),
        ("two frames", [frame(half), frame(rest)].concat()),
        ("a second, empty frame", [&good[..], &frame(b"")].concat()),
        ("a reserved bit", reserved),
        ("a dictionary", dictionary),
        ("a window", window),
        ("no length", streamed),
        ("cut short", good[..good.len() - 1].to_vec()),
        ("one byte more", [&good[..], b"x"].concat()),
        ("another length", frame(&text[1..])),
        ("no zstd", b"not a frame at all".to_vec()),
        ("four bytes", good[..4].to_vec()),
    ] {
        let failure =
            judge(&with(vec![zstd_as(&text, stored)]).bytes(), &trust(1)).expect_err(what);
        assert_eq!(failure.code(), ChunkCorrupt, "{what}: {failure}");
    }
}

#[test]
fn p08_records_that_contradict_themselves() {
    let text = b"some text some text some text some text some text";
    let edit = |mut piece: Piece, change: fn(&mut Piece)| {
        change(&mut piece);
        piece
    };
    for (what, piece) in [
        ("no plain bytes", edit(raw(b"x"), |p| p.plain_len = 0)),
        ("zeros of no length", zeros(0)),
        ("raw of another length", edit(raw(b"xy"), |p| p.plain_len = 1)),
        ("raw with two hashes", edit(raw(b"xy"), |p| p.plain[0] ^= 1)),
        ("zstd that is not smaller", zstd_as(b"ab", b"abc".to_vec())),
        ("zstd as long as its plain bytes", zstd_as(b"abc", b"abc".to_vec())),
        ("zstd of nothing", zstd_as(text, Vec::new())),
        ("R8 no plain hash", edit(zstd(text), |p| p.plain = [0; 32])),
        ("R8 no stored hash", edit(zstd(text), |p| p.stored_hash = [0; 32])),
        ("zeros with a hash", edit(zeros(4096), |p| p.plain[0] = 1)),
        ("zeros with a stored hash", edit(zeros(4096), |p| p.stored_hash[0] = 1)),
        ("zeros with stored bytes", edit(zeros(4096), |p| p.stored = vec![0])),
        ("codec 4", edit(raw(b"x"), |p| p.codec = 4)),
        ("a context of no chunks", edit(zstd(text), |p| p.codec = 3)),
        ("a context that raw has not", edit(raw(b"x"), |p| p.back = 1)),
        ("a context that zstd has not", edit(zstd(text), |p| p.back = 1)),
        ("a context that zeros have not", edit(zeros(4096), |p| p.back = 1)),
        ("a context before the payload", edit(zstd(text), |p| (p.codec, p.back) = (3, 1))),
        ("codec 255", edit(raw(b"x"), |p| p.codec = 255)),
        ("a chunk above 1 MiB", raw(&vec![7; (1 << 20) + 1])),
    ] {
        let body = format!("{TOP}{}", payload_text(&[raw(b"x")], 0, ""));
        let artifact = Parts { body, pieces: vec![piece], signers: vec![2] };
        let failure = judge(&artifact.bytes(), &trust(1)).expect_err(what);
        assert_eq!(failure.code(), TableInvalid, "{what}: {failure}");
    }
    judge(&with(vec![raw(&vec![7; 1 << 20])]).bytes(), &trust(1)).unwrap();
}

#[test]
fn reserved_bytes_of_a_record_are_zero() {
    let good = parts();
    for at in [9, 12, 13, 14, 15] {
        let mut table = good.table();
        table[at] = 1;
        let said = super::stranger::statement(2, good.body.as_bytes(), &table);
        let head = super::stranger::head(
            good.body.as_bytes(),
            &table,
            &[super::stranger::record(2, &said)],
        );
        refused(&head, &trust(1), TableInvalid);
    }
}

/// What a reader says of these chunks, with the reason.
fn said(pieces: Vec<Piece>) -> String {
    let failure = judge(&with(pieces).bytes(), &trust(1)).unwrap_err();
    format!("{} {}", failure.code(), failure.detail())
}

#[test]
fn a_context_stays_in_its_payload_and_below_4_mib() {
    let mib = |n: u8| raw(&vec![n; 1 << 20]);
    let plain = [&vec![3; 1 << 20][..], b"and more"].concat();
    let plain = &plain[8..];
    let context: Vec<u8> = [3, 4, 5, 6].into_iter().flat_map(|n| vec![n; 1 << 20]).collect();
    let five = || vec![mib(2), mib(3), mib(4), zeros(9000), mib(5), mib(6)];
    let good = [five(), vec![after(&context, 4, plain)]].concat();
    judge(&with(good).bytes(), &trust(1)).unwrap();
    let long = [five(), vec![after(&context, 5, plain)]].concat();
    assert!(said(long).starts_with("TABLE_INVALID chunk 6 has a context of more than 4 MiB"));
    let early = vec![raw(b"a"), zeros(9000), after(b"a", 2, &[7; 99])];
    assert!(said(early).contains("chunk 2 has a context that begins before its payload"));
    // The chunk before it is in another payload.
    let pieces = vec![raw(b"other"), after(b"other", 1, &b"other".repeat(9))];
    let body = format!(
        "{TOP}{}{}",
        payload_text(&pieces[..1], 0, "hardware = ['r1']\n"),
        payload_text(&pieces[1..], 1, "hardware = ['r2']\n")
    );
    let two = Parts { body, pieces, signers: vec![2] };
    let failure = judge(&two.bytes(), &trust(1)).unwrap_err();
    assert!(failure.detail().contains("chunk 1 has a context that begins before its payload"));
    assert_eq!(failure.code(), TableInvalid);
}

#[test]
fn a_context_that_is_damaged_is_told_as_that_chunk() {
    let first: Vec<u8> =
        (0..5000u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    let mut artifact = with(vec![raw(&first), after(&first, 1, &first[..4000])]);
    judge(&artifact.bytes(), &trust(1)).unwrap();
    artifact.pieces[0].stored[7] ^= 1;
    let failure = judge(&artifact.bytes(), &trust(1)).unwrap_err();
    assert_eq!(failure.code(), ChunkCorrupt);
    assert!(failure.detail().contains("chunk 0"), "{failure}");
    // Other bytes than those that it was made with.
    let other = vec![8u8; 5000];
    let strange = with(vec![raw(&other), after(&first, 1, &first[..4000])]);
    refused(&strange.bytes(), &trust(1), ChunkCorrupt);
    // What a decoder would take for a dictionary.
    let dictionary = [&[0x37, 0xa4, 0x30, 0xec][..], &[5; 4000]].concat();
    let strange = vec![raw(&dictionary), after(&dictionary, 1, &dictionary[..3000])];
    assert!(said(strange).starts_with("CHUNK_CORRUPT"));
}

#[test]
fn page_hashes_are_those_of_the_table() {
    let pieces: Vec<Piece> = (0..200u8).map(|n| raw(&[n; 9])).collect();
    let good = with(pieces);
    judge(&good.bytes(), &trust(1)).unwrap();
    let block = good.pages();
    assert!(block.len() >= 32 + 2 * 16, "{block:?}");
    let hash = hex(&sha2::Sha256::digest(&block));
    let len = format!("size = {}\n", block.len());
    let wrong = hash.replace(&hash[..1], if hash.starts_with('0') { "1" } else { "0" });
    let longer = format!("size = {}\n", block.len() + 16);
    for (from, to) in [(&hash, &wrong), (&len, &longer)] {
        let mut bad = good.clone();
        bad.body = bad.body.replace(from.as_str(), to);
        let failure = judge(&bad.bytes(), &trust(1)).unwrap_err();
        assert_eq!(failure.code(), TableInvalid);
        assert!(failure.detail().contains("page hashes"), "{failure}");
    }
    // Signed well, and damaged or missing in the file.
    let at = good.bytes().len() - good.payload().len() - block.len();
    for place in [at, at + 1, at + block.len() - 1] {
        let mut bad = good.bytes();
        bad[place] ^= 1;
        let failure = judge(&bad, &trust(1)).unwrap_err();
        assert_eq!(failure.code(), ChunkCorrupt);
        assert!(failure.detail().contains("page hashes"), "{failure}");
    }
    let mut without = good.bytes();
    without.drain(at..at + block.len());
    assert!(judge(&without, &trust(1)).is_err());
    refused(&good.bytes()[..at + 5], &trust(1), Truncated);
}

#[test]
fn p09_hashes_of_plain_bytes_and_image_are_checked_too() {
    let text = b"some text some text some text some text some text";
    let mut wrong_plain = zstd(text);
    wrong_plain.plain[5] ^= 1;
    refused(&with(vec![wrong_plain]).bytes(), &trust(1), ChunkCorrupt);
    let mut wrong_image = parts();
    let at = wrong_image.body.rfind("sha256 = '").unwrap() + 10;
    let other = if wrong_image.body[at..].starts_with('0') { "1" } else { "0" };
    wrong_image.body.replace_range(at..=at, other);
    refused(&wrong_image.bytes(), &trust(1), ChunkCorrupt);
}

/// Bytes of memory that this process has had at most.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

struct Nothing;

impl surefoot::source::Fetch for Nothing {
    fn len(&self) -> u64 {
        0
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> surefoot::model::Result<()> {
        panic!("zeros are not stored")
    }
}

#[test]
fn the_beginning_of_an_image_of_zeros_costs_no_memory() {
    let bytes = with(vec![zeros(u32::MAX)]).bytes();
    let release =
        surefoot::artifact::read_head(&mut &bytes[..]).unwrap().verify(&trust(1)).unwrap();
    let before = peak();
    let head = surefoot::install::image_head(&Nothing, &release, 0, 70_000).unwrap();
    assert!(head == [0; 70_000]);
    let more = peak() - before;
    assert!(more < 1 << 30, "{more} bytes more for 70 kB of zeros");
}
