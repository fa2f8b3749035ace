//! A slot of two parts, read by those who only look at it.

use super::standing::{ext4, verdict};
use super::world::{Device, Draft, image, nowhere, of_file, trust};
use surefoot::install::{Reuse, SlotRecord, SlotVerdict, installed, slot_record, verify_slot};
use surefoot::model::ReasonCode;
use surefoot::slot::bootable;

const BOOT: usize = 0;
const ROOTFS: usize = 1;

/// A device with a release of two parts in slot b: 2 MiB and 4 MiB that say ext4.
fn device() -> Device {
    let device = Device::of_two_parts();
    let mut boot = image(31, 2 << 20);
    boot[1024..2048].copy_from_slice(&ext4()[1024..2048]);
    let artifact = Draft::new("1.0").rootfs(&ext4()).part("boot", &boot).build();
    let (release, input) = of_file(&artifact);
    device.write(&release, input, Reuse::Nothing).unwrap();
    device
}

#[test]
fn every_part_is_compared_and_the_one_that_differs_is_named() {
    let device = device();
    let SlotVerdict::Matches { bytes, .. } = verdict(&device) else {
        panic!("{:?}", verdict(&device));
    };
    assert_eq!(bytes, 6 << 20, "of both");
    for (nth, name, at) in [(BOOT, "boot", 1_500_000), (ROOTFS, "rootfs", 3_000_000)] {
        let device = self::device();
        device.tamper_with(nth, at, &[0xa7; 20]);
        let SlotVerdict::Damaged { part, differs_at, .. } = verdict(&device) else {
            panic!("{:?}", verdict(&device));
        };
        assert_eq!(part.unwrap().as_str(), name);
        let found = differs_at.unwrap();
        assert!((at as u64 - 200_000..=at as u64).contains(&found), "{name}: {found}");
        // Mounted writable: that part is modified, and no other one is excused by it.
        device.tamper_with(nth, 1024 + 0x34, &[1, 0]);
        let failure = verdict(&device).require_match().unwrap_err();
        assert_eq!(failure.code(), ReasonCode::ModifiedSinceInstall);
        assert!(failure.detail().contains(&format!("in part {name}")), "{failure}");
        device.tamper_with(1 - nth, 1_000_000, &[0x11; 20]);
        let failure = verdict(&device).require_match().unwrap_err();
        assert_eq!(failure.code(), ReasonCode::SlotDamaged, "{failure}");
        assert!(!failure.detail().contains(&format!("in part {name}")), "{failure}");
    }
}

#[test]
fn a_record_is_believed_only_of_the_parts_that_it_was_written_for() {
    let mut device = device();
    let names = |device: &Device| {
        let installed = installed(&device.slot(), &trust()).unwrap().unwrap();
        installed.payloads.len()
    };
    assert_eq!(names(&device), 2);
    let not_accepted = |device: &Device| match slot_record(&device.slot(), &Ok(trust())).unwrap() {
        SlotRecord::NotAccepted { why, .. } => {
            assert_eq!(why.code(), ReasonCode::SlotDamaged);
            let failure = verify_slot(&device.slot(), &trust(), nowhere()).unwrap_err();
            assert_eq!(failure.code(), why.code());
            why.detail().to_owned()
        }
        other => panic!("{other:?}"),
    };
    // The same partitions under other words of `[slots]`.
    device.named(&["boot-a"], &["boot-b"]);
    assert!(not_accepted(&device).contains("2 parts"));
    device.named(&["fpga=boot-a", "rootfs-a"], &["fpga=boot-b", "rootfs-b"]);
    assert!(not_accepted(&device).contains("`fpga`"));
    device.named(&["rootfs=boot-a", "boot=rootfs-a"], &["rootfs=boot-b", "boot=rootfs-b"]);
    assert!(not_accepted(&device).contains("bytes"), "the root filesystem does not fit there");
    // It lies in the first part alone.
    device.named(&["rootfs-a", "boot-a"], &["rootfs-b", "boot-b"]);
    assert!(matches!(slot_record(&device.slot(), &Ok(trust())).unwrap(), SlotRecord::Missing(_)));
}

/// Who names another part first, and later the old one again, finds no record of what stood before.
#[test]
fn a_record_in_a_part_that_was_the_first_is_destroyed_too() {
    let mut device = device();
    let artifact = Draft::new("2.0").rootfs(&ext4()).part("boot", &image(32, 1 << 20)).build();
    device.named(&["rootfs-a", "boot-a"], &["rootfs-b", "boot-b"]);
    let (release, input) = of_file(&artifact);
    device.write(&release, input, Reuse::Nothing).unwrap();
    let SlotRecord::Accepted(found) = slot_record(&device.slot(), &Ok(trust())).unwrap() else {
        panic!("no record in the part that is the first now");
    };
    assert_eq!(found.manifest.version.to_string(), "2.0");
    device.named(&["boot-a", "rootfs-a"], &["boot-b", "rootfs-b"]);
    let found = slot_record(&device.slot(), &Ok(trust())).unwrap();
    assert!(matches!(found, SlotRecord::Missing(_)), "the record of 1.0 is believed of 2.0");
}

#[test]
fn a_slot_boots_only_with_a_kernel_to_load_and_a_root_behind_it() {
    let whole = device();
    assert!(bootable(&whole.slot()));
    for nth in [BOOT, ROOTFS] {
        let device = device();
        device.tamper_with(nth, 0, &[0; 128 << 10]);
        assert!(!bootable(&device.slot()), "without the head of part {nth}");
    }
    // A bootloader reads the kernel's part; the kernel, which knows more file systems, its root.
    for (nth, boots) in [(BOOT, false), (ROOTFS, true)] {
        let device = device();
        device.tamper_with(nth, 1024 + 0x38, &[0, 0]);
        assert_eq!(bootable(&device.slot()), boots, "part {nth}");
    }
    // Of a part that neither of them reads nothing can be told.
    let mut device = device();
    device.named(&["boot-a", "fpga=boot", "rootfs-a"], &["boot-b", "fpga=data", "rootfs-b"]);
    assert!(bootable(&device.slot()));
}
