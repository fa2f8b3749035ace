//! Promise: `surefoot-forge configure` lays one file on the boot partition of a disk of ours, so that other tools read it and
//! every other byte that counts stays; a foreign disk and one in use are refused and stay as they are.

use crate::common::{Bench, Said, forge, run, skip};
use crate::media::tool;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl anna@desk";
const BOOT: u64 = 16 << 20;
const BOOT_LEN: usize = 32 << 20;

fn disk(bench: &Bench) -> String {
    bench.path("DEV/disk.img")
}

/// The file as mtools read it, and a file system that the checker has nothing to say about.
fn provision(bench: &Bench) -> String {
    let part = bench.path("boot.fat");
    std::fs::write(&part, bench.disk_bytes(BOOT, BOOT_LEN)).unwrap();
    tool("fsck.fat", &["-n", &part]);
    tool("mtype", &["-i", &part, "::provision.toml"])
}

fn with(words: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Said {
    run(env!("CARGO_BIN_EXE_surefoot-forge"), words, environment, input)
}

/// What the disk holds besides the boot partition, and the files on that.
fn rest(bench: &Bench) -> (Vec<u8>, Vec<u8>, String) {
    let disk = disk(bench);
    let part = format!("{disk}@@{BOOT}");
    let len = usize::try_from(std::fs::metadata(&disk).unwrap().len()).unwrap();
    let tail = usize::try_from(BOOT).unwrap() + BOOT_LEN;
    (
        bench.disk_bytes(0, usize::try_from(BOOT).unwrap()),
        bench.disk_bytes(tail as u64, len - tail),
        tool("mtype", &["-i", &part, "::boot.scr"]),
    )
}

#[test]
fn the_file_is_written_replaced_shown_and_erased() {
    let bench = Bench::new();
    let (disk, key) = (disk(&bench), bench.path("anna.pub"));
    std::fs::write(&key, format!("# Anna\n{KEY}\n\n")).unwrap();
    let before = rest(&bench);
    let said = with(
        &["configure", &disk, "--hostname", "gate-7", "--id", "SN:1", "--ssh-key", &key, "--wifi"]
            .iter()
            .chain(&["Hall: 3", "--wifi-password", "-", "--country", "DE", "--json"])
            .copied()
            .collect::<Vec<_>>(),
        &[],
        b"horse staple\r\n",
    )
    .ok()
    .json();
    assert_eq!(said["changed"], true, "{said}");
    assert!(!said.to_string().contains("horse"), "{said}");
    let text = provision(&bench);
    for part in ["\"gate-7\"", "\"SN:1\"", KEY, "\"Hall: 3\"", "\"horse staple\"", "\"DE\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(rest(&bench) == before, "nothing else changed");
    let shown = with(&["configure", &disk, "--show"], &[], b"").ok().out;
    assert!(shown.contains("gate-7") && !shown.contains("horse"), "{shown}");
    let shown = with(&["configure", &disk, "--show", "--json"], &[], b"").ok().json();
    assert_eq!(shown["state"], "waiting");
    assert_eq!(shown["provision"]["wifi"]["ssid"], "Hall: 3");

    // The next one replaces all of it: no rest of the password is left on the disk.
    let proxy = ["configure", &disk, "--proxy", "http://proxy.example:3128"];
    with(&proxy, &[], b"").ok();
    let text = provision(&bench);
    assert!(text.contains("proxy.example") && !text.contains("gate-7"), "{text}");
    let holds = |word: &[u8]| {
        bench.disk_bytes(BOOT, BOOT_LEN).windows(word.len()).any(|window| window == word)
    };
    assert!(!holds(b"horse"));
    let again = with(&[&proxy[..], &["--json"]].concat(), &[], b"").ok().json();
    assert_eq!(again["changed"], false, "{again}");

    with(&["configure", &disk, "--clear"], &[], b"").ok();
    let shown = with(&["configure", &disk, "--show", "--json"], &[], b"").ok().json();
    assert_eq!(shown["state"], "none");
    assert!(!holds(b"proxy.example"));
    assert!(rest(&bench) == before, "nothing else changed");
}

#[test]
fn a_password_comes_by_file_variable_or_input_and_a_typed_one_is_warned_of() {
    let bench = Bench::new();
    let (disk, file) = (disk(&bench), bench.path("password"));
    std::fs::write(&file, "from-a-file\n").unwrap();
    let variable = [("SUREFOOT_WIFI_PASSWORD", "from-a-variable")];
    for (words, environment, password, warned) in [
        (&["--wifi", "x:y", "--wifi-password", &file][..], &variable[..], "from-a-file", false),
        (&["--wifi", "x:y"], &variable, "from-a-variable", false),
        (&["--wifi", "x:typed:word"], &[], "typed:word", true),
    ] {
        let all = [&["configure", &disk], words].concat();
        let said = with(&all, environment, b"").ok();
        assert_eq!(said.err.contains("warning"), warned, "{words:?}: {}", said.err);
        assert!(!said.err.contains("typed:word") && !said.out.contains("typed:word"));
        let text = provision(&bench);
        assert!(text.contains(&format!("password = \"{password}\"")), "{text}");
    }
    with(&["configure", &disk, "--wifi", "guests", "--wifi-open"], &[], b"").ok();
    assert!(!provision(&bench).contains("password"));
    let said = with(&["configure", &disk, "--wifi", "guests"], &[], b"");
    assert_eq!(said.code, 64, "{}", said.err);
    assert!(said.err.contains("SUREFOOT_WIFI_PASSWORD"), "{}", said.err);
    assert_eq!(with(&["configure", &disk], &[], b"").code, 64, "nothing to write");
}

#[test]
fn a_value_that_breaks_a_rule_is_named_and_nothing_is_written() {
    let bench = Bench::new();
    let (disk, key) = (disk(&bench), bench.path("KEYS/release.key"));
    let before = bench.disk_bytes(BOOT, BOOT_LEN);
    for (words, part) in [
        (&["--hostname", "a_b"][..], "`hostname`"),
        (&["--id", "a b"], "`id`"),
        (&["--proxy", "socks://x"], "`proxy`"),
        (&["--ssh-key", &key], "key 1"),
        (&["--wifi", "x:short"], "`wifi.password`"),
        (&["--wifi", "x", "--wifi-open", "--country", "xx"], "`wifi.country`"),
    ] {
        let said = with(&[&["configure", &disk], words].concat(), &[], b"");
        assert_eq!(said.code, 65, "{words:?}: {}", said.err);
        assert!(
            said.err.contains("[PROVISION_INVALID]") && said.err.contains(part),
            "{}",
            said.err
        );
    }
    assert!(bench.disk_bytes(BOOT, BOOT_LEN) == before);
}

#[test]
fn a_foreign_disk_is_refused_and_stays_as_it_is() {
    let bench = Bench::new();
    let (disk, other) = (disk(&bench), bench.path("other.img"));
    let part = format!("{other}@@{BOOT}");
    type Change<'a> = &'a dyn Fn();
    let renamed = || drop(tool("sgdisk", &["-c", "3:rootfs", &other]));
    let without = || drop(tool("mdel", &["-i", &part, "::boot.scr"]));
    let foreign = || {
        let script = bench.path("boot.scr");
        std::fs::write(&script, "another script").unwrap();
        tool("mcopy", &["-o", "-i", &part, &script, "::boot.scr"]);
    };
    let broken = || {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).open(&other).unwrap();
        file.write_all_at(&[0xff; 4096], BOOT).unwrap();
    };
    let blank = || std::fs::write(&other, vec![0; 1 << 20]).unwrap();
    let cases: [(Change<'_>, &str); 5] = [
        (&renamed, "rootfs-b"),
        (&without, "no boot.scr"),
        (&foreign, "not Surefoot's"),
        (&broken, "partition 1"),
        (&blank, "partition table"),
    ];
    for (change, part) in cases {
        std::fs::copy(&disk, &other).unwrap();
        change();
        let before = std::fs::read(&other).unwrap();
        for words in [&["--hostname", "x"][..], &["--clear"], &["--show"]] {
            let said = with(&[&["configure", &other], words].concat(), &[], b"");
            assert_eq!(said.code, 65, "{part}: {}", said.err);
            let told = said.err.contains("[FOREIGN_DISK]") && said.err.contains(part);
            assert!(told, "{part}: {}", said.err);
        }
        assert!(std::fs::read(&other).unwrap() == before, "{part}");
    }
    assert_eq!(forge(&["configure", &bench.path("none"), "--show"]).code, 78);
}

#[test]
fn on_a_disk_without_names_the_first_fat_partition_is_taken() {
    let bench = Bench::new();
    let dos = bench.path("dos.img");
    let (script, part) = (bench.path("boot.scr"), format!("{dos}@@{BOOT}"));
    let from = format!("{}@@{BOOT}", disk(&bench));
    tool("mcopy", &["-i", &from, "::boot.scr", &script]);
    let file = std::fs::File::create(&dos).unwrap();
    file.set_len(80 << 20).unwrap();
    let table = "label: dos\\nstart=32768, size=81920, type=c\\nstart=114688, size=8192, type=83\\n\
                 start=122880, size=8192, type=83\\nstart=131072, size=8192, type=83\\n";
    tool("sh", &["-c", &format!("printf '{table}' | sfdisk -q --no-reread {dos}")]);
    // A FAT32 of another program.
    tool("mkfs.fat", &["-F", "32", "-s", "1", "--offset", "32768", &dos, "40960"]);
    tool("mcopy", &["-i", &part, &script, "::boot.scr"]);
    with(&["configure", &dos, "--hostname", "pi-3"], &[], b"").ok();
    assert!(tool("mtype", &["-i", &part, "::provision.toml"]).contains("pi-3"));
    with(&["configure", &dos, "--id", "7"], &[], b"").ok();
    with(&["configure", &dos, "--clear"], &[], b"").ok();
    let whole = std::fs::read(&dos).unwrap();
    let (fat, at) = (bench.path("boot.fat"), usize::try_from(BOOT).unwrap());
    std::fs::write(&fat, &whole[at..at + (40 << 20)]).unwrap();
    tool("fsck.fat", &["-n", &fat]);
}

#[test]
fn a_disk_that_is_mounted_is_refused() {
    if tool("id", &["-u"]).trim() != "0" {
        return skip::skipped("loop devices need root");
    }
    let bench = Bench::on_disk();
    let disk = disk(&bench);
    let node = tool("losetup", &["-f", "--show", &disk]).trim().to_owned();
    let offset = BOOT.to_string();
    let length = BOOT_LEN.to_string();
    let point = bench.path("mnt");
    std::fs::create_dir(&point).unwrap();
    // The kernel here may read no partition tables: a second loop device is the partition.
    let part = tool("losetup", &["-f", "--show", "-o", &offset, "--sizelimit", &length, &disk]);
    let part = part.trim().to_owned();
    let mounted = std::process::Command::new("mount").args([&part, &point]).output().unwrap();
    let said = with(&["configure", &disk, "--hostname", "x"], &[], b"");
    if mounted.status.success() {
        tool("umount", &[&point]);
    }
    let free = with(&["configure", &disk, "--hostname", "x"], &[], b"");
    let device = with(&["configure", &node, "--hostname", "y"], &[], b"");
    let shown = with(&["configure", &node, "--show"], &[], b"");
    tool("losetup", &["-d", &part]);
    tool("losetup", &["-d", &node]);
    match mounted.status.success() {
        true => {
            assert_eq!(said.code, 77, "{}", said.err);
            assert!(said.err.contains("[DISK_IN_USE]"), "{}", said.err);
            assert!(said.err.contains("mounted"), "{}", said.err);
        }
        false => skip::skipped("no vfat in this kernel"),
    }
    free.ok();
    device.ok();
    assert!(shown.ok().out.contains("hostname  y"));
    assert!(provision(&bench).contains("\"y\""));
}
