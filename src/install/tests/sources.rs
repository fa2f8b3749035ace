//! Artifacts that are damaged, cut short or too long, and sources that fail.

use super::{Fixture, Memory, carry_out, code, compress, offers_something};
use crate::disk::fake::FakeDevice;
use crate::install::Reuse;
use crate::model::{Digest, Failure, ReasonCode};
use crate::source::{ByteStream, Source};
use crate::sys::stop::Stop;
use std::io::{Cursor, Read};
use std::sync::Arc;

fn inputs(payload: &[u8]) -> [Source; 2] {
    [
        Source::Ranges(Arc::new(Memory::new(payload.to_vec()))),
        Source::Stream(ByteStream::new(Cursor::new(payload.to_vec()))),
    ]
}

/// Where each stored chunk begins, and its index.
fn stored(fixture: &Fixture) -> Vec<(usize, usize)> {
    let mut at = 0;
    let starts = fixture.chunks.iter().enumerate().map(|(index, c)| {
        at += c.stored_len as usize;
        (index, at - c.stored_len as usize)
    });
    starts.filter(|(i, _)| !fixture.chunks[*i].is_zero()).collect()
}

#[test]
fn a_damaged_chunk_never_reaches_the_medium() {
    let fixture = Fixture::new(41, 1 << 20, 60 << 10);
    for (index, at) in stored(&fixture) {
        let mut payload = fixture.payload.clone();
        payload[at + 3] ^= 0x10;
        for input in inputs(&payload) {
            let device = FakeDevice::new(fixture.old_slot());
            device.record();
            let result = fixture.write(&device, input, Reuse::Nothing);
            assert_eq!(code(result), "CHUNK_CORRUPT", "chunk {index}");
            let slot = device.contents();
            assert!(!offers_something(&slot));
            // What has changed is what was destroyed, zeroed, or is the image's.
            let first = 128 << 10;
            let record = fixture.slot_len - (1 << 20);
            let (old, image) = (fixture.old_slot(), &fixture.image);
            let ours = |i: usize| image.get(i) == Some(&slot[i]);
            assert!((first..record).all(|i| slot[i] == old[i] || ours(i)), "chunk {index}");
            // And the next good one installs.
            fixture.write(&device, fixture.stream(), Reuse::Resume).unwrap();
            assert!(fixture.is_complete(&device.medium()));
        }
    }
}

#[test]
fn chunks_in_each_others_place_are_refused() {
    let fixture = Fixture::new(42, 1 << 20, 30 << 10);
    let raw: Vec<_> = stored(&fixture);
    let (_, a) = raw[3];
    let (_, b) = raw[4];
    let (_, end) = raw[5];
    let mut payload = fixture.payload.clone();
    payload[a..end].rotate_left(b - a);
    for input in inputs(&payload) {
        let device = FakeDevice::new(fixture.old_slot());
        let result = fixture.write(&device, input, Reuse::Nothing);
        assert_eq!(code(result), "CHUNK_CORRUPT");
    }
}

#[test]
fn a_stream_must_end_where_the_table_ends() {
    let fixture = Fixture::new(43, 1 << 20, 60 << 10);
    let boundaries = stored(&fixture).into_iter().map(|(_, at)| at);
    let last = fixture.payload.len() - 1;
    let mut tried = 0;
    for cut in boundaries.chain([last, last / 2, 1]) {
        let device = FakeDevice::new(fixture.old_slot());
        let input = Source::Stream(ByteStream::new(Cursor::new(fixture.payload[..cut].to_vec())));
        let result = fixture.write(&device, input, Reuse::Nothing);
        assert_eq!(code(result), "SOURCE_LOST", "cut at {cut}");
        assert!(!offers_something(&device.contents()));
        tried += 1;
    }
    assert!(tried > 10);
    let mut long = fixture.payload.clone();
    long.push(0);
    for reuse in [Reuse::Nothing, Reuse::Resume] {
        let device = FakeDevice::new(fixture.old_slot());
        let input = Source::Stream(ByteStream::new(Cursor::new(long.clone())));
        assert_eq!(code(fixture.write(&device, input, reuse)), "TRAILING_BYTES");
        assert!(!offers_something(&device.contents()));
    }
}

/// Fails after some bytes, as an unplugged stick does.
struct Unplugged(Cursor<Vec<u8>>);

impl Read for Unplugged {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(std::io::Error::other("unplugged")),
            n => Ok(n),
        }
    }
}

#[test]
fn a_source_that_fails_is_not_an_artifact_that_ends() {
    let fixture = Fixture::new(44, 1 << 20, 60 << 10);
    let half = fixture.payload[..fixture.payload.len() / 2].to_vec();
    let device = FakeDevice::new(fixture.old_slot());
    let input = Source::Stream(ByteStream::new(Unplugged(Cursor::new(half))));
    let result = fixture.write(&device, input, Reuse::Nothing);
    assert_eq!(code(result), "SOURCE_LOST");
    let device = FakeDevice::new(fixture.old_slot());
    let whole = Unplugged(Cursor::new(fixture.payload.clone()));
    let result = fixture.write(&device, Source::Stream(ByteStream::new(whole)), Reuse::Nothing);
    assert_eq!(code(result), "SOURCE_LOST", "the end itself could not be seen");
}

#[test]
fn a_damaged_stream_is_refused_even_where_its_chunks_stand_already() {
    let fixture = Fixture::new(45, 2 << 20, 60 << 10);
    let device = FakeDevice::new(fixture.old_slot());
    fixture.write(&device, fixture.file(), Reuse::Nothing).unwrap();
    let mut payload = fixture.payload.clone();
    let last = payload.len() - 1;
    payload[last] ^= 1;
    let input = Source::Stream(ByteStream::new(Cursor::new(payload)));
    let result = fixture.write(&device, input, Reuse::Resume);
    assert_eq!(code(result), "CHUNK_CORRUPT");
}

#[test]
fn a_chunk_that_is_not_what_its_plain_hash_says_is_never_offered() {
    let fixture = Fixture::new(46, 1 << 20, 60 << 10);
    for (index, _) in stored(&fixture) {
        let mut wrong = fixture.clone();
        wrong.chunks[index].plain = Digest::of(b"something else");
        let device = FakeDevice::new(fixture.old_slot());
        let result = wrong.write(&device, fixture.file(), Reuse::Nothing);
        assert_eq!(code(result), "CHUNK_CORRUPT", "chunk {index}");
        assert!(!offers_something(&device.contents()));
    }
}

#[test]
fn payloads_for_other_hardware_are_passed() {
    let (other, mine) = (Fixture::new(47, 1 << 20, 60 << 10), Fixture::new(48, 1 << 20, 50 << 10));
    let table = [&other.chunks[..], &mine.chunks, &other.chunks].concat();
    let payload = [&other.payload[..], &mine.payload, &other.payload].concat();
    for input in inputs(&payload) {
        let device = FakeDevice::new(mine.old_slot());
        let mut order = mine.order(&device);
        order.table = &table;
        order.parts[0].first_chunk = other.chunks.len();
        order.parts[0].places = super::Places::new(&mine.chunks, other.payload.len() as u64);
        let done = carry_out(order, input, &Reuse::Nothing);
        done.unwrap();
        assert!(mine.is_complete(&device.medium()));
    }
}

#[test]
fn frames_that_are_no_plain_frame_of_the_signed_length_are_refused() {
    let fixture = Fixture::new(49, 1 << 20, 60 << 10);
    let zstd = |c: &crate::artifact::Chunk| c.codec == crate::artifact::Codec::Zstd;
    let index = fixture.chunks.iter().position(zstd).unwrap();
    let (_, at) = stored(&fixture).into_iter().find(|(i, _)| *i == index).unwrap();
    let end = at + fixture.chunks[index].stored_len as usize;
    let frame = fixture.payload[at..end].to_vec();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    for (what, stored) in [
        ("a bomb", compress(&vec![0; 64 << 20])),
        ("two frames", [&frame[..], &frame].concat()),
        ("a skippable frame behind", [&frame[..], &skippable].concat()),
        ("a skippable frame before", [&skippable[..], &frame].concat()),
        ("a frame that is too short", compress(b"short")),
        ("no frame", b"not zstd at all".to_vec()),
    ] {
        let mut wrong = fixture.clone();
        wrong.chunks[index].stored_len = stored.len().try_into().unwrap();
        wrong.chunks[index].stored = Digest::of(&stored);
        wrong.payload.splice(at..end, stored);
        for input in [wrong.file(), wrong.stream()] {
            let device = FakeDevice::new(fixture.old_slot());
            let result = wrong.write(&device, input, Reuse::Nothing);
            assert_eq!(code(result), "CHUNK_CORRUPT", "{what}");
            assert!(!offers_something(&device.contents()), "{what}");
        }
    }
}

/// Gives the word to stop after so many reads.
struct Stopping(Cursor<Vec<u8>>, usize, Stop);

impl Read for Stopping {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self.1.checked_sub(1) {
            Some(left) => self.1 = left,
            None => drop(self.2.set(Failure::new(ReasonCode::Requested, "enough"))),
        }
        self.0.read(buf)
    }
}

#[test]
fn told_to_stop_at_any_read_it_stops_and_what_was_written_is_kept() {
    let fixture = Fixture::new(51, 4 << 20, 60 << 10);
    let count = stored(&fixture).len();
    let mut stopped = 0;
    for reads in (0..count).step_by(3) {
        let device = FakeDevice::new(fixture.old_slot());
        let stop = Stop::default();
        let stream = Stopping(Cursor::new(fixture.payload.clone()), reads, stop.clone());
        let result = stop.over(|| {
            fixture.write(&device, Source::Stream(ByteStream::new(stream)), Reuse::Nothing)
        });
        // The end of the stream is read too, and then nothing is left to be stopped but the finish.
        stopped += usize::from(result.is_err());
        let complete = fixture.is_complete(&device.contents());
        assert_eq!(result.is_ok(), complete, "{reads} of {count}");
        assert!(complete || !offers_something(&device.contents()));
        fixture.write(&device, fixture.file(), Reuse::Resume).unwrap();
        assert!(fixture.is_complete(&device.medium()));
    }
    // One read brings many chunks.
    assert!(stopped >= 3, "only {stopped} of {count} were stopped");
}

#[test]
fn every_phase_looks_at_the_flag_for_each_piece_that_it_works_on() {
    let fixture = Fixture::new(52, 24 << 20, 60 << 10);
    let looks = |input: Source, reuse: Reuse, device: &FakeDevice| {
        let stop = Stop::default();
        stop.over(|| fixture.write(device, input, reuse)).unwrap();
        stop.looks()
    };
    let device = FakeDevice::new(fixture.old_slot());
    // At least once for each MiB that is written, and once for each that is compared.
    let written = looks(fixture.file(), Reuse::Nothing, &device);
    assert!(written >= 24, "{written} looks while 24 MiB are written");
    let compared = looks(fixture.file(), Reuse::Resume, &device);
    assert!(compared >= 10, "{compared} looks while what stands is compared");
    // What is set before the first byte stops it before the first byte.
    let device = FakeDevice::new(fixture.old_slot());
    let stop = Stop::default();
    stop.set(Failure::new(ReasonCode::Requested, "enough"));
    let before = device.contents();
    assert!(stop.over(|| fixture.write(&device, fixture.file(), Reuse::Resume)).is_err());
    assert!(device.contents() == before, "nothing was destroyed");
}
