//! The shared suite on each implementation, and the store under faults.

use super::conformance::{Bench, FOREIGN, suite};
use super::uboot::{Env, EnvStore, FwEnvConfig, UbootControl, names};
use super::{BootChange, BootControl, BootMemory, Finding, Grade, bench, overall};
use crate::disk::fake::{FakeDevice, Survivors, gpt_disk};
use crate::disk::{BlockDevice, Disk};
use crate::model::{Digest, ReasonCode, SlotId, Txn};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(super) const MIB: u64 = 1 << 20;

pub(super) fn factory() -> Env {
    let text = include_str!("../../uboot-scripts/factory-env-uboot.txt");
    let mut env = Env::from_text(text).unwrap();
    for (name, value) in [
        ("kernel_addr_r", "0x1000000"),
        ("ramdisk_addr_r", "2000000"),
        ("scriptaddr", "0x1000"),
        FOREIGN,
    ] {
        env.set(name, value).unwrap();
    }
    env
}

/// A store on a disk in memory, with a lock file of its own.
pub(super) fn store(device: &Arc<FakeDevice>, text: &str, lock: &Path) -> EnvStore {
    let disk = Disk::given(Path::new("disk.img"), device.clone());
    let config = FwEnvConfig::parse(text).unwrap();
    EnvStore::new(&config, Path::new(""), Some(Arc::new(disk)))
        .with_lock(lock.to_owned(), Duration::from_secs(5))
}

pub(super) const TWO: &str = "disk.img 0x400000 0x4000\ndisk.img 0x800000 0x4000\n";

#[test]
fn the_u_boot_environment_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let seed = std::cell::Cell::new(1);
    suite(&|| {
        let device = Arc::new(FakeDevice::new(vec![0; 12 << 20]));
        let control = Arc::new(UbootControl::new(store(&device, TWO, &dir.path().join("l"))));
        control.store().write_factory(&factory()).unwrap();
        let counter = device.clone();
        let killer = device.clone();
        let (booting, cut) = (control.clone(), control.clone());
        seed.set(seed.get() + 1);
        let survivors = Survivors::Some(seed.get());
        Bench {
            control: Box::new(control),
            writes: Box::new(move || counter.counts().writes),
            count: Box::new(move || {
                let mut session = booting.store().begin().unwrap();
                let mut env = session.loaded().env().unwrap().clone();
                let count: u32 = env.get(names::BOOTCOUNT).unwrap().parse().unwrap();
                env.set(names::BOOTCOUNT, &(count + 1).to_string()).unwrap();
                session.save(&env).unwrap();
            }),
            kill: Box::new(move |copy| {
                let at = [0x40_0000, 0x80_0000][copy] + 0x100;
                killer.write_at(at, &[0xff; 7]).unwrap();
                killer.flush().unwrap();
            }),
            cut: Box::new(move |(after, landing), act| {
                device.cut_at_write(after + 1, landing);
                act(cut.as_ref());
                let went = device.is_off();
                device.power_on(survivors);
                went
            }),
        }
    });
}

/// What a change is, said twice: as values, and in the variables of U-Boot.
#[test]
fn a_change_in_the_variables_is_the_change_of_the_values() {
    let txn = |n| Txn::new(&Digest::of(b"release"), n);
    let (a, b) = (SlotId::A, SlotId::B);
    let changes = |n| {
        [
            BootChange::Arm { slot: b, good: a, txn: txn(n) },
            BootChange::Arm { slot: a, good: b, txn: txn(n) },
            BootChange::Disarm { booted: a },
            BootChange::Disarm { booted: b },
            BootChange::Commit { slot: b, txn: txn(n) },
            BootChange::FallBack { to: a, txn: txn(n) },
            BootChange::GiveBack,
            BootChange::Point { slot: b },
        ]
    };
    // Every way of four changes.
    for way in 0..8_u32.pow(4) {
        let mut memory = BootMemory::factory();
        for step in 0..4 {
            let change = &changes(step)[(way / 8_u32.pow(step) % 8) as usize];
            let after = memory.after(change);
            assert_eq!(bench::changed(&memory, change), after, "{memory:?} {change:?}");
            memory = BootMemory { bootcount: after.bootcount + way % 2, ..after };
        }
    }
}

/// Every byte of every write: the medium after a cut there boots the old or the new environment.
#[test]
fn a_write_torn_at_any_byte_leaves_the_old_or_the_new_environment() {
    let dir = tempfile::tempdir().unwrap();
    let text = "disk.img 0x1000 0x400\ndisk.img 0x2000 0x400\n";
    let device = Arc::new(FakeDevice::new(vec![0; 0x3000]));
    let first = store(&device, text, &dir.path().join("l"));
    first.write_factory(&factory()).unwrap();
    let before = device.medium();
    let old = first.load().unwrap().env().unwrap().clone();
    let mut new = old.clone();
    new.set(names::SLOT, "b").unwrap();
    let (mut olds, mut news) = (0, 0);
    for cut in 0..=0x400 {
        let device = Arc::new(FakeDevice::new(before.clone()));
        let torn = store(&device, text, &dir.path().join("l"));
        device.cut_at_write(1, cut);
        torn.begin().unwrap().save(&new).unwrap_err();
        device.power_on(Survivors::Everything);
        let loaded = torn.load().unwrap();
        match loaded.env().unwrap() {
            env if *env == old => olds += 1,
            env if *env == new => news += 1,
            other => panic!("cut at {cut}: {other:?}"),
        }
        // And the next write makes it whole again.
        torn.begin().unwrap().save(&new).unwrap();
        assert_eq!(torn.load().unwrap().env().unwrap(), &new);
    }
    assert!(olds > 0 && news > 0, "both outcomes must have been seen: {olds} {news}");
}

#[test]
fn a_medium_that_lies_is_found_out_and_the_old_copy_stays() {
    let dir = tempfile::tempdir().unwrap();
    let device = Arc::new(FakeDevice::new(vec![0; 12 << 20]));
    let store = store(&device, TWO, &dir.path().join("l"));
    store.write_factory(&factory()).unwrap();
    let old = store.load().unwrap();
    assert_eq!(old.chosen, Some(0), "the first copy of a factory is the newer one");
    // In the padding, where nobody reads: only a comparison of every byte sees it.
    device.stick(0x80_3fff, 0x10);
    let mut env = old.env().unwrap().clone();
    env.set("x", "1").unwrap();
    let failure = store.begin().unwrap().save(&env).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::EnvReadBack);
    assert_eq!(store.load().unwrap().env().unwrap(), old.env().unwrap());
    device.fail_write(1);
    let failure = store.begin().unwrap().save(&env).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::Io);
}

#[test]
fn a_full_environment_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let device = Arc::new(FakeDevice::new(vec![0; 12 << 20]));
    let store = store(&device, TWO, &dir.path().join("l"));
    let mut env = factory();
    env.set("big", &"x".repeat(0x4000 - 1100)).unwrap();
    store.write_factory(&env).unwrap();
    let writes = device.counts().writes;
    let control = UbootControl::new(store);
    env.set("bigger", &"x".repeat(200)).unwrap();
    let failure = control.store().begin().unwrap().save(&env).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::EnvFull);
    assert_eq!(device.counts().writes, writes);
}

#[test]
fn hostile_values_are_read_and_decided_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let device = Arc::new(FakeDevice::new(vec![0; 12 << 20]));
    let control = UbootControl::new(store(&device, TWO, &dir.path().join("l")));
    for value in
        ["-1", "0x10", "99999999999999999999", "a b", "é", "\u{1b}[2J", "B", "ab", "1; reset"]
    {
        let mut env = factory();
        for name in [
            names::SLOT,
            names::GOOD,
            names::TXN,
            names::FALLBACK,
            names::TRIAL,
            names::BOOTCOUNT,
            names::BOOTLIMIT,
            names::COUNTER,
            names::CLEAN,
        ] {
            env.set(name, value).unwrap();
        }
        control.store().write_factory(&env).unwrap();
        let facts = control.look().unwrap();
        assert_eq!((facts.slot, facts.good, facts.txn.clone()), (None, None, None), "{value}");
        let no_counter = |f: &Finding| f.reason.contains("surefoot_counter");
        assert!(facts.way_back.iter().any(no_counter), "{value}");
        assert_eq!(facts.can_fall_back().unwrap_err().code(), ReasonCode::RollbackOff);
        assert!(!facts.claims.all_settled_on(SlotId::A));
        assert_ne!(overall(&control.findings(&facts)), Grade::Armed);
        let _ = control.write(&BootChange::GiveBack);
        control.write(&BootChange::Disarm { booted: SlotId::A }).unwrap();
        control.settle(SlotId::A).unwrap();
        assert!(control.look().unwrap().claims.all_settled_on(SlotId::A));
    }
}

/// What `save` has reported done survives a cut in which nothing unflushed does.
#[test]
fn a_saved_environment_is_on_the_medium() {
    let dir = tempfile::tempdir().unwrap();
    let device = Arc::new(FakeDevice::new(vec![0; 12 << 20]));
    let store = store(&device, TWO, &dir.path().join("l"));
    store.write_factory(&factory()).unwrap();
    for round in 0..300 {
        let mut session = store.begin().unwrap();
        let mut env = session.loaded().env().unwrap().clone();
        env.set("round", &round.to_string()).unwrap();
        let before = device.counts().writes;
        session.save(&env).unwrap();
        assert_eq!(device.counts().writes, before + 1, "one decision, one write");
        drop(session);
        device.cut();
        device.power_on(Survivors::Nothing);
        assert_eq!(store.load().unwrap().env().unwrap(), &env);
    }
}

#[test]
fn who_only_looks_does_not_hang_behind_a_lock() {
    let dir = tempfile::tempdir().unwrap();
    let device = Arc::new(FakeDevice::new(vec![0; 12 << 20]));
    let held = store(&device, TWO, &dir.path().join("l"));
    held.write_factory(&factory()).unwrap();
    let _session = held.begin().unwrap();
    let other = store(&device, TWO, &dir.path().join("l"));
    let other = other.with_lock(dir.path().join("l"), Duration::from_millis(50));
    assert!(other.load().is_ok());
    assert_eq!(other.begin().err().unwrap().code(), ReasonCode::Busy);
    // A dead copy may be one that is being written.
    device.write_at(0x80_0000, &[0xff; 4]).unwrap();
    assert_eq!(other.load().unwrap_err().code(), ReasonCode::Busy);
}

#[test]
fn raw_flash_is_named_as_not_supported() {
    let config = FwEnvConfig::parse("/dev/null 0 0x4000\n").unwrap();
    let store = EnvStore::new(&config, Path::new("/"), None);
    let failure = store.load().unwrap_err();
    assert_eq!(failure.code(), ReasonCode::EnvConfig, "{failure}");
}

/// Its line in `fw_env.config` may be what is wrong: then a slot or the table stands there.
#[test]
fn a_dead_copy_that_lies_in_a_partition_or_over_the_table_is_never_written() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = gpt_disk(24 * MIB, &[("rootfs-a", 16 * MIB, 4 * MIB)]);
    let good = "disk.img 0x500000 0x4000\n";
    for wrong in ["0x1000000", "0x13ff000", "0x0", "0x400", "-0x4000"] {
        let device = Arc::new(FakeDevice::new(bytes.clone()));
        // Its second copy is at none of the places where one is looked for.
        let right =
            store(&device, &format!("{good}disk.img 0x900000 0x4000\n"), &dir.path().join("l"));
        let control = UbootControl::new(right);
        control.store().write_factory(&factory()).unwrap();
        let txn = Txn::new(&Digest::NONE, 7);
        let (slot, good_slot) = (SlotId::B, SlotId::A);
        control.write(&BootChange::Arm { slot, good: good_slot, txn: txn.clone() }).unwrap();
        let mut session = control.store().begin().unwrap();
        let mut env = session.loaded().env().unwrap().clone();
        env.set(names::BOOTCOUNT, "1").unwrap();
        session.save(&env).unwrap();
        drop(session);
        let before = device.contents();
        let text = format!("{good}disk.img {wrong} 0x4000\n");
        let control = UbootControl::new(store(&device, &text, &dir.path().join("l")));
        assert!(control.look().unwrap().readable());
        for change in [
            BootChange::FallBack { to: good_slot, txn: txn.clone() },
            BootChange::GiveBack,
            BootChange::Disarm { booted: good_slot },
            BootChange::Commit { slot, txn: txn.clone() },
        ] {
            let failure = control.write(&change).unwrap_err();
            assert_eq!(failure.code(), ReasonCode::EnvConfig, "{wrong}: {change:?}");
        }
        assert_eq!(control.settle(good_slot).unwrap_err().code(), ReasonCode::EnvConfig);
        assert_eq!(control.rehearse(good_slot).unwrap_err().code(), ReasonCode::EnvConfig);
        assert!(device.contents() == before, "{wrong}: something was written");
    }
    // A dead copy in a place that is for it is repaired, as ever.
    let device = Arc::new(FakeDevice::new(bytes));
    let control = UbootControl::new(store(&device, TWO, &dir.path().join("l")));
    control.store().write_factory(&factory()).unwrap();
    device.write_at(0x80_0000, &[0xff; 4]).unwrap();
    control.settle(SlotId::A).unwrap();
    assert!(control.look().unwrap().copies.iter().all(|copy| copy.dead.is_none()));
}
