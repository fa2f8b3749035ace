//! What each defect makes of the grade.

use super::{Env, UbootControl, grade, names};
use crate::boot::tests::{MIB, TWO, factory, store};
use crate::boot::{BootControl, BootFacts, Finding, Grade, overall};
use crate::disk::fake::{FakeDevice, gpt_disk};
use crate::disk::{Partition, PartitionTable};
use std::path::Path;
use std::sync::Arc;

fn control_of(env: &Env, text: &str, dir: &Path) -> UbootControl {
    let device = Arc::new(FakeDevice::new(vec![0; 24 << 20]));
    let control = UbootControl::new(store(&device, text, &dir.join("l")));
    control.store().write_factory(env).unwrap();
    control
}

fn table(start: u64, len: u64) -> PartitionTable {
    let bytes = gpt_disk(24 * MIB, &[("rootfs-a", start, len)]);
    crate::disk::read_table(&FakeDevice::new(bytes)).unwrap()
}

/// All findings of what was found, on a disk with this table.
fn findings(control: &UbootControl, facts: &BootFacts, table: &PartitionTable) -> Vec<Finding> {
    let mut out = control.findings(facts);
    out.extend(grade::places(&facts.copies, table));
    out
}

#[test]
fn grades_say_what_is_wrong_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(16 * MIB, 4 * MIB);
    let graded = |env: &Env, text: &str, accept: bool| {
        let control = control_of(env, text, dir.path()).accept_single_copy(accept);
        let findings = findings(&control, &control.look().unwrap(), &table);
        for f in &findings {
            assert!(f.reason.len() > 10 && f.remedy.ends_with('.'), "{f:?}");
        }
        (overall(&findings), findings.len())
    };
    let good = factory();
    assert_eq!(graded(&good, TWO, false), (Grade::Armed, 0));
    let near = "disk.img 0x400000 0x4000\ndisk.img 0x410000 0x4000\n";
    assert_eq!(graded(&good, near, false), (Grade::Weak, 1));
    let single = "disk.img 0x400000 0x4000\n";
    assert_eq!(graded(&good, single, false), (Grade::Off, 1));
    assert_eq!(graded(&good, single, true), (Grade::Weak, 1));
    for over in ["0x1000000", "0x13fc000", "0x0", "0x400", "0x17fc000"] {
        let text = format!("disk.img 0x400000 0x4000\ndisk.img {over} 0x4000\n");
        // Over the table a factory write would destroy nothing here: the table is given.
        assert_eq!(graded(&good, &text, false).0, Grade::Off, "{over}");
    }
    for name in [names::BOOTLIMIT, names::ALTBOOTCMD, names::COUNTER] {
        let mut env = good.clone();
        env.remove(name);
        assert_eq!(graded(&env, TWO, false), (Grade::Off, 1), "{name}");
    }
    for (name, value, level) in [
        (names::BOOTLIMIT, "0", Grade::Off),
        (names::BOOTLIMIT, "10", Grade::Off),
        (names::BOOTLIMIT, "9", Grade::Armed),
        (names::COUNTER, "rtc", Grade::Off),
        (names::COUNTER, "script", Grade::Armed),
        (names::BOOTCOUNT, "2", Grade::Weak),
        (names::SLOT, "c", Grade::Weak),
    ] {
        let mut env = good.clone();
        env.set(name, value).unwrap();
        assert_eq!(graded(&env, TWO, false).0, level, "{name}={value}");
    }
}

#[test]
fn dead_copies_grade_weak_and_off() {
    let dir = tempfile::tempdir().unwrap();
    let control = control_of(&factory(), TWO, dir.path());
    let mut facts = control.look().unwrap();
    facts.copies[1].dead = Some("checksum wrong".to_owned());
    let found = control.findings(&facts);
    assert_eq!((overall(&found), found.len()), (Grade::Weak, 1));
    // Read again: why nothing can be known is found at a look.
    let dead = Arc::new(FakeDevice::new(vec![0; 24 << 20]));
    let dead = UbootControl::new(store(&dead, TWO, &dir.path().join("l")));
    let found = dead.findings(&dead.look().unwrap());
    assert_eq!((overall(&found), found.len()), (Grade::Off, 1), "one finding for both");
    // An environment partition of its own is no overlap; a slot is.
    let mut facts = control.look().unwrap();
    let part = |type_id: &str| Partition {
        number: 1,
        name: "env".to_owned(),
        start: 4 * MIB,
        len: MIB,
        uuid: String::new(),
        type_id: type_id.to_owned(),
    };
    let mut table = table(16 * MIB, MIB);
    table.partitions.push(part("0fc63daf-8483-4772-8e79-3d69d8477de4"));
    assert_eq!(overall(&findings(&control, &facts, &table)), Grade::Off);
    facts.copies[0].own_partition = true;
    assert_eq!(overall(&findings(&control, &facts, &table)), Grade::Armed);
    facts.copies[0].own_partition = false;
    table.partitions[1] = part("3de21764-95bd-54bd-a5c3-4abe786f38a8");
    assert_eq!(overall(&findings(&control, &facts, &table)), Grade::Armed);
}
