//! A device as a folder, and the tools of the field run on it. Shared by the tests of the
//! environment.
// Each test file uses a part of this; helpers outside #[test] count as shipped code for a lint.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::process::Command;
use std::sync::Arc;
use surefoot::boot::uboot::{CopyState, Env, EnvStore};
use surefoot::disk::Disk;

pub const SIZE: usize = 0x400;
pub const PLACES: [u64; 2] = [0x1000, 0x2000];

/// Runs a tool of the field; without it the test fails and says what to install.
pub fn tool(name: &str, args: &[&str]) -> String {
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
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub store: EnvStore,
}

impl Bench {
    pub fn new(copies: usize) -> Bench {
        let dir = crate::common::scratch();
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

    pub fn image(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("disk.img")).unwrap()
    }

    pub fn put(&self, at: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let path = self.dir.path().join("disk.img");
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    pub fn config(&self) -> String {
        self.dir.path().join("whole.config").to_str().unwrap().to_owned()
    }

    pub fn theirs(&self) -> String {
        tool("fw_printenv", &["-c", &self.config()])
    }

    pub fn ours(&self) -> String {
        let loaded = self.store.load().unwrap();
        text(loaded.env().unwrap())
    }

    /// An empty value removes the variable: `fw_setenv NAME ""` would keep it, empty.
    pub fn their_set(&self, name: &str, value: &str) {
        let config = self.config();
        let mut args = vec!["-c", &config, name];
        if !value.is_empty() {
            args.push(value);
        }
        tool("fw_setenv", &args);
    }

    pub fn our_set(&self, name: &str, value: &str) {
        let mut session = self.store.begin().unwrap();
        let mut env = session.loaded().env().unwrap().clone();
        match value {
            "" => env.remove(name),
            value => env.set(name, value).unwrap(),
        }
        session.save(&env).unwrap();
    }

    pub fn serials(&self) -> Vec<Option<u8>> {
        let loaded = self.store.load().unwrap();
        let serial = |c: &CopyState| match c {
            CopyState::Alive { serial, .. } => *serial,
            CopyState::Dead(_) => None,
        };
        loaded.copies.iter().map(serial).collect()
    }
}

/// As `fw_printenv` prints it.
pub fn text(env: &Env) -> String {
    env.iter().map(|(n, v)| format!("{n}={v}\n")).collect()
}

pub fn factory() -> Env {
    let text = "altbootcmd=if test -n \"${x}\"; then run y; fi\nbaudrate=115200\nbootcmd=run z; reset\nempty_tail= \nname\\w=back\\slash\n";
    Env::from_text(text).unwrap()
}

/// Deterministic numbers.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
