//! Slots of two partitions: a boot part with kernel and device tree, and a root filesystem.

use crate::common::{self, Bench, image};
use std::ops::Range;
use surefoot::disk::{open_image, read_table};
use surefoot::sys::power::CUT_VARIABLE;

const MIB: usize = 1 << 20;
/// 3 MiB: 2 for the image and 1 for the slot record, which the first part carries.
const WORDS: [&str; 1] = ["--boot-part=3M"];
const BOOT_LEN: usize = 600 << 10;

fn bench() -> Bench {
    Bench::with(&WORDS)
}

/// Where a partition lies in the disk.
fn partition(bench: &Bench, name: &str) -> Range<usize> {
    let disk = open_image(bench.path("DEV/disk.img").as_ref()).unwrap();
    let table = read_table(disk.as_ref()).unwrap();
    let partition = table.by_name(name).unwrap();
    let start = usize::try_from(partition.start).unwrap();
    start..start + usize::try_from(partition.len).unwrap()
}

fn bytes(bench: &Bench, name: &str) -> Vec<u8> {
    let place = partition(bench, name);
    bench.disk_bytes(place.start as u64, place.len())
}

fn disk(bench: &Bench) -> Vec<u8> {
    common::read(&bench.path("DEV/disk.img"))
}

fn environment(bench: &Bench) -> [Vec<u8>; 2] {
    [4 << 20, 8 << 20].map(|at| bench.disk_bytes(at, 0x4000))
}

fn boot_image(bench: &Bench, seed: u64, len: usize) -> String {
    let path = bench.path(&format!("boot-{seed}-{len}.img"));
    std::fs::write(&path, image(seed + 1000, len)).unwrap();
    path
}

/// An artifact with the named parts beside a root filesystem of 1 MiB.
fn artifact(bench: &Bench, version: &str, seed: u64, parts: &[(&str, &str)]) -> String {
    let parts: Vec<String> = parts.iter().map(|(name, path)| format!("{name}={path}")).collect();
    let mut words = vec!["--version", version];
    words.extend(parts.iter().flat_map(|part| ["--part", part.as_str()]));
    bench.artifact(version, seed, MIB, &words)
}

fn release(bench: &Bench, version: &str, seed: u64) -> String {
    let boot = boot_image(bench, seed, BOOT_LEN);
    artifact(bench, version, seed, &[("boot", &boot)])
}

/// Both parts of a slot hold the images of the release with this seed.
#[track_caller]
fn holds(bench: &Bench, slot: &str, seed: u64) {
    let (boot, root) = (image(seed + 1000, BOOT_LEN), image(seed, MIB));
    assert!(bytes(bench, &format!("boot-{slot}")).starts_with(&boot), "boot part of slot {slot}");
    assert!(bytes(bench, &format!("rootfs-{slot}")).starts_with(&root), "root of slot {slot}");
}

#[test]
fn an_update_of_both_parts_is_armed_in_one_write_kept_and_left_again() {
    let bench = bench();
    let first = release(&bench, "2.0.0", 5);
    let before = environment(&bench);
    bench.surefoot(&["install", &first]).ok();
    holds(&bench, "b", 5);
    let after = environment(&bench);
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert_eq!(changed, 1, "copies of the environment that arming has written");
    let status = bench.status();
    assert_eq!(status["state"], "switching");
    let slot = &status["slots"]["b"];
    assert_eq!((&slot["bootable"], &slot["version"]), (&true.into(), &"2.0.0".into()));
    let parts = slot["parts"].as_array().unwrap();
    let names = |key: &str| parts.iter().map(|p| p[key].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(names("part"), ["boot", "rootfs"]);
    assert_eq!(names("partition"), ["boot-b", "rootfs-b"]);
    assert_ne!(names("sha256")[0], names("sha256")[1]);
    assert_eq!(parts[1]["sha256"], slot["sha256"], "the root filesystem's");
    let journal = ["journal.0", "journal.1"].map(|name| bench.path(&format!("DEV/state/{name}")));
    let journal = journal.iter().filter_map(|path| std::fs::read(path).ok()).collect::<Vec<_>>();
    let journal = String::from_utf8_lossy(&journal.concat()).into_owned();
    assert!(journal.contains("boot-b") && journal.contains("rootfs-b"), "{journal}");
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    let said = bench.surefoot(&["verify", "b"]).ok();
    assert!(said.out.contains("exactly 2.0.0"), "{}", said.out);
    // The other way, and home again by an operator's word.
    bench.surefoot(&["install", &release(&bench, "2.1.0", 6)]).ok();
    holds(&bench, "a", 6);
    holds(&bench, "b", 5);
    assert_eq!(bench.reboot(&[]), "a");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["rollback"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    assert_eq!(bench.status()["slots"]["b"]["version"], "2.0.0");
}

#[test]
fn a_bad_release_of_two_parts_comes_home() {
    for how in ["--fail=panic", "--fail=kernel", "--fail"] {
        let bench = bench();
        bench.surefoot(&["install", &release(&bench, "2.0.0", 5)]).ok();
        let mut slot = bench.reboot(&[how]);
        if how == "--fail" {
            bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
        }
        for _ in 0..3 {
            slot = if slot == "b" { bench.reboot(&[how]) } else { slot };
        }
        assert_eq!(slot, "a", "{how}");
        assert_eq!(bench.status()["state"], "rolled-back", "{how}");
    }
}

/// Cuts the power at every write of an installation.
#[test]
fn the_power_goes_at_any_write_and_the_same_command_goes_on() {
    let bench = bench();
    let artifact = release(&bench, "2.0.0", 7);
    let (mut cuts, mut torn) = (0, 0);
    for nth in 0.. {
        assert!(nth < 400, "it never ends");
        let cut = format!("{nth}:700");
        let words = ["install", &artifact, "--reinstall"];
        let said = bench.surefoot_with(&words, &[(CUT_VARIABLE, &cut)], b"");
        if said.code == 0 {
            break;
        }
        assert_eq!(said.code, 99, "{}", said.err);
        cuts += 1;
        // Whatever the cut left, the running slot boots, or the complete new one.
        let booted = bench.reboot(&["--quiet"]);
        let status = bench.status();
        if booted == "b" {
            holds(&bench, "b", 7);
            break;
        }
        let head = |name: &str| bytes(&bench, name)[1080..1082] == [0x53, 0xef];
        assert!(head("rootfs-b") || !head("boot-b"), "a kernel without its root, cut {nth}");
        torn += u32::from(status["state"] == "installing");
    }
    assert!(cuts > 10 && torn > 5, "{cuts} cuts, {torn} of them in the installation");
    if bench.booted() == "a" {
        assert_eq!(bench.reboot(&[]), "b");
    }
    bench.surefoot(&["commit"]).ok();
    holds(&bench, "b", 7);
    bench.surefoot(&["verify", "b"]).ok();
}

#[test]
fn what_does_not_bring_the_parts_of_the_slots_is_refused_by_name_and_changes_nothing() {
    let bench = bench();
    let boot = boot_image(&bench, 1, BOOT_LEN);
    // 3 MiB less the record; the root filesystem's partition carries none.
    let (full, over) = (boot_image(&bench, 2, 2 * MIB), boot_image(&bench, 3, 2 * MIB + 1));
    let root = |name: &str, len: usize| {
        let part = format!("boot={boot}");
        bench.artifact(name, 9, len, &["--version", "2.0.0", "--part", &part])
    };
    let before = disk(&bench);
    for (artifact, reason, told) in [
        (artifact(&bench, "1.1.0", 4, &[]), "PART_MISSING", "`boot`"),
        (
            artifact(&bench, "1.2.0", 4, &[("boot", &boot), ("fpga", &boot)]),
            "PART_UNKNOWN",
            "`fpga`",
        ),
        (artifact(&bench, "1.3.0", 4, &[("BOOT", &boot)]), "PART_MISSING", "`boot`"),
        (artifact(&bench, "1.4.0", 4, &[("boot", &over)]), "TOO_BIG", "`boot`"),
        (root("over", 4 * MIB + 1), "TOO_BIG", "`rootfs`"),
    ] {
        let said = bench.surefoot(&["install", &artifact]).refused(65, reason);
        assert!(said.err.contains(told), "{reason}: {}", said.err);
        assert!(disk(&bench) == before, "{reason} {told}: the disk is changed");
    }
    // Doubled parts are no manifest.
    let (key, out) = (bench.path("KEYS/release.key"), bench.path("twice.surefoot"));
    let part = format!("boot={boot}");
    let words = ["--product", "demo", "--compatible", "demo-board", "--version", "3.0.0"];
    let image = bench.path("v1.img");
    let mut all = vec!["build", "--raw", "--rootfs", &image, "-o", &out, "--key", &key];
    all.extend(words.iter().chain(&["--part", &part, "--part", &part]));
    let said = common::forge(&all);
    assert!(said.code != 0 && said.err.contains("`boot`"), "{} {}", said.code, said.err);
    assert!(!common::exists(&out));
    // What fills both parts to the last byte is installed, and what comes after a refusal too.
    let fits = bench.artifact(
        "fits",
        9,
        4 * MIB,
        &["--version", "3.0.0", "--part", &format!("boot={full}")],
    );
    bench.surefoot(&["install", &fits]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["verify", "b"]).ok();
}

#[test]
fn a_device_of_one_part_refuses_a_boot_part() {
    let bench = Bench::new();
    let before = disk(&bench);
    bench.surefoot(&["install", &release(&bench, "2.0.0", 5)]).refused(65, "PART_UNKNOWN");
    assert!(disk(&bench) == before);
}

#[test]
fn damage_is_found_in_the_part_where_it_is() {
    let bench = bench();
    bench.surefoot(&["install", &release(&bench, "2.0.0", 5)]).ok();
    for part in ["boot", "rootfs"] {
        let at = partition(&bench, &format!("{part}-b")).start + 500_000;
        let was = bench.disk_bytes(at as u64, 1);
        bench.patch_disk(at, &[was[0] ^ 1]);
        let said = bench.surefoot(&["verify", "b"]).refused(74, "SLOT_DAMAGED");
        assert!(said.out.contains(&format!("in part {part} at")), "{}", said.out);
        let told = bench.surefoot(&["verify", "b", "--json"]).refused(74, "SLOT_DAMAGED").json();
        assert_eq!((&told["v"], &told["slot"]), (&1.into(), &"b".into()), "{told}");
        assert_eq!((&told["verdict"], &told["part"]), (&"damaged".into(), &part.into()), "{told}");
        bench.patch_disk(at, &was);
        bench.surefoot(&["verify", "b"]).ok();
    }
    // Without either head there is no system to arm or to run.
    for part in ["boot", "rootfs"] {
        let at = partition(&bench, &format!("{part}-b")).start;
        let was = bench.disk_bytes(at as u64, 128 << 10);
        bench.patch_disk(at, &[0; 128 << 10]);
        assert_eq!(bench.status()["slots"]["b"]["bootable"], false, "{part}");
        bench.patch_disk(at, &was);
        assert_eq!(bench.status()["slots"]["b"]["bootable"], true, "{part}");
    }
}

#[test]
fn slots_that_the_disk_does_not_have_are_refused_by_name() {
    let bench = bench();
    let artifact = release(&bench, "2.0.0", 5);
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(common::read(&config)).unwrap();
    let before = disk(&bench);
    for (a, b, code, reason) in [
        (r#"["boot-a", "rootfs-a"]"#, r#"["boot-c=boot-b", "rootfs-b"]"#, 78, "CONFIG_INVALID"),
        (r#"["boot-a", "rootfs-a"]"#, r#"["rootfs-b", "boot-b"]"#, 78, "CONFIG_INVALID"),
        (r#"["boot-a", "rootfs-a"]"#, r#"["rootfs-b"]"#, 78, "CONFIG_INVALID"),
        (r#"["boot-a", "boot=rootfs-a"]"#, r#"["boot-b", "boot=rootfs-b"]"#, 78, "CONFIG_INVALID"),
        (r#"["boot-a", "system-a"]"#, r#"["boot-b", "system-b"]"#, 78, "CONFIG_INVALID"),
        (r#"["boot-a", "rootfs-a"]"#, r#"["boot=boot-c", "rootfs-b"]"#, 78, "SLOT_MISSING"),
        (r#"["boot-a", "rootfs-a"]"#, r#"["boot=boot-a", "rootfs-b"]"#, 78, "LAYOUT_INVALID"),
        (r#"["boot-b", "rootfs-a"]"#, r#"["boot-a", "rootfs-b"]"#, 78, "LAYOUT_INVALID"),
        (r#"["boot-a", "rootfs-a"]"#, r#"["boot", "rootfs-b"]"#, 78, "LAYOUT_INVALID"),
        (r#"["rootfs-a"]"#, r#"["rootfs-b"]"#, 78, "LAYOUT_INVALID"),
    ] {
        let changed = text
            .replace(r#"a = ["boot-a", "rootfs-a"]"#, &format!("a = {a}"))
            .replace(r#"b = ["boot-b", "rootfs-b"]"#, &format!("b = {b}"));
        assert!(changed.contains(&format!("b = {b}")));
        std::fs::write(&config, &changed).unwrap();
        bench.surefoot(&["install", &artifact]).refused(code, reason);
        assert!(disk(&bench) == before, "{b}: the disk is changed");
    }
    std::fs::write(&config, &text).unwrap();
    let said = bench.surefoot(&["doctor"]).ok();
    assert!(said.out.contains("slot a has boot 3.0 MiB + rootfs "), "{}", said.out);
    assert!(!said.out.contains("warn  partitions"), "{}", said.out);
    // The order is the integrator's, and the doctor warns; the first part carries the record.
    let turned = text
        .replace(r#"a = ["boot-a", "rootfs-a"]"#, r#"a = ["rootfs-a", "boot-a"]"#)
        .replace(r#"b = ["boot-b", "rootfs-b"]"#, r#"b = ["rootfs-b", "boot-b"]"#);
    std::fs::write(&config, turned).unwrap();
    let said = bench.surefoot(&["doctor"]).ok();
    assert!(said.out.contains("warn  partitions   boot is not the first part"), "{}", said.out);
    bench.surefoot(&["install", &artifact]).ok();
    holds(&bench, "b", 5);
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
}

#[test]
fn a_delta_makes_both_parts_from_both_parts() {
    let bench = bench();
    let key = bench.path("KEYS/release.key");
    let first = release(&bench, "2.0.0", 5);
    bench.surefoot(&["install", &first]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    let second = release(&bench, "2.1.0", 6);
    let out = bench.path("d.surefoot");
    common::forge(&["delta", "--from", &first, "--to", &second, "-o", &out, "--key", &key]).ok();
    bench.surefoot(&["verify", &out]).ok();
    bench.surefoot(&["install", &out]).ok();
    holds(&bench, "a", 6);
    assert_eq!(bench.reboot(&[]), "a");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["verify"]).ok();
}
