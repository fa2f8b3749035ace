//! Layouts, the booted slot, and every fact that withholds the key.

use super::{
    Inactive, Layout, Root, SlotNames, booted_from_file, booted_on_device, slot_on_command_line,
};
use crate::disk::fake::{FakeDevice, gpt_disk};
use crate::disk::{BlockDevice, Disk, PartitionTable, read_table};
use crate::model::{CopyClaim, EnvClaims, ReasonCode, SlotId};
use std::path::Path;
use std::sync::Arc;

/// A partition that has room for a record.
const UNIT: u64 = 2 << 20;
const PARTS: [(&str, u64, u64); 5] = [
    ("rootfs-a", UNIT, UNIT),
    ("rootfs-b", 2 * UNIT, UNIT),
    ("boot-a", 3 * UNIT, UNIT),
    ("boot-b", 4 * UNIT, UNIT),
    ("tiny", 5 * UNIT, 4096),
];

fn bytes() -> Vec<u8> {
    gpt_disk(8 * UNIT, &PARTS)
}

fn table() -> PartitionTable {
    read_table(&FakeDevice::new(bytes())).unwrap()
}

fn names(a: &[&str], b: &[&str]) -> SlotNames {
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    SlotNames::parse(&owned(a), &owned(b)).unwrap()
}

#[test]
fn slots_are_found_by_name_id_and_dos_number() {
    let table = table();
    let layout = Layout::find(&table, &SlotNames::default()).unwrap();
    assert_eq!(layout.first(SlotId::A).name, "rootfs-a");
    assert_eq!(layout.parts(SlotId::B).len(), 1);
    assert_eq!(layout.parts(SlotId::B)[0].name.as_str(), "rootfs");
    assert_eq!(layout.slot_at(2 * UNIT, UNIT), Some(SlotId::B));
    assert_eq!(layout.slot_at(2 * UNIT, UNIT + 1), None);
    let uuid = format!("rootfs=partuuid:{}", table.partitions[1].uuid.to_uppercase());
    let several = names(&["rootfs-a", "boot-a"], &[&uuid, "boot-b"]);
    let layout = Layout::find(&table, &several).unwrap();
    let told: Vec<_> = layout.parts(SlotId::B).iter().map(|p| p.name.as_str()).collect();
    assert_eq!(told, ["rootfs", "boot"]);
    assert_eq!(layout.first(SlotId::B).name, "rootfs-b");
    assert_eq!(layout.slot_at(4 * UNIT, UNIT), Some(SlotId::B));
    let mut dos = table.clone();
    dos.partitions[0].name = "mbr:1a2b3c4d-1".to_owned();
    dos.partitions[1].name = "mbr:1a2b3c4d-2".to_owned();
    let by_number = names(&["mbr:1A2B3C4D-1"], &["mbr:1a2b3c4d-2"]);
    assert!(Layout::find(&dos, &by_number).is_ok());
}

/// parted calls every partition `primary`; that is no fault of a layout that does not use the name.
#[test]
fn only_names_and_ids_that_are_used_must_be_unique() {
    let mut twice = table();
    let other = twice.partitions.len() - 1;
    let kept = twice.clone();
    twice.partitions[other].name = "rootfs-a".to_owned();
    let failure = Layout::find(&twice, &SlotNames::default()).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::LayoutInvalid, "{failure}");
    assert!(failure.detail().contains("one name, `rootfs-a`"), "{failure}");
    let ids = [0, 1].map(|i| format!("partuuid:{}", twice.partitions[i].uuid));
    Layout::find(&twice, &names(&[&ids[0]], &[&ids[1]])).unwrap();
    let mut unused = kept.clone();
    for partition in &mut unused.partitions[2..] {
        partition.name = "primary".to_owned();
    }
    Layout::find(&unused, &SlotNames::default()).unwrap();
    let mut same_id = kept;
    same_id.partitions[other].uuid = same_id.partitions[0].uuid.clone();
    let failure = Layout::find(&same_id, &SlotNames::default()).unwrap_err();
    assert!(failure.detail().contains("one unique id"), "{failure}");
}

#[test]
fn layouts_that_make_no_sense_are_refused() {
    let invalid = ReasonCode::LayoutInvalid;
    for (a, b, code) in [
        (vec!["rootfs-a"], vec!["rootfs-a"], invalid),
        (vec!["rootfs-a", "boot-a"], vec!["rootfs-b", "boot-a"], invalid),
        (vec!["rootfs-a"], vec!["tiny"], invalid),
        (vec!["rootfs-a", "boot-a"], vec!["rootfs-b", "boot=tiny"], invalid),
        (vec!["rootfs-a"], vec!["rootfs-c"], ReasonCode::SlotMissing),
        (vec!["rootfs-a"], vec!["ROOTFS-B"], ReasonCode::SlotMissing),
        (vec!["rootfs-a"], vec![""], ReasonCode::SlotMissing),
        (vec!["rootfs-a"], vec!["partuuid:"], ReasonCode::SlotMissing),
    ] {
        let failure = Layout::find(&table(), &names(&a, &b)).unwrap_err();
        assert_eq!(failure.code(), code, "{a:?} {b:?}: {failure}");
    }
}

/// A boot script finds partitions by name: what `[slots]` takes for something else, an update would
/// write while the running slot needs it.
#[test]
fn a_partition_that_a_boot_script_takes_for_something_else_is_no_part() {
    let mut parts = PARTS;
    parts[4].0 = "boot";
    parts[4].2 = UNIT;
    let table = read_table(&FakeDevice::new(gpt_disk(8 * UNIT, &parts))).unwrap();
    let id = |name: &str| format!("partuuid:{}", table.by_name(name).unwrap().uuid);
    let (boot_b, shared) = (id("boot-b"), id("boot"));
    for (a, b, told) in [
        (vec!["boot-b", "rootfs-a"], vec!["boot-a", "rootfs-b"], "boot-b"),
        (vec!["boot-a", "rootfs-b"], vec!["boot-b", "rootfs-a"], "rootfs-b"),
        (
            vec![&format!("kernel={boot_b}"), "rootfs-a"],
            vec!["kernel=boot-a", "rootfs-b"],
            "boot-b",
        ),
        (vec!["boot", "rootfs-a"], vec!["boot-b", "rootfs-b"], "boot"),
        (vec!["rootfs-a", &format!("boot={shared}")], vec!["rootfs-b", "boot-b"], "boot"),
        (vec!["rootfs-a"], vec!["boot"], "boot"),
        (vec!["kernel=boot-a", "rootfs-a"], vec!["kernel=boot-b", "rootfs-b"], "`boot`"),
        (vec!["boot-a"], vec!["boot-b"], "`boot`"),
        (vec!["rootfs-a"], vec!["rootfs-b"], "boot-a"),
    ] {
        let layout = Layout::find(&table, &names(&a, &b)).unwrap();
        let failure = layout.agrees_with_boot_script(&table, |_| None).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::LayoutInvalid, "{a:?} {b:?}: {failure}");
        assert!(failure.detail().contains(told), "{a:?} {b:?}: {failure}");
    }
    let both = names(&["boot-a", "rootfs-a"], &["boot-b", "rootfs-b"]);
    Layout::find(&table, &both).unwrap().agrees_with_boot_script(&table, |_| None).unwrap();
    // Without boot parts on the disk, and with names of an own boot script.
    let mut plain = table.clone();
    plain.partitions[2].name = "system_1".to_owned();
    plain.partitions[3].name = "system_2".to_owned();
    for other in [SlotNames::default(), names(&["system_1"], &["system_2"])] {
        Layout::find(&plain, &other).unwrap().agrees_with_boot_script(&plain, |_| None).unwrap();
    }
}

/// Without names the script goes by numbers: an update of another partition would never be booted.
#[test]
fn a_disk_without_names_is_what_the_boot_script_has_the_numbers_of() {
    let mut disk = vec![0; 30000 * 512];
    disk[440..444].copy_from_slice(&0xdead_beef_u32.to_le_bytes());
    for (at, kind, start) in [(446, 0x0c, 2048_u32), (462, 0x83, 10240), (478, 0x83, 18432)] {
        disk[at + 4] = kind;
        disk[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        disk[at + 12..at + 16].copy_from_slice(&8192_u32.to_le_bytes());
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let table = read_table(&FakeDevice::new(disk)).unwrap();
    let slots = names(&["rootfs=mbr:deadbeef-2"], &["rootfs=mbr:deadbeef-3"]);
    let layout = Layout::find(&table, &slots).unwrap();
    let judge = |a: &str, b: &str| {
        let variable = |name: &str| match name {
            "surefoot_part_a" => Some(a.to_owned()),
            "surefoot_part_b" => Some(b.to_owned()),
            other => panic!("{other}"),
        };
        layout.agrees_with_boot_script(&table, variable)
    };
    judge("2", "3").unwrap();
    judge("0x2", "03").unwrap();
    for (a, b) in [("3", "2"), ("2", "2"), ("2", "4"), ("two", "3")] {
        let failure = judge(a, b).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::LayoutInvalid);
        assert!(failure.detail().contains("surefoot_part_"), "{failure}");
    }
    // An own script that needs none.
    layout.agrees_with_boot_script(&table, |_| None).unwrap();
}

#[test]
fn an_environment_in_a_slot_is_refused() {
    let layout = Layout::find(&table(), &SlotNames::default()).unwrap();
    let clear = |range| layout.keeps_clear_of(&[range]).is_ok();
    assert!(clear(0..UNIT) && clear(3 * UNIT..8 * UNIT));
    assert!(!clear(UNIT - 1..UNIT + 1) && !clear(3 * UNIT - 1..3 * UNIT) && !clear(0..8 * UNIT));
}

#[test]
fn the_booted_slot_needs_two_witnesses() {
    let layout = Layout::find(&table(), &SlotNames::default()).unwrap();
    let on = |places: &[(u64, u64)]| Root { said: "/dev/x".to_owned(), places: places.to_vec() };
    let (on_a, on_b) = (on(&[(UNIT, UNIT)]), on(&[(2 * UNIT, UNIT)]));
    let other = (3 * UNIT, UNIT);
    for (line, root, found) in [
        ("root=/dev/x surefoot.slot=b ro", on_b.clone(), Some(SlotId::B)),
        // dm-verity: data and hashes; neither may lie in the other slot.
        ("surefoot.slot=a", on(&[(UNIT, UNIT), other]), Some(SlotId::A)),
        ("surefoot.slot=a", on(&[(UNIT, UNIT), (2 * UNIT, UNIT)]), None),
        ("surefoot.slot=a surefoot.slot=a", on_a.clone(), Some(SlotId::A)),
        ("surefoot.slot=a", on_b, None),
        ("surefoot.slot=a", on(&[]), None),
        ("surefoot.slot=a", on(&[other]), None),
        ("surefoot.slot=a surefoot.slot=b", on_a.clone(), None),
        ("surefoot.slot=", on_a.clone(), None),
        ("surefoot.slot=A", on_a.clone(), None),
        ("xsurefoot.slot=a", on_a.clone(), None),
        ("", on_a, None),
    ] {
        match booted_on_device(line, &root, &layout) {
            Ok(slot) => assert_eq!(Some(slot), found, "{line}"),
            Err(f) => {
                assert_eq!(f.code(), ReasonCode::BootedUnknown);
                assert_eq!(found, None, "{line}: {f}");
                let names_it = f.detail().contains("/dev/x");
                assert!(names_it || slot_on_command_line(line).is_err(), "{f}");
            }
        }
    }
    assert!(slot_on_command_line("quiet").is_err());
    let file = tempfile::NamedTempFile::new().unwrap();
    for (text, found) in
        [("a\n", Some(SlotId::A)), ("b", Some(SlotId::B)), ("", None), ("ab", None)]
    {
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(booted_from_file(file.path()).ok(), found, "{text:?}");
    }
    let missing = booted_from_file(Path::new("/no/such/file")).unwrap_err();
    assert_eq!(missing.code(), ReasonCode::BootedUnknown);
}

fn claims(copies: &[CopyClaim]) -> EnvClaims {
    EnvClaims { copies: copies.to_vec() }
}

fn says(slot: Option<SlotId>, trial: bool) -> CopyClaim {
    CopyClaim::Alive { slot, trial }
}

fn disk() -> (Arc<FakeDevice>, Disk) {
    let device = Arc::new(FakeDevice::new(bytes()));
    (device.clone(), Disk::given(Path::new("disk.img"), device))
}

/// All pairs of what two copies can say, for both running slots: the key exists for one of them.
#[test]
fn only_an_environment_settled_on_the_running_slot_gives_the_key() {
    let (_, disk) = disk();
    let layout = Layout::find(&disk.table().unwrap(), &SlotNames::default()).unwrap();
    let mut all = vec![CopyClaim::Dead];
    for slot in [None, Some(SlotId::A), Some(SlotId::B)] {
        all.extend([says(slot, false), says(slot, true)]);
    }
    let mut keys = 0;
    for booted in [SlotId::A, SlotId::B] {
        let good = says(Some(booted), false);
        for first in &all {
            for second in &all {
                let result = Inactive::prove(&disk, &layout, booted, &claims(&[*first, *second]));
                match result {
                    Ok(key) => {
                        assert_eq!((*first, *second), (good, good));
                        assert_eq!(key.id(), booted.other());
                        keys += 1;
                    }
                    Err(f) => {
                        assert_ne!((*first, *second), (good, good), "{f}");
                        assert_eq!(f.code(), ReasonCode::SlotNeeded);
                    }
                }
            }
            let single = Inactive::prove(&disk, &layout, booted, &claims(&[*first]));
            assert_eq!(single.is_ok(), *first == good);
        }
        assert!(Inactive::prove(&disk, &layout, booted, &claims(&[])).is_err());
    }
    assert_eq!(keys, 2);
}

#[test]
fn the_key_opens_the_other_slot_and_not_a_byte_more() {
    let (device, disk) = disk();
    let several = names(&["rootfs-a", "boot-a"], &["rootfs-b", "boot-b"]);
    let layout = Layout::find(&disk.table().unwrap(), &several).unwrap();
    let settled = claims(&[says(Some(SlotId::A), false); 2]);
    let key = Inactive::prove(&disk, &layout, SlotId::A, &settled).unwrap();
    assert_eq!(key.parts().len(), 2);
    let before = device.contents();
    for window in key.parts().iter().map(|part| &part.device) {
        window.write_at(0, &vec![0xee; usize::try_from(UNIT).unwrap()]).unwrap();
        assert!(window.write_at(UNIT, &[0]).is_err());
    }
    let after = device.contents();
    for (at, (old, new)) in before.iter().zip(&after).enumerate() {
        let at = at as u64;
        let own = (2 * UNIT..3 * UNIT).contains(&at) || (4 * UNIT..5 * UNIT).contains(&at);
        if own {
            assert_eq!(*new, 0xee);
        } else {
            assert_eq!(old, new, "byte {at}");
        }
    }
}

#[test]
fn a_table_that_changed_since_withholds_the_key() {
    let (_, before) = disk();
    let layout = Layout::find(&before.table().unwrap(), &SlotNames::default()).unwrap();
    let mut parts = PARTS;
    parts[1].1 = 6 * UNIT;
    let device = Arc::new(FakeDevice::new(gpt_disk(8 * UNIT, &parts)));
    let disk = Disk::given(Path::new("disk.img"), device);
    let settled = claims(&[says(Some(SlotId::A), false); 2]);
    let failure = Inactive::prove(&disk, &layout, SlotId::A, &settled).err().unwrap();
    assert_eq!(failure.code(), ReasonCode::LayoutInvalid);
}

#[test]
fn an_image_held_by_another_program_is_busy() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes()).unwrap();
    let (mine, other) = (Disk::open(file.path()).unwrap(), Disk::open(file.path()).unwrap());
    let layout = Layout::find(&mine.table().unwrap(), &SlotNames::default()).unwrap();
    let settled = claims(&[says(Some(SlotId::A), false); 2]);
    let key = Inactive::prove(&mine, &layout, SlotId::A, &settled).unwrap();
    let failure = Inactive::prove(&other, &layout, SlotId::A, &settled).err().unwrap();
    assert_eq!(failure.code(), ReasonCode::Busy);
    assert!(other.table().is_ok(), "reading needs no lock");
    drop(key);
    assert!(Inactive::prove(&other, &layout, SlotId::A, &settled).is_ok());
}
