//! Sticks, as the tools of other people make them.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const MIB: u64 = 1 << 20;

/// Runs a tool that must succeed.
pub(crate) fn tool(program: &str, words: &[&str]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    // By its path: a program that is looked for in another PATH is started by fork(), and that copies
    // the page tables of a test program that holds whole disks.
    let file =
        path.split(':').map(|folder| format!("{folder}/{program}")).find(|f| Path::new(f).exists());
    let file = file.unwrap_or_else(|| panic!("{program} is not installed"));
    let mut command = Command::new(file);
    command.args(words).env("MTOOLS_SKIP_CHECK", "1");
    let done = command.output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert!(done.status.success(), "{program} {words:?}: {}", text(&done.stderr));
    text(&done.stdout)
}

/// A medium in a file, with one FAT in it.
pub(crate) struct Medium {
    pub(crate) path: PathBuf,
    at: u64,
}

/// Where the FAT is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// No partition table.
    Bare,
    /// First in an MBR.
    Primary,
    /// A logical partition.
    Logical,
    /// In a GPT.
    Gpt,
    /// In a GPT behind the firmware's own FAT, as a Mac formats a stick.
    BehindFirmware,
}

pub(crate) const SHAPES: [Shape; 5] =
    [Shape::Bare, Shape::Primary, Shape::Logical, Shape::Gpt, Shape::BehindFirmware];

impl Medium {
    /// A FAT of `mib` MiB with this many bits.
    pub(crate) fn new(folder: &Path, name: &str, shape: Shape, bits: u32, mib: u64) -> Medium {
        let path = folder.join(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_len((mib + 8) * MIB).unwrap();
        let disk = path.to_str().unwrap().to_owned();
        let table = |script: &str| {
            let command = format!("printf '{script}' | sfdisk -q --no-reread {disk}");
            tool("sh", &["-c", &command]);
        };
        let at = match shape {
            Shape::Bare => 0,
            Shape::Primary => {
                table(&format!("label: dos\\nstart=2048, size={}, type=c\\n", mib * 2048));
                MIB
            }
            Shape::Logical => {
                table(&format!(
                    "label: dos\\nstart=2048, type=f\\nstart=4096, size={}, type=c\\n",
                    mib * 2048
                ));
                // sfdisk names the extended one first; the second line is the logical one.
                2 * MIB
            }
            Shape::Gpt => {
                let part = format!("1:2048:+{mib}M");
                tool("sgdisk", &["-n", &part, "-t", "1:0700", &disk]);
                MIB
            }
            Shape::BehindFirmware => {
                let part = format!("2:6144:+{mib}M");
                let all = ["-n", "1:2048:+2M", "-t", "1:ef00", "-n", &part, "-t", "2:0700", &disk];
                tool("sgdisk", &all);
                let esp = Medium { path: path.clone(), at: MIB };
                esp.format(12, 2);
                3 * MIB
            }
        };
        let medium = Medium { path, at };
        medium.format(bits, mib);
        medium
    }

    /// The partition of firmware, FAT12, before or behind one that begins with `head` and is where a
    /// person's files are: as other machines format a stick.
    pub(crate) fn of_firmware(folder: &Path, name: &str, first: bool, head: &[u8]) -> Medium {
        let path = folder.join(name);
        std::fs::File::create(&path).unwrap().set_len(24 * MIB).unwrap();
        let disk = path.to_str().unwrap();
        let [own, other] = if first { [1, 4] } else { [17, 1] };
        let parts = [(own, 2, "ef00"), (other, 15, "0700")];
        for (number, (at, len, kind)) in (if first { [1, 2] } else { [2, 1] }).iter().zip(parts) {
            let part = format!("{number}:{}:+{len}M", at * 2048);
            tool("sgdisk", &["-n", &part, "-t", &format!("{number}:{kind}"), disk]);
        }
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(head, other * MIB).unwrap();
        let medium = Medium { path, at: own * MIB };
        medium.format(12, 2);
        medium
    }

    /// Formats it anew as a FAT16 with room for this many files in its root.
    pub(crate) fn with_room(self, files: usize) -> Medium {
        let (offset, files) = ((self.at / 512).to_string(), files.to_string());
        let words = ["-F", "16", "-r", &files, "--offset", &offset, self.text(), "20480"];
        tool("mkfs.vfat", &words);
        self
    }

    fn format(&self, bits: u32, mib: u64) {
        let (offset, size) = ((self.at / 512).to_string(), (mib * 1024).to_string());
        let (bits, path) = (bits.to_string(), self.path.to_str().unwrap());
        tool("mkfs.vfat", &["-F", &bits, "--offset", &offset, path, &size]);
    }

    pub(crate) fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn place(&self) -> String {
        format!("{}@@{}", self.text(), self.at)
    }

    /// Copies a file onto it, under this name.
    pub(crate) fn put(&self, file: &str, name: &str) {
        tool("mcopy", &["-o", "-i", &self.place(), file, &format!("::{name}")]);
    }

    /// Uses up all that is free.
    pub(crate) fn fill(&self) {
        let filler = self.path.with_extension("fill");
        let mut number = 0;
        for size in (9..24).rev().map(|n| 1 << n) {
            std::fs::write(&filler, vec![1; size]).unwrap();
            loop {
                let mut command = Command::new("mcopy");
                command.args(["-i", &self.place(), filler.to_str().unwrap()]);
                command.arg(format!("::fill{number}")).env("MTOOLS_SKIP_CHECK", "1");
                if !command.output().unwrap().status.success() {
                    break;
                }
                number += 1;
            }
        }
    }

    /// Adds entries to the root of a FAT16, behind those that are there, as they are stored.
    pub(crate) fn add_entries(&self, entries: &[[u8; 32]]) {
        let (_, root, data, _) = self.layout();
        let there = self.volume(root, usize::try_from(data - root).unwrap());
        let used = there.chunks(32).position(|e| e[0] == 0).unwrap();
        self.patch(root + used as u64 * 32, &entries.concat());
    }

    pub(crate) fn folder(&self, name: &str) {
        tool("mmd", &["-i", &self.place(), &format!("::{name}")]);
    }

    /// A file on it.
    pub(crate) fn read(&self, name: &str) -> String {
        tool("mtype", &["-i", &self.place(), &format!("::{name}")])
    }

    /// The bytes of a file on it.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let out = self.path.with_extension("copy");
        let out = out.to_str().unwrap();
        tool("mcopy", &["-no", "-i", &self.place(), &format!("::{name}"), out]);
        std::fs::read(out).unwrap()
    }

    /// The names in the root.
    pub(crate) fn names(&self) -> Vec<String> {
        let listed = tool("mdir", &["-b", "-i", &self.place(), "::"]);
        listed.lines().map(|l| l.trim_start_matches("::/").to_owned()).collect()
    }

    /// The report for people, without its line ends.
    pub(crate) fn report(&self) -> String {
        self.read(&self.named(".txt")).replace("\r\n", "\n")
    }

    /// The report for programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.read(&self.named(".json"))).unwrap()
    }

    fn named(&self, end: &str) -> String {
        let names = self.names();
        let is = |n: &&String| n.starts_with("surefoot-report-demo-board") && n.ends_with(end);
        names.iter().find(is).unwrap_or_else(|| panic!("no report: {names:?}")).clone()
    }

    /// Whether `fsck` finds nothing wrong.
    pub(crate) fn is_sound(&self) {
        let bytes = std::fs::read(&self.path).unwrap();
        let part = self.path.with_extension("part");
        let at = usize::try_from(self.at).unwrap();
        std::fs::write(&part, &bytes[at..]).unwrap();
        tool("fsck.vfat", &["-n", part.to_str().unwrap()]);
        std::fs::remove_file(part).unwrap();
    }

    /// Changes bytes of its FAT volume.
    pub(crate) fn patch(&self, at: u64, bytes: &[u8]) {
        let file = std::fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        file.write_all_at(bytes, self.at + at).unwrap();
    }

    pub(crate) fn volume(&self, at: u64, len: usize) -> Vec<u8> {
        let file = std::fs::File::open(&self.path).unwrap();
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, self.at + at).unwrap();
        bytes
    }

    /// Where the first FAT, the root folder and the data begin in the volume, and the length of a
    /// cluster.
    pub(crate) fn layout(&self) -> (u64, u64, u64, u64) {
        let boot = self.volume(0, 512);
        let two = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let four = |at: usize| u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|i| boot[at + i])));
        let (sector, cluster) = (two(11), u64::from(boot[13]));
        let fat_len = if two(22) == 0 { four(36) } else { two(22) };
        let root = two(14) + u64::from(boot[16]) * fat_len;
        let data = root + (two(17) * 32).div_ceil(sector);
        (two(14) * sector, root * sector, data * sector, cluster * sector)
    }
}
