//! The power goes at every write.

use super::{Fixture, Memory, offers_something};
use crate::disk::fake::{FakeDevice, Op, Survivors};
use crate::install::Reuse;
use crate::install::pipeline::FETCHED_AGAIN_MAX;
use crate::model::Result;
use crate::slot::record::{decode_record, encode_record};
use crate::source::{Fetch, Source};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a slot may be at any instant.
fn check(fixture: &Fixture, slot: &[u8], old: &[u8], when: &str) {
    let tail = fixture.slot_len - (1 << 20);
    if offers_something(slot) {
        // The first block itself may be torn; all behind it must be of one system.
        let image = fixture.image.get(4096..).unwrap_or_default();
        assert!(
            slot[4096..tail] == old[4096..tail] || slot[4096..].starts_with(image),
            "a torn slot offers a kernel {when}"
        );
    }
    if let Ok(record) = decode_record(&slot[tail..]) {
        let complete = fixture.is_complete(slot) && record == b"a record";
        let untouched = slot[..tail] == old[..tail] && record == b"old";
        assert!(complete || untouched, "a record describes a torn slot {when}");
    }
}

fn old_slot(fixture: &Fixture) -> Vec<u8> {
    let mut old = fixture.old_slot();
    let tail = fixture.slot_len - (1 << 20);
    old[tail..].copy_from_slice(&encode_record(b"old").unwrap());
    old
}

#[test]
fn no_prefix_of_the_writes_offers_a_kernel() {
    for (seed, len) in [(11, 60 << 10), (12, 700 << 10), (13, 2 << 20)] {
        let fixture = Fixture::new(seed, len, 40 << 10);
        let old = old_slot(&fixture);
        let device = FakeDevice::new(old.clone());
        device.record();
        fixture.write(&device, fixture.file(), Reuse::Nothing).unwrap();
        let mut slot = old.clone();
        let log = device.log();
        assert!(log.len() > 10, "{} requests", log.len());
        for (nth, op) in log.iter().enumerate() {
            check(&fixture, &slot, &old, &format!("before request {nth}"));
            match op {
                Op::Write(at, bytes) => {
                    let at = usize::try_from(*at).unwrap();
                    // Sector by sector: a large write is torn anywhere.
                    for (n, sector) in bytes.chunks(512).enumerate() {
                        slot[at + 512 * n..][..sector.len()].copy_from_slice(sector);
                        check(&fixture, &slot, &old, &format!("in request {nth}"));
                    }
                }
                Op::Zero(at, len) => {
                    let at = usize::try_from(*at).unwrap();
                    slot[at..at + usize::try_from(*len).unwrap()].fill(0);
                }
                Op::Flush => {}
            }
        }
        assert!(fixture.is_complete(&slot));
    }
}

#[test]
fn a_cut_anywhere_is_resumed_and_only_the_missing_is_fetched() {
    let fixture = Fixture::new(21, 3 << 20, 60 << 10);
    let old = old_slot(&fixture);
    let whole = FakeDevice::new(old.clone());
    fixture.write(&whole, fixture.file(), Reuse::Nothing).unwrap();
    let writes = whole.counts().writes;
    let mut least = u64::MAX;
    for nth in 1..=writes {
        for survivors in [Survivors::Nothing, Survivors::Everything, Survivors::Some(nth + 99)] {
            let device = FakeDevice::new(old.clone());
            device.cut_at_write(nth, 1700);
            assert!(fixture.write(&device, fixture.file(), Reuse::Nothing).is_err());
            device.power_on(survivors);
            check(&fixture, &device.medium(), &old, &format!("at write {nth}"));
            let source = Arc::new(Memory::new(fixture.payload.clone()));
            let input = Source::Ranges(Arc::clone(&source) as _);
            let report = fixture.write(&device, input, Reuse::Resume).unwrap();
            assert!(fixture.is_complete(&device.medium()), "after write {nth}");
            let read = source.read.load(Ordering::Relaxed);
            assert_eq!(read, report.fetched);
            if survivors == Survivors::Everything {
                // What stood is not fetched again; a later cut leaves less to do.
                let slack = 512 << 10;
                assert!(nth < 4 || read <= least.saturating_add(slack), "at {nth}");
                least = least.min(read);
            }
        }
    }
    assert!(least < 200 << 10, "the last cuts leave {least} bytes to fetch");
}

/// A file that takes its time.
struct Slow(Memory);

impl Fetch for Slow {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        std::thread::sleep(std::time::Duration::from_millis(60));
        self.0.read_at(offset, buf)
    }
}

#[test]
fn a_cut_costs_a_slow_source_at_most_what_was_in_flight() {
    let fixture = Fixture::of_noise(51, 360, 128 << 10);
    let total = fixture.payload.len() as u64;
    // Three writes destroy and some 30 write; nothing that was not flushed survives.
    for nth in [10, 20, 30] {
        let device = FakeDevice::new(fixture.old_slot());
        device.cut_at_write(nth, 1700);
        let source = Arc::new(Slow(Memory::new(fixture.payload.clone())));
        let write = |reuse| fixture.write(&device, Source::Ranges(Arc::clone(&source) as _), reuse);
        assert!(write(Reuse::Nothing).is_err());
        device.power_on(Survivors::Nothing);
        let before = source.0.read.swap(0, Ordering::Relaxed);
        let report = write(Reuse::Resume).unwrap();
        assert!(fixture.is_complete(&device.medium()));
        let after = source.0.read.load(Ordering::Relaxed);
        assert_eq!(after, report.fetched);
        let again = (before + after).saturating_sub(total);
        assert!(again <= FETCHED_AGAIN_MAX, "{again} bytes were fetched again after write {nth}");
        // How much was in flight is the host's affair, up to the limit; so near the end most of it stands
        // on any host.
        assert!(nth < 30 || after < total / 2, "{after} of {total} after write {nth}");
    }
}

#[test]
fn writing_what_stands_there_writes_almost_nothing() {
    let fixture = Fixture::new(22, 12 << 20, 300 << 10);
    let device = FakeDevice::new(old_slot(&fixture));
    fixture.write(&device, fixture.file(), Reuse::Nothing).unwrap();
    for input in [fixture.file(), fixture.stream()] {
        let before = device.counts();
        let report = fixture.write(&device, input, Reuse::Resume).unwrap();
        let written = device.counts().written - before.written;
        // The destroyed and restored first 128 KiB, the chunk that straddles their end, the record.
        assert!(written < 2 << 20, "{written} bytes");
        assert!(report.kept > report.image - (1 << 20));
        assert!(fixture.is_complete(&device.medium()));
    }
}
