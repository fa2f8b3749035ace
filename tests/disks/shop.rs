//! A folder with everything that a disk is made from.

use crate::common::{Said, forge, run, scratch};
use std::path::{Path, PathBuf};

pub(super) struct Shop {
    pub(super) dir: tempfile::TempDir,
}

/// What the board's U-Boot was built with.
pub(super) const BOARD: &str = "arch=arm\nboard=acme\nbootcmd=run distro_bootcmd\ncpu=armv8\nfdt_addr_r=0x48000000\n\
                         kernel_addr_r=0x40400000\nramdisk_addr_r=0x44000000\nscriptaddr=0x40200000\n";

/// The head of a program for this processor.
pub(super) fn elf(machine: u8, class: u8) -> Vec<u8> {
    let mut head = vec![0; 4096];
    head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
    head[18] = machine;
    head
}

impl Shop {
    pub(super) fn new() -> Shop {
        let shop = Shop { dir: scratch() };
        let root = shop.path("root");
        for folder in ["boot", "usr/bin", "usr/sbin", "etc", "var/empty", "a b"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let noise: Vec<u8> =
            (0..400_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        std::fs::write(root.join("boot/Image"), noise).unwrap();
        std::fs::write(root.join("usr/sbin/init"), elf(183, 2)).unwrap();
        std::fs::write(root.join("usr/bin/surefoot"), elf(183, 2)).unwrap();
        std::fs::write(root.join("a b/with \"quotes\" and blanks"), "x").unwrap();
        std::os::unix::fs::symlink("usr/sbin", root.join("sbin")).unwrap();
        std::fs::hard_link(root.join("boot/Image"), root.join("boot/Image-6.1")).unwrap();
        std::fs::create_dir_all(shop.path("firmware/overlays")).unwrap();
        std::fs::write(shop.path("firmware/config.txt"), "kernel=u-boot.bin\n").unwrap();
        std::fs::write(shop.path("firmware/overlays/a long name.dtbo"), vec![7; 5000]).unwrap();
        std::fs::write(shop.path("imx-boot"), vec![0x5a; 300_000]).unwrap();
        std::fs::write(shop.path("env"), BOARD).unwrap();
        forge(&["keygen", "--out", &shop.at("KEYS")]).ok();
        shop
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A recipe: `[boot]` and `[disk]` may say more.
    pub(super) fn recipe(&self, disk: &str, boot: &str) -> String {
        let text = format!(
            "product = \"acme\"\ncompatible = \"acme-v2\"\n[disk]\n{disk}\n[root]\nrootfs = \"root\"\nversion = \"1.0.0\"\n\
             key = \"KEYS/release.key\"\nlevel = 1\nslot-size = \"16M\"\n[boot]\nuboot-env = \"env\"\nfirmware = \"firmware\"\n\
             size = \"8M\"\n{boot}\n[data]\nsize = \"16M\"\n[trust]\nfile = \"KEYS/trust.toml\"\n"
        );
        std::fs::write(self.path("recipe.toml"), text).unwrap();
        self.at("recipe.toml")
    }

    pub(super) fn image(&self, recipe: &str, output: &str, words: &[&str]) -> Said {
        let output = self.at(output);
        forge(&[&["image", recipe, "-o", &output], words].concat())
    }

    /// A part of a disk as a file of its own.
    pub(super) fn part(&self, disk: &str, place: &serde_json::Value) -> String {
        let number = |key: &str| place[key].as_u64().unwrap();
        let out = self.at(place["name"].as_str().unwrap());
        let words = [
            "if=".to_owned() + disk,
            "of=".to_owned() + &out,
            "bs=1M".into(),
            "conv=sparse".into(),
            format!("skip={}", number("start") >> 20),
            format!("count={}", number("len") >> 20),
        ];
        tool("dd", &words.iter().map(String::as_str).collect::<Vec<_>>());
        out
    }
}

/// Runs a tool that must be content; what it says.
pub(super) fn tool(program: &str, words: &[&str]) -> String {
    let done = run(program, words, &[("LC_ALL", "C")], b"");
    assert_eq!(done.code, 0, "{program} {words:?}: {}{}", done.out, done.err);
    done.out + &done.err
}

/// What lies in a folder besides what was there.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
