//! Media that lie and fail.

use super::{Dice, Fixture, carry_out, code, offers_something};
use crate::disk::BlockDevice;
use crate::disk::fake::FakeDevice;
use crate::install::Reuse;
use crate::install::spans::Places;
use crate::model::{Failure, ReasonCode, Result};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

#[test]
fn a_write_that_fails_anywhere_leaves_no_kernel_and_the_next_one_works() {
    let fixture = Fixture::new(31, 2 << 20, 60 << 10);
    let whole = FakeDevice::new(fixture.old_slot());
    fixture.write(&whole, fixture.file(), Reuse::Nothing).unwrap();
    for nth in 1..=whole.counts().writes {
        let device = FakeDevice::new(fixture.old_slot());
        device.fail_write(nth);
        let result = fixture.write(&device, fixture.file(), Reuse::Nothing);
        assert_eq!(code(result), "IO", "write {nth}");
        // The first two writes destroy the record and the first block.
        assert!(nth <= 2 || !offers_something(&device.contents()), "write {nth}");
        fixture.write(&device, fixture.file(), Reuse::Resume).unwrap();
        assert!(fixture.is_complete(&device.medium()), "after write {nth}");
    }
}

#[test]
fn a_stuck_bit_anywhere_is_found_and_leaves_no_kernel() {
    stuck_bits(&Fixture::new(32, 1 << 20, 60 << 10));
    // Cut at blocks, so that zero runs share none with what is written.
    stuck_bits(&Fixture::in_units(4096, 35, 1 << 20, 60 << 10));
}

fn stuck_bits(fixture: &Fixture) {
    let record_at = fixture.slot_len - (1 << 20);
    let mut dice = Dice(5);
    let places = (0..60).map(|_| dice.roll(fixture.image.len()));
    let mut done = 0;
    for place in places.chain([0, 1024, 4095, 4096, 130_000, record_at, record_at + 9_999]) {
        let device = FakeDevice::new(fixture.old_slot());
        let good = fixture.image.get(place).copied().unwrap_or(0);
        let Some(bit) = (0..8).find(|bit| good & (1 << bit) == 0) else {
            continue;
        };
        // The record begins with its magic.
        if place == record_at {
            continue;
        }
        device.stick(place as u64, 1 << bit);
        let result = fixture.write(&device, fixture.file(), Reuse::Nothing);
        assert_eq!(code(result), "READ_BACK", "byte {place}");
        let slot = device.contents();
        assert!(!offers_something(&slot), "byte {place}");
        done += 1;
    }
    assert!(done > 40, "{done} bits were tried");
}

#[test]
fn a_medium_that_lies_while_it_is_destroyed_stops_everything() {
    let fixture = Fixture::new(33, 1 << 20, 60 << 10);
    let device = FakeDevice::new(fixture.old_slot());
    device.stick(100_000, 1);
    assert_eq!(code(fixture.write(&device, fixture.file(), Reuse::Nothing)), "READ_BACK");
    assert!(device.contents()[128 << 10..][..4096] == fixture.old_slot()[128 << 10..][..4096]);
}

/// A disk that notices when something is compared that a cut could still take away.
struct Impatient {
    inner: FakeDevice,
    unflushed: Mutex<BTreeSet<u64>>,
}

impl Impatient {
    fn sectors(offset: u64, len: u64) -> std::ops::Range<u64> {
        offset / 512..(offset + len).div_ceil(512)
    }
}

impl BlockDevice for Impatient {
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn block_size(&self) -> usize {
        self.inner.block_size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let unflushed = self.unflushed.lock().unwrap();
        let mut sectors = Self::sectors(offset, buf.len() as u64);
        // One block is read to complete it, before it is written.
        if buf.len() > 512 && sectors.any(|s| unflushed.contains(&s)) {
            return Err(Failure::new(ReasonCode::Internal, "read before it is flushed"));
        }
        self.inner.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let sectors = Self::sectors(offset, buf.len() as u64);
        self.unflushed.lock().unwrap().extend(sectors);
        self.inner.write_at(offset, buf)
    }
    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        let sectors = Self::sectors(offset, len);
        self.unflushed.lock().unwrap().extend(sectors);
        self.inner.zero(offset, len)
    }
    fn flush(&self) -> Result<()> {
        self.unflushed.lock().unwrap().clear();
        self.inner.flush()
    }
}

#[test]
fn nothing_is_compared_before_it_is_flushed() {
    for fixture in
        [Fixture::new(36, 3 << 20, 60 << 10), Fixture::in_units(4096, 37, 40 << 20, 1 << 20)]
    {
        let device =
            Impatient { inner: FakeDevice::new(fixture.old_slot()), unflushed: Mutex::default() };
        let order = fixture.order(&device);
        let result = carry_out(order, fixture.file(), &Reuse::Nothing);
        assert_eq!(code(result), "ok");
    }
}

/// A disk that writes one byte wrongly.
struct Clumsy(FakeDevice, u64);

impl BlockDevice for Clumsy {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn block_size(&self) -> usize {
        self.0.block_size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let mut buf = buf.to_vec();
        let at = self.1.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
        if let Some(byte) = at.and_then(|at| buf.get_mut(at)) {
            *byte ^= 1;
        }
        self.0.write_at(offset, &buf)
    }
    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        self.0.zero(offset, len)
    }
    fn flush(&self) -> Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_kept_chunk_whose_edge_was_written_again_is_read_back_again() {
    let fixture = Fixture::new(38, 1 << 20, 30 << 10);
    let places = Places::new(&fixture.chunks, 0);
    // A chunk that ends inside a sector, well behind the first 128 KiB; the next one is damaged.
    let inside = |i: &usize| places.of(*i).end > 400 << 10 && places.of(*i).end % 512 > 10;
    let kept = (0..places.count()).find(inside).unwrap();
    let (end, next) = (places.of(kept).end, places.of(kept + 1).end);
    for edge in [end - 1, next] {
        let device = FakeDevice::new(fixture.old_slot());
        fixture.write(&device, fixture.file(), Reuse::Nothing).unwrap();
        device.write_at(end + 5, &[0xee; 3]).unwrap();
        let device = Clumsy(device, edge);
        let order = fixture.order(&device);
        let result = carry_out(order, fixture.file(), &Reuse::Resume);
        assert_eq!(code(result), "READ_BACK");
    }
}

/// A disk that answers "written" to one write, and did something else.
struct Careless {
    inner: FakeDevice,
    /// Counted down; the write that meets 0 is the one.
    left: AtomicI64,
    instead: Instead,
}

#[derive(Debug, Clone, Copy)]
enum Instead {
    Nothing,
    AllButTheLastSector,
    AtAnotherPlace,
    TheFirstSectorTwice,
}

impl BlockDevice for Careless {
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn block_size(&self) -> usize {
        self.inner.block_size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.inner.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        if self.left.fetch_sub(1, Ordering::Relaxed) != 0 {
            return self.inner.write_at(offset, buf);
        }
        let (sector, len) = (512, buf.len() as u64);
        match self.instead {
            Instead::Nothing => Ok(()),
            Instead::AllButTheLastSector => self.inner.write_at(offset, &buf[..buf.len() - sector]),
            Instead::AtAnotherPlace if offset + 4096 + len <= self.len() => {
                self.inner.write_at(offset + 4096, buf)
            }
            Instead::AtAnotherPlace => self.inner.write_at(offset - 4096, buf),
            Instead::TheFirstSectorTwice => {
                let mut twice = buf.to_vec();
                twice.copy_within(..sector, buf.len() - sector);
                self.inner.write_at(offset, &twice)
            }
        }
    }
    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        self.inner.zero(offset, len)
    }
    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }
}

#[test]
fn a_write_that_was_lost_or_went_astray_is_found() {
    use Instead::{AllButTheLastSector, AtAnotherPlace, Nothing, TheFirstSectorTwice};
    let fixture = Fixture::new(39, 2 << 20, 60 << 10);
    let whole = FakeDevice::new(fixture.old_slot());
    fixture.write(&whole, fixture.file(), Reuse::Nothing).unwrap();
    let writes = i64::try_from(whole.counts().writes).unwrap();
    let mut found = 0;
    for nth in 0..writes {
        for instead in [Nothing, AllButTheLastSector, AtAnotherPlace, TheFirstSectorTwice] {
            let inner = FakeDevice::new(fixture.old_slot());
            let device = Careless { inner, left: AtomicI64::new(nth), instead };
            let result = carry_out(fixture.order(&device), fixture.file(), &Reuse::Nothing);
            // Where it is all zeros, or short, the bytes may be right all the same.
            let right = fixture.is_complete(&device.inner.contents());
            let expected = if right { "ok" } else { "READ_BACK" };
            assert_eq!(code(result), expected, "write {nth}: {instead:?}");
            found += i64::from(!right);
        }
    }
    assert!(found > writes, "{found} of {writes}");
}

/// A disk image on a filesystem that fills up.
struct Full(FakeDevice, AtomicU64);

impl BlockDevice for Full {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn block_size(&self) -> usize {
        self.0.block_size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let used = self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
        if used + buf.len() as u64 > 1 << 20 {
            return Err(Failure::new(ReasonCode::NoSpace, "no space left on device"));
        }
        self.0.write_at(offset, buf)
    }
    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        self.0.zero(offset, len)
    }
    fn flush(&self) -> Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_full_disk_is_named_and_the_slot_goes_on_where_it_stopped() {
    let fixture = Fixture::new(34, 3 << 20, 60 << 10);
    let full = Full(FakeDevice::new(fixture.old_slot()), AtomicU64::new(0));
    let order = fixture.order(&full);
    let result = carry_out(order, fixture.stream(), &Reuse::Nothing);
    assert_eq!(code(result), "NO_SPACE");
    assert!(!offers_something(&full.0.contents()));
    let report = fixture.write(&full.0, fixture.file(), Reuse::Resume);
    assert!(report.unwrap().kept > 0);
    assert!(fixture.is_complete(&full.0.medium()));
}
