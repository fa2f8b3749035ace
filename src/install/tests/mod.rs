//! The promises of a slot's writing, on a disk that is stricter than any real one.

mod contexts;
mod copies;
mod cuts;
mod far;
mod faults;
mod golden;
mod parts;
mod sources;

use super::part::PartOrder;
use super::reuse::find_standing;
use super::spans::Places;
use super::write::{Order, Report, aligned};
use super::{FIRST_LEN, Reuse};
use crate::artifact::{Chunk, Codec};
use crate::disk::BlockDevice;
use crate::disk::fake::FakeDevice;
use crate::event::Nowhere;
use crate::model::{Digest, Failure, Identifier, Result};
use crate::slot::record::{RECORD_LEN, encode_record};
use crate::source::{ByteStream, Fetch, Source};
use std::io::Cursor;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A generator that needs no crate: xorshift.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % sides
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.roll(256).to_le_bytes()[0]).collect()
    }
}

/// An image, cut at byte-exact places, as an artifact would carry it.
#[derive(Clone)]
pub(super) struct Fixture {
    pub(super) image: Vec<u8>,
    pub(super) chunks: Vec<Chunk>,
    pub(super) payload: Vec<u8>,
    pub(super) slot_len: usize,
}

impl Fixture {
    /// About `len` bytes, in chunks of up to `longest`: random, compressible and zero ones.
    pub(super) fn new(seed: u64, len: usize, longest: usize) -> Fixture {
        Fixture::in_units(1, seed, len, longest)
    }

    /// The same, cut only at multiples of `unit`.
    pub(super) fn in_units(unit: usize, seed: u64, len: usize, longest: usize) -> Fixture {
        let mut dice = Dice(seed);
        let (mut image, mut chunks, mut payload) = (Vec::new(), Vec::new(), Vec::new());
        let mut data: Vec<Vec<u8>> = Vec::new();
        while image.len() < len {
            let size = (1 + dice.roll(longest)).next_multiple_of(unit);
            let (mut plain, mut codec) = match dice.roll(4) {
                0 => (vec![0; size], Codec::Zero),
                1 => (dice.bytes(251).repeat(size / 251 + 1), Codec::Raw),
                _ => (dice.bytes(7).repeat(size / 7 + 1), Codec::Zstd),
            };
            plain.truncate(size);
            let before = data[data.len() - dice.roll(7).min(data.len())..].concat();
            if codec == Codec::Zstd && !before.is_empty() && before.len() <= 4 << 20 {
                let chunks = (1..=data.len()).find(|n| {
                    let len: usize = data.iter().rev().take(*n).map(Vec::len).sum();
                    len == before.len()
                });
                codec = Codec::Context { chunks: chunks.unwrap().try_into().unwrap() };
                // What the context has and the frame then needs not to have.
                let half = before.len().min(size / 2);
                plain[..half].copy_from_slice(&before[before.len() - half..]);
            }
            if codec != Codec::Zero {
                data.push(plain.clone());
            }
            let stored = match codec {
                Codec::Zero => Vec::new(),
                Codec::Raw => plain.clone(),
                Codec::Zstd => compress(&plain),
                Codec::Context { .. } => compress_with(&before, &plain),
            };
            let of = |bytes: &[u8]| match codec {
                Codec::Zero => Digest::NONE,
                _ => Digest::of(bytes),
            };
            chunks.push(Chunk {
                plain_len: plain.len().try_into().unwrap(),
                stored_len: stored.len().try_into().unwrap(),
                codec,
                plain: of(&plain),
                stored: of(&stored),
            });
            image.extend(plain);
            payload.extend(stored);
        }
        let slot_len = (image.len().next_multiple_of(4096) + 3 * 4096).max(160 << 10);
        let record = usize::try_from(RECORD_LEN).unwrap();
        Fixture { image, chunks, payload, slot_len: slot_len + record }
    }

    /// `count` chunks of noise that is stored as it is: the dearest image to bring again.
    pub(super) fn of_noise(seed: u64, count: usize, chunk: usize) -> Fixture {
        let mut dice = Dice(seed);
        let mut noise = || {
            dice.roll(1);
            dice.0.to_le_bytes()
        };
        let image: Vec<u8> = (0..count * chunk / 8).flat_map(|_| noise()).collect();
        let chunks = image.chunks(chunk).map(|bytes| {
            let len = bytes.len().try_into().unwrap();
            let digest = Digest::of(bytes);
            Chunk {
                plain_len: len,
                stored_len: len,
                codec: Codec::Raw,
                plain: digest,
                stored: digest,
            }
        });
        let (chunks, record) = (chunks.collect(), usize::try_from(RECORD_LEN).unwrap());
        Fixture { slot_len: image.len() + record, payload: image.clone(), image, chunks }
    }

    /// A slot that holds something else.
    pub(super) fn old_slot(&self) -> Vec<u8> {
        vec![0xa5; self.slot_len]
    }

    /// All of it, onto the one partition of a slot.
    pub(super) fn order<'a>(&'a self, device: &'a dyn BlockDevice) -> Order<'a> {
        let places = Places::new(&self.chunks, 0);
        Order {
            table: &self.chunks,
            pages: &[],
            parts: vec![PartOrder::new(name("rootfs"), device, 0, places)],
            record: aligned(&encode_record(b"a record").unwrap()).unwrap(),
            delta: None,
            firsts: Vec::new(),
        }
    }

    pub(super) fn file(&self) -> Source {
        Source::Ranges(Arc::new(Memory::new(self.payload.clone())))
    }

    pub(super) fn stream(&self) -> Source {
        Source::Stream(ByteStream::new(Cursor::new(self.payload.clone())))
    }

    pub(super) fn write(&self, device: &FakeDevice, input: Source, reuse: Reuse) -> Result<Report> {
        carry_out(self.order(device), input, &reuse)
    }

    /// Whether the slot holds all of the image and its record.
    pub(super) fn is_complete(&self, slot: &[u8]) -> bool {
        let record = encode_record(b"a record").unwrap();
        slot[..self.image.len()] == self.image && slot.ends_with(&record)
    }
}

/// Compares and writes, as a job does.
pub(super) fn carry_out(mut order: Order, input: Source, reuse: &Reuse) -> Result<Report> {
    find_standing(&mut order.parts, reuse, &Nowhere)?;
    order.carry_out(input, &Nowhere)
}

/// The name of a part, for as long as the tests run.
pub(super) fn name(text: &str) -> &'static Identifier {
    Box::leak(Box::new(text.parse().unwrap()))
}

fn compress(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0; zstd_safe::compress_bound(plain.len())];
    let len = zstd_safe::compress(&mut out[..], plain, 3).unwrap();
    out.truncate(len);
    out
}

/// A frame that refers to what comes before it.
fn compress_with(before: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut context = zstd_safe::CCtx::create();
    context.set_parameter(zstd_safe::CParameter::WindowLog(23)).unwrap();
    context.ref_prefix(before).unwrap();
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    context.compress2(&mut out, plain).unwrap();
    out
}

/// Whether a boot loader could find a filesystem: its superblock is in the first or the third
/// sector.
pub(super) fn offers_something(slot: &[u8]) -> bool {
    slot[..512].iter().chain(&slot[1024..1536]).any(|b| *b != 0)
}

/// A file in memory that counts what is read of it.
pub(super) struct Memory {
    pub(super) bytes: Mutex<Vec<u8>>,
    pub(super) read: AtomicU64,
}

impl Memory {
    pub(super) fn new(bytes: Vec<u8>) -> Memory {
        Memory { bytes: Mutex::new(bytes), read: AtomicU64::new(0) }
    }
}

impl Fetch for Memory {
    fn len(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let at = usize::try_from(offset).unwrap();
        let bytes = self.bytes.lock().unwrap();
        buf.copy_from_slice(&bytes[at..at + buf.len()]);
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

pub(super) fn code(result: Result<Report>) -> String {
    result.map_or_else(|f: Failure| f.code().to_string(), |_| "ok".to_owned())
}

#[test]
fn the_slot_holds_the_image_and_nothing_else_changed() {
    let (kib, mib) = (1 << 10, 1 << 20);
    for (seed, len, longest) in [
        (1, 1, 9),
        (2, 5_000, 700),
        (3, 100 * kib, 3_000),
        (4, 128 * kib, 128 * kib),
        (5, 300 * kib, 5_000),
        (6, 3 * mib, 90 * kib),
        (7, 5 * mib, mib / 2),
    ] {
        let fixture = Fixture::new(seed, len, longest);
        for (block, strict) in [(512, false), (512, true), (4096, true)] {
            for input in [fixture.file(), fixture.stream()] {
                let device = FakeDevice::with_blocks(fixture.old_slot(), block, strict);
                let report = fixture.write(&device, input, Reuse::Nothing).unwrap();
                let (slot, old) = (device.medium(), fixture.old_slot());
                assert!(fixture.is_complete(&slot), "seed {seed}, block {block}");
                let first = usize::try_from(FIRST_LEN).unwrap();
                let unused = fixture.image.len().max(first)..fixture.slot_len - 1024 * kib;
                assert!(slot[unused.clone()] == old[unused], "seed {seed}");
                let size = fixture.image.len() as u64;
                assert_eq!((report.image, report.kept), (size, 0));
                assert_eq!(report.fetched, fixture.payload.len() as u64);
            }
        }
    }
}

#[test]
fn no_block_is_written_twice() {
    use crate::disk::fake::Op;
    let fixture = Fixture::new(6, 5 << 20, 90 << 10);
    let device = FakeDevice::new(fixture.old_slot());
    device.record();
    fixture.write(&device, fixture.file(), Reuse::Nothing).unwrap();
    let (mut written, mut zeroed) = (0, 0);
    let mut seen = vec![false; fixture.slot_len / 512];
    for op in device.log() {
        match op {
            Op::Write(at, bytes) => {
                // Destroying and the last phase write these on purpose.
                let at = usize::try_from(at).unwrap();
                let planned = at < 128 << 10 || at + (1 << 20) >= fixture.slot_len;
                for sector in &mut seen[at / 512..(at + bytes.len()).div_ceil(512)] {
                    assert!(planned || !*sector, "a sector near {at} is written twice");
                    *sector = true;
                }
                written += bytes.len();
            }
            Op::Zero(_, len) => zeroed += len,
            Op::Flush => {}
        }
    }
    let zeros = fixture.chunks.iter().filter(|c| c.is_zero());
    let zeros: u64 = zeros.map(|c| u64::from(c.plain_len)).sum();
    assert!(zeroed <= zeros && zeroed > zeros / 2);
    assert!(written < fixture.image.len() + (1 << 20), "zero runs are not written");
}
