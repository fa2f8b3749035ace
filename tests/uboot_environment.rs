//! Promise: this program, U-Boot's `mkenvimage` and libubootenv's `fw_printenv`/`fw_setenv` agree on
//! every byte of an environment, whoever wrote last and wherever the power went.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use surefoot::boot::uboot::{CopyState, Env, EnvStore, FwEnvConfig, choose};
use surefoot::disk::Disk;

const SIZE: usize = 0x400;
const PLACES: [u64; 2] = [0x1000, 0x2000];

/// Runs a tool of the field; without it the test fails and says what to install.
fn tool(name: &str, args: &[&str]) -> String {
    let package = match name {
        "mkenvimage" => "u-boot-tools",
        _ => "libubootenv-tool",
    };
    let out = Command::new(name).args(args).output();
    let out = out.unwrap_or_else(|e| panic!("{name}: {e}; apt-get install {package}"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{name} {args:?}: {text}{errors}");
    text
}

/// A device as a folder: `disk.img` and `fw_env.config`.
struct Bench {
    dir: tempfile::TempDir,
    store: EnvStore,
}

impl Bench {
    fn new(copies: usize) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("disk.img");
        std::fs::write(&image, vec![0; 0x10000]).unwrap();
        let line = |at: &u64| format!("disk.img {at:#x} {SIZE:#x}\n");
        let text: String = PLACES[..copies].iter().map(line).collect();
        let config = dir.path().join("fw_env.config");
        std::fs::write(&config, &text).unwrap();
        // The tools know no folder of the file: the same places with whole paths.
        let whole = text.replace("disk.img", image.to_str().unwrap());
        std::fs::write(dir.path().join("whole.config"), whole).unwrap();
        let disk = Disk::open(&image).unwrap();
        let store = EnvStore::open(&config, Some(Arc::new(disk))).unwrap();
        Bench { dir, store }
    }

    fn image(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("disk.img")).unwrap()
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let path = self.dir.path().join("disk.img");
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    fn config(&self) -> String {
        self.dir
            .path()
            .join("whole.config")
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn theirs(&self) -> String {
        tool("fw_printenv", &["-c", &self.config()])
    }

    fn ours(&self) -> String {
        let loaded = self.store.load().unwrap();
        text(loaded.env().unwrap())
    }

    /// An empty value removes the variable: `fw_setenv NAME ""` would keep it, empty.
    fn their_set(&self, name: &str, value: &str) {
        let config = self.config();
        let mut args = vec!["-c", &config, name];
        if !value.is_empty() {
            args.push(value);
        }
        tool("fw_setenv", &args);
    }

    fn our_set(&self, name: &str, value: &str) {
        let mut session = self.store.begin().unwrap();
        let mut env = session.loaded().env().unwrap().clone();
        match value {
            "" => env.remove(name),
            value => env.set(name, value).unwrap(),
        }
        session.save(&env).unwrap();
    }

    fn serials(&self) -> Vec<Option<u8>> {
        let loaded = self.store.load().unwrap();
        let serial = |c: &CopyState| match c {
            CopyState::Alive { serial, .. } => *serial,
            CopyState::Dead(_) => None,
        };
        loaded.copies.iter().map(serial).collect()
    }
}

/// As `fw_printenv` prints it.
fn text(env: &Env) -> String {
    env.iter().map(|(n, v)| format!("{n}={v}\n")).collect()
}

fn factory() -> Env {
    let text = "altbootcmd=if test -n \"${x}\"; then run y; fi\nbaudrate=115200\nbootcmd=run z; reset\nempty_tail= \nname\\w=back\\slash\n";
    Env::from_text(text).unwrap()
}

/// Deterministic numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn mkenvimage_makes_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("vars.txt");
    let text = "# a comment\nalpha=1\nbeta=two words = three\n\ngamma=first \\\nsecond\nzeta=\\x\n";
    std::fs::write(&source, text).unwrap();
    let env = Env::from_text(text).unwrap();
    let exact = env
        .iter()
        .map(|(n, v)| n.len() + v.len() + 2)
        .sum::<usize>()
        + 1;
    for (redundant, size) in [
        (false, SIZE),
        (true, SIZE),
        (false, exact + 4),
        (true, exact + 5),
    ] {
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
        assert_eq!(
            env.encode(size, serial).unwrap(),
            theirs,
            "redundant: {redundant}"
        );
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
fn fw_printenv_reads_what_we_write() {
    for copies in [1, 2] {
        let bench = Bench::new(copies);
        bench.store.write_factory(&factory()).unwrap();
        assert_eq!(bench.theirs(), text(&factory()));
        bench.our_set("surefoot_slot", "b");
        assert!(bench.theirs().contains("surefoot_slot=b\n"));
        assert_eq!(bench.theirs(), bench.ours());
    }
}

/// Random writes by both programs, far enough to cross the wrap of the serial twice.
#[test]
fn whoever_writes_last_both_programs_read_the_same() {
    let bench = Bench::new(2);
    bench.store.write_factory(&factory()).unwrap();
    let mut model: BTreeMap<String, String> = factory()
        .iter()
        .map(|(n, v)| (n.into_owned(), v.into_owned()))
        .collect();
    let mut random = Random(0x5eed);
    let mut wraps = 0;
    for round in 0..620 {
        let name = format!("v{}", random.below(9));
        let value = match random.below(4) {
            0 => String::new(),
            n => format!("{round} {}", "x".repeat(usize::try_from(n * 7).unwrap())),
        };
        match &value[..] {
            "" => model.remove(&name),
            value => model.insert(name.clone(), value.to_owned()),
        };
        let before = bench.serials();
        match random.below(2) {
            0 => bench.our_set(&name, &value),
            _ => bench.their_set(&name, &value),
        }
        let expected: String = model.iter().map(|(n, v)| format!("{n}={v}\n")).collect();
        assert_eq!(bench.ours(), expected, "round {round}");
        if round % 5 == 0 {
            assert_eq!(bench.theirs(), expected, "round {round}");
        }
        let after = bench.serials();
        let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(changed <= 1, "one copy per write: {before:?} {after:?}");
        wraps += usize::from(after.contains(&Some(0)) && before != after);
    }
    assert!(wraps >= 2, "the serial must have wrapped: {wraps}");
}

#[test]
fn the_same_change_by_either_program_leaves_the_same_content() {
    let (ours, theirs) = (Bench::new(2), Bench::new(2));
    for bench in [&ours, &theirs] {
        bench.store.write_factory(&factory()).unwrap();
    }
    for (name, value) in [
        ("surefoot_slot", "b"),
        ("aaa", "first"),
        ("zzz", "last"),
        ("baudrate", "9600"),
        ("aaa", ""),
    ] {
        ours.our_set(name, value);
        theirs.their_set(name, value);
        assert_eq!(ours.serials(), theirs.serials());
        let content = |bench: &Bench| {
            let image = bench.image();
            PLACES.map(|at| {
                let at = usize::try_from(at).unwrap();
                let data = &image[at + 4..at + SIZE];
                let end = data.windows(2).skip(1).position(|w| w == [0, 0]).unwrap();
                data[..end + 3].to_vec()
            })
        };
        assert_eq!(content(&ours), content(&theirs), "{name}={value}");
    }
}

/// The stale copy holds only the first `cut` bytes of what was written: both programs see the old
/// environment or the new one, and the same of the two.
#[test]
fn a_write_torn_at_any_byte_reads_as_old_or_new_to_fw_printenv_too() {
    let bench = Bench::new(2);
    bench.store.write_factory(&factory()).unwrap();
    let before = bench.image();
    let old = bench.ours();
    bench.our_set("baudrate", "9600");
    let after = bench.image();
    let new = bench.ours();
    assert_ne!(old, new);
    let (mut olds, mut news) = (0, 0);
    for cut in 0..=SIZE {
        // Beyond the content only every 37th byte: there is nothing but padding.
        if cut > 200 && cut % 37 != 0 && cut != SIZE {
            continue;
        }
        let at = usize::try_from(PLACES[1]).unwrap();
        let mut torn = before[at..at + SIZE].to_vec();
        torn[..cut].copy_from_slice(&after[at..at + cut]);
        bench.put(PLACES[1], &torn);
        let seen = bench.ours();
        assert_eq!(seen, bench.theirs(), "cut at {cut}");
        match seen {
            seen if seen == old => olds += 1,
            seen if seen == new => news += 1,
            other => panic!("cut at {cut}: {other}"),
        }
    }
    assert!(olds > 50 && news > 5, "{olds} {news}");
}

/// Serials at and around the edges, and many others.
#[test]
fn libubootenv_chooses_the_copy_that_we_choose() {
    let bench = Bench::new(2);
    let mut random = Random(7);
    let edges = [0u8, 1, 2, 127, 128, 253, 254, 255];
    let mut pairs: Vec<(u8, u8)> = edges.iter().flat_map(|a| edges.map(|b| (*a, b))).collect();
    let any = |r: &mut Random| u8::try_from(r.below(256)).unwrap();
    pairs.extend((0..150).map(|_| (any(&mut random), any(&mut random))));
    for (first, second) in pairs {
        for (at, serial, name) in [(PLACES[0], first, "0"), (PLACES[1], second, "1")] {
            let mut env = Env::new();
            env.set("copy", name).unwrap();
            bench.put(at, &env.encode(SIZE, Some(serial)).unwrap());
        }
        let expected = format!("copy={}\n", choose(first, second));
        assert_eq!(bench.theirs(), expected, "{first} {second}");
        assert_eq!(bench.ours(), expected, "{first} {second}");
    }
}

#[test]
fn files_on_a_boot_partition_work_and_the_second_is_made_when_it_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let text = format!(
        "{} 0 0x400\n{} 0 0x400\n",
        file("uboot.env"),
        file("uboot-redund.env")
    );
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
    assert_eq!(
        std::fs::metadata(file("uboot-redund.env")).unwrap().len(),
        0x400
    );
    assert!(tool("fw_printenv", &["-c", &config]).contains("surefoot_slot=b"));
    tool("fw_setenv", &["-c", &config, "surefoot_slot", "a"]);
    let loaded = store.load().unwrap();
    assert_eq!(
        loaded.env().unwrap().get("surefoot_slot").as_deref(),
        Some("a")
    );
    // Both gone: an answer for those who look, an error for those who need one.
    std::fs::remove_file(file("uboot.env")).unwrap();
    std::fs::remove_file(file("uboot-redund.env")).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.chosen, None);
    assert_eq!(loaded.env().unwrap_err().code().as_str(), "ENV_UNREADABLE");
    assert!(store.begin().unwrap().save(&env).is_err());
    assert!(
        !Path::new(&file("uboot.env")).exists(),
        "an update never makes an environment"
    );
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
    assert!(
        other.try_wait().unwrap().is_none(),
        "it must wait for the lock"
    );
    let mut env = session.loaded().env().unwrap().clone();
    env.set("our", "1").unwrap();
    session.save(&env).unwrap();
    drop(session);
    assert!(other.wait().unwrap().success());
    let seen = bench.ours();
    assert!(
        seen.contains("our=1\n") && seen.contains("their=1\n"),
        "{seen}"
    );
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
