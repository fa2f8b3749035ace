//! Promise: environments are found, locked and encoded as `mkenvimage` and libubootenv do it, in
//! images and in files.
// Helpers outside #[test] count as shipped code for the lint; a test may panic.
#![allow(clippy::unwrap_used)]

use crate::uboot_bench::{Bench, SIZE, factory, tool};
use std::path::Path;
use std::process::Command;
use surefoot::boot::uboot::{CopyState, Env, EnvStore, FwEnvConfig};

#[test]
fn mkenvimage_makes_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("vars.txt");
    let text = "# a comment\nalpha=1\nbeta=two words = three\n\ngamma=first \\\nsecond\nzeta=\\x\n";
    std::fs::write(&source, text).unwrap();
    let env = Env::from_text(text).unwrap();
    let exact = env.iter().map(|(n, v)| n.len() + v.len() + 2).sum::<usize>() + 1;
    for (redundant, size) in [(false, SIZE), (true, SIZE), (false, exact + 4), (true, exact + 5)] {
        let out = dir.path().join("env.bin");
        let (size_text, out_text) = (size.to_string(), out.to_str().unwrap().to_owned());
        let mut args = vec!["-s", &size_text, "-p", "0x00", "-o", &out_text];
        if redundant {
            args.push("-r");
        }
        args.push(source.to_str().unwrap());
        tool("mkenvimage", &args);
        let theirs = std::fs::read(&out).unwrap();
        let serial = redundant.then_some(1);
        assert_eq!(env.encode(size, serial).unwrap(), theirs, "redundant: {redundant}");
        assert_eq!(Env::decode(&theirs, redundant), Ok((env.clone(), serial)));
        // Its own padding is 0xff.
        let at = args.iter().position(|a| *a == "0x00").unwrap();
        args[at] = "0xff";
        tool("mkenvimage", &args);
        let padded = std::fs::read(&out).unwrap();
        assert_eq!(Env::decode(&padded, redundant), Ok((env.clone(), serial)));
    }
    assert!(env.encode(exact + 3, None).is_err());
}

#[test]
fn files_on_a_boot_partition_work_and_the_second_is_made_when_it_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let text = format!("{} 0 0x400\n{} 0 0x400\n", file("uboot.env"), file("uboot-redund.env"));
    let config = file("fw_env.config");
    std::fs::write(&config, &text).unwrap();
    std::fs::write(file("uboot.env"), factory().encode(SIZE, Some(9)).unwrap()).unwrap();
    let store = EnvStore::open(Path::new(&config), None).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.chosen, Some(0));
    assert!(matches!(&loaded.copies[1], CopyState::Dead(why) if why.contains("not exist")));
    let mut session = store.begin().unwrap();
    let mut env = session.loaded().env().unwrap().clone();
    env.set("surefoot_slot", "b").unwrap();
    session.save(&env).unwrap();
    drop(session);
    assert_eq!(std::fs::metadata(file("uboot-redund.env")).unwrap().len(), 0x400);
    assert!(tool("fw_printenv", &["-c", &config]).contains("surefoot_slot=b"));
    tool("fw_setenv", &["-c", &config, "surefoot_slot", "a"]);
    let loaded = store.load().unwrap();
    assert_eq!(loaded.env().unwrap().get("surefoot_slot").as_deref(), Some("a"));
    // Both gone: an answer for those who look, an error for those who need one.
    std::fs::remove_file(file("uboot.env")).unwrap();
    std::fs::remove_file(file("uboot-redund.env")).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.chosen, None);
    assert_eq!(loaded.env().unwrap_err().code().as_str(), "ENV_UNREADABLE");
    assert!(store.begin().unwrap().save(&env).is_err());
    assert!(!Path::new(&file("uboot.env")).exists(), "an update never makes an environment");
    store.write_factory(&env).unwrap();
    assert!(tool("fw_printenv", &["-c", &config]).contains("surefoot_slot=b"));
}

#[test]
fn fw_setenv_waits_while_we_decide() {
    let bench = Bench::new(2);
    bench.store.write_factory(&factory()).unwrap();
    let mut session = bench.store.begin().unwrap();
    let mut other = Command::new("fw_setenv")
        .args(["-c", &bench.config(), "their", "1"])
        .spawn()
        .expect("apt-get install libubootenv-tool");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(other.try_wait().unwrap().is_none(), "it must wait for the lock");
    let mut env = session.loaded().env().unwrap().clone();
    env.set("our", "1").unwrap();
    session.save(&env).unwrap();
    drop(session);
    assert!(other.wait().unwrap().success());
    let seen = bench.ours();
    assert!(seen.contains("our=1\n") && seen.contains("their=1\n"), "{seen}");
}

#[test]
fn sizes_and_offsets_mean_to_us_what_they_mean_to_the_tools() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("d.img");
    let mut bytes = vec![0; 0x4000];
    bytes[0x1000..0x1400].copy_from_slice(&factory().encode(SIZE, None).unwrap());
    std::fs::write(&image, bytes).unwrap();
    let image = image.to_str().unwrap();
    for (offset, size, same) in [
        ("0x1000", "0x400", true),
        ("0x1000", "400", true),
        ("4096", "0x400", true),
        ("010000", "0x400", true),
        ("0x1000", "1024", false),
    ] {
        let text = format!("# where\n{image} {offset}\t{size} 0x1000 1\n");
        let config = dir.path().join("c");
        std::fs::write(&config, &text).unwrap();
        let out = Command::new("fw_printenv")
            .args(["-c", config.to_str().unwrap()])
            .output()
            .expect("apt-get install libubootenv-tool");
        let store = EnvStore::new(&FwEnvConfig::parse(&text).unwrap(), dir.path(), None);
        let loaded = store.load().unwrap();
        assert_eq!(loaded.env().is_ok(), same, "{offset} {size}");
        let theirs = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(theirs.contains("baudrate"), same, "{offset} {size}");
    }
}
