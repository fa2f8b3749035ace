//! Promise: `surefoot doctor --image` judges a disk before it is flashed as the device would judge itself, finds each fault that
//! an image can have, and changes nothing; `--production` finds what belongs on a developer's bench.

use crate::common::{Said, forge, run};
use crate::media::tool;
use serde_json::Value;
use std::path::Path;

const MIB: usize = 1 << 20;
const BOOT: usize = 16 * MIB;

/// A disk with a real root filesystem, signed, and what is needed to make more of them.
struct Disk {
    dir: tempfile::TempDir,
}

/// The beginning of a program for this processor (ELF, 64 bits, little endian).
fn program(machine: u8) -> Vec<u8> {
    let mut head = vec![0; 128];
    head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
    head[18] = machine;
    head
}

const UNITS: [&str; 9] = [
    "surefoot.service",
    "surefoot-shutdown.service",
    "surefoot-guard.timer",
    "surefoot-guard.service",
    "surefoot-blackbox.service",
    "surefoot-status.socket",
    "surefoot-control.socket",
    "surefoot-probe.socket",
    "surefoot-fetch.socket",
];

impl Disk {
    /// `change` changes the root before it is made and signed.
    fn new(change: impl Fn(&Path)) -> Disk {
        let disk = Disk { dir: crate::common::scratch() };
        forge(&["keygen", "--out", &disk.path("KEYS")]).ok();
        let root = disk.dir.path().join("root");
        let put = |path: &str, bytes: &[u8]| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        put("sbin/init", &program(183));
        put("usr/bin/surefoot", &program(183));
        put("usr/lib/systemd/systemd", b"x");
        put("boot/Image", b"kernel");
        put("etc/passwd", b"root:x:0:0::/root:/bin/sh\n");
        put("etc/shadow", b"root:*:1::::::\n");
        put(
            "etc/fw_env.config",
            b"/dev/surefoot/disk 0x400000 0x4000\n/dev/surefoot/disk 0x800000 0x4000\n",
        );
        let settings = "[device]\nproduct = \"demo\"\ncompatible = \"demo-board\"\n\
                        [[health.check]]\nname = \"x\"\ncommand = [\"/bin/true\"]\n";
        put("etc/surefoot/surefoot.toml", settings.as_bytes());
        put("usr/share/surefoot/trust.toml", &std::fs::read(disk.path("KEYS/trust.toml")).unwrap());
        for unit in UNITS {
            put(&format!("usr/lib/systemd/system/{unit}"), b"[Unit]\n");
            put(&format!("etc/systemd/system/multi-user.target.wants/{unit}"), b"");
        }
        std::fs::create_dir(root.join("data")).unwrap();
        change(&root);
        disk.image("root.ext4", &root, 24);
        disk.sim(&[
            "new",
            &disk.path("DEV"),
            "--trust",
            &disk.path("KEYS/trust.toml"),
            "--rootfs",
            &disk.path("root.ext4"),
            "--slot-size",
            "32M",
        ]);
        disk.data(&[]);
        disk
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn sim(&self, words: &[&str]) {
        run(env!("CARGO_BIN_EXE_surefoot-sim"), words, &[], b"").ok();
    }

    /// An ext4 image of a folder.
    fn image(&self, name: &str, folder: &Path, mib: usize) {
        let image = self.path(name);
        let (folder, size) = (folder.to_str().unwrap().to_owned(), format!("{mib}M"));
        tool("mke2fs", &["-q", "-F", "-t", "ext4", "-d", &folder, &image, &size]);
    }

    /// A data partition with these files in `preload`.
    fn data(&self, preload: &[(&str, &str)]) {
        let folder = self.dir.path().join("data");
        std::fs::create_dir_all(folder.join("surefoot")).unwrap();
        std::fs::create_dir_all(folder.join("preload")).unwrap();
        for (name, file) in preload {
            std::fs::copy(file, folder.join("preload").join(name)).unwrap();
        }
        self.image("data.ext4", &folder, 16);
        let bytes = std::fs::read(self.path("data.ext4")).unwrap();
        self.patch(BOOT + 32 * MIB + 64 * MIB, &bytes);
    }

    fn patch(&self, at: usize, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let disk = std::fs::OpenOptions::new().write(true).open(self.disk()).unwrap();
        disk.write_all_at(bytes, at as u64).unwrap();
    }

    fn disk(&self) -> String {
        self.path("DEV/disk.img")
    }

    fn artifact(&self, version: &str) -> String {
        let out = self.path(&format!("{version}.surefoot"));
        let (root, key) = (self.path("root.ext4"), self.path("KEYS/release.key"));
        forge(&[
            "build",
            "--rootfs",
            &root,
            "--product",
            "demo",
            "--compatible",
            "demo-board",
            "--version",
            version,
            "--key",
            &key,
            "--level",
            "1",
            "-o",
            &out,
        ])
        .ok();
        out
    }

    /// Has a signed release in slot a, as a factory does with `surefoot-forge image`: by two updates.
    fn signed(self) -> Disk {
        let config = self.path("DEV/surefoot.toml");
        for version in ["1.0.0", "1.0.1"] {
            let artifact = self.artifact(version);
            for words in [&["install", &artifact][..], &["reboot"], &["commit"]] {
                match words {
                    ["reboot"] => self.sim(&["reboot", &self.path("DEV")]),
                    words => {
                        let all = [&["--config", &config], words].concat();
                        run(env!("CARGO_BIN_EXE_surefoot"), &all, &[], b"").ok();
                    }
                }
            }
        }
        // What only the simulated device needs is not beside the image.
        for name in ["surefoot.toml", "fw_env.config", "trust.toml"] {
            std::fs::remove_file(self.path(&format!("DEV/{name}"))).unwrap();
        }
        self
    }

    fn doctor(&self, words: &[&str]) -> Said {
        let disk = self.disk();
        let all = [&["doctor", "--image", &disk], words].concat();
        run(env!("CARGO_BIN_EXE_surefoot"), &all, &[], b"")
    }

    fn judged(&self, words: &[&str]) -> (i32, Value) {
        let said = self.doctor(&[words, &["--json"]].concat());
        (said.code, said.json())
    }
}

/// The texts of what was found about a topic at a level.
fn told(answer: &Value, level: &str) -> Vec<String> {
    let findings = answer["findings"].as_array().unwrap().iter();
    let of = findings.filter(|f| f["level"] == level);
    of.map(|f| format!("{}: {}", f["topic"].as_str().unwrap(), f["text"].as_str().unwrap()))
        .collect()
}

/// Ends with this status, and exactly one thing stops.
fn stops(disk: &Disk, status: i32, code: &str, part: &str) {
    let (found, answer) = disk.judged(&[]);
    let stops = told(&answer, "blocking");
    assert!(stops.len() == 1 && stops[0].contains(part), "{part}: {stops:#?}");
    assert_eq!(found, status, "{stops:#?}");
    let findings = answer["findings"].as_array().unwrap();
    let one = findings.iter().find(|f| f["level"] == "blocking").unwrap();
    assert_eq!(one["code"], code, "{one}");
    assert!(one["remedy"].as_str().unwrap().len() > 10, "{one}");
    assert!(disk.doctor(&[]).out.contains("not to be flashed"));
}

#[test]
fn a_signed_disk_is_good_and_nothing_of_it_is_changed() {
    let disk = Disk::new(|_| ()).signed();
    let artifact = disk.artifact("2.0.0");
    let sum = tool("sha256sum", &[&artifact])[..16].to_owned();
    disk.data(&[(&format!("{sum}-app.surefoot"), &artifact)]);
    let before = std::fs::read(disk.disk()).unwrap();
    let (status, answer) = disk.judged(&[]);
    assert_eq!(told(&answer, "blocking").len() + told(&answer, "warning").len(), 0, "{answer:#}");
    assert_eq!(status, 0);
    assert_eq!(answer["rollback"], "armed");
    let good = told(&answer, "good").join("\n");
    for part in [
        "1.0.1 in slot a, every byte as signed",
        "demo 2.0.0, every byte",
        "boot script: version 1",
        "systemd: all units",
        "updater: /usr/bin/surefoot",
        "config: demo, demo-board",
    ] {
        assert!(good.contains(part), "{part}: {good}");
    }
    assert!(disk.doctor(&[]).ok().out.ends_with("This disk may be flashed.\n"));
    assert!(std::fs::read(disk.disk()).unwrap() == before);
    let (status, answer) = disk.judged(&["--production"]);
    assert_eq!((status, told(&answer, "blocking").len()), (0, 0), "{answer:#}");
    assert!(told(&answer, "good").join("\n").contains("production: nothing"), "{answer:#}");
}

#[test]
fn each_fault_of_a_signed_disk_is_found_and_named() {
    let disk = Disk::new(|_| ()).signed();
    let whole = std::fs::read(disk.disk()).unwrap();
    let restore = || std::fs::write(disk.disk(), &whole).unwrap();
    let part = format!("{}@@{BOOT}", disk.disk());

    // One byte of slot a; its backup table; the script; the environment; the data partition.
    let slot = BOOT + 32 * MIB;
    let kernel = whole[slot..].windows(6).position(|w| w == b"kernel").unwrap();
    disk.patch(slot + kernel, b"K");
    stops(&disk, 74, "SLOT_DAMAGED", "not what was signed");
    restore();
    disk.patch(whole.len() - 512, &[0; 512]);
    stops(&disk, 74, "TABLE_UNREADABLE", "backup partition table");
    restore();
    tool("mdel", &["-i", &part, "::boot.scr"]);
    stops(&disk, 78, "BOOT_SCRIPT", "boot.scr");
    restore();
    let script = disk.path("other.scr");
    std::fs::write(&script, "no script").unwrap();
    tool("mcopy", &["-o", "-i", &part, &script, "::boot.scr"]);
    stops(&disk, 78, "BOOT_SCRIPT", "refuse boot.scr");
    restore();
    disk.patch(4 * MIB + 100, b"\xff");
    stops(&disk, 78, "ENV_UNREADABLE", "copy 1");
    restore();
    disk.patch(BOOT + 96 * MIB + 1024, &[0; 1024]);
    stops(&disk, 78, "STATE_NOT_DURABLE", "no file system");
    restore();
    // The record of slot a: torn.
    let record = BOOT + 32 * MIB + 31 * MIB;
    disk.patch(record + 30, b"\xff\xff\xff");
    stops(&disk, 74, "SLOT_DAMAGED", "torn or damaged");
    restore();
    // A preload under a name that its bytes do not have.
    disk.data(&[("0123456789abcdef-x.surefoot", &disk.path("1.0.0.surefoot"))]);
    stops(&disk, 65, "FILE_DAMAGED", "does not begin with");
    restore();
    // Partitions.
    tool("sgdisk", &["-c", "3:other", &disk.disk()]);
    stops(&disk, 78, "SLOT_MISSING", "rootfs-b");
    restore();
    std::fs::write(disk.disk(), &whole[..40 * MIB]).unwrap();
    assert_ne!(disk.doctor(&[]).code, 0, "it is cut short");
    assert_eq!(disk.doctor(&["--json"]).json()["rollback"], "off");
    std::fs::remove_file(disk.disk()).unwrap();
    assert_eq!(disk.doctor(&[]).code, 66);
}

#[test]
fn each_fault_of_a_root_is_found_and_named() {
    let settings = |text: &'static str| {
        move |root: &Path| std::fs::write(root.join("etc/surefoot/surefoot.toml"), text).unwrap()
    };
    let stopped = |change: &dyn Fn(&Path), status, code, part| {
        stops(&Disk::new(change), status, code, part);
    };
    stopped(
        &|root| std::fs::remove_file(root.join("boot/Image")).unwrap(),
        65,
        "NOT_BOOTABLE",
        "/boot/Image",
    );
    stopped(
        &|root| std::fs::write(root.join("usr/bin/surefoot"), program(62)).unwrap(),
        78,
        "NO_UPDATER",
        "another processor",
    );
    stopped(&settings("[device]\nproduct = 5\n"), 78, "CONFIG_INVALID", "surefoot.toml:2");
    stopped(
        &|root| std::fs::write(root.join("usr/share/surefoot/trust.toml"), "x = 1").unwrap(),
        78,
        "TRUST_INVALID",
        "trust.toml",
    );
    let elsewhere = Disk::new(|root| {
        let text = "/dev/mmcblk0 0x100000 0x4000\n/dev/mmcblk0 0x200000 0x4000\n";
        std::fs::write(root.join("etc/fw_env.config"), text).unwrap();
    });
    let (status, answer) = elsewhere.judged(&[]);
    assert_eq!(status, 78, "{answer:#}");
    let stops = told(&answer, "blocking").join("\n");
    assert!(stops.contains("fw_env.config is wrong: there is a healthy one"), "{stops}");
}

#[test]
fn what_is_missing_is_a_warning_and_what_is_beside_the_image_is_taken() {
    // An unsigned disk whose root has neither the updater nor its files.
    let disk = Disk::new(|root| {
        for path in [
            "usr/bin/surefoot",
            "etc/fw_env.config",
            "etc/surefoot/surefoot.toml",
            "usr/share/surefoot/trust.toml",
            "usr/lib/systemd/system/surefoot.service",
        ] {
            std::fs::remove_file(root.join(path)).unwrap();
        }
    });
    let (status, answer) = disk.judged(&[]);
    assert_eq!(told(&answer, "blocking").len(), 0, "{answer:#}");
    assert_eq!(status, 0);
    let warned = told(&answer, "warning").join("\n");
    for part in [
        "factory release unsigned: version unknown, no delta",
        "no updater",
        "surefoot.service is not installed",
        "no /etc/fw_env.config; the one beside",
        "no /usr/share/surefoot/trust.toml; the one beside",
        "no /etc/surefoot/surefoot.toml; the one beside",
    ] {
        assert!(warned.contains(part), "{part}: {warned}");
    }
    assert_eq!(
        answer["rollback"], "armed",
        "the environment is found by the file beside the image"
    );
    let count = told(&answer, "warning").len();
    let last = format!("This disk may be flashed, {count} warnings.\n");
    assert!(count > 5 && disk.doctor(&[]).ok().out.ends_with(&last));
    // What is to be sold must have it.
    let (status, answer) = disk.judged(&["--production"]);
    assert_eq!(status, 78, "{answer:#}");
    let stops = told(&answer, "blocking").join("\n");
    for part in [
        "updater: the root has no updater",
        "systemd: surefoot.service is not installed",
        "trust: the root has no /usr/share/surefoot/trust.toml",
        "config: the root has no /etc/surefoot/surefoot.toml",
        "environment: the root has no /etc/fw_env.config",
    ] {
        assert!(stops.contains(part), "{part}: {stops}");
    }
}

#[test]
fn a_root_without_an_init_system_is_not_flashed_unless_something_else_may_start_it() {
    let without = |root: &Path| std::fs::remove_file(root.join("sbin/init")).unwrap();
    stops(&Disk::new(without), 65, "NOT_BOOTABLE", "the root has no /sbin/init");
    // A link whose target is there is as good, and so is what an initramfs may know.
    let (status, answer) = Disk::new(|root| {
        without(root);
        std::os::unix::fs::symlink("../usr/lib/systemd/systemd", root.join("sbin/init")).unwrap();
    })
    .judged(&[]);
    assert_eq!((status, told(&answer, "blocking").len()), (0, 0), "{answer:#}");
    let (status, answer) = Disk::new(|root| {
        without(root);
        std::fs::write(root.join("boot/initrd.img"), "x").unwrap();
    })
    .judged(&[]);
    assert_eq!((status, told(&answer, "blocking").len()), (0, 0), "{answer:#}");
    let warned = told(&answer, "warning").join("\n");
    assert!(warned.contains("unless the initramfs knows another program"), "{warned}");
}

#[test]
fn what_belongs_on_a_bench_is_found_in_an_image_and_on_a_device() {
    let disk = Disk::new(|root| {
        std::fs::write(root.join("etc/shadow"), "root::1::::::\n").unwrap();
        std::fs::remove_dir(root.join("data")).unwrap();
        std::fs::create_dir_all(root.join("usr/sbin")).unwrap();
        std::fs::write(root.join("usr/sbin/sshd"), "").unwrap();
        let wants = root.join("etc/systemd/system/multi-user.target.wants");
        std::fs::write(wants.join("telnetd.service"), "").unwrap();
        let getty = root.join("etc/systemd/system/serial-getty@ttyS0.service.d");
        std::fs::create_dir_all(&getty).unwrap();
        std::fs::write(getty.join("a.conf"), "ExecStart=-/sbin/agetty --autologin root %I\n")
            .unwrap();
        let text = std::fs::read_to_string(root.join("etc/surefoot/surefoot.toml")).unwrap();
        let text = text.replace("[device]", "[device]\nhold = true")
            + "[boot]\naccept_single_copy = true\n";
        std::fs::write(root.join("etc/surefoot/surefoot.toml"), text).unwrap();
    });
    let (status, answer) = disk.judged(&["--production"]);
    assert_eq!(status, 78, "{answer:#}");
    let stops = told(&answer, "blocking").join("\n");
    for part in [
        "accounts: the account root has no password",
        "ports: telnet",
        "console: a console needs no login",
    ] {
        assert!(stops.contains(part), "{part}: {stops}");
    }
    let warned = told(&answer, "warning").join("\n");
    for part in [
        "hold: ",
        "no folder /data",
        "ssh: ssh lets in with a password",
        "environment: `[boot] accept_single_copy",
        "release: the factory release is unsigned",
    ] {
        assert!(warned.contains(part), "{part}: {warned}");
    }
    assert_eq!(disk.judged(&[]).0, 0, "without the word none of it is looked at");
    // On a device: this machine, with the simulated disk.
    let config = disk.path("DEV/surefoot.toml");
    let said = run(
        env!("CARGO_BIN_EXE_surefoot"),
        &["--config", &config, "doctor", "--production", "--json"],
        &[],
        b"",
    );
    let answer = said.json();
    let topics: Vec<&str> = answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["topic"].as_str().unwrap())
        .collect();
    assert!(
        topics.contains(&"booted")
            && topics.iter().any(|t| [
                "production",
                "accounts",
                "keys",
                "console",
                "ports",
                "debug"
            ]
            .contains(t)),
        "{topics:?}"
    );
}

#[test]
fn a_disk_of_forge_image_is_good_and_stays_so_when_it_is_flashed_and_configured() {
    let disk = Disk::new(|_| ());
    let environment = disk.path("u-boot-initial-env");
    let board = "kernel_addr_r=0x1000000\nramdisk_addr_r=0x2000000\nfdt_addr_r=0xc00000\nscriptaddr=0x1000\n";
    std::fs::write(&environment, board).unwrap();
    let in_files = disk.path("files.toml");
    let files =
        "[boot]\nenvironment = { files = [\"uboot.env\", \"uboot-redund.env\"], size = \"16K\" }\n";
    std::fs::write(&in_files, files).unwrap();
    let (root, key, trust) =
        (disk.path("root"), disk.path("KEYS/release.key"), disk.path("KEYS/trust.toml"));
    for file in ["etc/fw_env.config", "etc/surefoot/surefoot.toml"] {
        std::fs::remove_file(Path::new(&root).join(file)).unwrap();
    }
    let artifact = disk.artifact("2.0.0");
    for (name, more) in
        [("gpt", &[][..]), ("mbr", &["--table", "mbr"]), ("files", &[in_files.as_str()])]
    {
        let image = disk.path(&format!("{name}.img"));
        let words = [
            "image",
            "-o",
            &image,
            "--rootfs",
            &root,
            "--version",
            "1.0.0",
            "--key",
            &key,
            "--uboot-env",
            &environment,
            "--product",
            "demo",
            "--compatible",
            "demo-board",
            "--trust",
            &trust,
            "--preload",
            &artifact,
        ];
        forge(&[&words, more].concat()).ok();
        let judge = |image: &str| {
            let said = run(
                env!("CARGO_BIN_EXE_surefoot"),
                &["doctor", "--image", image, "--json"],
                &[],
                b"",
            );
            let answer = said.json();
            assert_eq!((said.code, told(&answer, "blocking").len()), (0, 0), "{name}: {answer:#}");
            let good = told(&answer, "good").join("\n");
            for part in [
                "1.0.0 in slot a, every byte as signed",
                "demo 2.0.0, every byte",
                "way back in place",
            ] {
                assert!(good.contains(part), "{name}: {part}: {good}");
            }
        };
        judge(&image);
        // The map that it makes vouches for it; a card that is larger and full of old bytes is good as well.
        let card = disk.path("card.img");
        let len = std::fs::metadata(&image).unwrap().len();
        std::fs::write(&card, vec![0xa5; usize::try_from(len).unwrap() + (8 << 20)]).unwrap();
        let said = forge(&["flash", &image, &card, "--yes", "--json"]).ok().json();
        assert_eq!(said["bmap"], format!("{image}.bmap"));
        forge(&["configure", &card, "--hostname", "gate-7"]).ok();
        for file in ["surefoot.toml", "fw_env.config", "trust.toml"] {
            let _ = std::fs::remove_file(disk.path(file));
        }
        judge(&card);
        if name == "gpt" {
            on_a_device(&card, &judge);
        }
        // An image that was configured has no map any more that calls it damaged.
        for words in [&["--hostname", "gate-8"][..], &["--clear"]] {
            forge(&[&["configure", &image][..], words].concat()).ok();
            assert!(!Path::new(&format!("{image}.bmap")).exists(), "{name}");
            forge(&["flash", &image, &card, "--yes"]).ok();
            judge(&card);
        }
        std::fs::remove_file(&image).unwrap();
    }
}

/// The same for a card: a loop device.
fn on_a_device(card: &str, judge: &dyn Fn(&str)) {
    let losetup = |words: &[&str]| std::process::Command::new("losetup").args(words).output();
    let made = losetup(&["-r", "-f", "--show", card]).ok().filter(|made| made.status.success());
    let Some(made) = made else { return crate::skip::skipped("loop devices need root") };
    let node = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(&node)));
    losetup(&["-d", &node]).unwrap();
    judged.unwrap();
}
