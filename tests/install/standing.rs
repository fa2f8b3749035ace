//! What stands in a slot: used again, compared, and named.

use super::world::{Device, Draft, ROOM, image, nowhere, of_file, strange_trust, trust};
use surefoot::install::{Reuse, SlotVerdict, installed, verify_slot};
use surefoot::model::ReasonCode;

fn shared(device: &Device) -> Reuse {
    let standing = installed(&device.slot(), &trust()).unwrap().unwrap();
    Reuse::SharedWith(Box::new(standing))
}

/// The most that is written when nothing has changed: the first 128 KiB with the chunk that
/// straddles their end, and the slot record.
const LEAST: u64 = (128 << 10) + (128 << 10) + (1 << 20);

#[test]
fn installing_the_same_again_writes_only_what_was_destroyed() {
    let artifact = Draft::new("1.0").rootfs(&image(11, ROOM)).build();
    let device = Device::new();
    let (release, input) = of_file(&artifact);
    device.write(&release, input, Reuse::Nothing).unwrap();
    let before = device.disk_bytes();
    let (release, input) = of_file(&artifact);
    let reuse = shared(&device);
    let report = device.write(&release, input, reuse).unwrap();
    assert!(report.written <= LEAST, "{report:?}");
    assert!(device.disk_bytes() == before);
}

#[test]
fn a_release_that_shares_chunks_writes_the_others() {
    let old = image(12, 6 << 20);
    let mut new = old.clone();
    new[4 << 20..][..5000].fill(0x5a);
    let device = Device::new();
    let (release, input) = of_file(&Draft::new("1.0").rootfs(&old).build());
    device.write(&release, input, Reuse::Nothing).unwrap();
    let (release, input) = of_file(&Draft::new("2.0").rootfs(&new).build());
    let reuse = shared(&device);
    let report = device.write(&release, input, reuse).unwrap();
    assert!(report.written < LEAST + (512 << 10), "{report:?}");
    assert!(device.slot_bytes().starts_with(&new));
    // What the record says is not believed: the slot was changed behind it.
    device.tamper(5 << 20, &[1; 3000]);
    let (release, input) = of_file(&Draft::new("1.0").rootfs(&old).build());
    let reuse = shared(&device);
    device.write(&release, input, reuse).unwrap();
    assert!(device.slot_bytes().starts_with(&old));
}

/// An image whose superblock says ext4, never mounted.
pub(super) fn ext4() -> Vec<u8> {
    let mut image = image(13, 4 << 20);
    image[1024..2048].fill(0);
    image[1024 + 0x38..][..2].copy_from_slice(&[0x53, 0xef]);
    image
}

#[test]
fn a_slot_is_compared_with_its_record() {
    let device = Device::new();
    assert!(matches!(verdict(&device), SlotVerdict::Unknown { .. }));
    let (release, input) = of_file(&Draft::new("1.0").rootfs(&ext4()).build());
    device.write(&release, input, Reuse::Nothing).unwrap();
    assert!(verdict(&device).require_match().is_ok());

    // A byte in the middle: nobody mounted it.
    device.tamper(3_000_000, &[0xa7; 20]);
    let SlotVerdict::Damaged { differs_at, .. } = verdict(&device) else {
        panic!("{:?}", verdict(&device));
    };
    let at = differs_at.unwrap();
    assert!((2_800_000..=3_000_000).contains(&at), "{at}");

    // A mount count in the superblock explains it.
    device.tamper(1024 + 0x34, &[1, 0]);
    let modified = verdict(&device).require_match().unwrap_err();
    assert_eq!(modified.code(), ReasonCode::ModifiedSinceInstall);

    // A superblock that is gone does not.
    device.tamper(1024, &[0; 1024]);
    let damaged = verdict(&device).require_match().unwrap_err();
    assert_eq!(damaged.code(), ReasonCode::SlotDamaged);
}

pub(super) fn verdict(device: &Device) -> SlotVerdict {
    verify_slot(&device.slot(), &trust(), nowhere()).unwrap()
}

#[test]
fn a_record_counts_only_if_it_is_whole_and_signed_by_whom_the_device_trusts() {
    let device = Device::new();
    let (release, input) = of_file(&Draft::new("1.0").rootfs(&image(14, 2 << 20)).build());
    device.write(&release, input, Reuse::Nothing).unwrap();
    assert!(installed(&device.slot(), &strange_trust()).unwrap().is_none());
    let record = device.slot_bytes()[ROOM..].to_vec();
    let end = record.iter().rposition(|b| *b != 0).unwrap();
    for at in (0..end).step_by(131).chain([end]) {
        device.tamper(ROOM + at, &[record[at] ^ 4]);
        assert!(installed(&device.slot(), &trust()).unwrap().is_none(), "byte {at}");
        device.tamper(ROOM + at, &[record[at]]);
    }
    assert!(installed(&device.slot(), &trust()).unwrap().is_some());
}
