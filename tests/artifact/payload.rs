//! P: chunks, their table and their order.

use super::stranger::{
    Parts, Piece, TOP, frame, judge, parts, payload_text, raw, refused, trust, with, zeros, zstd,
    zstd_as,
};
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
    // No content size at all, as a streaming writer leaves it.
    let streamed = {
        let mut context = zstd_safe::CCtx::create();
        context.set_parameter(zstd_safe::CParameter::ContentSizeFlag(false)).unwrap();
        let mut bytes = Vec::with_capacity(2000);
        context.compress2(&mut bytes, &text).unwrap();
        bytes
    };
    for (what, stored) in [
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
        ("codec 3", edit(raw(b"x"), |p| p.codec = 3)),
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
    for at in 9..16 {
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

#[test]
fn p09_hashes_of_plain_bytes_and_image_are_checked_too() {
    let text = b"some text some text some text some text some text";
    let mut wrong_plain = zstd(text);
    wrong_plain.plain[5] ^= 1;
    refused(&with(vec![wrong_plain]).bytes(), &trust(1), ChunkCorrupt);
    let mut wrong_image = parts();
    let at = wrong_image.body.find("sha256 = '").unwrap() + 10;
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
