//! A delta on a slot that is not what was installed there: a filesystem that was really mounted writable, and one with
//! damaged blocks.

use super::install::{Place, last};
use crate::common::{Bench, read, skip};
use crate::net::server::{File, Server};
use std::path::Path;
use std::process::Command;

/// An ext4 image with some files; the second has one that changed, one that is new and one that is longer.
fn filesystem(bench: &Bench, number: u32) -> Vec<u8> {
    let root = bench.path(&format!("root{number}"));
    std::fs::create_dir_all(format!("{root}/lib")).unwrap();
    let noise =
        |seed: u64, len: usize| crate::common::image(seed, 200_000)[70_000..][..len].to_vec();
    let mut program = noise(3, 120_000);
    std::fs::write(format!("{root}/lib/same"), noise(4, 100_000)).unwrap();
    if number == 2 {
        program.splice(5_000..5_000, *b"some more");
        program[60_000] ^= 1;
        std::fs::write(format!("{root}/lib/new"), noise(5, 9_000)).unwrap();
    }
    std::fs::write(format!("{root}/lib/program"), program).unwrap();
    let image = bench.path(&format!("fs{number}.img"));
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-b", "4096", "-d", &root, &image, "2M"])
        .status();
    assert!(made.unwrap().success());
    read(&image)
}

fn place() -> Place {
    Place::of(|bench| [1, 2].map(|number| filesystem(bench, number)))
}

/// Mounts the slot that runs, writable, changes a file in it, and unmounts it. Says why that cannot be done here.
fn mount_writable(place: &Place) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("a filesystem is mounted by root only".to_owned());
    }
    let (bench, point) = (&place.bench, place.bench.path("mnt"));
    std::fs::create_dir_all(&point).unwrap();
    let at = bench.slot_offset(&bench.booted());
    let options = format!("rw,loop,offset={at},sizelimit={}", 2 << 20);
    let mounted =
        Command::new("mount").args(["-o", &options, &bench.path("DEV/disk.img"), &point]).output();
    let mounted = mounted.map_err(|e| format!("mount: {e}"))?;
    if !mounted.status.success() {
        let why = String::from_utf8_lossy(&mounted.stderr).trim().to_owned();
        return Err(format!("a loop mount is not possible here: {why}"));
    }
    let written = std::fs::write(Path::new(&point).join("lib/program"), "written over");
    let gone = Command::new("umount").arg(&point).status();
    assert!(gone.unwrap().success());
    written.unwrap();
    Ok(())
}

/// Where a block of a file stands in its image.
fn block_of(image: &[u8], file: &[u8]) -> usize {
    image.chunks(4096).position(|block| *block == file[..4096]).expect("its first block") * 4096
}

fn full_is_right(place: &Place) {
    place.runs("1.0.2");
    let image = read(&place.bench.path("to.img"));
    assert!(place.bench.slot_bytes(&place.bench.booted())[..image.len()] == image);
    place.bench.surefoot(&["commit"]).ok();
    place.bench.surefoot(&["verify"]).ok();
}

#[test]
fn a_delta_of_files_is_small_and_ends_right() {
    let place = place();
    let answer = last(&place.bench.surefoot(&["install", &place.delta, "--json"]).ok());
    assert_eq!(answer["via"], "delta", "{answer}");
    assert!(answer["fetched"].as_u64() < Some(30_000), "{answer}");
    full_is_right(&place);
}

#[test]
fn on_a_slot_that_was_mounted_writable_the_full_artifact_takes_its_place() {
    let place = place();
    if let Err(why) = mount_writable(&place) {
        skip::skipped(&why);
        return;
    }
    let target = if place.bench.booted() == "a" { "b" } else { "a" };
    let before = place.bench.slot_bytes(target);
    let said = place.bench.surefoot(&["install", &place.delta]).refused(65, "DELTA_BASE");
    assert!(said.err.contains("mounted writable"), "{}", said.err);
    assert!(place.bench.slot_bytes(target) == before, "nothing was written");
    place.beside();
    let said = place.bench.surefoot(&["install", &place.delta]).ok();
    assert!(format!("{}{}", said.out, said.err).contains("takes its place"), "{}", said.err);
    full_is_right(&place);
}

#[test]
fn over_a_network_a_slot_that_was_mounted_writable_still_gives_what_is_right() {
    let place = place();
    if let Err(why) = mount_writable(&place) {
        skip::skipped(&why);
        return;
    }
    let [delta, full] = [&place.delta, &place.full].map(|path| File::new(&read(path)));
    let len = read(&place.full).len() as u64;
    let server = Server::new(move |asked, line| match asked.target.contains(".delta.") {
        true => delta.give(asked, line),
        false => full.give(asked, line),
    });
    let url = server.url("/to.from-1.0.1.delta.surefoot");
    let answer = last(&place.bench.surefoot(&["install", &url, "--json"]).ok());
    assert_eq!(answer["via"], "adaptive", "{answer}");
    // The file that nobody wrote to is copied, and not fetched.
    assert!(answer["fetched"].as_u64() < Some(len * 3 / 4), "{len}: {answer}");
    full_is_right(&place);
}

#[test]
fn on_damaged_blocks_of_files_the_full_artifact_takes_its_place() {
    let place = place();
    let (image, program) =
        (read(&place.bench.path("from.img")), read(&place.bench.path("root1/lib/program")));
    let same = read(&place.bench.path("root1/lib/same"));
    // In a file that changes, and in one that is only copied; both behind what is looked at first.
    for file in [&program, &same] {
        place.change(block_of(&image, file) + 4096 * 20 + 17);
    }
    place.bench.surefoot(&["install", &place.delta]).refused(65, "DELTA_BASE");
    place.beside();
    let said = place.bench.surefoot(&["install", &place.delta]).ok();
    assert!(format!("{}{}", said.out, said.err).contains("takes its place"), "{}", said.err);
    full_is_right(&place);
}
