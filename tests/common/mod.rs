//! A device in a temporary folder, and the three programs as a person runs them.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    unreachable_pub,
    reason = "each test file uses its own part"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

pub mod bootloaders;
pub mod engines;
pub mod kept;
pub mod media;
pub mod skip;
pub mod tmpfs;
pub mod under_way;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a program answered.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The stable reason code in the error line, if any.
    pub fn reason(&self) -> Option<&str> {
        let line = self.err.lines().find(|l| l.starts_with("surefoot: "))?;
        line.rsplit_once('[')?.1.strip_suffix(']')
    }

    pub fn ok(self) -> Said {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    pub fn refused(self, code: i32, reason: &str) -> Said {
        let told = (self.code, self.reason());
        assert_eq!(told, (code, Some(reason)), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        let advice = self.err.lines().filter(|l| l.starts_with("  next: ")).count();
        assert_eq!(advice, 1, "one line says what to do next:\n{}", self.err);
        let printable = |c: char| c == '\n' || !c.is_control();
        assert!(self.err.chars().all(printable), "unprintable: {:?}", self.err);
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

/// Writes a program that a test runs. A child writes it: a write handle of this process, inherited
/// by another test that forks at this moment, would make running it fail with "text file busy".
pub fn program(path: impl AsRef<Path>, text: &[u8]) {
    let words = ["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh", path.as_ref().to_str().unwrap()];
    run("sh", &words, &[], text).ok();
}

/// Runs a program to its end, with `input` on standard input.
pub fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Said {
    let mut child = Command::new(program)
        .args(arguments)
        .env_remove("SUREFOOT_CONFIG")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = done.status.code().unwrap_or(-1);
    Said { code, out: text(&done.stdout), err: text(&done.stderr) }
}

pub fn forge(arguments: &[&str]) -> Said {
    run(env!("CARGO_BIN_EXE_surefoot-forge"), arguments, &[], b"")
}

/// Bytes that look like a root filesystem to the bootloader, different for each seed: text-like,
/// random and zero stretches.
pub fn image(seed: u64, len: usize) -> Vec<u8> {
    const TEXT: &[u8; 20] = b"The quick brown fox ";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; len];
    // A plain loop: some images have 40 MiB.
    let mut at = 0;
    while at < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match (at >> 16) % 4 {
            0 => bytes[at] = TEXT[at % 20],
            3 => {}
            _ => bytes[at] = state.to_le_bytes()[3],
        }
        at += 1;
    }
    bytes[1080..1082].copy_from_slice(&[0x53, 0xef]);
    bytes
}

/// How often something random is tried: `quick` times, ten times as often with `SUREFOOT_FULL=1`, and
/// `SUREFOOT_ROUNDS=N` times as often where that is set (0.1 for a first look).
pub fn rounds(quick: u32) -> u32 {
    let full = std::env::var_os("SUREFOOT_FULL").map_or(1.0, |_| 10.0);
    let word = std::env::var("SUREFOOT_ROUNDS").ok();
    let times = word.map_or(full, |n| n.parse().expect("SUREFOOT_ROUNDS is a number"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    let rounds = (f64::from(quick) * times) as u32;
    rounds.max(1)
}

/// A temporary folder, in memory where there is room: programs sync what they write, and a disk makes that half of the time of
/// the tests. `TMPDIR` names another place.
pub fn scratch() -> tempfile::TempDir {
    static PLACE: std::sync::LazyLock<PathBuf> = std::sync::LazyLock::new(|| {
        let memory = Path::new("/dev/shm");
        let room = nix::sys::statvfs::statvfs(memory)
            .map_or(0, |f| f.blocks_available() * f.fragment_size());
        let named = std::env::var_os("TMPDIR").is_some();
        if named || room < 2 << 30 { std::env::temp_dir() } else { memory.to_owned() }
    });
    tempfile::tempdir_in(&*PLACE).unwrap()
}

/// A simulated device with its own keys.
pub struct Bench {
    pub dir: tempfile::TempDir,
}

pub const SLOT: usize = 4 << 20;

impl Bench {
    pub fn new() -> Bench {
        Bench::with(&[])
    }

    /// Where files of an environment are made: what lies under `/dev` is a device and no file.
    pub fn on_disk() -> Bench {
        Bench::made(tempfile::tempdir().unwrap(), &[])
    }

    /// A device made with extra words for `surefoot-sim new`.
    pub fn with(words: &[&str]) -> Bench {
        Bench::made(scratch(), words)
    }

    fn made(dir: tempfile::TempDir, words: &[&str]) -> Bench {
        let bench = Bench { dir };
        forge(&["keygen", "--out", &bench.path("KEYS")]).ok();
        std::fs::write(bench.path("v1.img"), image(1, 1 << 20)).unwrap();
        let (device, trust, image) =
            (bench.path("DEV"), bench.path("KEYS/trust.toml"), bench.path("v1.img"));
        let mut all = vec!["new", &device, "--trust", &trust, "--rootfs", &image];
        if !words.contains(&"--slot-size") {
            all.extend(["--slot-size", "4M"]);
        }
        all.extend(words);
        bench.sim_words(&all).ok();
        bench
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn sim_words(&self, words: &[&str]) -> Said {
        run(env!("CARGO_BIN_EXE_surefoot-sim"), words, &[], b"")
    }

    pub fn sim(&self, words: &[&str]) -> Said {
        let mut all = vec![words[0]];
        let device = self.path("DEV");
        all.push(&device);
        all.extend(&words[1..]);
        self.sim_words(&all)
    }

    /// Reboots; the slot that runs.
    pub fn reboot(&self, words: &[&str]) -> String {
        let mut all = vec!["reboot"];
        all.extend(words);
        let said = self.sim(&all).ok();
        let word = said.out.split_whitespace().nth(1).unwrap_or("").to_owned();
        assert_eq!(word, self.booted(), "{}", said.out);
        word
    }

    pub fn booted(&self) -> String {
        let text = std::fs::read_to_string(self.path("DEV/run/booted")).unwrap();
        text.lines().next().unwrap().to_owned()
    }

    pub fn surefoot(&self, words: &[&str]) -> Said {
        self.surefoot_with(words, &[], b"")
    }

    pub fn surefoot_with(
        &self,
        words: &[&str],
        environment: &[(&str, &str)],
        input: &[u8],
    ) -> Said {
        let config = self.path("DEV/surefoot.toml");
        let mut all: Vec<&str> = vec!["--config", &config];
        all.extend(words);
        run(env!("CARGO_BIN_EXE_surefoot"), &all, environment, input)
    }

    /// A signed artifact of `image(seed, len)`; extra words override nothing, they are added.
    pub fn artifact(&self, name: &str, seed: u64, len: usize, words: &[&str]) -> String {
        let (img, out, key) = (
            self.path(&format!("{name}.img")),
            self.path(&format!("{name}.surefoot")),
            self.path("KEYS/release.key"),
        );
        std::fs::write(&img, image(seed, len)).unwrap();
        let mut all =
            vec!["build", "--rootfs", &img, "--raw", "-o", &out, "--level", "3", "--context", "1M"];
        for (flag, value) in
            [("--product", "demo"), ("--compatible", "demo-board"), ("--key", key.as_str())]
        {
            let unsigned = flag == "--key" && words.contains(&"--unsigned");
            if !unsigned && !words.contains(&flag) {
                all.extend([flag, value]);
            }
        }
        all.extend(words.iter().filter(|w| **w != "--unsigned"));
        forge(&all).ok();
        out
    }

    /// A good release.
    pub fn release(&self, version: &str) -> String {
        let seed = version.bytes().fold(7, |n: u64, b| n * 31 + u64::from(b));
        self.artifact(&format!("v{version}"), seed, 1 << 20, &["--version", version])
    }

    pub fn status(&self) -> serde_json::Value {
        self.surefoot(&["status", "--json"]).ok().json()
    }

    /// Both copies of what the bootloader remembers.
    pub fn environment(&self) -> [Vec<u8>; 2] {
        match exists(&self.path("DEV/fw_env.config")) {
            true => [4 << 20, 8 << 20].map(|at| self.disk_bytes(at, 0x4000)),
            false => [0, 1].map(|copy| read(&self.path(&format!("DEV/boot/env-{copy}")))),
        }
    }

    /// What must never change by a refused artifact: what the bootloader remembers, the running
    /// slot, floors.
    pub fn firm_ground(&self) -> Vec<Vec<u8>> {
        let [first, second] = self.environment();
        let slot = self.slot_bytes(&self.booted());
        let state =
            |name: &str| std::fs::read(self.path(&format!("DEV/state/{name}"))).unwrap_or_default();
        vec![first, second, slot, state("floor.0"), state("floor.1")]
    }

    /// A part of the disk: the whole is a hundred megabytes of holes, and reading those is what a test of many rounds would
    /// spend its time on.
    pub fn disk_bytes(&self, at: u64, len: usize) -> Vec<u8> {
        use std::os::unix::fs::FileExt;
        let disk = std::fs::File::open(self.path("DEV/disk.img")).unwrap();
        let mut bytes = vec![0; len];
        disk.read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    /// The bytes of a slot, by the partition table as `sgdisk` or anybody would read it.
    pub fn slot_bytes(&self, slot: &str) -> Vec<u8> {
        self.disk_bytes(self.slot_offset(slot) as u64, SLOT)
    }

    pub fn slot_offset(&self, slot: &str) -> usize {
        let table = self.disk_bytes(1024, 128 * 128);
        let name: Vec<u8> =
            format!("rootfs-{slot}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let entry =
            table.chunks(128).find(|e| e[56..].starts_with(&name)).expect("the slot's entry");
        usize::try_from(u64::from_le_bytes(entry[32..40].try_into().unwrap())).unwrap() * 512
    }

    pub fn patch_disk(&self, at: usize, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let disk = std::fs::OpenOptions::new().write(true).open(self.path("DEV/disk.img")).unwrap();
        disk.write_all_at(bytes, at as u64).unwrap();
    }

    /// Installs, boots and commits.
    pub fn update_to(&self, version: &str) {
        let artifact = self.release(version);
        self.surefoot(&["install", &artifact]).ok();
        self.reboot(&[]);
        self.surefoot(&["commit"]).ok();
    }
}

pub fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

pub fn read(path: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(path)).unwrap()
}
