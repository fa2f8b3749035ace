//! Every state a device can be in, reached by the verbs that a person types.

use crate::common::{Bench, Said, image, read};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use surefoot::model::{Format, StateFile};
use surefoot::sys::power::CUT_VARIABLE;

/// Every scene. The name is the state's word, but for `returning`, which says `switching`.
pub(crate) const NAMES: [&str; 9] = [
    "idle",
    "installing",
    "staged",
    "switching",
    "trying",
    "returning",
    "updated",
    "rolled-back",
    "failed",
];

/// Where the copies of the environment stand on a simulated device's disk, and how long they are.
const COPIES: [usize; 2] = [4 << 20, 8 << 20];
const COPY_LEN: usize = 0x4000;

/// What makes a simulated device with slots of two partitions: 2 MiB for an image, 1 for the record.
const PARTS: [&str; 1] = ["--boot-part=3M"];

/// Two releases, signed by a key whose secret half nobody has kept.
pub(crate) struct Artifacts {
    /// Whether they, and the slots of their devices, have a boot part.
    pub(crate) parts: bool,
    pub(crate) trust: String,
    pub(crate) first: String,
    pub(crate) second: String,
}

impl Artifacts {
    /// New ones, with `bench`'s own keys. Small: they are kept for ever.
    pub(crate) fn make(bench: &Bench, parts: bool) -> Artifacts {
        let of = |name: &str, seed, version: &str| {
            let boot = bench.path(&format!("{name}.boot"));
            std::fs::write(&boot, image(seed + 10, 20 << 10)).unwrap();
            let boot = format!("--part=boot={boot}");
            let words = ["--version", version, "--epoch", "3", &boot];
            bench.artifact(name, seed, 68 << 10, &words[..if parts { 5 } else { 4 }])
        };
        Artifacts {
            parts,
            trust: bench.path("KEYS/trust.toml"),
            first: of("first", 1, "1.0.0"),
            second: of("second", 2, "2.0.0"),
        }
    }

    /// A fresh device that believes their signer.
    pub(crate) fn device(&self) -> Bench {
        let bench = Bench::with(if self.parts { &PARTS } else { &[] });
        std::fs::copy(&self.trust, bench.path("DEV/trust.toml")).unwrap();
        bench
    }

    /// A device that runs the first of them.
    pub(crate) fn updated_once(&self) -> Bench {
        let bench = self.device();
        bench.surefoot(&["install", &self.first]).ok();
        bench.reboot(&[]);
        bench.surefoot(&["commit"]).ok();
        bench
    }
}

/// A device in that state, brought there by today's programs.
pub(crate) fn play(scene: &str, artifacts: &Artifacts) -> Bench {
    if scene == "idle" {
        return artifacts.device();
    }
    let bench = artifacts.updated_once();
    let second = artifacts.second.as_str();
    match scene {
        "installing" => interrupted(&bench, second),
        "staged" => drop(bench.surefoot(&["install", second, "--stage"]).ok()),
        _ => drop(bench.surefoot(&["install", second]).ok()),
    }
    match scene {
        "trying" | "returning" | "updated" => drop(bench.reboot(&[])),
        "rolled-back" => drop(bench.reboot(&["--fail"])),
        "failed" => drop(bench.surefoot(&["rollback", "--reason", "not today"]).ok()),
        _ => {}
    }
    match scene {
        // What must wait for the trial's end still writes down that it has begun.
        "trying" => drop(bench.surefoot(&["switch"]).refused(77, "TRIAL_PENDING")),
        "returning" => drop(bench.surefoot(&["rollback", "--reason", "the screen is dark"]).ok()),
        "updated" => drop(bench.surefoot(&["commit"]).ok()),
        "rolled-back" => {
            bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
            bench.reboot(&[]);
            bench.surefoot(&["switch"]).refused(77, "NOT_STAGED");
        }
        _ => {}
    }
    bench
}

/// Cuts the power somewhere in the writing of the slot.
fn interrupted(bench: &Bench, artifact: &str) {
    let mut tried = 0..60;
    let cut = |n: i32| {
        bench.surefoot_with(&["install", artifact], &[(CUT_VARIABLE, &n.to_string())], b"")
    };
    assert!(tried.any(|n| cut(n).code == 99 && bench.status()["state"] == "installing"));
}

/// What a device in a scene has written, by file name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Everything that is recorded of a device.
pub(crate) fn files(bench: &Bench) -> Files {
    let mut files = Files::new();
    let kept = StateFile::all().filter(|f| !matches!(f.format, Format::Folder | Format::Empty));
    for name in kept.map(|file| file.name) {
        if let Ok(bytes) = std::fs::read(bench.path(&format!("DEV/state/{name}"))) {
            files.insert(name.to_owned(), bytes);
        }
    }
    files.insert("booted".to_owned(), read(&bench.path("DEV/run/booted")));
    let disk = read(&bench.path("DEV/disk.img"));
    for (copy, at) in COPIES.into_iter().enumerate() {
        let text = environment(&disk[at..at + COPY_LEN]);
        files.insert(format!("environment.{copy}"), text.into_bytes());
    }
    let pretty = |said: Said| serde_json::to_vec_pretty(&said.ok().json()).unwrap();
    files.insert("status.json".to_owned(), pretty(bench.surefoot(&["status", "--json"])));
    files.insert("history.json".to_owned(), pretty(bench.surefoot(&["history", "--json"])));
    files
}

/// A device on which an older release wrote `files`: its state folder, its environment, its boot.
pub(crate) fn restore(scene: &str, files: &Files, artifacts: &Artifacts) -> Bench {
    let bench = match scene {
        "idle" => artifacts.device(),
        _ => {
            let bench = artifacts.updated_once();
            bench.surefoot(&["install", &artifacts.second, "--stage"]).ok();
            bench
        }
    };
    let state = bench.path("DEV/state");
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::create_dir(&state).unwrap();
    for (name, bytes) in files {
        match name.as_str() {
            "booted" => std::fs::write(bench.path("DEV/run/booted"), bytes).unwrap(),
            "status.json" | "history.json" => {}
            name => match name.strip_prefix("environment.") {
                Some(copy) => {
                    let at = COPIES[copy.parse::<usize>().unwrap()];
                    bench.patch_disk(at, &copy_of(std::str::from_utf8(bytes).unwrap()));
                }
                None => std::fs::write(format!("{state}/{name}"), bytes).unwrap(),
            },
        }
    }
    let phase = journal(files).map(|(_, body)| body["phase"].clone());
    if let Some(boot) = phase.as_ref().and_then(|phase| phase["returning"]["boot_id"].as_str()) {
        // It is the boot that asked to go back: a simulated one is known by this time.
        let booted = std::fs::File::options().write(true).open(bench.path("DEV/run/booted"));
        let at = std::time::UNIX_EPOCH + Duration::from_nanos(boot.parse().unwrap());
        booted.unwrap().set_modified(at).unwrap();
    }
    bench
}

/// One copy of the environment as text: its flags byte, then one variable per line.
fn environment(copy: &[u8]) -> String {
    let variables = copy[5..].split(|b| *b == 0).take_while(|v| !v.is_empty());
    let lines = variables.map(|v| format!("{}\n", std::str::from_utf8(v).unwrap()));
    format!("flags {}\n{}", copy[4], lines.collect::<String>())
}

/// The reverse, as U-Boot stores it: CRC-32, flags, variables each ended by a zero byte.
fn copy_of(text: &str) -> Vec<u8> {
    let mut lines = text.lines();
    let flags = lines.next().unwrap().strip_prefix("flags ").unwrap();
    let mut data: Vec<u8> = lines.flat_map(|l| l.bytes().chain([0])).collect();
    data.resize(COPY_LEN - 5, 0);
    let mut copy = crc32fast::hash(&data).to_le_bytes().to_vec();
    copy.push(flags.parse().unwrap());
    copy.extend(data);
    copy
}

/// The newest journal among a scene's files: the format number of its first line, and the rest.
pub(crate) fn journal(files: &Files) -> Option<(u32, Value)> {
    let generations = ["journal.0", "journal.1"].into_iter().filter_map(|name| files.get(name));
    let read = generations.map(|bytes| {
        let (head, body) = std::str::from_utf8(bytes).unwrap().split_once('\n').unwrap();
        let word = |n: usize| head.split(' ').nth(n).unwrap();
        let sequence: u64 = word(2).parse().unwrap();
        (sequence, word(1).parse().unwrap(), serde_json::from_str(body).unwrap())
    });
    read.max_by_key(|(sequence, ..)| *sequence).map(|(_, format, body)| (format, body))
}
