//! The promises of an installation, with real artifacts on real disk images.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

mod parts;
mod refused;
mod resume;
mod standing;
mod world;

use std::sync::Mutex;
use surefoot::artifact::Release;
use surefoot::event::{Event, Phase, Sink};
use surefoot::install::{Depth, Reuse, SlotVerdict, check_file, installed, verify_slot};
use surefoot::source::Fetch;
use world::{Device, Draft, image, nowhere, of_file, of_stream, trust};

#[test]
fn a_signed_image_gets_into_the_slot_and_nothing_else_changes() {
    let image = image(1, 6 << 20);
    let artifact = Draft::new("1.0").rootfs(&image).build();
    for input in [of_file, of_stream] {
        let device = Device::new();
        let before = device.disk_bytes();
        let (release, input) = input(&artifact);
        let report = device.write(&release, input, Reuse::Nothing).unwrap();
        assert_eq!(report.image, image.len() as u64);
        let of_image = report.written - surefoot::slot::record::RECORD_LEN;
        assert!(report.zeroed > 0 && of_image < report.image, "{report:?}");
        assert!(device.slot_bytes().starts_with(&image));

        let (slot, after) = (device.slot_range(), device.disk_bytes());
        assert!(before[..slot.start] == after[..slot.start]);
        assert!(before[slot.end..] == after[slot.end..]);
        let found = installed(&device.slot(), &trust()).unwrap().unwrap();
        assert_eq!(found.manifest.version.as_str(), "1.0");
        assert_eq!(found.body_digest, release.body_digest());
        let bytes = report.image;
        let version = found.manifest.version.clone();
        assert_eq!(
            verify_slot(&device.slot(), &trust(), nowhere()).unwrap(),
            SlotVerdict::Matches { version, bytes }
        );
    }
}

#[test]
fn each_hardware_revision_gets_its_own_image() {
    let (one, two) = (image(2, 3 << 20), image(3, 2 << 20));
    let draft = Draft::new("1.0").rootfs_for(&one, &["r1"]);
    let artifact = draft.rootfs_for(&two, &["r2", "r3"]).build();
    for (revision, wanted) in [("r1", &one), ("r2", &two), ("r3", &two)] {
        for input in [of_file, of_stream] {
            let device = Device::of_revision(revision);
            let (release, input) = input(&artifact);
            let report = device.write(&release, input, Reuse::Nothing).unwrap();
            assert!(device.slot_bytes().starts_with(wanted), "{revision}");
            assert!(report.fetched < release.payload_len());
            let found = installed(&device.slot(), &trust()).unwrap().unwrap();
            assert_eq!(found.rootfs().unwrap().size, wanted.len() as u64);
        }
    }
}

/// Keeps every event.
#[derive(Default)]
struct Kept(Mutex<Vec<Event>>);

impl Sink for Kept {
    fn emit(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

#[test]
fn progress_is_told_in_order_and_comes_to_its_total() {
    let artifact = Draft::new("1.0").rootfs(&image(4, 5 << 20)).build();
    let device = Device::new();
    let heard = Kept::default();
    let (release, input) = of_file(&artifact);
    let source = world::Memory(artifact.clone());
    let release: &Release = &release;
    check_file(&source as &dyn Fetch, release, Depth::Stored, &heard).unwrap();
    let (release, _) = of_file(&artifact);
    device.write_to(&release, input, Reuse::Resume, &heard).unwrap();
    let mut totals = Vec::new();
    for event in heard.0.into_inner().unwrap() {
        match event {
            Event::PhaseStarted { phase, total } => totals.push((phase, total)),
            Event::Progress { done, total, .. } => assert!(done <= total),
            Event::PhaseEnded { phase, done, .. } => {
                assert_eq!(totals.last(), Some(&(phase, done)))
            }
            other => panic!("{other:?}"),
        }
    }
    let phases: Vec<_> = totals.iter().map(|(phase, _)| *phase).collect();
    let expected = [Phase::Verify, Phase::Compare, Phase::Write, Phase::Finish];
    assert_eq!(phases, expected);
}
