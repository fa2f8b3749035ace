//! Going on: what is looked at, what is fetched, and what refuses it.

use super::world::{Device, Draft, Memory, ROOM, image, nowhere, release_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use surefoot::install::{Report, Reuse};
use surefoot::model::{Failure, ReasonCode, Result};
use surefoot::source::{Fetch, Source};

/// A file that counts what is read of it and can be read up to some byte only: by its place, as
/// several workers read and none waits for the count of another.
struct Counted {
    file: Memory,
    read: AtomicU64,
    lost_after: u64,
}

impl Counted {
    fn new(artifact: &[u8], lost_after: u64) -> Arc<Counted> {
        let (file, read) = (Memory(artifact.to_vec()), AtomicU64::new(0));
        Arc::new(Counted { file, read, lost_after })
    }

    fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Fetch for Counted {
    fn len(&self) -> u64 {
        self.file.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if offset.saturating_add(buf.len() as u64) > self.lost_after {
            return Err(Failure::new(ReasonCode::SourceLost, "unplugged"));
        }
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.file.read_at(offset, buf)
    }
}

/// Goes on as the daemon does: what is missing is checked before anything is changed.
fn resume(device: &Device, artifact: &[u8], source: &Arc<Counted>) -> Result<Report> {
    let input = Source::Ranges(Arc::clone(source) as _);
    device.with_job(&release_of(artifact), input, Reuse::Resume, nowhere(), |job| {
        let prepared = job.prepare()?;
        prepared.check_missing()?;
        prepared.write()
    })
}

fn interrupted(artifact: &[u8], after: u64) -> (Device, u64) {
    let head = release_of(artifact).payload_offset();
    let (device, source) = (Device::new(), Counted::new(artifact, head + after));
    let input = Source::Ranges(Arc::clone(&source) as _);
    let lost = device.write(&release_of(artifact), input, Reuse::Nothing).unwrap_err();
    assert_eq!(lost.code(), ReasonCode::SourceLost);
    (device, source.read())
}

#[test]
fn after_a_lost_source_only_what_is_missing_is_read_at_all() {
    let image = image(21, ROOM);
    let artifact = Draft::new("1.0").rootfs(&image).build();
    let payload = release_of(&artifact).payload_len();
    for percent in [30, 60, 90] {
        let (device, _) = interrupted(&artifact, payload * percent / 100);
        let source = Counted::new(&artifact, u64::MAX);
        let report = resume(&device, &artifact, &source).unwrap();
        assert!(device.slot_bytes().starts_with(&image));
        // Each missing byte twice: checked before anything changes, and to be written.
        assert_eq!(source.read(), 2 * report.fetched, "at {percent} %");
        assert!(percent < 60 || report.fetched < payload, "{report:?} at {percent} %");
    }
}

#[test]
fn a_slow_source_is_read_once() {
    let artifact = Draft::new("1.0").rootfs(&image(22, ROOM)).build();
    let payload = release_of(&artifact).payload_len();
    let (device, before) = interrupted(&artifact, payload * 9 / 10);
    let source = Counted::new(&artifact, u64::MAX);
    let input = Source::Ranges(Arc::clone(&source) as _);
    let report = device.write(&release_of(&artifact), input, Reuse::Resume).unwrap();
    assert_eq!(source.read(), report.fetched);
    let again = (before + source.read()).saturating_sub(payload);
    assert!(again <= 16 << 20, "{again} bytes were fetched again");
}

#[test]
fn a_damaged_copy_is_refused_untouched_where_it_matters_and_a_good_one_goes_on() {
    let image = image(23, ROOM);
    let artifact = Draft::new("1.0").rootfs(&image).build();
    let (device, _) = interrupted(&artifact, release_of(&artifact).payload_len() * 6 / 10);
    let before = device.disk_bytes();
    // The last chunk is missing in the slot.
    let mut damaged = artifact.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let refused = resume(&device, &artifact, &Counted::new(&damaged, u64::MAX)).unwrap_err();
    assert_eq!(refused.code(), ReasonCode::ChunkCorrupt);
    for wrong in [&artifact[..artifact.len() - 1], &[&artifact[..], b"x"].concat()] {
        let refused = resume(&device, &artifact, &Counted::new(wrong, u64::MAX)).unwrap_err();
        let code = refused.code();
        assert!([ReasonCode::Truncated, ReasonCode::TrailingBytes].contains(&code), "{refused}");
    }
    assert!(device.disk_bytes() == before, "a refusal changed something");
    let report = resume(&device, &artifact, &Counted::new(&artifact, u64::MAX)).unwrap();
    assert!(report.kept > 0 && device.slot_bytes().starts_with(&image), "{report:?}");
}

#[test]
fn damage_in_what_stands_already_cannot_reach_the_slot() {
    let image = image(24, ROOM);
    let artifact = Draft::new("1.0").rootfs(&image).build();
    let release = release_of(&artifact);
    let (device, _) = interrupted(&artifact, release.payload_len() * 9 / 10);
    // A stored chunk behind the first 128 KiB, early enough to stand.
    let chunks = &release.table.chunks;
    let (mut at, mut plain) = (release.payload_offset(), 0u64);
    let kept = chunks.iter().position(|chunk| {
        let found = plain > 256 << 10 && !chunk.is_zero();
        (at, plain) = match found {
            true => (at, plain),
            false => (at + u64::from(chunk.stored_len), plain + u64::from(chunk.plain_len)),
        };
        found
    });
    assert!(kept.is_some());
    let mut damaged = artifact.clone();
    damaged[at as usize] ^= 1;
    let report = resume(&device, &artifact, &Counted::new(&damaged, u64::MAX)).unwrap();
    assert!(report.kept > 0, "{report:?}");
    assert!(device.slot_bytes().starts_with(&image));
}
