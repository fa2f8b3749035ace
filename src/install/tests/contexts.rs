//! Chunks that refer to what comes before them: fetched, resumed, damaged, and by no one's favour short.

use super::{Fixture, code, compress_with, offers_something};
use crate::artifact::{Chunk, Codec};
use crate::disk::BlockDevice;
use crate::disk::fake::FakeDevice;
use crate::install::Reuse;
use crate::install::medium::WAITING_THREADS;
use crate::install::origin::Origin;
use crate::install::pipeline::memory;
use crate::install::spans::{Places, work};
use crate::model::Digest;

/// `count` chunks of `len` bytes, each with all of up to `back` before it as context.
pub(super) fn chain(count: usize, len: usize, back: usize) -> Fixture {
    let mut fixture = Fixture::of_noise(91, count, len);
    (fixture.chunks, fixture.payload) = (Vec::new(), Vec::new());
    let image = &mut fixture.image;
    for n in 0..count {
        let at = n * len;
        // Half of each chunk stands in the first of its context.
        let first = n.saturating_sub(back) * len;
        if n >= back {
            image.copy_within(first..first + len / 2, at);
        }
        let (before, plain) = (&image[first..at], &image[at..at + len]);
        let (codec, stored) = match n {
            _ if n < back => (Codec::Raw, plain.to_vec()),
            _ => {
                let chunks = back.try_into().unwrap();
                (Codec::Context { chunks }, compress_with(before, plain))
            }
        };
        fixture.chunks.push(Chunk {
            plain_len: len.try_into().unwrap(),
            stored_len: stored.len().try_into().unwrap(),
            codec,
            plain: Digest::of(plain),
            stored: Digest::of(&stored),
        });
        fixture.payload.extend(stored);
    }
    fixture
}

#[test]
fn an_endless_context_is_decoded_in_a_bounded_memory() {
    // 4 MiB of context for each chunk, and no place where a group ends.
    for (count, len, back) in [(40, 512 << 10, 8), (200, 100 << 10, 40), (60, 1 << 20, 4)] {
        let fixture = chain(count, len, back);
        let places = Places::new(&fixture.chunks, 0);
        let all = work(&places, &vec![Origin::Fetch; count]);
        assert_eq!(all.strands.len(), 1);
        assert!(all.context <= 4 << 20, "{}", all.context);
        // With stacks, of which little is touched.
        assert!(memory(&all) <= 34 << 20, "{}", memory(&all));
        for input in [fixture.file(), fixture.stream()] {
            let device = FakeDevice::new(fixture.old_slot());
            fixture.write(&device, input, Reuse::Nothing).unwrap();
            assert!(fixture.is_complete(&device.medium()));
        }
    }
    const { assert!(WAITING_THREADS == 3) };
}

#[test]
fn what_stands_is_the_context_of_what_is_missing() {
    let fixture = chain(60, 64 << 10, 16);
    // Any of them may be missing: near the begin, alone, side by side, far from each other.
    for missing in [vec![3], vec![30], vec![30, 31], vec![9, 40], vec![20, 22, 24, 50, 59]] {
        let device = FakeDevice::new(fixture.old_slot());
        fixture.write(&device, fixture.file(), Reuse::Nothing).unwrap();
        for n in &missing {
            device.write_at((n * (64 << 10) + 4096) as u64, &[0xee; 512]).unwrap();
        }
        for input in [fixture.file(), fixture.stream()] {
            let again = FakeDevice::new(device.contents());
            let report = fixture.write(&again, input, Reuse::Resume).unwrap();
            assert!(fixture.is_complete(&again.medium()), "{missing:?}");
            // The first 128 KiB are destroyed and always fetched.
            let fetched = [0, 1].iter().chain(&missing).map(|n| fixture.chunks[*n].stored_len);
            assert_eq!(report.fetched, fetched.map(u64::from).sum::<u64>(), "{missing:?}");
        }
    }
}

/// A disk on which a byte changes after it was compared.
struct Fickle(FakeDevice, u64);

impl BlockDevice for Fickle {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn block_size(&self) -> usize {
        self.0.block_size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> crate::model::Result<()> {
        self.0.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, buf: &[u8]) -> crate::model::Result<()> {
        // The first write destroys: by then everything was compared.
        self.0.write_at(offset, buf)?;
        self.0.write_at(self.1, &[0x11; 512])
    }
    fn zero(&self, offset: u64, len: u64) -> crate::model::Result<()> {
        self.0.zero(offset, len)
    }
    fn flush(&self) -> crate::model::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_context_is_believed_only_after_its_hash() {
    let fixture = chain(60, 64 << 10, 16);
    let device = FakeDevice::new(fixture.old_slot());
    fixture.write(&device, fixture.file(), Reuse::Nothing).unwrap();
    device.write_at(40 * (64 << 10) + 4096, &[0xee; 512]).unwrap();
    let fickle = Fickle(device, 33 * (64 << 10));
    let result = super::carry_out(fixture.order(&fickle), fixture.file(), &Reuse::Resume);
    assert_eq!(code(result), "READ_BACK");
    assert!(!offers_something(&fickle.0.contents()));
    // Damaged in the artifact, it is told as that, and never reaches the slot.
    for n in [0, 1, 17, 59] {
        let mut damaged = fixture.clone();
        let at: usize = damaged.chunks[..n].iter().map(|c| c.stored_len as usize).sum();
        damaged.payload[at + 20] ^= 1;
        for input in [damaged.file(), damaged.stream()] {
            let device = FakeDevice::new(fixture.old_slot());
            let result = damaged.write(&device, input, Reuse::Nothing).unwrap_err();
            assert_eq!(result.code().as_str(), "CHUNK_CORRUPT");
            assert!(result.detail().contains(&format!("chunk {n}")), "{result}");
            assert!(!offers_something(&device.contents()));
        }
    }
}

#[test]
fn a_wrong_context_is_a_corrupt_chunk() {
    let fixture = chain(30, 64 << 10, 8);
    // A longer one holds the right one, and changes nothing.
    for chunks in [1, 7] {
        let mut wrong = fixture.clone();
        wrong.chunks[20].codec = Codec::Context { chunks };
        let device = FakeDevice::new(fixture.old_slot());
        assert_eq!(code(wrong.write(&device, wrong.file(), Reuse::Nothing)), "CHUNK_CORRUPT");
    }
}
