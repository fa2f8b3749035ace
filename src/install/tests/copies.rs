//! Chunks that come from the other slot, and are not what they are said to be.

use super::{Fixture, Memory, code, offers_something};
use crate::disk::fake::{FakeDevice, Survivors};
use crate::event::Nowhere;
use crate::install::Reuse;
use crate::install::origin::{Origin, Other};
use crate::install::write::Report;
use crate::model::{Result, SlotId};
use crate::source::Source;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The other slot: the image's data, moved by some bytes, every third chunk of it damaged or gone.
struct World {
    fixture: Fixture,
    other: FakeDevice,
    origins: Vec<Origin>,
    /// Stored bytes of what is copied and right.
    spared: u64,
}

fn world(seed: u64) -> World {
    let fixture = Fixture::new(seed, 3 << 20, 60 << 10);
    let (mut old, mut at, mut spared) = (vec![0x77; 1000], 0, 0);
    let mut origins = Vec::new();
    for (index, chunk) in fixture.chunks.iter().enumerate() {
        let plain = &fixture.image[at..at + chunk.plain_len as usize];
        at += plain.len();
        let slot = if index % 7 == 5 { SlotId::B } else { SlotId::A };
        let copy = Origin::CopyFrom { slot, at: old.len() as u64 };
        origins.push(match index % 3 {
            _ if chunk.is_zero() => Origin::Zero,
            0 => Origin::Fetch,
            // Past the end of the partition, and past the end of all numbers.
            1 if index % 5 == 0 => {
                Origin::CopyFrom { slot, at: u64::MAX - (index as u64 % 2) * 9000 }
            }
            1 if index % 5 == 1 => {
                old.extend(plain.iter().map(|b| b ^ 1));
                copy
            }
            _ => {
                old.extend(plain);
                spared += if slot == SlotId::A { u64::from(chunk.stored_len) } else { 0 };
                copy
            }
        });
    }
    old.resize(old.len().next_multiple_of(4096), 0);
    World { other: FakeDevice::new(old), fixture, origins, spared }
}

impl World {
    fn write(&self, device: &FakeDevice, input: Source) -> Result<Report> {
        let mut order = self.fixture.order(device);
        order.parts[0].other = Some(Other { slot: SlotId::A, device: &self.other });
        order.parts[0].origins.clone_from(&self.origins);
        order.carry_out(input, &Nowhere)
    }
}

#[test]
fn what_is_copied_is_hashed_and_what_does_not_fit_is_fetched() {
    for seed in [71, 72, 73] {
        let world = world(seed);
        let total = world.fixture.payload.len() as u64;
        assert!(world.spared > total / 4, "{} of {total}", world.spared);
        let device = FakeDevice::new(world.fixture.old_slot());
        let source = Arc::new(Memory::new(world.fixture.payload.clone()));
        let report = world.write(&device, Source::Ranges(Arc::clone(&source) as _)).unwrap();
        assert!(world.fixture.is_complete(&device.medium()));
        assert_eq!(report.fetched, total - world.spared);
        assert_eq!(source.read.load(Ordering::Relaxed), report.fetched);
        assert_eq!(world.other.counts().writes, 0);
    }
}

#[test]
fn a_chunk_that_is_wrong_in_both_places_never_reaches_the_medium() {
    let world = world(74);
    let wrong = |o: &Origin| matches!(o, Origin::CopyFrom { at, .. } if *at > 1 << 40);
    let index = world.origins.iter().position(wrong).unwrap();
    let before = world.fixture.chunks[..index].iter().map(|c| c.stored_len as usize);
    let mut payload = world.fixture.payload.clone();
    payload[before.sum::<usize>() + 2] ^= 4;
    let device = FakeDevice::new(world.fixture.old_slot());
    let result = world.write(&device, Source::Ranges(Arc::new(Memory::new(payload))));
    assert_eq!(code(result), "CHUNK_CORRUPT");
    assert!(!offers_something(&device.contents()));
    world.fixture.write(&device, world.fixture.file(), Reuse::Resume).unwrap();
    assert!(world.fixture.is_complete(&device.medium()));
}

#[test]
fn a_slot_that_cannot_be_read_is_not_needed() {
    let world = world(75);
    world.other.cut();
    let device = FakeDevice::new(world.fixture.old_slot());
    let report = world.write(&device, world.fixture.file()).unwrap();
    assert_eq!(report.fetched, world.fixture.payload.len() as u64);
    assert!(world.fixture.is_complete(&device.medium()));
}

#[test]
fn a_cut_while_chunks_are_copied_is_resumed() {
    let world = world(76);
    let whole = FakeDevice::new(world.fixture.old_slot());
    world.write(&whole, world.fixture.file()).unwrap();
    for nth in 1..=whole.counts().writes {
        let device = FakeDevice::new(world.fixture.old_slot());
        device.cut_at_write(nth, 900);
        assert!(world.write(&device, world.fixture.file()).is_err());
        device.power_on(Survivors::Some(nth));
        // The first two writes destroy the record and the first block.
        assert!(
            nth <= 2 || !offers_something(&device.medium()) || nth + 1 >= whole.counts().writes
        );
        world.fixture.write(&device, world.fixture.file(), Reuse::Resume).unwrap();
        assert!(world.fixture.is_complete(&device.medium()), "after write {nth}");
    }
}
