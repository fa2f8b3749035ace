//! What was interrupted goes on where it stopped, and nothing else is believed. With the real
//! programs; the numbers are those that `install --json` answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common;
use crate::common::skip;
use crate::common::tmpfs;
use crate::common::under_way;

use crate::common::Bench;
use surefoot::sys::power::CUT_VARIABLE;
use under_way::{UnderWay, signal};

const MIB: u64 = 1 << 20;

/// The images of this file, in MiB: several times what can be in flight at once.
const LEN: u64 = 40;

/// What is written whatever stands there: the first 128 KiB, the chunk that straddles their end
/// and the slot record; and the chunks at the edges of what was cut.
const EDGES: u64 = 3 * MIB;

/// What `install --json` says it did, in bytes.
#[derive(Debug, serde::Deserialize)]
struct Written {
    image: u64,
    written: u64,
    kept: u64,
    zeroed: u64,
    fetched: u64,
}

fn bench() -> Bench {
    Bench::with(&["--slot-size", "48M"])
}

fn artifact(bench: &Bench, version: &str, seed: u64) -> String {
    let len = usize::try_from(LEN * MIB).unwrap();
    bench.artifact(version, seed, len, &["--version", version])
}

/// Installs; what was done.
fn install(bench: &Bench, artifact: &str) -> Written {
    let answer = bench.surefoot(&["install", artifact, "--json"]).ok().json();
    serde_json::from_value(answer["report"].clone()).unwrap()
}

/// Bytes of the image that are carried and not zeros.
fn carried(bench: &Bench, artifact: &str) -> u64 {
    let plan = bench.surefoot(&["install", artifact, "--dry-run", "--json"]).ok().json();
    plan["plan"]["carried"].as_u64().unwrap()
}

/// The slot holds exactly the image of `version`, boots, and is kept.
fn holds_and_boots(bench: &Bench, version: &str) {
    let image = common::read(&bench.path(&format!("{version}.img")));
    let at = bench.slot_offset("b");
    let disk = common::read(&bench.path("DEV/disk.img"));
    assert!(disk[at..at + image.len()] == image[..], "slot b does not hold {version}");
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["verify", "b"]).ok();
    assert_eq!(bench.status()["state"], "updated");
}

fn is_interrupted(bench: &Bench) {
    let status = bench.status();
    assert_eq!((&status["state"], &status["booted"]), (&"installing".into(), &"a".into()));
    assert_eq!(status["next"]["action"], "resume", "{status}");
    assert_eq!(status["slots"]["b"]["bootable"], false, "a torn slot offers a kernel");
}

/// Kills an installation that has written `share` percent; how many bytes those were.
fn killed(bench: &Bench, artifact: &str, share: u64) -> u64 {
    let bytes = carried(bench, artifact) * share / 100;
    UnderWay::stopped(bench, artifact, bytes).kill();
    is_interrupted(bench);
    bytes
}

#[test]
fn a_kill_at_any_moment_costs_only_what_was_missing() {
    let mut before = u64::MAX;
    for share in [5, 50, 90] {
        let bench = bench();
        let artifact = artifact(&bench, "2.0.0", 5);
        let most = carried(&bench, &artifact) + EDGES;
        let stood = killed(&bench, &artifact, share);
        let report = install(&bench, &artifact);
        assert!(report.written + stood <= most, "{share} %: {stood}, {report:?}");
        assert_eq!(report.image, LEN * MIB);
        assert!(report.kept + report.written + report.zeroed >= report.image, "{report:?}");
        assert!(report.fetched < before, "{share} %: {report:?}");
        before = report.fetched;
        holds_and_boots(&bench, "2.0.0");
    }
}

#[test]
fn cut_after_cut_the_installation_comes_nearer_to_its_end() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0", 6);
    // Each life of this device is a few writes long.
    let mut lives = 0;
    while bench.surefoot_with(&["install", &artifact], &[(CUT_VARIABLE, "9:700")], b"").code == 99 {
        lives += 1;
        assert!(lives < 60, "it never ends");
        assert_eq!(bench.status()["booted"], "a");
    }
    assert!(lives > 3, "{lives} cuts");
    assert_eq!(bench.status()["state"], "switching");
    holds_and_boots(&bench, "2.0.0");
}

#[test]
fn a_stream_that_ended_early_is_finished_from_a_file_or_another_stream() {
    for by_file in [true, false] {
        let bench = bench();
        let artifact = artifact(&bench, "2.0.0", 7);
        let bytes = common::read(&artifact);
        let part = bytes.len() * 3 / 4;
        bench.surefoot_with(&["install", "-"], &[], &bytes[..part]).refused(69, "SOURCE_LOST");
        is_interrupted(&bench);
        let report = if by_file {
            install(&bench, &artifact)
        } else {
            let said = bench.surefoot_with(&["install", "-", "--json"], &[], &bytes).ok().json();
            serde_json::from_value(said["report"].clone()).unwrap()
        };
        // What was in the program's hands when the stream ended comes again.
        let most = (bytes.len() - part) as u64 + 16 * MIB;
        assert!(report.kept > 4 * MIB && report.fetched <= most, "{report:?}");
        holds_and_boots(&bench, "2.0.0");
    }
}

#[test]
fn a_stream_that_is_damaged_is_refused_once_and_a_good_one_installs() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0", 19);
    let bytes = common::read(&artifact);
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    bench.surefoot_with(&["install", "-"], &[], &damaged).refused(65, "CHUNK_CORRUPT");
    let status = bench.status();
    assert_eq!((&status["state"], &status["booted"]), (&"failed".into(), &"a".into()));
    let history = bench.surefoot(&["history", "--json"]).ok().json();
    assert_eq!(history["history"].as_array().unwrap().len(), 1);
    bench.surefoot_with(&["install", "-"], &[], &bytes).ok();
    holds_and_boots(&bench, "2.0.0");
}

#[test]
fn a_stick_that_was_pulled_goes_on_where_it_stopped_once_it_is_back() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0", 8);
    let bytes = common::read(&artifact);
    let stick = bench.path("stick.surefoot");
    std::fs::write(&stick, &bytes).unwrap();
    let stood = carried(&bench, &artifact) / 2;
    let install_it = UnderWay::stopped(&bench, &stick, stood);
    std::fs::OpenOptions::new().write(true).open(&stick).unwrap().set_len(5000).unwrap();
    signal(install_it.id(), "-CONT");
    install_it.ended().refused(69, "SOURCE_LOST");
    is_interrupted(&bench);
    // Plugged in while it is still being copied, it is refused, and costs nothing.
    let disk = common::read(&bench.path("DEV/disk.img"));
    bench.surefoot(&["install", &stick]).refused(65, "TRUNCATED");
    std::fs::write(&stick, [&bytes[..], b"more"].concat()).unwrap();
    bench.surefoot(&["install", &stick]).refused(65, "TRAILING_BYTES");
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&stick, damaged).unwrap();
    bench.surefoot(&["install", &stick]).refused(65, "CHUNK_CORRUPT");
    assert!(common::read(&bench.path("DEV/disk.img")) == disk, "a refusal changed the disk");
    is_interrupted(&bench);
    std::fs::write(&stick, &bytes).unwrap();
    let report = install(&bench, &stick);
    assert!(report.kept + EDGES > stood, "{stood}, {report:?}");
    holds_and_boots(&bench, "2.0.0");
}

#[test]
fn a_full_disk_below_the_image_is_named_and_goes_on_when_there_is_room() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0", 9);
    // A filesystem of its own, so that the image's holes find no room.
    let Some(small) = tmpfs::at(&bench.path("DEV"), "14M") else {
        return skip::skipped("a full disk: mounting a tmpfs needs root");
    };
    bench.surefoot(&["install", &artifact]).refused(74, "NO_SPACE");
    is_interrupted(&bench);
    assert_eq!(bench.status()["slots"]["a"]["bootable"], true);
    small.resize("200M");
    let report = install(&bench, &artifact);
    assert!(report.kept > 4 * MIB, "{report:?}");
    holds_and_boots(&bench, "2.0.0");
}

#[test]
fn a_full_state_folder_is_named_and_costs_nothing_that_was_written() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0", 10);
    let bytes = common::read(&artifact);
    let Some(_small) = tmpfs::at(&bench.path("DEV/state"), "4m") else {
        return skip::skipped("a full state folder: mounting a tmpfs needs root");
    };
    let fill = || {
        let _full = std::fs::write(bench.path("DEV/state/filler"), vec![1; 8 << 20]);
    };
    let make_room = || std::fs::remove_file(bench.path("DEV/state/filler")).unwrap();
    // Before: refused, and nothing is touched.
    fill();
    let disk = common::read(&bench.path("DEV/disk.img"));
    bench.surefoot(&["install", &artifact]).refused(74, "NO_SPACE");
    assert!(common::read(&bench.path("DEV/disk.img")) == disk, "the disk was touched");
    make_room();
    // Meanwhile: what was written stands, and is found.
    let mut install_it = UnderWay::start(&bench, "-");
    install_it.feed(&bytes[..bytes.len() / 2]);
    install_it.until_written(MIB);
    // What the installation has set aside for its own writes is gone too.
    for n in 0..8 {
        std::fs::remove_file(bench.path(&format!("DEV/state/reserve.{n}"))).unwrap();
    }
    fill();
    install_it.feed(&bytes[bytes.len() / 2..]);
    install_it.ended().refused(74, "NO_SPACE");
    make_room();
    assert_eq!(bench.status()["state"], "installing");
    let report = install(&bench, &artifact);
    assert!(report.written <= EDGES, "{report:?}");
    holds_and_boots(&bench, "2.0.0");
}

#[test]
fn another_artifact_starts_fresh_and_no_chunk_of_the_abandoned_one_is_believed() {
    // The same image, even: what was left half written is nobody's word.
    let started = || {
        let bench = bench();
        let (old, new) = (artifact(&bench, "2.0.0", 11), artifact(&bench, "2.1.0", 11));
        killed(&bench, &old, 80);
        (bench, old, new)
    };
    let (bench, _, new) = started();
    let report = install(&bench, &new);
    assert_eq!(report.kept, 0, "{report:?}");
    holds_and_boots(&bench, "2.1.0");
    // And there is no way back to the abandoned one: it starts fresh, too.
    let (bench, old, new) = started();
    killed(&bench, &new, 30);
    let report = install(&bench, &old);
    assert_eq!(report.kept, 0, "{report:?}");
    holds_and_boots(&bench, "2.0.0");
}

#[test]
fn a_newer_artifact_takes_the_place_of_an_interrupted_one_however_often_that_is_cut() {
    let bench = bench();
    let (old, new) = (artifact(&bench, "2.0.0", 12), artifact(&bench, "2.1.0", 13));
    killed(&bench, &old, 60);
    for cut in 0..14 {
        let plug = format!("{cut}:300");
        let said = bench.surefoot_with(&["install", &new], &[(CUT_VARIABLE, &plug)], b"");
        assert_eq!(said.code, 99, "cut {cut}: {}", said.err);
        is_interrupted(&bench);
        assert_eq!(bench.reboot(&[]), "a");
    }
    install(&bench, &new);
    holds_and_boots(&bench, "2.1.0");
}

#[test]
fn a_chunk_that_went_bad_in_the_slot_is_found_and_written_again() {
    let bench = bench();
    let artifact = artifact(&bench, "2.0.0", 14);
    let carried = carried(&bench, &artifact);
    let left = carried.saturating_sub(killed(&bench, &artifact, 70));
    let slot = bench.slot_offset("b");
    // In text, in noise and in zeros.
    for at in [0x10_0010, 0x25_1234, 0x33_0000] {
        bench.patch_disk(slot + at, b"rot");
    }
    let report = install(&bench, &artifact);
    assert!(report.kept > 4 * MIB, "{report:?}");
    // More was written than what the kill had left to do.
    assert!(report.written > left, "{left}, {report:?}");
    holds_and_boots(&bench, "2.0.0");
}

#[test]
fn the_second_of_two_installations_is_told_at_once_and_the_first_goes_on_unharmed() {
    let bench = bench();
    let (one, two) = (artifact(&bench, "2.0.0", 15), artifact(&bench, "2.1.0", 16));
    let bytes = common::read(&one);
    let mut first = UnderWay::start(&bench, "-");
    first.feed(&bytes[..bytes.len() / 2]);
    first.until_written(MIB);
    for artifact in [&two, &one] {
        bench.surefoot(&["install", artifact]).refused(75, "BUSY");
    }
    // A rollback would stop it: tests/cancel.rs.
    bench.surefoot(&["switch"]).refused(75, "BUSY");
    // None of them has waited for the first, which is still in the middle and gets no more bytes.
    assert_eq!(bench.status()["state"], "installing"); // a reader never waits
    first.feed(&bytes[bytes.len() / 2..]);
    first.ended().ok();
    holds_and_boots(&bench, "2.0.0");
}

#[test]
fn nothing_supersedes_a_trial() {
    let bench = bench();
    let (one, two) = (artifact(&bench, "2.0.0", 17), artifact(&bench, "2.1.0", 18));
    killed(&bench, &one, 50);
    install(&bench, &one);
    bench.reboot(&[]);
    let before = bench.firm_ground();
    bench.surefoot(&["install", &two]).refused(77, "TRIAL_PENDING");
    assert!(bench.firm_ground() == before);
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["install", &two]).ok();
    assert_eq!(bench.reboot(&[]), "a");
}
