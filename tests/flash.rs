//! Promise: `surefoot-forge flash` makes a disk that reads back as the image, whatever the disk held before and however the
//! image is packed; and it refuses a disk that is in use, too small or not confirmed, and an image that is not what its map says.

use crate::common::{Bench, Said, run, skip};
use crate::media::tool;
use std::path::Path;

fn forge(words: &[&str]) -> Said {
    run(env!("CARGO_BIN_EXE_surefoot-forge"), words, &[], b"")
}

/// An image with much more of holes than of bytes.
fn disk_image() -> (Bench, String) {
    let bench = Bench::new();
    let image = bench.path("DEV/disk.img");
    (bench, image)
}

/// A file of this length full of old bytes.
fn old(bench: &Bench, name: &str, len: u64) -> String {
    let path = bench.path(name);
    std::fs::write(&path, vec![0xa5; usize::try_from(len).unwrap()]).unwrap();
    path
}

fn len(path: &str) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// Whether a disk begins with the bytes of the image.
fn same(disk: &str, image: &str) -> bool {
    let (disk, image) = (std::fs::read(disk).unwrap(), std::fs::read(image).unwrap());
    disk[..image.len()] == image
}

fn refused(said: &Said, code: i32, reason: &str) {
    assert_eq!(said.code, code, "{}", said.err);
    assert!(said.err.contains(&format!("[{reason}]")), "{}", said.err);
}

#[test]
fn an_image_packed_or_not_stands_on_the_disk_and_other_tools_accept_it() {
    let (bench, image) = disk_image();
    for (ending, words) in
        [("", &[][..]), (".gz", &["gzip", "-1"]), (".xz", &["xz", "-0"]), (".zst", &["zstd", "-q"])]
    {
        let packed = format!("{image}{ending}");
        if let Some((program, flags)) = words.split_first() {
            tool(program, &[flags, &["-k", "-f", &image]].concat());
        }
        let disk = old(&bench, "card", len(&image) + (3 << 20));
        let said = forge(&["flash", &packed, &disk, "--yes", "--json"]).ok().json();
        assert!(same(&disk, &image), "{ending}");
        assert_eq!(said["image_len"], len(&image));
        assert_eq!(said["read_back"], true);
        assert!(said["zeroed"].as_u64().unwrap() > said["written"].as_u64().unwrap(), "{said}");
        // The end of the disk has no backup of an older table.
        let bytes = std::fs::read(&disk).unwrap();
        assert!(bytes[bytes.len() - (1 << 20)..].iter().all(|b| *b == 0));
        // Again: what is zero already is left alone.
        let again = forge(&["flash", &packed, &disk, "--yes", "--json"]).ok().json();
        assert_eq!(again["zeroed"], 0, "{again}");
        assert!(same(&disk, &image), "{ending}");
        if !ending.is_empty() {
            std::fs::remove_file(&packed).unwrap();
        }
    }
    let exact = old(&bench, "exact", len(&image));
    forge(&["flash", &image, &exact, "--yes"]).ok();
    let told = tool("sgdisk", &["-v", &exact]);
    assert!(told.contains("No problems found"), "{told}");
}

#[test]
fn the_map_beside_an_image_vouches_for_it() {
    let (bench, image) = disk_image();
    let disk = old(&bench, "card", len(&image));
    let map = format!("{image}.bmap");
    if Path::new("/usr/bin/bmaptool").exists() {
        tool("bmaptool", &["-q", "create", "-o", &map, &image]);
    } else {
        return skip::skipped("bmaptool is not installed");
    }
    let said = forge(&["flash", &image, &disk, "--yes", "--json"]).ok().json();
    assert_eq!(said["bmap"], map);
    assert!(same(&disk, &image));
    tool("zstd", &["-q", "-k", &image]);
    let packed = format!("{image}.zst");
    assert_eq!(forge(&["flash", &packed, &disk, "--yes", "--json"]).ok().json()["bmap"], map);
    // One bit of the image, in a mapped block.
    let at = bench.slot_offset("a") + 5000;
    let byte = bench.disk_bytes(at as u64, 1)[0];
    bench.patch_disk(at, &[byte ^ 1]);
    let said = forge(&["flash", &image, &disk, "--yes"]);
    refused(&said, 65, "IMAGE_DAMAGED");
    assert!(std::fs::read(&disk).unwrap()[..1 << 20].iter().all(|b| *b == 0), "it does not boot");
    // The byte is right again, and one that the map leaves out is not zero.
    bench.patch_disk(at, &[byte]);
    let whole = std::fs::read(&image).unwrap();
    let mapped = std::fs::read_to_string(&map).unwrap();
    let ranges: Vec<(usize, usize)> = mapped
        .split("<Range")
        .skip(1)
        .map(|range| {
            let (_, rest) = range.split_once('>').unwrap();
            let blocks = rest.split_once('<').unwrap().0.trim();
            let (first, last) = blocks.split_once('-').unwrap_or((blocks, blocks));
            (first.parse().unwrap(), last.parse().unwrap())
        })
        .collect();
    let gap = ranges.windows(2).find(|pair| pair[0].1 + 1 < pair[1].0).unwrap()[0].1 + 1;
    assert_eq!(whole[gap * 4096], 0);
    bench.patch_disk(gap * 4096, &[1]);
    let said = forge(&["flash", &image, &disk, "--yes"]);
    refused(&said, 65, "IMAGE_DAMAGED");
    assert!(said.err.contains("in no range"), "{}", said.err);
    bench.patch_disk(gap * 4096, &[0]);
    // And one of the map.
    let text = std::fs::read_to_string(&map).unwrap();
    std::fs::write(&map, text.replacen("<Range", "<Range ", 1)).unwrap();
    refused(&forge(&["flash", &image, &disk, "--yes"]), 65, "IMAGE_DAMAGED");
}

#[test]
fn what_cannot_be_flashed_is_told_and_the_disk_stays_as_it_is() {
    let (bench, image) = disk_image();
    let small = old(&bench, "small", len(&image) - (5 << 20));
    let said = forge(&["flash", &image, &small, "--yes"]);
    refused(&said, 65, "DISK_TOO_SMALL");
    assert!(said.err.contains("5 MiB too few"), "{}", said.err);
    // The length of a packed image is known from its table, and from a DOS table too.
    let dos = bench.path("dos.img");
    std::fs::File::create(&dos).unwrap().set_len(96 << 20).unwrap();
    let table = "label: dos\\nstart=2048, size=8192, type=c\\nstart=10240, size=186368, type=83\\n";
    tool("sh", &["-c", &format!("printf '{table}' | sfdisk -q --no-reread {dos}")]);
    tool("zstd", &["-q", "-k", &dos]);
    let card = old(&bench, "card-40", 40 << 20);
    let said = forge(&["flash", &format!("{dos}.zst"), &card, "--yes"]);
    refused(&said, 65, "DISK_TOO_SMALL");
    assert!(said.err.contains("needs 96 MiB"), "{}", said.err);
    assert!(std::fs::read(&card).unwrap().iter().all(|b| *b == 0xa5));
    tool("zstd", &["-q", "-k", &image]);
    let packed = format!("{image}.zst");
    refused(&forge(&["flash", &packed, &small, "--yes"]), 65, "DISK_TOO_SMALL");
    assert!(std::fs::read(&small).unwrap().iter().all(|b| *b == 0xa5));
    let disk = old(&bench, "card", len(&image));
    let cut = std::fs::read(&packed).unwrap();
    std::fs::write(&packed, &cut[..cut.len() / 2]).unwrap();
    refused(&forge(&["flash", &packed, &disk, "--yes"]), 65, "IMAGE_DAMAGED");
    refused(&forge(&["flash", &image, &image]), 64, "USAGE");
    refused(&forge(&["flash", &image, &bench.path("none")]), 66, "NO_SUCH_FILE");
    refused(&forge(&["flash", &bench.path("none"), &disk]), 66, "NO_SUCH_FILE");
    let empty = bench.path("empty");
    std::fs::write(&empty, "").unwrap();
    refused(&forge(&["flash", &empty, &disk]), 65, "IMAGE_DAMAGED");
}

#[test]
fn a_file_that_holds_something_is_not_overwritten_without_a_question() {
    let (bench, image) = disk_image();
    let movie = old(&bench, "movie.mkv", len(&image));
    for words in [&[][..], &["--json"], &["--yes-really", "film.mkv"]] {
        let said = forge(&[&["flash", &image, &movie], words].concat());
        refused(&said, 77, "NOT_CONFIRMED");
        assert!(said.err.contains("movie.mkv"), "{}", said.err);
    }
    assert!(std::fs::read(&movie).unwrap().iter().all(|b| *b == 0xa5));
    // One byte, far from the beginning.
    let file = std::fs::File::create(&movie).unwrap();
    file.set_len(len(&image)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", len(&image) - 1).unwrap();
    refused(&forge(&["flash", &image, &movie]), 77, "NOT_CONFIRMED");
    // Nothing is lost in a file of zeros.
    std::os::unix::fs::FileExt::write_all_at(&file, b"\0", len(&image) - 1).unwrap();
    forge(&["flash", &image, &movie]).ok();
    assert!(same(&movie, &image));
    forge(&["flash", &image, &movie, "--yes-really", "movie.mkv"]).ok();
}

fn is_root() -> bool {
    let root = tool("id", &["-u"]).trim() == "0";
    if !root {
        skip::skipped("loop devices need root");
    }
    root
}

/// A loop device, until dropped.
struct Loop(String);

impl Loop {
    fn over(file: &str) -> Loop {
        Loop(tool("losetup", &["-f", "--show", file]).trim().to_owned())
    }

    fn name(&self) -> &str {
        self.0.trim_start_matches("/dev/")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
fn a_device_is_confirmed_by_its_name_and_never_written_while_it_is_in_use() {
    if !is_root() {
        return;
    }
    let bench = Bench::on_disk();
    let image = bench.path("DEV/disk.img");
    let disk = old(&bench, "card", len(&image));
    let card = Loop::over(&disk);
    let kept = || assert!(std::fs::read(&disk).unwrap().iter().all(|b| *b == 0xa5));
    // No medium that can be taken out: `--yes` alone is not enough.
    for words in [&[][..], &["--yes"], &["--yes-really", "sdz"]] {
        let said = forge(&[&["flash", &image, &card.0], words].concat());
        refused(&said, 77, "NOT_CONFIRMED");
        assert!(said.err.contains(card.name()), "{}", said.err);
    }
    kept();
    let sure = ["flash", &image, &card.0, "--yes-really", card.name(), "--json"];
    // Another device stands on it.
    let table = format!("0 8 linear {} 0", card.0);
    let held = std::process::Command::new("dmsetup")
        .args(["create", "surefoot-flash-test", "--table", &table])
        .output();
    if held.is_ok_and(|held| held.status.success()) {
        let said = forge(&sure);
        tool("dmsetup", &["remove", "surefoot-flash-test"]);
        refused(&said, 77, "DISK_IN_USE");
        assert!(said.err.contains("held by"), "{}", said.err);
        kept();
    } else {
        skip::skipped("no device mapper: a disk under another device was not tried");
    }
    let said = forge(&sure).ok().json();
    assert_eq!(said["read_back"], true, "{said}");
    assert!(same(&disk, &image));
    // At a terminal a person types which disk it is.
    let words = format!("{} flash {image} {}", env!("CARGO_BIN_EXE_surefoot-forge"), card.0);
    let typed =
        |answer: &str| run("script", &["-qec", &words, "/dev/null"], &[], answer.as_bytes());
    let said = typed("sda 1\n");
    assert_eq!(said.code, 77, "{}", said.out);
    assert!(said.out.contains("All that is on this disk will be lost"), "{}", said.out);
    let said = typed(&format!("{} {}\n", card.name(), len(&disk) >> 20)).ok();
    assert!(said.out.contains("every byte read back"), "{}", said.out);
    // A file system on it, mounted.
    tool("mkfs.ext4", &["-q", "-F", &card.0]);
    let point = bench.path("mnt");
    std::fs::create_dir(&point).unwrap();
    tool("mount", &[&card.0, &point]);
    let said = forge(&sure);
    let over = forge(&["flash", &image, &disk, "--yes"]);
    tool("umount", &[&point]);
    refused(&said, 77, "DISK_IN_USE");
    assert!(said.err.contains("mounted on"), "{}", said.err);
    refused(&over, 77, "DISK_IN_USE");
    // Swap.
    tool("mkswap", &["-q", &card.0]);
    let on = std::process::Command::new("swapon").arg(&card.0).output().unwrap();
    if on.status.success() {
        let said = forge(&sure);
        tool("swapoff", &[&card.0]);
        refused(&said, 77, "DISK_IN_USE");
        assert!(said.err.contains("swap"), "{}", said.err);
    } else {
        skip::skipped("no swap here: a disk that is swapped to was not tried");
    }
}

#[test]
fn the_disk_that_this_computer_runs_from_is_refused() {
    let (_bench, image) = disk_image();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = surefoot::sys::mounts::parse_mountinfo(&mounts).into_iter().rev();
    let root = root.into_iter().find(|m| m.point == "/").unwrap();
    if !is_root() || !root.source.starts_with("/dev/") || !Path::new(&root.source).exists() {
        return skip::skipped("the root of this machine is on no disk");
    }
    let part = root.source.trim_start_matches("/dev/");
    let folder = std::fs::canonicalize(format!("/sys/class/block/{part}")).unwrap();
    let (disk, whole) = match folder.join("partition").exists() {
        true => (folder.parent().unwrap().file_name().unwrap().to_str().unwrap(), false),
        false => (part, true),
    };
    // A name that is wrong on purpose: should the first look fail, the second one refuses.
    let disk = format!("/dev/{disk}");
    refused(&forge(&["flash", &image, &disk, "--yes-really", "wrong"]), 77, "DISK_IN_USE");
    if !whole {
        refused(&forge(&["flash", &image, &root.source, "--yes-really", "wrong"]), 64, "USAGE");
    }
}
