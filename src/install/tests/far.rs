//! An artifact far away: what stands in the slot, what is copied, what is fetched in order, and what is asked
//! for once more, in every mixture.

use super::contexts::chain;
use super::{Dice, Fixture, offers_something};
use crate::disk::BlockDevice;
use crate::disk::fake::{FakeDevice, Survivors};
use crate::event::Nowhere;
use crate::install::Reuse;
use crate::install::origin::{Origin, Other};
use crate::install::pipeline::memory;
use crate::install::reuse::find_standing;
use crate::install::spans::{Places, work};
use crate::install::write::Report;
use crate::model::{Failure, ReasonCode, Result, SlotId};
use crate::source::{Fetch, Source};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bytes that are dear: what is wanted comes in order, and what is missing is asked for.
#[derive(Default)]
struct Far {
    bytes: Vec<u8>,
    received: AtomicU64,
    questions: AtomicUsize,
    /// Where the connection is lost for good, counted in bytes received; 0: never.
    lost_after: u64,
}

impl Far {
    fn take(&self, range: Range<usize>) -> Result<&[u8]> {
        let before = self.received.fetch_add(range.len() as u64, Ordering::Relaxed);
        if self.lost_after > 0 && before + range.len() as u64 > self.lost_after {
            return Err(Failure::new(ReasonCode::SourceLost, "the connection is lost"));
        }
        Ok(&self.bytes[range])
    }
}

impl Fetch for Far {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let at = usize::try_from(offset).unwrap();
        buf.copy_from_slice(self.take(at..at + buf.len())?);
        Ok(())
    }
    fn read_ranges(&self, ranges: &[Range<u64>], buf: &mut [u8]) -> Result<()> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let mut at = 0;
        for range in ranges {
            let end = at + usize::try_from(range.end - range.start).unwrap();
            self.read_at(range.start, &mut buf[at..end])?;
            at = end;
        }
        assert_eq!(at, buf.len());
        Ok(())
    }
    fn is_dear(&self) -> bool {
        true
    }
    fn in_order(&self, ranges: &[Range<u64>]) -> Result<Option<Box<dyn Read + Send + '_>>> {
        Ok(Some(Box::new(InOrder { far: self, ranges: ranges.to_vec() })))
    }
    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

struct InOrder<'a> {
    far: &'a Far,
    ranges: Vec<Range<u64>>,
}

impl Read for InOrder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.ranges.retain(|range| !range.is_empty());
        let Some(range) = self.ranges.first_mut() else { return Ok(0) };
        // In pieces, as they come.
        let len = buf.len().min(usize::try_from(range.end - range.start).unwrap()).min(5_000);
        self.far.read_at(range.start, &mut buf[..len]).map_err(std::io::Error::other)?;
        range.start += len as u64;
        Ok(len)
    }
}

/// What the other slot holds of an image.
#[derive(Clone, Copy, PartialEq)]
enum Held {
    /// What its record says.
    Right,
    /// Now and then something else, and places beyond its end.
    Mixed,
    /// Nothing of it.
    Wrong,
}

struct World {
    fixture: Fixture,
    origins: Vec<Origin>,
    target: Vec<u8>,
    other: FakeDevice,
    /// Stored bytes that must come over the network.
    needed: u64,
    /// Chunks whose copy is not right.
    wrong: usize,
}

fn world(fixture: Fixture, seed: u64, held: Held) -> World {
    let mut dice = Dice(seed);
    let (mut old, mut target) = (vec![0x31; 777], fixture.old_slot());
    let (mut at, mut needed, mut wrong, mut origins) = (0, 0, 0, Vec::new());
    let mut kind = 0;
    for chunk in &fixture.chunks {
        let place = at..at + chunk.plain_len as usize;
        at = place.end;
        let plain = &fixture.image[place.clone()];
        // Runs, as real images have them, of any length.
        if dice.roll(3) == 0 {
            kind = dice.roll(4);
        }
        origins.push(match kind {
            _ if chunk.is_zero() => Origin::Zero,
            0 if place.start >= 128 << 10 => {
                target[place].copy_from_slice(plain);
                Origin::Stands
            }
            1 | 2 => {
                let far = u64::MAX - dice.roll(100_000) as u64;
                let good = held == Held::Right || (held == Held::Mixed && dice.roll(3) > 0);
                let beyond = !good && dice.roll(3) == 0;
                let here = old.len() as u64;
                old.extend(plain.iter().map(|byte| if good { *byte } else { byte ^ 0x40 }));
                needed += if good { 0 } else { u64::from(chunk.stored_len) };
                wrong += usize::from(!good);
                Origin::CopyFrom { slot: SlotId::A, at: if beyond { far } else { here } }
            }
            _ => {
                needed += u64::from(chunk.stored_len);
                Origin::Fetch
            }
        });
    }
    old.resize(old.len().next_multiple_of(4096), 0);
    World { fixture, origins, target, other: FakeDevice::new(old), needed, wrong }
}

impl World {
    fn write(&self, device: &dyn BlockDevice, source: &Arc<Far>) -> Result<Report> {
        let mut order = self.fixture.order(device);
        order.parts[0].other = Some(Other { slot: SlotId::A, device: &self.other });
        order.parts[0].origins.clone_from(&self.origins);
        order.carry_out(Source::Ranges(Arc::clone(source) as _), &Nowhere)
    }

    /// Goes on after a cut, as a job does: what stands is found anew, and so is what can be copied.
    fn resume(&self, device: &dyn BlockDevice, source: &Arc<Far>) -> Result<Report> {
        let mut order = self.fixture.order(device);
        order.parts[0].other = Some(Other { slot: SlotId::A, device: &self.other });
        find_standing(&mut order.parts, &Reuse::Resume, &Nowhere)?;
        for (origin, before) in order.parts[0].origins.iter_mut().zip(&self.origins) {
            if *origin == Origin::Fetch && before.is_copy() {
                *origin = *before;
            }
        }
        order.carry_out(Source::Ranges(Arc::clone(source) as _), &Nowhere)
    }

    fn far(&self) -> Far {
        Far { bytes: self.fixture.payload.clone(), ..Far::default() }
    }
}

/// Images of chunks of any kind, and some whose contexts reach 1 and 4 MiB back without an end.
fn fixtures(seed: u64) -> [Fixture; 3] {
    [Fixture::new(seed, 3 << 20, 60 << 10), chain(60, 64 << 10, 16), chain(14, 512 << 10, 8)]
}

#[test]
fn any_mixture_of_origins_ends_with_the_image_and_fetches_what_is_missing_once() {
    for seed in 1..=4 {
        for held in [Held::Right, Held::Mixed, Held::Wrong] {
            for fixture in fixtures(seed * 31) {
                let world = world(fixture, seed * 77 + held as u64, held);
                let places = Places::new(&world.fixture.chunks, 0);
                let all = work(&places, &world.origins);
                assert!(memory(&all) <= 34 << 20, "{}", memory(&all));
                let device = FakeDevice::new(world.target.clone());
                let far = Arc::new(world.far());
                let report = world.write(&device, &far).unwrap();
                assert!(world.fixture.is_complete(&device.medium()), "seed {seed}");
                assert_eq!(report.fetched, world.needed);
                assert_eq!(far.received(), world.needed, "nothing comes twice");
                // All that one span lacks is one question.
                let copied = all.spans.iter().filter(|span| span.copied).count();
                let asked = far.questions.load(Ordering::Relaxed);
                assert!(asked <= copied.min(world.wrong), "{asked} of {copied}, {}", world.wrong);
                let image = world.fixture.image.len() as u64;
                assert!(report.kept + report.copied <= image);
                assert_eq!(world.other.counts().writes, 0);
            }
        }
    }
}

/// D02: what refers to a place beyond the other slot is fetched, wherever it points.
#[test]
fn d02_a_place_beyond_the_other_slot_is_fetched() {
    let mut world = world(Fixture::new(9, 2 << 20, 60 << 10), 5, Held::Right);
    let len = world.other.len();
    let ends = [len, len - 1, u64::MAX, u64::MAX - 4096, i64::MAX.unsigned_abs()];
    let copies = world.origins.iter_mut().filter(|origin| origin.is_copy());
    for (n, origin) in copies.enumerate() {
        *origin = Origin::CopyFrom { slot: SlotId::A, at: ends[n % ends.len()] };
    }
    let device = FakeDevice::new(world.target.clone());
    let report = world.write(&device, &Arc::new(world.far())).unwrap();
    assert!(world.fixture.is_complete(&device.medium()));
    assert_eq!(report.copied, 0);
}

/// A slot in which something else stands at every look.
struct Changing(FakeDevice, AtomicU64);

impl BlockDevice for Changing {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn block_size(&self) -> usize {
        self.0.block_size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buf)?;
        let nth = self.1.fetch_add(1, Ordering::Relaxed);
        if nth % 2 == 1 {
            let at = usize::try_from(nth * 7919).unwrap() % buf.len();
            buf[at] ^= 0x80;
        }
        Ok(())
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        panic!("the slot that runs is never written");
    }
    fn zero(&self, _: u64, _: u64) -> Result<()> {
        panic!("the slot that runs is never written");
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// D04: the slot that runs is mounted writable and changes while it is read.
#[test]
fn d04_a_slot_that_changes_while_it_is_read_costs_bytes_and_nothing_else() {
    let (mut more, mut copied) = (0, 0);
    for fixture in fixtures(17) {
        let world = world(fixture, 23, Held::Right);
        let changing = Changing(FakeDevice::new(world.other.contents()), AtomicU64::new(0));
        let device = FakeDevice::new(world.target.clone());
        let mut order = world.fixture.order(&device);
        order.parts[0].other = Some(Other { slot: SlotId::A, device: &changing });
        order.parts[0].origins.clone_from(&world.origins);
        let far = Arc::new(world.far());
        let report = order.carry_out(Source::Ranges(Arc::clone(&far) as _), &Nowhere).unwrap();
        assert!(world.fixture.is_complete(&device.medium()));
        assert!(far.received() <= world.fixture.payload.len() as u64);
        more += report.fetched - world.needed;
        copied += report.copied;
    }
    assert!(more > 0 && copied > 0, "{more}, {copied}");
}

#[test]
fn a_connection_that_is_lost_ends_the_writing_with_its_own_reason() {
    for part in 1..6 {
        let world = world(Fixture::new(12, 2 << 20, 60 << 10), 11, Held::Mixed);
        let far = Far { lost_after: world.needed * part / 6, ..world.far() };
        let device = FakeDevice::new(world.target.clone());
        let failure = world.write(&device, &Arc::new(far)).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::SourceLost);
        assert!(failure.detail().contains("the connection is lost"), "{failure}");
        assert!(!offers_something(&device.contents()));
        let (again, far) = (FakeDevice::new(device.contents()), Arc::new(world.far()));
        world.fixture.write(&again, Source::Ranges(far), Reuse::Resume).unwrap();
        assert!(world.fixture.is_complete(&again.medium()));
    }
}

#[test]
fn a_power_cut_at_any_write_is_gone_on_with_and_nothing_that_stands_comes_again() {
    let world = world(Fixture::new(14, 4 << 20, 60 << 10), 13, Held::Mixed);
    let whole = FakeDevice::new(world.target.clone());
    world.write(&whole, &Arc::new(world.far())).unwrap();
    let writes = whole.counts().writes;
    assert!(writes > 10, "{writes}");
    let mut spared = 0;
    for nth in 1..=writes {
        for torn in [0, 700] {
            let device = FakeDevice::new(world.target.clone());
            device.cut_at_write(nth, torn);
            assert!(world.write(&device, &Arc::new(world.far())).is_err());
            device.power_on(Survivors::Some(nth));
            let half = nth > 2 && nth + 1 < writes;
            assert!(!half || !offers_something(&device.medium()), "write {nth}");
            let far = Arc::new(world.far());
            let report = world.resume(&device, &far).unwrap();
            assert!(world.fixture.is_complete(&device.medium()), "write {nth}");
            assert_eq!(far.received(), report.fetched, "write {nth}");
            assert!(far.received() <= world.needed, "write {nth}");
            spared += world.needed - far.received();
        }
    }
    assert!(spared > 0, "what was written before a cut is never found again");
}
