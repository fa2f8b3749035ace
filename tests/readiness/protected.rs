//! Preconditions that only a mount or a device makes false: they take root.

use super::all_refuse;
use crate::common::{self, Bench, skip, tmpfs};
use crate::kept::Kept;
use std::process::Command;

/// What was done to the machine; undone when dropped, the last first.
#[derive(Default)]
struct Undo(Vec<Vec<String>>);

impl Undo {
    /// Runs a command; whether it was allowed.
    fn run(words: &[&str]) -> Option<String> {
        let done = Command::new(words[0]).args(&words[1..]).output().ok()?;
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    fn later(&mut self, words: &[&str]) {
        self.0.push(words.iter().map(|w| (*w).to_owned()).collect());
    }

    /// Covers a file or folder with itself, read-only.
    fn protect(&mut self, path: &str) -> Option<()> {
        Undo::run(&["mount", "--bind", path, path])?;
        self.later(&["umount", "--lazy", path]);
        Undo::run(&["mount", "-o", "remount,bind,ro", path]).map(drop)
    }

    /// A loop device over a file.
    fn node(&mut self, words: &[&str]) -> Option<String> {
        let node = Undo::run(&[&["losetup", "-f", "--show"], words].concat())?;
        self.later(&["losetup", "-d", &node]);
        Some(node)
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for words in self.0.iter().rev() {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            Undo::run(&words);
        }
    }
}

/// Makes one precondition false. `None` where that is not allowed here.
type Ruin = fn(&Bench, &mut Undo) -> Option<()>;

const TABLE: &[(&str, i32, &str, Ruin)] = &[
    ("the image is covered by a read-only bind mount", 74, "DISK_READ_ONLY", |b, undo| {
        undo.protect(&b.path("DEV/disk.img"))
    }),
    ("the state folder is a read-only bind mount", 78, "STATE_NOT_DURABLE", |b, undo| {
        std::fs::create_dir_all(b.path("DEV/state")).unwrap();
        undo.protect(&b.path("DEV/state"))
    }),
    ("the environment lies on a device that is protected", 74, "DISK_READ_ONLY", |b, undo| {
        let mut bytes = b.disk_bytes(4 << 20, 0x4000);
        bytes.resize(1 << 20, 0xff);
        bytes.extend(b.disk_bytes(8 << 20, 0x4000));
        bytes.resize(2 << 20, 0xff);
        std::fs::write(b.path("env.bin"), bytes).unwrap();
        let node = undo.node(&[&b.path("env.bin")])?;
        let text = format!("{node} 0 0x4000\n{node} 0x100000 0x4000\n");
        std::fs::write(b.path("DEV/fw_env.config"), text).unwrap();
        b.surefoot(&["doctor"]).ok();
        undo.later(&["blockdev", "--setrw", &node]);
        Undo::run(&["blockdev", "--setro", &node]).map(drop)
    }),
    ("the other slot is mounted", 77, "SLOT_MOUNTED", |b, undo| {
        let offset = format!("{}", b.slot_offset("b"));
        let image = b.path("DEV/disk.img");
        let words = ["--offset", &offset, "--sizelimit", "4194304", &image];
        let node = undo.node(&words)?;
        Undo::run(&["mke2fs", "-q", &node])?;
        std::fs::create_dir(b.path("mounted")).unwrap();
        let point = b.path("mounted");
        Undo::run(&["mount", "-o", "ro", &node, &point])?;
        undo.later(&["umount", &point]);
        Some(())
    }),
];

#[test]
fn what_a_mount_or_a_protected_device_makes_false_has_the_same_code_in_all_five() {
    for (what, status, code, ruin) in TABLE {
        eprintln!("{what}");
        let bench = Bench::new();
        let artifact = bench.release("2.0.0");
        let mut undo = Undo::default();
        if ruin(&bench, &mut undo).is_none() {
            skip::skipped(&format!("{what}: mounts and loop devices need root"));
            continue;
        }
        let before = common::read(&bench.path("DEV/disk.img"));
        all_refuse(&|words| bench.surefoot(words), &artifact, *status, code);
        assert!(common::read(&bench.path("DEV/disk.img")) == before, "{what}: the disk is changed");
        drop(undo);
    }
}

#[test]
fn a_file_system_that_is_mounted_read_only_later_has_the_same_code_in_all_five() {
    let bench = Bench::new();
    let artifact = bench.release("2.0.0");
    let folder = bench.path("DEV");
    let Some(_mounted) = tmpfs::at(&folder, "128m") else {
        return skip::skipped("a file system that becomes read-only: mounting needs root");
    };
    bench.surefoot(&["doctor"]).ok();
    assert!(Undo::run(&["mount", "-o", "remount,ro", &folder]).is_some());
    all_refuse(&|words| bench.surefoot(words), &artifact, 74, "DISK_READ_ONLY");
    // What mends it is enough.
    assert!(Undo::run(&["mount", "-o", "remount,rw", &folder]).is_some());
    bench.surefoot(&["install", &artifact]).ok();
}

#[test]
fn a_disk_that_becomes_read_only_under_a_daemon_is_told_with_the_same_code() {
    let bench = Bench::new();
    let artifact = bench.release("2.0.0");
    let daemon = Kept::start(&bench);
    daemon.surefoot(&["why"]).ok();
    let mut undo = Undo::default();
    if undo.protect(&bench.path("DEV/disk.img")).is_none() {
        return skip::skipped("a read-only bind mount under a daemon: mounting needs root");
    }
    all_refuse(&|words| daemon.surefoot(words), &artifact, 74, "DISK_READ_ONLY");
    drop(undo);
    daemon.surefoot(&["install", &artifact]).ok();
}
