//! Sticks that were made to do harm, or were used up.

use crate::common::{Bench, Said, rounds, run};
use crate::media::{Medium, Shape};

/// Looks at a stick and holds what counts: an end in time, a sane status, no trace of a defect,
/// and nothing changed that boots.
fn survives(bench: &Bench, stick: &Medium, what: &str) -> Said {
    // `timeout` ends what hangs; nothing else looks at the clock, for this runs beside other work.
    let said = run(
        "timeout",
        &[
            "600",
            env!("CARGO_BIN_EXE_surefoot"),
            "--config",
            &bench.path("DEV/surefoot.toml"),
            "stick",
            stick.text(),
        ],
        &[],
        b"",
    );
    let known = [0, 65, 66, 69, 74];
    assert!(known.contains(&said.code), "{what}: {}\n{}{}", said.code, said.out, said.err);
    let all = format!("{}{}", said.out, said.err);
    for trace in ["panicked", "RUST_BACKTRACE", "src/", ".rs:"] {
        assert!(!all.contains(trace), "{what}: {all}");
    }
    said
}

/// A FAT with an artifact, and what of the device must not change.
fn prepared(bench: &Bench, bits: u32, mib: u64) -> Medium {
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Bare, bits, mib);
    stick.put(
        &bench.artifact("strange", 9, 64 << 10, &["--version", "9.0.0", "--unsigned"]),
        "x.surefoot",
    );
    stick
}

#[test]
fn folders_that_contain_themselves_come_to_an_end() {
    let bench = Bench::new();
    let before = bench.firm_ground();
    let stick = prepared(&bench, 32, 40);
    stick.folder("surefoot");
    stick.put(&bench.path("v1.img"), "surefoot/filler");
    let (fat, root, data, cluster) = stick.layout();
    // The folder's entry leads to the root.
    let root_cluster = stick.volume(root, 4096);
    let entry = root_cluster.chunks(32).position(|e| e[11] == 0x10).unwrap() as u64;
    let own =
        u64::from(u16::from_le_bytes([0, 1].map(|i| root_cluster[entry as usize * 32 + 26 + i])));
    stick.patch(root + entry * 32 + 26, &[2, 0]);
    let said = survives(&bench, &stick, "a folder that is the root");
    assert!(said.out.contains("SIGNATURE_MISSING"), "{}", said.out);
    stick.patch(root + entry * 32 + 26, &(own as u16).to_le_bytes());
    // Its chain leads to itself, and its cluster is full of files, or of deleted ones.
    for first in [b'A', 0xe5] {
        let mut full = Vec::new();
        while full.len() < cluster as usize {
            let mut entry = *b"AFILE   TXT \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
            entry[0] = first;
            full.extend(entry);
        }
        stick.patch(data + (own - 2) * cluster, &full);
        stick.patch(fat + own * 4, &(own as u32).to_le_bytes());
        survives(&bench, &stick, "a chain that leads to itself");
        // The root itself.
        let whole = stick.volume(root, cluster as usize);
        stick.patch(root, &full);
        stick.patch(fat + 2 * 4, &2u32.to_le_bytes());
        survives(&bench, &stick, "a root without an end");
        stick.patch(root, &whole);
        stick.patch(fat + 2 * 4, &0x0fff_ffffu32.to_le_bytes());
    }
    assert!(bench.firm_ground() == before);
    assert_eq!(bench.status()["state"], "idle");
}

#[test]
fn files_whose_chain_turns_or_leaves_the_stick_are_refused() {
    let bench = Bench::new();
    let before = bench.firm_ground();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Bare, 32, 40);
    stick.put(&bench.release("2.0.0"), "x.surefoot");
    let (fat, root, _, _) = stick.layout();
    let entries = stick.volume(root, 4096);
    let at = entries.chunks(32).position(|e| e[11] == 0x20).unwrap();
    let first = u64::from(u16::from_le_bytes([0, 1].map(|i| entries[at * 32 + 26 + i])));
    for (what, next) in [
        ("itself", first as u32),
        ("the outside", 0x0fff_ff00),
        ("nothing", 0),
        ("a bad cluster", 0x0fff_fff7),
        ("its end", 0x0fff_ffff),
        ("the first", 1),
    ] {
        stick.patch(fat + (first + 1) * 4, &next.to_le_bytes());
        let said = survives(&bench, &stick, what);
        assert_ne!(said.code, 0, "{what}: {}", said.out);
    }
    let huge = (root + at as u64 * 32 + 28, u32::MAX.to_le_bytes());
    stick.patch(huge.0, &huge.1);
    assert_ne!(survives(&bench, &stick, "a huge length").code, 0);
    assert!(bench.firm_ground() == before);
}

#[test]
fn mutated_boot_sectors_fats_and_folders_change_nothing() {
    let bench = Bench::new();
    let before = bench.firm_ground();
    let mut state = 0x5eed_u64;
    let mut word = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let whole = |bench: &Bench| {
        let slot = bench.slot_bytes("b");
        (bench.firm_ground(), slot)
    };
    let slot = whole(&bench).1;
    for (bits, mib) in [(12, 1), (16, 16), (32, 34)] {
        let stick = prepared(&bench, bits, mib);
        let (fat, root, data, _) = stick.layout();
        let good = stick.volume(0, data as usize + 8192);
        let places = [(0, 90), (fat, 2048), (root, 512)];
        // So many mutants of each kind.
        for round in 0..rounds(75) {
            let (at, len) = places[round as usize % 3];
            let mut changed = Vec::new();
            for _ in 0..1 + word() % 4 {
                let byte = at + word() % len;
                let values = [0, 0xff, 0xff, 1, 0x80, word() as u8, word() as u8];
                changed.push((byte, values[(word() % 7) as usize]));
            }
            for (byte, value) in &changed {
                stick.patch(*byte, &[*value]);
            }
            survives(&bench, &stick, &format!("FAT{bits}, round {round}: {changed:?}"));
            stick.patch(0, &good);
        }
    }
    assert!(whole(&bench) == (before, slot), "a stick changed the device");
    assert_eq!(bench.status()["state"], "idle");
}

#[test]
fn the_readers_are_caged() {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};
    let bench = Bench::new();
    let stick = prepared(&bench, 16, 20);
    let (here, there) = UnixStream::pair().unwrap();
    let device = std::fs::File::open(&stick.path).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .args(["fat-read", "serve", "0", "0"])
        .stdin(Stdio::from(device))
        .stdout(Stdio::from(OwnedFd::from(there)))
        .spawn()
        .unwrap();
    let mut asked = b"SFRD".to_vec();
    asked.extend([0; 12]);
    (&here).write_all(&asked).unwrap();
    let mut answer = [0; 16];
    std::io::Read::read_exact(&mut &here, &mut answer).unwrap();
    let proc = format!("/proc/{}", child.id());
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
    assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    let open: Vec<_> = std::fs::read_dir(format!("{proc}/fd")).unwrap().collect();
    assert_eq!(open.len(), 3, "{open:?}");
    drop(here);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_a_stick_has_ended_is_told_with_a_code() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Bare, 32, 40);
    let newer = bench.artifact("newer", 9, 64 << 10, &["--version", "9.0.0"]);
    stick.put(&newer, "newer.surefoot");
    stick.put(&bench.artifact("older", 8, 64 << 10, &["--version", "8.0.0"]), "older.surefoot");
    stick.folder("surefoot");
    let (_, root, _, _) = stick.layout();
    // No FAT has a cluster of this number, and the library that reads it subtracts two from it: a defect
    // ends the child.
    let first_cluster = |is: &dyn Fn(&[u8]) -> bool| {
        let at = stick.volume(root, 4096).chunks(32).position(is).unwrap();
        let at = root + 32 * at as u64 + 26;
        (at, stick.volume(at, 2))
    };
    let len = u32::try_from(std::fs::metadata(&newer).unwrap().len()).unwrap();
    let (at, good) = first_cluster(&|e| e[28..] == len.to_le_bytes());
    stick.patch(at, &[1, 0]);
    let said = survives(&bench, &stick, "a file without a place");
    assert!(said.out.contains("FILE_DAMAGED") && said.out.contains("status 70"), "{}", said.out);
    assert_eq!(said.code, 0, "the older one would be installed: {}", said.out);
    assert!(said.out.contains("8.0.0"), "{}", said.out);
    stick.patch(at, &good);
    stick.patch(first_cluster(&|e| e[11] == 0x10).0, &[1, 0]);
    let said = survives(&bench, &stick, "a folder without a place");
    assert_eq!((said.code, said.reason()), (66, Some("STICK_UNREADABLE")), "{}", said.err);
    assert!(said.err.contains("its entries cannot be followed"), "{}", said.err);
}

#[test]
fn a_file_whose_chain_does_not_hold_it_is_told_as_damaged_and_the_next_is_tried() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Bare, 32, 40);
    let newer = bench.artifact("newer", 9, 64 << 10, &["--version", "9.0.0"]);
    stick.put(&newer, "newer.surefoot");
    stick.put(&bench.artifact("older", 8, 64 << 10, &["--version", "8.0.0"]), "older.surefoot");
    let (_, root, _, _) = stick.layout();
    let len = u32::try_from(std::fs::metadata(&newer).unwrap().len()).unwrap();
    let at = stick.volume(root, 4096).chunks(32).position(|e| e[28..] == len.to_le_bytes());
    let at = root + 32 * at.unwrap() as u64;
    let entry = stick.volume(at, 32);
    // An interrupted copy: the entry is longer than its chain. Then one without any cluster.
    for (what, place, bytes) in [
        ("longer than its chain", 28, (len + 100_000).to_le_bytes().to_vec()),
        ("no first cluster", 26, vec![0, 0]),
    ] {
        stick.patch(at, &entry);
        stick.patch(at + place, &bytes);
        let said = survives(&bench, &stick, what);
        assert!(said.out.contains("FILE_DAMAGED"), "{what}: {}{}", said.out, said.err);
        assert!(said.out.contains("its chain ends before its length"), "{what}: {}", said.out);
        assert!(said.out.contains("8.0.0"), "{what}: {}", said.out);
        assert!(!said.out.contains("SOURCE_LOST"), "{what}: {}", said.out);
        assert_eq!(said.code, 0, "{what}: the older one would be installed: {}", said.out);
    }
}
