//! The simulated device keeps what U-Boot and the shipped boot script promise. `tests/vm` holds
//! it, environment by environment, to the real U-Boot; these are the promises in words.

// Helpers of a test stand outside #[test] functions; a panic there is the test's verdict.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};
use surefoot::boot::uboot::{Env, choose};
use surefoot::disk::{open_image, read_table};

const COPIES: [u64; 2] = [4 << 20, 8 << 20];
const LEN: usize = 16 << 10;
const TXN: &str = "0123456789ab-1";

struct Sim {
    dir: tempfile::TempDir,
}

impl Sim {
    fn new(counter: &str) -> Sim {
        let sim = Sim { dir: crate::common::scratch() };
        let made = sim.run(&["new", sim.path(), "--slot-size", "4M", "--counter", counter]);
        assert!(made.status.success(), "{made:?}");
        sim.put_system('b');
        sim
    }

    fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_surefoot-sim")).args(words).output().unwrap()
    }

    /// One boot: what the first line says, and U-Boot's console.
    fn boot(&self, words: &[&str]) -> (String, String) {
        let done = self.run(&[&["reboot", self.path()], words].concat());
        let out = String::from_utf8(done.stdout).unwrap();
        (out.lines().next().unwrap_or_default().to_owned(), String::from_utf8(done.stderr).unwrap())
    }

    fn slot(&self) -> String {
        self.boot(&[]).0
    }

    fn disk(&self) -> std::fs::File {
        let path = self.dir.path().join("disk.img");
        std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
    }

    fn slot_start(&self, slot: char) -> u64 {
        let image = open_image(&self.dir.path().join("disk.img")).unwrap();
        let table = read_table(image.as_ref()).unwrap();
        table.by_name(&format!("rootfs-{slot}")).unwrap().start
    }

    fn put_system(&self, slot: char) {
        self.disk().write_all_at(b"hsqs", self.slot_start(slot)).unwrap();
    }

    fn remove_system(&self, slot: char) {
        self.disk().write_all_at(&[0; 4096], self.slot_start(slot)).unwrap();
    }

    fn copies(&self) -> [Vec<u8>; 2] {
        COPIES.map(|offset| {
            let mut bytes = vec![0; LEN];
            self.disk().read_exact_at(&mut bytes, offset).unwrap();
            bytes
        })
    }

    fn put_copies(&self, copies: &[Vec<u8>; 2]) {
        for (bytes, offset) in copies.iter().zip(COPIES) {
            self.disk().write_all_at(bytes, offset).unwrap();
        }
    }

    /// What U-Boot would load: the index of the copy, and the environment.
    fn env(&self) -> (usize, Env) {
        let decoded = self.copies().map(|copy| Env::decode(&copy, true).ok());
        let serials: Vec<Option<u8>> =
            decoded.iter().map(|d| d.as_ref().and_then(|d| d.1)).collect();
        let index = match (serials[0], serials[1]) {
            (Some(first), Some(second)) => choose(first, second),
            (None, Some(_)) => 1,
            _ => 0,
        };
        (index, decoded[index].clone().unwrap().0)
    }

    fn get(&self, name: &str) -> String {
        self.env().1.get(name).unwrap_or_default().into_owned()
    }

    /// Changes the environment as an updater does: one write to the stale copy.
    fn set(&self, values: &[(&str, &str)]) {
        let (newest, mut env) = self.env();
        let serial = self.copies()[newest][4].wrapping_add(1);
        for (name, value) in values {
            env.set(name, value).unwrap();
        }
        let bytes = env.encode(LEN, Some(serial)).unwrap();
        self.disk().write_all_at(&bytes, COPIES[1 - newest]).unwrap();
    }

    fn arm(&self) {
        self.set(&[
            ("surefoot_slot", "b"),
            ("surefoot_good", "a"),
            ("surefoot_txn", TXN),
            ("upgrade_available", "1"),
            ("bootcount", "0"),
        ]);
    }
}

const COUNTERS: [&str; 2] = ["uboot", "script"];

#[test]
fn a_new_device_boots_slot_a_and_nothing_is_written() {
    for counter in COUNTERS {
        let sim = Sim::new(counter);
        let before = sim.copies();
        assert_eq!(sim.slot(), "slot a");
        assert_eq!(sim.copies(), before, "a healthy boot writes nothing");
        assert_eq!(std::fs::read_to_string(sim.dir.path().join("run/booted")).unwrap(), "a\n");
        assert_eq!(sim.get("surefoot_counter"), counter);
        assert_eq!(before.map(|c| Env::decode(&c, true).unwrap().1.unwrap()), [1, 0]);
    }
}

#[test]
fn a_trial_has_its_boots_and_then_falls_back() {
    for counter in COUNTERS {
        let sim = Sim::new(counter);
        sim.arm();
        for boot in 1..=3 {
            assert_eq!(sim.slot(), format!("slot b (trial, boot {boot} of 3)"), "{counter}");
            assert_eq!(sim.get("bootcount"), boot.to_string());
        }
        assert_eq!(sim.slot(), format!("slot a (gave up on {TXN})"), "{counter}");
        assert_eq!(
            (sim.get("upgrade_available"), sim.get("surefoot_fallback")),
            ("0".into(), TXN.into())
        );
        assert_eq!(sim.slot(), "slot a", "{counter}");
    }
}

#[test]
fn a_kernel_that_cannot_be_loaded_gives_the_trial_up_at_once() {
    for counter in COUNTERS {
        for by_fault in [true, false] {
            let sim = Sim::new(counter);
            sim.arm();
            if !by_fault {
                sim.remove_system('b');
            }
            let words: &[&str] = if by_fault { &["--fail=kernel"] } else { &[] };
            assert_eq!(sim.boot(words).0, format!("slot a (gave up on {TXN})"));
            assert_eq!(sim.slot(), "slot a");
        }
    }
}

#[test]
fn outside_a_trial_a_broken_slot_gives_way_without_a_write() {
    let sim = Sim::new("uboot");
    sim.remove_system('a');
    let before = sim.copies();
    for _ in 0..5 {
        assert_eq!(sim.slot(), "slot b (degraded: slot a could not be started)");
    }
    assert_eq!(sim.copies(), before);
}

#[test]
fn two_dead_copies_boot_slot_a() {
    for counter in COUNTERS {
        let sim = Sim::new(counter);
        sim.arm();
        for offset in COPIES {
            sim.disk().write_all_at(&[0x55; 64], offset).unwrap();
        }
        assert_eq!(sim.slot(), "slot a (both copies of the environment are dead)");
    }
}

#[test]
fn a_cut_at_any_write_of_any_boot_leaves_old_or_new() {
    for counter in COUNTERS {
        let sim = Sim::new(counter);
        let (mut old, mut new) = (0, 0);
        sim.arm();
        for boots_before in 0..4u32 {
            let copies = sim.copies();
            let state = || (sim.get("upgrade_available"), sim.get("bootcount"));
            let trial = |count: u32| ("1".to_owned(), count.to_string());
            let given_up = ("0".to_owned(), "0".to_owned());
            sim.slot();
            let copies_after = sim.copies();
            // A U-Boot that counts stores the count, and then altbootcmd stores the fallback.
            let writes = if boots_before == 3 && counter == "uboot" { 2 } else { 1 };
            for (after, torn) in (0..writes).flat_map(|a| [0, 5, 511, 512, 8192].map(|t| (a, t))) {
                sim.put_copies(&copies);
                let (after, torn) = (after.to_string(), torn.to_string());
                let cut =
                    ["unplug", sim.path(), "--after", &after, "--torn", &torn, "--", "reboot"];
                let cut = sim.run(&cut);
                assert_eq!(cut.status.code(), Some(0), "{cut:?}");
                let next = match state() {
                    found if found == trial(boots_before) => {
                        old += 1;
                        boots_before + 1
                    }
                    found if found == trial(boots_before + 1) => {
                        new += 1;
                        boots_before + 2
                    }
                    found if boots_before == 3 && found == given_up => 0,
                    other => panic!("{counter}, boot {boots_before}, {after}:{torn}: {other:?}"),
                };
                let expected = match next {
                    0 => "slot a".to_owned(),
                    1..=3 => format!("slot b (trial, boot {next} of 3)"),
                    _ => format!("slot a (gave up on {TXN})"),
                };
                assert_eq!(sim.slot(), expected, "{counter}, boot {boots_before}, {after}:{torn}");
            }
            sim.put_copies(&copies_after);
        }
        assert!(old >= 15 && new >= 3, "{old} old, {new} new");
    }
}

#[test]
fn a_fault_is_of_one_boot_only() {
    let sim = Sim::new("uboot");
    for kind in ["unhealthy", "hang", "panic"] {
        let (line, _) = sim.boot(&[&format!("--fail={kind}")]);
        assert_eq!(line, format!("slot a (does not get healthy: {kind})"));
        let health = || Command::new("./health.sh").current_dir(sim.dir.path()).output().unwrap();
        assert_eq!(health().status.code(), Some(1));
        assert_eq!(sim.slot(), "slot a");
        assert_eq!(health().status.code(), Some(0));
    }
}

#[test]
fn the_kernel_command_line_is_the_scripts() {
    let sim = Sim::new("uboot");
    let json = |words: &[&str]| -> serde_json::Value {
        let done = sim.run(&[&["reboot", sim.path(), "--json", "-q"], words].concat());
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let calm = json(&[]);
    assert_eq!(
        (&calm["v"], &calm["slot"], &calm["trial"]),
        (&1.into(), &"a".into(), &false.into())
    );
    let line = calm["bootargs"].as_str().unwrap();
    assert!(line.starts_with("root=PARTUUID=") && line.contains(" surefoot.slot=a"), "{line}");
    assert!(!line.contains("panic="), "{line}");
    sim.arm();
    let trial = json(&[]);
    assert_eq!((&trial["boot"], &trial["limit"]), (&1.into(), &3.into()));
    assert!(trial["bootargs"].as_str().unwrap().contains("panic=10 watchdog.open_timeout=180"));
}

#[test]
fn nothing_is_made_over_something() {
    let sim = Sim::new("uboot");
    let again = sim.run(&["new", sim.path()]);
    assert_eq!(again.status.code(), Some(64));
    assert!(String::from_utf8(again.stderr).unwrap().contains("is not empty"));
    let nothing = sim.run(&["reboot", "/nowhere"]);
    assert_eq!(nothing.status.code(), Some(66));
    let dir = crate::common::scratch();
    let folder = dir.path().join("dev");
    let folder = folder.to_str().unwrap();
    for (words, status) in [
        (["--rootfs", "/nowhere"], 66),
        (["--trust", "/nowhere"], 66),
        (["--slot-size", "1"], 64),
        (["--slot-size", "x"], 64),
        (["--rootfs", "/proc/self/exe"], 65),
    ] {
        let size: &[&str] = if words[0] == "--rootfs" { &["--slot-size", "2M"] } else { &[] };
        let refused = sim.run(&[&["new", folder], &words[..], size].concat());
        assert_eq!(refused.status.code(), Some(status), "{words:?}: {refused:?}");
        assert!(!Path::new(folder).join("disk.img").exists(), "{words:?}");
    }
    assert!(sim.run(&["new", folder]).status.success(), "a refused folder can be used");
}

#[test]
fn the_image_is_an_ordinary_disk() {
    let sim = Sim::new("uboot");
    let image = open_image(&sim.dir.path().join("disk.img")).unwrap();
    let table = read_table(image.as_ref()).unwrap();
    assert!(table.warnings.is_empty(), "{:?}", table.warnings);
    let names: Vec<&str> = table.partitions.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["boot", "rootfs-a", "rootfs-b", "data"]);
    // sgdisk: attribute 2 of partition 1 is the 64-bit word at byte 48 of its entry.
    let mut attributes = [0; 8];
    sim.disk().read_exact_at(&mut attributes, 1024 + 48).unwrap();
    assert_eq!(u64::from_le_bytes(attributes), 1 << 2);
    let kept = std::fs::metadata(sim.dir.path().join("disk.img")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert!(kept.blocks() * 512 < 2 << 20, "the image is sparse: {} blocks", kept.blocks());
}
