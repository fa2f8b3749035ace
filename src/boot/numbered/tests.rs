//! The shared suite on two numbered files, and what is theirs alone.

use super::copy::LEN_MAX;
use super::{Copy, NumberedControl, NumberedStore};
use crate::boot::conformance::FOREIGN;
use crate::boot::{BootChange, BootControl, BootMemory, Grade, overall};
use crate::model::{Digest, ReasonCode, SlotId, Txn};
use std::path::Path;

fn device(folder: &Path) -> NumberedControl {
    let control = NumberedControl::new(NumberedStore::new(folder));
    let (name, value) = FOREIGN;
    let rest = vec![(name.to_owned(), value.to_owned())];
    let copies = [1, 0].map(|number| Copy { rest: rest.clone(), ..Copy::factory(number) });
    control.store().write_factory([&copies[0], &copies[1]]).unwrap();
    control
}

/// With every write of the real files cut.
#[cfg(feature = "sim")]
#[test]
fn two_numbered_files_conform() {
    use crate::boot::conformance::{Bench, suite};
    use crate::sys::power::cut_at_write;
    use std::sync::Arc;
    let dir = tempfile::tempdir().unwrap();
    let made = std::cell::Cell::new(0);
    suite(&|| {
        let folder = dir.path().join(made.get().to_string());
        made.set(made.get() + 1);
        std::fs::create_dir(&folder).unwrap();
        let control = Arc::new(device(&folder));
        let (counted, booting, cut) = (control.clone(), control.clone(), control.clone());
        let number = |control: &NumberedControl| {
            let copies = control.look().unwrap().copies;
            copies.iter().filter_map(|copy| copy.serial).max().unwrap_or(0)
        };
        Bench {
            control: Box::new(control),
            writes: Box::new(move || number(&counted)),
            count: Box::new(move || {
                let mut session = booting.store().begin().unwrap();
                let memory = session.memory().unwrap().clone();
                session.save(&BootMemory { bootcount: memory.bootcount + 1, ..memory }).unwrap();
            }),
            kill: Box::new(move |copy| {
                std::fs::write(folder.join(format!("env-{copy}")), b"garbage\n").unwrap();
            }),
            cut: Box::new(move |(after, landing), act| {
                cut_at_write(after, landing, || act(cut.as_ref())).is_none()
            }),
        }
    });
}

#[test]
fn what_is_written_is_what_is_read() {
    let mut copy = Copy::factory(u64::MAX);
    let txn = Txn::new(&Digest::of(b"release"), 7);
    copy.memory.txn = Some(txn.clone());
    copy.memory.fallback = Some(txn);
    copy.memory.clean = u32::MAX;
    copy.rest.push(("serial".to_owned(), "a=b c".to_owned()));
    let text = copy.text().unwrap();
    assert_eq!(Copy::parse(text.as_bytes()), Ok(copy));
}

/// Whatever a file says, it is a copy or it is dead, and a whole other file still counts.
#[test]
fn a_file_that_is_not_whole_is_dead_and_named() {
    let whole = Copy::factory(5).text().unwrap();
    for end in 0..whole.len() {
        Copy::parse(&whole.as_bytes()[..end]).unwrap_err();
        let mut other = whole.clone().into_bytes();
        other[end] ^= 1;
        Copy::parse(&other).unwrap_err();
    }
    let signed = |body: &str| format!("{body}crc={:08x}\n", crc32fast::hash(body.as_bytes()));
    for (body, said) in [
        ("", "no lines"),
        ("slot=a\n", "first line"),
        ("number=-1\n", "`number`"),
        ("number=18446744073709551616\n", "`number`"),
        ("number=1\nslot=c\n", "`slot` is `c`"),
        ("number=1\ntrial=2\n", "`trial` is `2`"),
        ("number=1\nbootcount=x\n", "`bootcount`"),
        ("number=1\ntxn=x\n", "`txn`"),
        ("number=1\nslot=a\nslot=b\n", "twice"),
        ("number=1\nnumber=2\n", "twice"),
        ("number=1\nslot\n", "line 2"),
        ("number=1\n=a\n", "line 2"),
    ] {
        let why = Copy::parse(signed(body).as_bytes()).unwrap_err();
        assert!(why.contains(said), "{body:?}: {why}");
    }
    // A file that names nothing is whole: nothing is known then, and no update is armed.
    let empty = Copy::parse(signed("number=1\n").as_bytes()).unwrap();
    assert_eq!((empty.memory.slot, empty.memory.good, empty.memory.bootlimit), (None, None, 0));
}

#[test]
fn what_stands_in_place_of_a_file_is_a_dead_copy() {
    let dir = tempfile::tempdir().unwrap();
    let control = device(dir.path());
    let file = dir.path().join("env-0");
    std::fs::remove_file(&file).unwrap();
    let dead = || control.look().unwrap().copies[0].dead.clone().unwrap();
    assert!(dead().contains("does not exist"), "{}", dead());
    std::fs::create_dir(&file).unwrap();
    assert!(dead().contains("folder"), "{}", dead());
    std::fs::remove_dir(&file).unwrap();
    let long = usize::try_from(LEN_MAX).unwrap() + 1;
    std::fs::write(&file, vec![b'x'; long]).unwrap();
    assert!(dead().contains("longer"), "{}", dead());
    assert_eq!(control.look().unwrap().slot, Some(SlotId::A));
    control.settle(SlotId::A).unwrap();
    assert!(control.look().unwrap().claims.all_settled_on(SlotId::A));
}

#[test]
fn values_of_the_board_are_kept_and_a_full_file_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let control = device(dir.path());
    let mut copy = Copy::factory(9);
    copy.rest.push(("board".to_owned(), String::new()));
    let room = usize::try_from(LEN_MAX).unwrap() - copy.text().unwrap().len();
    copy.rest[0].1 = "x".repeat(room - 100);
    control.store().write_factory([&copy, &copy]).unwrap();
    let txn = Txn::new(&Digest::of(b"release"), 1);
    let arm = BootChange::Arm { slot: SlotId::B, good: SlotId::A, txn };
    control.write(&arm).unwrap();
    assert_eq!(control.variable("board").unwrap().len(), room - 100);
    assert_eq!(control.variable("slot").as_deref(), Some("b"));
    assert_eq!(control.variable("nothing"), None);
    let told = control.describe().unwrap().variables;
    assert!(told.iter().all(|(name, _)| name != "board"), "a stranger's value: {told:?}");
    copy.rest[0].1 = "x".repeat(room);
    control.store().write_factory([&copy, &copy]).unwrap();
    let before = std::fs::read(dir.path().join("env-1")).unwrap();
    assert_eq!(control.rehearse(SlotId::A).unwrap_err().code(), ReasonCode::EnvFull);
    assert_eq!(control.write(&arm).unwrap_err().code(), ReasonCode::EnvFull);
    assert_eq!(std::fs::read(dir.path().join("env-1")).unwrap(), before);
}

#[test]
fn without_a_limit_nothing_is_armed() {
    let dir = tempfile::tempdir().unwrap();
    let control = device(dir.path());
    for limit in [0, 10] {
        let mut copy = Copy::factory(1);
        copy.memory.bootlimit = limit;
        control.store().write_factory([&copy, &copy]).unwrap();
        let facts = control.look().unwrap();
        assert_eq!(facts.can_fall_back().unwrap_err().code(), ReasonCode::RollbackOff);
        assert_eq!(overall(&control.findings(&facts)), Grade::Off);
        let txn = Txn::new(&Digest::of(b"release"), 1);
        let arm = BootChange::Arm { slot: SlotId::B, good: SlotId::A, txn };
        assert_eq!(control.write(&arm).unwrap_err().code(), ReasonCode::RollbackOff);
    }
}
