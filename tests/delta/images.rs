//! Deltas of squashfs and erofs images as their own tools make them: one file changes, and one comes in that moves all
//! that follows.

use crate::common::{forge, scratch, skip};
use std::path::Path;
use std::process::Command;

/// Bytes that a compressor makes something of, different for each seed.
fn text(seed: u32, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) << 20 | 1;
    let word = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{:x} and ", state >> 50).into_bytes()
    };
    (0..len).flat_map(word).take(len).collect()
}

/// 1: as it was; 2: some bytes come into one file; 3: one more file comes first.
fn tree(root: &Path, version: u32) {
    std::fs::create_dir_all(root.join("bin")).unwrap();
    for number in 10..40 {
        let mut bytes = text(number, 40_000 + 3_000 * number as usize);
        if version == 2 && number == 20 {
            bytes.splice(50_000..50_000, *b"forty bytes, which are new in the middle");
        }
        std::fs::write(root.join(format!("bin/file{number}")), bytes).unwrap();
    }
    if version == 3 {
        std::fs::write(root.join("bin/aaa"), text(9, 50_001)).unwrap();
    }
}

/// What makes an image, and its words before and behind the names.
struct Kind {
    name: &'static str,
    program: &'static str,
    words: &'static [&'static str],
    /// What a delta for the file that changed, and for the one that came, may have, bytes.
    most: [u64; 2],
    /// What the estimate names.
    spoils: Option<&'static str>,
}

const SQUASHFS: [&str; 7] =
    ["-quiet", "-no-progress", "-all-root", "-mkfs-time", "0", "-all-time", "0"];

fn kinds() -> [Kind; 4] {
    let plain = &["-noI", "-noD", "-noF", "-noX"];
    [
        Kind {
            name: "squashfs",
            program: "mksquashfs",
            words: &[],
            most: [45_000, 55_000],
            spoils: Some("compressed blocks of files"),
        },
        Kind {
            name: "squashfs, not compressed",
            program: "mksquashfs",
            words: plain,
            most: [4_000, 30_000],
            spoils: None,
        },
        Kind {
            name: "erofs",
            program: "mkfs.erofs",
            words: &[],
            most: [6_000, 32_000],
            spoils: None,
        },
        Kind {
            name: "erofs, compressed",
            program: "mkfs.erofs",
            words: &["-zlz4hc"],
            most: [10_000, 32_000],
            spoils: Some("compressed blocks of files"),
        },
    ]
}

impl Kind {
    fn make(&self, root: &Path, image: &Path) {
        let mut command = Command::new(self.program);
        match self.program {
            "mksquashfs" => command.args([root, image]).args(SQUASHFS).args(self.words),
            _ => {
                let id = "-U11111111-1111-1111-1111-111111111111";
                command.args(["--quiet", "-T9", id]).args(self.words).args([image, root])
            }
        };
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}

#[test]
fn what_a_change_moves_in_an_image_is_found_again() {
    let place = scratch();
    let path = |name: &str| place.path().join(name);
    let word = |name: &str| path(name).to_str().unwrap().to_owned();
    let key = word("KEYS/release.key");
    forge(&["keygen", "--out", &word("KEYS")]).ok();
    (1..=3).for_each(|version| tree(&path(&format!("root{version}")), version));
    for (number, kind) in kinds().iter().enumerate() {
        if Command::new(kind.program).arg("--help").output().is_err() {
            skip::skipped(&format!("{} is not there", kind.program));
            continue;
        }
        let release = |version: u32| {
            let image = path(&format!("{number}-{version}.img"));
            kind.make(&path(&format!("root{version}")), &image);
            let (out, given) =
                (word(&format!("{number}-{version}.surefoot")), format!("{version}.0.0"));
            let image = image.to_str().unwrap();
            let words =
                ["build", "--rootfs", image, "--product", "demo", "--compatible", "demo-board"];
            let more =
                ["--version", &given, "--key", &key, "-o", &out, "--level", "3", "--context", "1M"];
            forge(&[&words[..], &more].concat()).ok();
            out
        };
        let [old, changed, moved] = [1, 2, 3].map(release);
        for (new, most) in [&changed, &moved].into_iter().zip(kind.most) {
            let out = word("d.surefoot");
            let _ = std::fs::remove_file(&out);
            // It is applied to the old image, and each chunk compared, before it has its name.
            let words = ["delta", "--from", &old, "--to", new, "-o", &out, "--key", &key, "--json"];
            let said = forge(&words).ok().json();
            let len = said["deltas"][0]["artifact_len"].as_u64().unwrap();
            let said = forge(&["delta", "--estimate", &old, new, "--json"]).ok().json();
            let (full, from) = (said["full"].as_u64().unwrap(), &said["from"][0]);
            let adaptive = from["adaptive"].as_u64().unwrap();
            assert!(
                len <= most && len < adaptive && len < full / 4,
                "{}: {len}: {said}",
                kind.name
            );
            let named = from["spoils"].as_array().unwrap();
            // What costs less than 16 KiB is not named.
            if let Some(spoils) = kind.spoils.filter(|_| len > 20_000) {
                let why = named.iter().find(|one| one["what"] == spoils);
                let why = why.unwrap_or_else(|| panic!("{}: {said}", kind.name));
                assert!(why["why"].as_str().unwrap().contains("compress"), "{said}");
            }
        }
    }
}
