//! Where on a stick an artifact may be, and what is left there.

use crate::common::Bench;
use crate::media::{Medium, SHAPES, Shape};

#[test]
fn an_artifact_is_found_in_every_partitioning_and_the_report_stands_beside_it() {
    let bench = Bench::new();
    let artifact = bench.release("2.0.0");
    for shape in SHAPES {
        for (bits, mib) in [(12, 3), (16, 20), (32, 40)] {
            let stick = Medium::new(bench.dir.path(), "s.img", shape, bits, mib);
            stick.put(&artifact, "A long name for an update.surefoot");
            let said = bench.surefoot(&["stick", stick.text()]);
            assert_eq!(said.code, 0, "{shape:?} FAT{bits}: {}{}", said.out, said.err);
            let report = stick.report();
            assert!(report.contains("2.0.0 installed"), "{shape:?} FAT{bits}: {report}");
            assert!(report.contains("armed"), "{report}");
            assert_eq!(stick.json()["result"]["state"], "done");
            stick.is_sound();
            bench.surefoot(&["rollback"]).ok();
            bench.surefoot(&["stick", "--gone", stick.text()]).ok();
        }
    }
}

#[test]
fn the_folder_surefoot_is_looked_into_and_no_other() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 16, 20);
    stick.folder("Surefoot");
    stick.folder("other");
    stick.put(&bench.release("2.0.0"), "Surefoot/two.surefoot");
    stick.put(&bench.release("3.0.0"), "other/three.surefoot");
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    assert!(
        said.out.contains("1 artifact: surefoot/two.surefoot: 2.0.0 installed"),
        "{}",
        said.out
    );
}

#[test]
fn hidden_files_are_ignored() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 16, 20);
    let artifact = bench.release("2.0.0");
    for name in ["._two.surefoot", ".two.surefoot", ".surefoot"] {
        stick.put(&artifact, name);
    }
    let said = bench.surefoot(&["stick", stick.text()]);
    assert_eq!(said.code, 66, "{}", said.out);
    assert!(said.err.contains("there is no artifact"), "{}", said.err);
}

#[test]
fn a_file_that_is_nearly_an_artifact_is_named_with_what_to_do() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 16, 20);
    let artifact = bench.release("2.0.0");
    stick.folder("updates");
    stick.put(&artifact, "two.surefoot.zip");
    stick.put(&artifact, "updates/two.surefoot");
    stick.put(&artifact, "._two.surefoot");
    let said = bench.surefoot(&["stick", stick.text()]);
    assert_eq!(said.code, 66, "{}", said.err);
    let report = stick.report();
    for part in [
        "Result    NOTHING",
        "Ignored   two.surefoot.zip",
        "Ignored   updates/two.surefoot",
        "not packed",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(!report.contains("._two"), "{report}");
    assert_eq!(stick.json()["ignored"].as_array().unwrap().len(), 2);
}

#[test]
fn parts_are_joined_and_a_missing_one_is_named() {
    let bench = Bench::new();
    let bytes = crate::common::read(&bench.release("2.0.0"));
    let part = |number: usize, from: usize, to: usize| {
        let path = bench.path(&format!("part{number}"));
        std::fs::write(&path, &bytes[from..to]).unwrap();
        path
    };
    let parts = [part(1, 0, 400_000), part(2, 400_000, 400_001), part(3, 400_001, bytes.len())];
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Gpt, 32, 40);
    for (number, path) in [(3, &parts[2]), (1, &parts[0])] {
        stick.put(path, &format!("u.surefoot.{number:03}"));
    }
    let said = bench.surefoot(&["stick", stick.text()]);
    assert_eq!(said.code, 65, "{}", said.out);
    assert!(said.out.contains("part 002 is missing (TRUNCATED)"), "{}", said.out);
    stick.put(&parts[1], "u.surefoot.002");
    bench.surefoot(&["stick", stick.text()]).ok();
    bench.reboot(&[]);
    assert_eq!(bench.booted(), "b");
    assert_eq!(bench.surefoot(&["verify", "b"]).ok().code, 0);
    // Without its last part nothing is missing but the end.
    let short = Medium::new(bench.dir.path(), "t.img", Shape::Gpt, 32, 40);
    bench.surefoot(&["commit"]).ok();
    let next = crate::common::read(&bench.release("3.0.0"));
    std::fs::write(bench.path("part1"), &next[..500_000]).unwrap();
    short.put(&bench.path("part1"), "u.surefoot.001");
    let said = bench.surefoot(&["stick", short.text()]);
    assert_eq!(said.code, 65);
    assert!(said.out.contains("TRUNCATED"), "{}", said.out);
}

#[test]
fn a_report_that_would_say_the_same_is_not_written_again() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Bare, 16, 20);
    let said = bench.surefoot(&["stick", stick.text()]);
    assert_eq!(said.code, 66, "{}", said.out);
    let first = std::fs::read(&stick.path).unwrap();
    bench.surefoot(&["stick", stick.text()]);
    assert!(std::fs::read(&stick.path).unwrap() == first);
    stick.is_sound();
    stick.put(&bench.release("2.0.0"), "x.surefoot");
    bench.surefoot(&["stick", stick.text()]).ok();
    assert!(std::fs::read(&stick.path).unwrap() != first);
    assert!(stick.report().contains("2.0.0"));
    let reports = stick.names().iter().filter(|n| n.starts_with("surefoot-report-")).count();
    assert_eq!(reports, 2, "{:?}", stick.names());
    stick.is_sound();
}

#[test]
fn a_full_or_protected_stick_keeps_no_report_and_installs_all_the_same() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 12, 2);
    stick.put(&bench.release("2.0.0"), "x.surefoot");
    stick.fill();
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    assert!(said.out.contains("No report is on the stick"), "{}", said.out);
    let status = std::fs::read_to_string(bench.path("DEV/run/surefoot/stick.status")).unwrap();
    assert!(status.starts_with("state=done\n") && status.contains("No report"), "{status}");
    assert_eq!(bench.status()["state"], "switching");
    // Locked by another program, which is what a mounted stick is to us.
    let other = Medium::new(bench.dir.path(), "o.img", Shape::Primary, 16, 20);
    let held = std::fs::File::open(&other.path).unwrap();
    held.lock().unwrap();
    let said = bench.surefoot(&["stick", other.text()]);
    assert!(said.out.contains("somebody else uses the stick"), "{}", said.out);
}

#[test]
fn a_report_may_be_switched_off_and_so_may_all_of_it() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 16, 20);
    let config = bench.path("DEV/surefoot.toml");
    let old = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{old}\n[stick]\nreport = false\n")).unwrap();
    bench.surefoot(&["stick", stick.text()]);
    assert_eq!(stick.names(), Vec::<String>::new());
    std::fs::write(&config, format!("{old}\n[stick]\nenabled = false\n")).unwrap();
    stick.put(&bench.release("2.0.0"), "x.surefoot");
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    assert!(said.out.contains("left alone"), "{}", said.out);
    assert_eq!(bench.status()["state"], "idle");
}

#[test]
fn other_file_systems_are_named() {
    let bench = Bench::new();
    let kinds: [(&str, usize, &[u8]); 3] =
        [("exFAT", 3, b"EXFAT   "), ("NTFS", 3, b"NTFS    "), ("ext4", 1080, &[0x53, 0xef])];
    for shape in [Shape::Bare, Shape::Primary] {
        for (name, at, magic) in kinds {
            let stick = Medium::new(bench.dir.path(), "s.img", shape, 32, 40);
            stick.patch(0, &[0; 4096]);
            stick.patch(at as u64, magic);
            let said = bench.surefoot(&["stick", stick.text()]);
            assert_eq!(said.code, 66, "{name}: {}", said.out);
            assert!(said.err.contains(&format!("this stick is {name}")), "{}", said.out);
            let status = bench.path("DEV/run/surefoot/stick.status");
            let status = std::fs::read_to_string(status).unwrap();
            let start = "state=unreadable\ncode=STICK_UNREADABLE\n";
            assert!(status.starts_with(start), "{status}");
        }
    }
    let empty = Medium::new(bench.dir.path(), "s.img", Shape::Bare, 32, 40);
    empty.patch(0, &[0; 4096]);
    let said = bench.surefoot(&["stick", empty.text()]);
    assert!(said.err.contains("there is no file system on this stick"), "{}", said.out);
    assert_eq!(bench.surefoot(&["stick", &bench.path("none")]).code, 66);
    assert_eq!(bench.surefoot(&["stick", "/dev/null"]).code, 66);
}

#[test]
fn the_devices_own_disk_is_no_stick() {
    let bench = Bench::new();
    let before = bench.firm_ground();
    let disk = bench.path("DEV/disk.img");
    let whole = std::fs::read(&disk).unwrap();
    let said = bench.surefoot(&["stick", &disk]).ok();
    assert!(said.out.contains("is the disk of this device"), "{}", said.out);
    assert!(bench.firm_ground() == before && std::fs::read(&disk).unwrap() == whole);
}

/// The first bytes of a volume, as its tool writes them.
fn volume(begins: &[u8], name: &[u8]) -> Vec<u8> {
    let mut head = [begins, name].concat();
    head.resize(512, 0);
    head[510..].copy_from_slice(&[0x55, 0xaa]);
    head
}

#[test]
fn a_partition_that_is_not_read_is_named_where_only_firmware_stands_beside_it() {
    let bench = Bench::new();
    let exfat = volume(&[0xeb, 0x76, 0x90], b"EXFAT   ");
    let ntfs = volume(&[0xeb, 0x52, 0x90], b"NTFS    ");
    let unknown = b"a file system of tomorrow".to_vec();
    for (what, head, told) in [
        ("exFAT", &exfat, "a partition of this stick is exFAT, which is not read here"),
        ("NTFS", &ntfs, "a partition of this stick is NTFS, which is not read here"),
        ("unknown", &unknown, "holds no file system that is read here"),
        ("not formatted", &Vec::new(), "holds no file system that is read here"),
    ] {
        for first in [true, false] {
            let stick = Medium::of_firmware(bench.dir.path(), "s.img", first, head);
            let before = std::fs::read(&stick.path).unwrap();
            let said = bench.surefoot(&["stick", stick.text()]);
            let said = said.refused(66, "STICK_UNREADABLE");
            assert!(said.err.contains(told), "{what}, {first}: {}", said.err);
            assert!(!said.out.contains("there is no artifact\n"), "{what}, {first}: {}", said.out);
            // Nobody looks for a report where firmware is.
            let after = std::fs::read(&stick.path).unwrap();
            assert!(after == before, "{what}, {first}: something is written");
        }
    }
}

#[test]
fn an_artifact_on_the_partition_of_firmware_is_taken_where_the_other_is_not_read() {
    let bench = Bench::new();
    let exfat = volume(&[0xeb, 0x76, 0x90], b"EXFAT   ");
    for first in [true, false] {
        let stick = Medium::of_firmware(bench.dir.path(), "s.img", first, &exfat);
        stick.put(&bench.release("2.0.0"), "two.surefoot");
        bench.surefoot(&["stick", stick.text()]).ok();
        assert!(stick.report().contains("2.0.0 installed"), "{}", stick.report());
        stick.is_sound();
        bench.surefoot(&["rollback"]).ok();
        bench.surefoot(&["stick", "--gone", stick.text()]).ok();
    }
}

/// A boot sector whose numbers overflow, in place of the first or of the last partition.
#[test]
fn a_partition_whose_reader_fails_hides_no_other_one() {
    let bench = Bench::new();
    let formatted = Medium::new(bench.dir.path(), "f.img", Shape::Bare, 32, 40);
    let mut hostile = std::fs::read(&formatted.path).unwrap()[..512].to_vec();
    hostile[36..40].copy_from_slice(&[0xff; 4]);
    for first in [true, false] {
        let stick = Medium::of_firmware(bench.dir.path(), "s.img", first, &hostile);
        stick.put(&bench.release("2.0.0"), "two.surefoot");
        bench.surefoot(&["stick", stick.text()]).ok();
        assert!(stick.report().contains("2.0.0 installed"), "{}", stick.report());
        bench.surefoot(&["rollback"]).ok();
        bench.surefoot(&["stick", "--gone", stick.text()]).ok();
    }
}
