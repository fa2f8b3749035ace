//! `surefoot-forge delta`, as a release engineer uses it.

use crate::common::{forge, read, scratch};
use std::path::Path;
use std::process::Command;

/// A small tree that differs from version to version in the ways that releases do.
fn tree(root: &Path, version: u32) {
    let noise = |seed: u32, len: u32| {
        let mut state = u64::from(seed) | 1 << 40;
        let byte = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..len).map(byte).collect::<Vec<u8>>()
    };
    for folder in ["bin", "lib/modules", "etc"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    // The same in all; one that grows; one whose name has the version; one that is new in each.
    std::fs::write(root.join("bin/same"), noise(1, 300_000)).unwrap();
    let mut grows = noise(2, 200_000);
    for n in 0..version {
        let at = (n * 17_001 + 500) as usize;
        grows.splice(at..at, noise(90 + n, 40));
        grows[at + 9_000] ^= 5;
    }
    std::fs::write(root.join("bin/grows"), grows).unwrap();
    let mut kernel = noise(3, 150_000);
    kernel[70_000 + version as usize] ^= 1;
    std::fs::write(root.join(format!("lib/modules/6.1.{version}")), kernel).unwrap();
    // No digit: it would be the next version of the one before.
    let letter = ['z', 'a', 'b', 'c', 'd', 'e'][version as usize];
    std::fs::write(root.join("etc/release"), format!("VERSION={version}\n")).unwrap();
    std::fs::write(root.join(format!("bin/new{letter}")), noise(50 + version, 20_000)).unwrap();
}

/// A release of such a tree, and its image.
fn release(at: &Path, version: u32) -> String {
    let (root, image) = (at.join(format!("root{version}")), at.join(format!("{version}.ext4")));
    tree(&root, version);
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-d"])
        .args([root.as_os_str(), image.as_os_str()])
        .arg("6M")
        .status();
    assert!(made.unwrap().success());
    build(at, &image, version)
}

fn build(at: &Path, image: &Path, version: u32) -> String {
    let (out, number) = (at.join(format!("v{version}.surefoot")), format!("{version}.0.0"));
    let key = at.join("KEYS/release.key");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (image, out, key) = (text(image), text(&out), text(&key));
    let words =
        ["build", "--raw", "--rootfs", &image, "--product", "demo", "--compatible", "demo-board"];
    let more = ["--version", &number, "--key", &key, "-o", &out, "--level", "3", "--context", "1M"];
    forge(&[&words[..], &more].concat()).ok();
    out
}

#[test]
fn every_pair_of_five_releases_has_a_delta_that_applies() {
    let place = scratch();
    let at = place.path();
    let path = |name: &str| at.join(name).to_str().unwrap().to_owned();
    let (keys, key, trust) = (path("KEYS"), path("KEYS/release.key"), path("KEYS/trust.toml"));
    forge(&["keygen", "--out", &keys]).ok();
    let releases: Vec<String> = (1..=5).map(|version| release(at, version)).collect();
    for (n, to) in releases.iter().enumerate() {
        let mut words =
            vec!["delta", "--to", to, "--key", &key, "-o", at.to_str().unwrap(), "--json"];
        // Back as well: an older release can be wanted, too.
        for (_, from) in releases.iter().enumerate().filter(|(m, _)| *m != n) {
            words.extend(["--from", from]);
        }
        // It applies each to the old image, and compares every chunk, before it says so.
        let said = forge(&words).ok().json();
        let made = said["deltas"].as_array().unwrap();
        assert_eq!(made.len(), 4);
        for delta in made {
            let (len, full) =
                (delta["artifact_len"].as_u64().unwrap(), said["full_len"].as_u64().unwrap());
            assert!(len < full / 5, "{said}");
            let file = delta["artifact"].as_str().unwrap();
            let name =
                format!("v{}.from-{}.delta.surefoot", n + 1, delta["from"].as_str().unwrap());
            assert!(file.ends_with(&name), "{file}");
            forge(&["verify", file, "--trust", &trust]).ok();
            let shown = forge(&["inspect", file, "--trust", &trust, "--json"]).ok().json();
            assert_eq!(shown["accepted"], true);
            assert_eq!(shown["from"]["version"], delta["from"]);
        }
    }
    // What a delta costs can be asked before, for images of one's own.
    let said = forge(&["delta", "--estimate", &releases[0], &releases[1], &releases[4], "--json"]);
    let said = said.ok().json();
    let from = said["from"].as_array().unwrap();
    assert_eq!(from.len(), 2);
    for one in from {
        let (adaptive, delta) = (one["adaptive"].as_u64().unwrap(), one["delta"].as_u64().unwrap());
        assert!(delta < adaptive && adaptive < said["full"].as_u64().unwrap(), "{one}");
        let spoils = one["spoils"].as_array().unwrap();
        assert!(spoils.iter().any(|s| s["what"] == "/bin/newe"), "{one}");
    }
    let text = forge(&["delta", "--estimate", &releases[0], &releases[4]]).ok().out;
    assert!(text.contains("adaptive") && text.contains("/bin/newe: no old file"), "{text}");
    // A file that is changed afterwards is seen, and so is a wrong key.
    let file = path("v5.from-1.0.0.delta.surefoot");
    let mut bytes = read(&file);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let said = forge(&["verify", &file, "--trust", &trust]);
    assert_eq!(said.code, 65);
    assert!(said.err.contains("CHUNK_CORRUPT"), "{}", said.err);
}

#[test]
fn images_of_no_known_filesystem_are_compared_as_bytes_and_deltas_are_signed_twice() {
    let place = scratch();
    let at = place.path();
    let path = |name: &str| at.join(name).to_str().unwrap().to_owned();
    forge(&["keygen", "--out", &path("KEYS")]).ok();
    let old = crate::common::image(5, 3 << 20);
    let mut new = old.clone();
    // Moved by an odd number of bytes, changed here and there, and longer.
    new.splice(700_000..700_000, *b"thirteen more");
    (1_000_000..2_900_000).step_by(50_000).for_each(|at| new[at] ^= 7);
    new.extend(crate::common::image(9, 100_000));
    std::fs::write(path("1.img"), &old).unwrap();
    std::fs::write(path("2.img"), &new).unwrap();
    let from = build(at, &at.join("1.img"), 1);
    let to = build(at, &at.join("2.img"), 2);
    let out = path("d.surefoot");
    let said = forge(&["delta", "--from", &from, "--to", &to, "-o", &out, "--json"]).ok().json();
    let len = said["deltas"][0]["artifact_len"].as_u64().unwrap();
    assert!(len < 120_000, "{said}");
    let (key, trust) = (path("KEYS/release.key"), path("KEYS/trust.toml"));
    let said = forge(&["verify", &out, "--trust", &trust]);
    assert!(said.err.contains("SIGNATURE_MISSING"), "{}", said.err);
    forge(&["sign", &out, "--key", &key]).ok();
    forge(&["verify", &out, "--trust", &trust]).ok();
    forge(&["sign", &out, "--key", &path("KEYS/release-next.key")]).ok();
    let shown = forge(&["inspect", &out]).ok().out;
    assert!(shown.contains("2.0.0 from 1.0.0") && shown.contains("not checked"), "{shown}");
    assert_eq!(forge(&["delta", "--from", &to, "--from", &from, "--to", &to, "-o", &out]).code, 64);
}
