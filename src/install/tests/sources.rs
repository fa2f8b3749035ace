//! Artifacts that are damaged, cut short or too long, and sources that fail.

use super::{Fixture, Memory, carry_out, code, compress, offers_something};
use crate::disk::fake::FakeDevice;
use crate::event::{Nowhere, Phase};
use crate::install::Reuse;
use crate::install::check::check_chunks;
use crate::install::progress::Progress;
use crate::install::spans::Places;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::source::{ByteStream, Fetch, Source};
use crate::sys::stop::Stop;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex};

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

/// Counts what is asked for in each call.
struct Asked(Memory, Mutex<Vec<usize>>);

impl Fetch for Asked {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buf)
    }
    fn read_ranges(&self, ranges: &[Range<u64>], buf: &mut [u8]) -> Result<()> {
        self.1.lock().unwrap().push(ranges.len());
        self.0.read_ranges(ranges, buf)
    }
}

#[test]
fn missing_chunks_that_lie_apart_are_asked_for_in_one_call_and_each_is_checked() {
    let fixture = Fixture::of_noise(47, 201, 4 << 10);
    let places = Places::new(&fixture.chunks, 0);
    let look = |payload: &[u8]| {
        let source = Asked(Memory::new(payload.to_vec()), Mutex::default());
        let progress = Progress::start(&Nowhere, Phase::Verify, 0);
        let checked = check_chunks(&source, &places, |i| i % 2 == 1, &progress);
        (checked, source.1.into_inner().unwrap())
    };
    let (checked, asked) = look(&fixture.payload);
    checked.unwrap();
    assert_eq!(asked, [100]);
    for chunk in 0..201 {
        let mut damaged = fixture.payload.clone();
        damaged[chunk << 12] ^= 1;
        let (checked, _) = look(&damaged);
        match chunk % 2 {
            1 => assert!(checked.unwrap_err().detail().contains(&format!("chunk {chunk}"))),
            _ => checked.unwrap(),
        }
    }
    // What is larger than one call brings is asked for in more of them.
    let fixture = Fixture::of_noise(48, 9, 300 << 10);
    let places = Places::new(&fixture.chunks, 0);
    let source = Asked(Memory::new(fixture.payload.clone()), Mutex::default());
    let progress = Progress::start(&Nowhere, Phase::Verify, 0);
    check_chunks(&source, &places, |i| i % 2 == 0, &progress).unwrap();
    assert_eq!(source.1.into_inner().unwrap(), [1; 5]);
}
