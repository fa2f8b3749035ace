//! What is refused, and that it changes nothing.

use crate::world::{Device, Draft, Memory, ROOM, image, nowhere, of_file, of_stream};
use surefoot::install::{Reuse, check_stored};
use surefoot::model::{ReasonCode, Result};

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, code: ReasonCode) {
    let failure = result.unwrap_err();
    assert_eq!(failure.code(), code, "{failure}");
}

#[test]
fn what_is_not_for_this_device_touches_nothing() {
    let device = Device::of_revision("r1");
    let before = device.disk_bytes();
    let small = image(1, 1 << 20);
    let draft = || Draft::new("1.0").rootfs(&small);
    for (draft, code) in [
        (draft().product("other"), ReasonCode::WrongProduct),
        (draft().product("TEST"), ReasonCode::WrongProduct),
        (draft().compatible("board2"), ReasonCode::Incompatible),
        (Draft::new("1.0").rootfs_for(&small, &["r2"]), ReasonCode::NoPayload),
        (Draft::new("1.0").rootfs(&image(2, ROOM + 1)), ReasonCode::TooBig),
    ] {
        let (release, input) = of_file(&draft.build());
        refused(device.write(&release, input, Reuse::Nothing), code);
        assert!(device.disk_bytes() == before, "{code}");
    }
}

#[test]
fn an_image_may_fill_the_slot_to_the_last_byte_before_its_record() {
    let device = Device::new();
    let full = image(3, ROOM);
    let (release, input) = of_file(&Draft::new("1.0").rootfs(&full).build());
    device.write(&release, input, Reuse::Nothing).unwrap();
    assert!(device.slot_bytes().starts_with(&full));
}

#[test]
fn every_damaged_byte_of_a_file_is_found_before_anything_is_written() {
    let artifact = Draft::new("1.0").rootfs(&image(6, 1 << 20)).build();
    let (release, _) = of_file(&artifact);
    let payload = release.payload_offset() as usize..artifact.len();
    assert!(payload.len() > 20_000);
    check_stored(&Memory(artifact.clone()), &release, nowhere()).unwrap();
    for at in payload.clone().step_by(1499).chain([payload.end - 1]) {
        let mut damaged = artifact.clone();
        damaged[at] ^= 1;
        let found = check_stored(&Memory(damaged), &release, nowhere());
        refused(found, ReasonCode::ChunkCorrupt);
    }
    for cut in payload.clone().step_by(20_011) {
        let short = Memory(artifact[..cut].to_vec());
        refused(check_stored(&short, &release, nowhere()), ReasonCode::Truncated);
    }
    let mut long = artifact.clone();
    long.push(0);
    let found = check_stored(&Memory(long), &release, nowhere());
    refused(found, ReasonCode::TrailingBytes);
}

#[test]
fn a_file_that_was_exchanged_after_its_check_is_refused_untouched_or_unbootable() {
    let artifact = Draft::new("1.0").rootfs(&image(5, 2 << 20)).build();
    let device = Device::new();
    let before = device.disk_bytes();
    for (bytes, code) in [
        (artifact[..artifact.len() - 1].to_vec(), ReasonCode::Truncated),
        ([&artifact[..], b"x"].concat(), ReasonCode::TrailingBytes),
    ] {
        let (release, input) = of_file(&bytes);
        refused(device.write(&release, input, Reuse::Nothing), code);
        assert!(device.disk_bytes() == before);
    }
    let mut damaged = artifact.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let (release, input) = of_file(&damaged);
    let result = device.write(&release, input, Reuse::Nothing);
    refused(result, ReasonCode::ChunkCorrupt);
    assert!(device.slot_bytes()[..128 << 10].iter().all(|b| *b == 0));
}

#[test]
fn a_stream_that_fails_says_that_the_slot_is_empty_and_the_next_one_installs() {
    let image = image(6, 3 << 20);
    let artifact = Draft::new("1.0").rootfs(&image).build();
    let device = Device::new();
    let (release, input) = of_stream(&artifact[..artifact.len() - 9]);
    let failure = device.write(&release, input, Reuse::Nothing).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::Truncated);
    assert!(failure.detail().starts_with("slot b: left without a system: "), "{failure}");
    let (release, input) = of_stream(&artifact);
    let report = device.write(&release, input, Reuse::Resume).unwrap();
    assert!(report.kept > 0, "{report:?}");
    assert!(device.slot_bytes().starts_with(&image));
}
