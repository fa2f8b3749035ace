//! Promise: on a real block device no slot that is mounted or in use is opened for writing, and
//! what is opened is the partition's own node, held alone. Loop devices stand for cards; they
//! need root, and without it these tests say so and count as skipped.
// Helpers outside #[test] count as shipped code for the lint; a test may panic.
#![allow(clippy::unwrap_used)]

use crate::common::skip;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use surefoot::boot::BootControl;
use surefoot::boot::uboot::{Env, EnvStore, FwEnvConfig, UbootControl};
use surefoot::disk::{BlockDevice, Disk};
use surefoot::model::{CopyClaim, EnvClaims, Failure, ReasonCode, SlotId};
use surefoot::slot::{Inactive, Layout, SlotNames};

const MIB: u64 = 1 << 20;

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output();
    let out = out.unwrap_or_else(|e| {
        panic!("{program}: {e}; apt-get install util-linux gdisk e2fsprogs mount")
    });
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{program} {args:?}: {text}{errors}");
    text.trim().to_owned()
}

fn is_root() -> bool {
    let root = run("id", &["-u"]) == "0";
    if !root {
        skip::skipped("loop devices need root");
    }
    root
}

/// A card: an image with slots a and b and an environment partition, as a loop device whose
/// partitions the kernel knows (told one by one, as it may know no partition tables itself).
struct Card {
    dir: tempfile::TempDir,
    node: String,
}

impl Card {
    fn new() -> Card {
        let dir = crate::common::scratch();
        let image = dir.path().join("card.img");
        let image = image.to_str().unwrap();
        run("truncate", &["-s", "32M", image]);
        run(
            "sgdisk",
            &[
                "-n",
                "1:16384:+4M",
                "-c",
                "1:rootfs-a",
                "-n",
                "2:32768:+4M",
                "-c",
                "2:rootfs-b",
                "-n",
                "3:49152:+1M",
                "-c",
                "3:env",
                image,
            ],
        );
        let node = run("losetup", &["-f", "--show", image]);
        let card = Card { dir, node };
        for (number, start, sectors) in
            [("1", "16384", "8192"), ("2", "32768", "8192"), ("3", "49152", "2048")]
        {
            card.add(number, start, sectors);
        }
        card
    }

    fn add(&self, number: &str, start: &str, sectors: &str) {
        // A loop device keeps partitions of its previous life, and a kernel that knows partition
        // tables has found these already.
        let _ = Command::new("delpart").args([&self.node, number]).output();
        run("addpart", &[&self.node, number, start, sectors]);
    }

    fn part(&self, number: &str) -> PathBuf {
        PathBuf::from(format!("{}p{number}", self.node))
    }

    fn disk(&self) -> Disk {
        Disk::open(Path::new(&self.node)).unwrap()
    }

    fn key(&self) -> Result<Inactive, Failure> {
        let disk = self.disk();
        let layout = Layout::find(&disk.table()?, &SlotNames::default())?;
        let settled = CopyClaim::Alive { slot: Some(SlotId::A), trial: false };
        let claims = EnvClaims { copies: vec![settled; 2] };
        Inactive::prove(&disk, &layout, SlotId::A, &claims)
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        for number in ["1", "2", "3"] {
            let _ = Command::new("delpart").args([&self.node, number]).output();
        }
        let _ = Command::new("losetup").args(["-d", &self.node]).status();
    }
}

/// Something mounted, until dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(card: &Card, what: &[&str]) -> Mounted {
        let point = card.dir.path().join("mnt");
        std::fs::create_dir_all(&point).unwrap();
        let mut args = what.to_vec();
        args.push(point.to_str().unwrap());
        run("mount", &args);
        Mounted(point)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn the_partition_is_held_alone_and_written_in_place() {
    if !is_root() {
        return;
    }
    let card = Card::new();
    run("mke2fs", &["-q", card.part("2").to_str().unwrap()]);
    let key = card.key().unwrap();
    let slot = &key.parts()[0].device;
    assert_eq!(slot.len(), 4 * MIB);
    let mut block = surefoot::sys::AlignedBuf::new(8192);
    block.fill(0x77);
    slot.write_at(1000, &block[..5000]).unwrap();
    slot.write_at(MIB, &block).unwrap();
    slot.zero(MIB + 4096, 4096).unwrap();
    slot.flush().unwrap();
    let disk = card.disk();
    let mut back = vec![1; 8192];
    disk.reader().read_at(16 * MIB + MIB, &mut back).unwrap();
    assert!(back[..4096].iter().all(|b| *b == 0x77) && back[4096..].iter().all(|b| *b == 0));
    disk.reader().read_at(16 * MIB + 1000, &mut back[..5000]).unwrap();
    assert!(back[..5000].iter().all(|b| *b == 0x77));
    // Held: neither a second writer nor a mount gets it.
    assert_eq!(card.key().err().unwrap().code(), ReasonCode::SlotMounted);
    let mount = Command::new("mount").arg(card.part("2")).arg(card.dir.path()).output().unwrap();
    assert!(!mount.status.success());
    drop(key);
    card.key().unwrap();
}

#[test]
fn a_slot_that_is_mounted_or_swapped_to_is_refused() {
    if !is_root() {
        return;
    }
    let card = Card::new();
    let node = card.part("2");
    let node = node.to_str().unwrap();
    run("mke2fs", &["-q", node]);
    let mounted = Mounted::new(&card, &["-o", "ro", node]);
    let failure = card.key().err().unwrap();
    assert_eq!(failure.code(), ReasonCode::SlotMounted);
    assert!(failure.detail().contains("mounted on"), "{failure}");
    drop(mounted);
    // The running slot being mounted is no obstacle.
    run("mke2fs", &["-q", card.part("1").to_str().unwrap()]);
    let mounted = Mounted::new(&card, &[card.part("1").to_str().unwrap()]);
    card.key().unwrap();
    drop(mounted);
    run("mkswap", &[node]);
    run("swapon", &[node]);
    let failure = card.key().err().unwrap();
    run("swapoff", &[node]);
    assert_eq!(failure.code(), ReasonCode::SlotMounted, "{failure}");
    assert!(failure.detail().contains("swap"), "{failure}");
}

/// A mount in a mount namespace of its own, as a container has; gone with its shell, which ends with
/// its input.
struct Elsewhere(std::process::Child);

impl Elsewhere {
    fn mount(node: &str, point: &str) -> Option<Elsewhere> {
        use std::io::{BufRead, BufReader};
        let script = "mount -o ro \"$1\" \"$2\" && echo mounted && exec cat";
        let mut shell = Command::new("unshare");
        shell.args(["-m", "sh", "-c", script, "sh", node, point]);
        let pipe = std::process::Stdio::piped;
        let mut child = shell.stdin(pipe()).stdout(pipe()).spawn().ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
        let elsewhere = Elsewhere(child);
        (line == "mounted\n").then_some(elsewhere)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_slot_that_is_mounted_in_another_mount_namespace_is_refused() {
    if !is_root() {
        return;
    }
    let card = Card::new();
    let node = card.part("2");
    let node = node.to_str().unwrap();
    run("mke2fs", &["-q", node]);
    let point = card.dir.path().join("elsewhere");
    std::fs::create_dir(&point).unwrap();
    let Some(mounted) = Elsewhere::mount(node, point.to_str().unwrap()) else {
        return skip::skipped("a mount namespace: `unshare -m` is not allowed here");
    };
    let failure = card.key().err().unwrap();
    assert_eq!(failure.code(), ReasonCode::SlotMounted, "{failure}");
    assert!(failure.detail().contains("in the mount namespace of process"), "{failure}");
    let slot = card.disk().table().unwrap().partitions[1].clone();
    assert_eq!(card.disk().rehearse(&slot).unwrap_err().code(), ReasonCode::SlotMounted);
    // The image under the loop device, by another name of the same file.
    let image = card.dir.path().join("card.img");
    let other = card.dir.path().join("same.img");
    std::fs::hard_link(&image, &other).unwrap();
    for name in [&image, &other] {
        let disk = Disk::open(name).unwrap();
        let failure = disk.rehearse(&slot).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::SlotMounted, "{failure}");
    }
    drop(mounted);
    card.disk().rehearse(&slot).unwrap();
    card.key().unwrap();
}

#[test]
fn a_read_only_disk_is_called_so_before_anything_is_written_and_where_it_is() {
    if !is_root() {
        return;
    }
    let card = Card::new();
    let disk = card.disk();
    let slot = disk.table().unwrap().partitions[1].clone();
    disk.rehearse(&slot).unwrap();
    let node = card.part("2");
    run("blockdev", &["--setro", node.to_str().unwrap()]);
    let failure = disk.rehearse(&slot).unwrap_err();
    assert_eq!(failure.code(), ReasonCode::DiskReadOnly, "{failure}");
    assert!(failure.detail().contains(node.to_str().unwrap()), "{failure}");
    // And a write that is tried all the same says no other code.
    if let Ok(key) = card.key() {
        let slot = &key.parts()[0].device;
        let failure = slot.write_at(0, &[0; 4096]).and_then(|()| slot.flush());
        assert_eq!(failure.unwrap_err().code(), ReasonCode::DiskReadOnly);
    }
    run("blockdev", &["--setrw", node.to_str().unwrap()]);
    disk.rehearse(&slot).unwrap();
}

#[test]
fn a_kernel_that_sees_other_partitions_than_the_table_is_refused() {
    if !is_root() {
        return;
    }
    let card = Card::new();
    run("delpart", &[&card.node, "2"]);
    let failure = card.key().err().unwrap();
    assert_eq!(failure.code(), ReasonCode::LayoutInvalid, "{failure}");
    card.add("2", "32768", "4096");
    assert_eq!(card.key().err().unwrap().code(), ReasonCode::LayoutInvalid);
}

#[test]
fn the_environment_is_written_beside_mounted_partitions_and_found_on_the_disk() {
    if !is_root() {
        return;
    }
    let card = Card::new();
    run("mke2fs", &["-q", card.part("1").to_str().unwrap()]);
    let _mounted = Mounted::new(&card, &[card.part("1").to_str().unwrap()]);
    let disk = Arc::new(card.disk());
    let mut env = Env::new();
    env.set("surefoot_slot", "a").unwrap();
    let raw = format!("{0} 0x200000 0x4000\n{0} 0x600000 0x4000\n", card.node);
    let own = format!("{0} 0 0x4000\n{0} 0x40000 0x4000\n", card.part("3").display());
    for (text, place, own_partition) in [(raw, 2 * MIB, false), (own, 24 * MIB, true)] {
        let config = FwEnvConfig::parse(&text).unwrap();
        let store = EnvStore::new(&config, Path::new("/"), Some(disk.clone()));
        store.write_factory(&env).unwrap();
        let control = UbootControl::new(store);
        control.settle(SlotId::A).unwrap();
        let facts = control.look().unwrap();
        assert!(facts.claims.all_settled_on(SlotId::A));
        assert_eq!(facts.copies[0].on_disk, Some(place..place + 0x4000));
        assert_eq!(facts.copies[0].own_partition, own_partition);
        let shared =
            control.findings(&facts).iter().any(|f| f.reason.contains("one unit of 4 MiB"));
        assert_eq!(shared, own_partition);
        let file = card.dir.path().join("fw_env.config");
        std::fs::write(&file, &text).unwrap();
        assert_eq!(run("fw_printenv", &["-c", file.to_str().unwrap()]), "surefoot_slot=a");
    }
}

#[test]
fn a_slot_of_an_image_that_a_loop_device_has_mounted_is_refused() {
    if !is_root() {
        return;
    }
    let card = Card::new();
    run("mke2fs", &["-q", card.part("2").to_str().unwrap()]);
    let image = Disk::open(&card.dir.path().join("card.img")).unwrap();
    let table = image.table().unwrap();
    assert_eq!(image.in_use(&table.partitions[1]).unwrap(), None);
    let node = card.part("2");
    let mounted = Mounted::new(&card, &["-o", "ro", node.to_str().unwrap()]);
    assert!(image.in_use(&table.partitions[1]).unwrap().is_some());
    assert_eq!(image.in_use(&table.partitions[0]).unwrap(), None);
    drop(mounted);
    // A loop device of its own over the bytes of the slot (the tools allow no second one over the
    // same file, so it is a copy).
    let path = card.dir.path().join("copy.img");
    std::fs::copy(card.dir.path().join("card.img"), &path).unwrap();
    let image = Disk::open(&path).unwrap();
    assert_eq!(image.in_use(&table.partitions[1]).unwrap(), None);
    let _mounted = Mounted::new(
        &card,
        &["-o", "ro,loop,offset=16777216,sizelimit=4194304", path.to_str().unwrap()],
    );
    assert!(image.in_use(&table.partitions[1]).unwrap().is_some());
    assert_eq!(image.in_use(&table.partitions[0]).unwrap(), None);
}
