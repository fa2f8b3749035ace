//! surefoot-forge, as a person uses it.

use crate::common;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

pub(super) fn forge(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_surefoot-forge"));
    command.current_dir(folder).args(words).env_remove("SOURCE_DATE_EPOCH");
    command.output().unwrap()
}

#[track_caller]
pub(super) fn good(folder: &Path, words: &[&str]) -> String {
    let output = forge(folder, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Two lines on stderr: what was found with its code, and what to do next.
#[track_caller]
fn bad(folder: &Path, words: &[&str], status: i32, code: &str) -> String {
    let output = forge(folder, words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].ends_with(&format!("[{code}]")), "{said}");
    assert!(lines[1].starts_with("next: "), "{said}");
    said
}

pub(super) fn place() -> tempfile::TempDir {
    let folder = common::scratch();
    good(folder.path(), &["keygen", "--out", "KEYS"]);
    let text = "one foot on firm ground\n".repeat(9000);
    let image = [text.as_bytes(), &[0; 200_000], b"the end"].concat();
    std::fs::write(folder.path().join("image"), image).unwrap();
    folder
}

const BUILD: [&str; 10] = [
    "build",
    "--raw",
    "--rootfs",
    "image",
    "--product",
    "demo",
    "--compatible",
    "demo-board",
    "-o",
    "x.surefoot",
];

pub(super) fn build<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&BUILD[..], more].concat()
}

const KEY: [&str; 2] = ["--key", "KEYS/release.key"];
const VERIFY: [&str; 4] = ["verify", "x.surefoot", "--trust", "KEYS/trust.toml"];

#[test]
fn the_first_artifact() {
    let folder = place();
    let at = folder.path();
    let said = good(at, &build(&["--version", "2.4.1", KEY[0], KEY[1]]));
    assert!(said.contains("release counter 2004001"), "{said}");
    let said = good(at, &VERIFY);
    assert!(said.contains("demo 2.4.1"), "{said}");
    let shown = good(at, &["inspect", "x.surefoot"]);
    for word in ["demo-board", "2.4.1", "not checked", "every revision"] {
        assert!(shown.contains(word), "{shown}");
    }
    let json: serde_json::Value = serde_json::from_str(&good(
        at,
        &["inspect", "x.surefoot", "--json", "--trust", "KEYS/trust.toml"],
    ))
    .unwrap();
    assert_eq!((&json["v"], &json["accepted"]), (&1.into(), &true.into()));
    assert_eq!(json["release_counter"], 2_004_001);
    // Nothing is left beside it.
    let names = std::fs::read_dir(at).unwrap().count();
    assert_eq!(names, 3, "KEYS, image, x.surefoot");
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let folder = place();
    let words = build(&["--version", "1.0.0", KEY[0], KEY[1]]);
    good(folder.path(), &words);
    let first = std::fs::read(folder.path().join("x.surefoot")).unwrap();
    good(folder.path(), &words);
    assert!(first == std::fs::read(folder.path().join("x.surefoot")).unwrap());
}

#[test]
fn settings_are_read_and_flags_win() {
    let folder = place();
    let at = folder.path();
    good(at, &["init"]);
    bad(at, &["init"], 64, "USAGE");
    std::fs::rename(at.join("image"), at.join("rootfs.ext4")).unwrap();
    good(at, &["build", "--raw", "--version", "1.0.0", "-o", "x.surefoot"]);
    good(at, &VERIFY);
    good(at, &["build", "--raw", "--version", "1.0.0", "--product", "other", "-o", "x.surefoot"]);
    assert!(good(at, &["inspect", "x.surefoot"]).contains("product        other"));
    // From elsewhere, paths count from the settings' folder.
    let elsewhere = common::scratch();
    let config = at.join("surefoot-forge.toml");
    good(
        elsewhere.path(),
        &[
            "build",
            "--raw",
            "--config",
            config.to_str().unwrap(),
            "--version",
            "1.0.0",
            "-o",
            "y.surefoot",
        ],
    );
    std::fs::write(&config, "prodcut = 'x'").unwrap();
    bad(at, &["build", "--version", "1.0.0", "-o", "x.surefoot"], 78, "CONFIG_INVALID");
}

#[test]
fn signatures_are_added_one_per_key() {
    let folder = place();
    let at = folder.path();
    let said = good(at, &build(&["--version", "1.0.0"]));
    assert!(said.contains("unsigned"), "{said}");
    bad(at, &VERIFY, 65, "SIGNATURE_MISSING");
    good(at, &["sign", "x.surefoot", KEY[0], KEY[1]]);
    good(at, &VERIFY);
    let before = std::fs::read(at.join("x.surefoot")).unwrap();
    bad(at, &["sign", "x.surefoot", KEY[0], KEY[1]], 64, "USAGE");
    bad(at, &["sign", "x.surefoot", "--key", "KEYS/root.key"], 65, "KEY_ROLE");
    assert!(before == std::fs::read(at.join("x.surefoot")).unwrap());
    good(at, &["sign", "x.surefoot", "--key", "KEYS/release-next.key"]);
    let trust = std::fs::read_to_string(at.join("KEYS/trust.toml")).unwrap();
    std::fs::write(at.join("KEYS/trust.toml"), trust.replace("release = 1", "release = 2"))
        .unwrap();
    good(at, &VERIFY);
}

#[test]
fn verifying_without_trust_is_never_a_success() {
    let folder = place();
    let at = folder.path();
    good(at, &build(&["--version", "1.0.0", KEY[0], KEY[1]]));
    bad(at, &["verify", "x.surefoot", "--trust", "nowhere"], 78, "TRUST_MISSING");
    std::fs::write(at.join("empty"), "").unwrap();
    bad(at, &["verify", "x.surefoot", "--trust", "empty"], 78, "TRUST_MISSING");
    good(at, &["keygen", "--out", "OTHER"]);
    bad(at, &["verify", "x.surefoot", "--trust", "OTHER/trust.toml"], 65, "SIGNATURE_UNTRUSTED");
    bad(at, &["verify", "image", "--trust", "KEYS/trust.toml"], 65, "NOT_AN_ARTIFACT");
    bad(at, &["verify", "gone", "--trust", "KEYS/trust.toml"], 66, "NO_SUCH_FILE");
    bad(at, &["inspect", "."], 66, "NO_SUCH_FILE");
}

#[test]
fn missing_words_are_named() {
    let folder = place();
    let at = folder.path();
    assert!(bad(at, &build(&[]), 64, "USAGE").contains("--version"));
    assert!(bad(at, &build(&["--version", "1.0.0-rc1"]), 64, "USAGE").contains("--counter"));
    good(at, &build(&["--version", "1.0.0-rc1", "--counter", "7"]));
    assert!(bad(at, &["build", "--version", "1.0.0"], 64, "USAGE").contains("-o"));
    assert!(
        bad(at, &["build", "--version", "1.0.0", "-o", "y"], 64, "USAGE").contains("--product")
    );
    assert_eq!(forge(at, &["frobnicate"]).status.code(), Some(64));
    for verb in ["init", "keygen", "build", "sign", "inspect", "verify"] {
        assert!(good(at, &[verb, "--help"]).contains("Example"), "{verb}");
    }
}

#[test]
fn k02_a_key_that_others_can_read_or_replace_is_refused() {
    let folder = place();
    let at = folder.path();
    let key = at.join("KEYS/release.key");
    let mode = |m| std::fs::set_permissions(&key, PermissionsExt::from_mode(m)).unwrap();
    for open in [0o644, 0o640, 0o604, 0o620] {
        mode(open);
        bad(at, &build(&["--version", "1.0.0", KEY[0], KEY[1]]), 78, "KEY_UNUSABLE");
        assert!(!at.join("x.surefoot").exists());
    }
    mode(0o600);
    symlink("KEYS/release.key", at.join("link.key")).unwrap();
    bad(at, &build(&["--version", "1.0.0", "--key", "link.key"]), 78, "KEY_UNUSABLE");
    std::fs::set_permissions(at.join("KEYS"), PermissionsExt::from_mode(0o777)).unwrap();
    bad(at, &build(&["--version", "1.0.0", KEY[0], KEY[1]]), 78, "KEY_UNUSABLE");
    std::fs::set_permissions(at.join("KEYS"), PermissionsExt::from_mode(0o700)).unwrap();
    bad(at, &build(&["--version", "1.0.0", "--key", "KEYS/release.pub"]), 78, "KEY_UNUSABLE");
    bad(at, &build(&["--version", "1.0.0", "--key", "KEYS/none.key"]), 66, "NO_SUCH_FILE");
    let twice = bad(at, &["keygen", "--out", "KEYS"], 64, "USAGE");
    assert!(twice.contains("never overwritten"), "{twice}");
}

fn script(at: &Path, name: &str, text: &str) -> String {
    let path = at.join(name);
    common::program(&path, format!("#!/bin/sh\n{text}\n").as_bytes());
    format!("cmd:{}", path.display())
}

#[test]
fn k01_what_a_token_returns_is_checked_before_it_is_believed() {
    let folder = place();
    let at = folder.path();
    let trust = ["--trust", "KEYS/trust.toml"];
    let try_with = |key: &str, status, code| {
        bad(at, &build(&["--version", "1.0.0", "--key", key, trust[0], trust[1]]), status, code);
        assert!(!at.join("x.surefoot").exists());
    };
    let drain = "cat >/dev/null\n";
    try_with(
        &script(at, "garbage", &format!("{drain}head -c 64 /dev/zero")),
        65,
        "SIGNATURE_INVALID",
    );
    try_with(&script(at, "short", &format!("{drain}head -c 63 /dev/zero")), 78, "KEY_UNUSABLE");
    try_with(&script(at, "long", &format!("{drain}head -c 65 /dev/zero")), 78, "KEY_UNUSABLE");
    try_with(&script(at, "silent", drain), 78, "KEY_UNUSABLE");
    try_with(&script(at, "fails", &format!("{drain}exit 3")), 78, "KEY_UNUSABLE");
    try_with(&script(at, "early", "exit 0"), 78, "KEY_UNUSABLE");
    try_with("cmd:/no/such/program", 78, "KEY_UNUSABLE");
    // Without a key to check against nothing is run.
    let witness = script(at, "witness", "touch ran");
    bad(at, &build(&["--version", "1.0.0", "--key", &witness]), 64, "USAGE");
    assert!(!at.join("ran").exists());
}

#[test]
fn a_token_signs() {
    use ed25519_dalek::{Signer, SigningKey};
    let folder = place();
    let at = folder.path();
    // The token: it keeps what it is asked, and answers what was prepared for that question.
    let token = script(at, "token", "cat >asked\ncat answer");
    std::fs::write(at.join("answer"), [0; 64]).unwrap();
    let key = std::fs::read_to_string(at.join("KEYS/release.key")).unwrap();
    let hex = key.split_ascii_whitespace().last().unwrap();
    let mut seed = [0u8; 32];
    for (n, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap();
    }
    let words = |more: [&'static str; 2]| {
        build(&[&["--version", "1.0.0"][..], &more].concat())
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for public in [["--trust", "KEYS/trust.toml"], ["--pub", "KEYS/release.pub"]] {
        let mut words = words(public);
        words.extend(["--key".to_owned(), token.clone()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        bad(at, &words, 65, "SIGNATURE_INVALID");
        let asked = std::fs::read(at.join("asked")).unwrap();
        assert_eq!(asked.len(), 128);
        assert!(asked.starts_with(b"SUREFOOT-SIG-v1\0"));
        std::fs::write(at.join("answer"), SigningKey::from_bytes(&seed).sign(&asked).to_bytes())
            .unwrap();
        good(at, &words);
        good(at, &VERIFY);
        std::fs::write(at.join("answer"), [0; 64]).unwrap();
    }
    // The wrong public key: what was a good signature is none.
    let mut words = words(["--pub", "KEYS/release-next.pub"]);
    words.extend(["--key".to_owned(), token]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let asked = std::fs::read(at.join("asked")).unwrap();
    std::fs::write(at.join("answer"), SigningKey::from_bytes(&seed).sign(&asked).to_bytes())
        .unwrap();
    bad(at, &words, 65, "SIGNATURE_INVALID");
}

/// The smallest thing that says it is an ext4 of this many blocks of 1 KiB, in `len` bytes.
fn ext4(blocks: u32, len: usize) -> Vec<u8> {
    let mut image = vec![7; len];
    image[1024..2048].fill(0);
    image[1028..1032].copy_from_slice(&blocks.to_le_bytes());
    image[1080..1082].copy_from_slice(&[0x53, 0xef]);
    image
}

/// As an Android sparse image: raw, a word that repeats, a hole, raw.
fn sparse(image: &[u8]) -> Vec<u8> {
    let chunk = |kind: u16, blocks: u32, data: &[u8]| {
        let total = 12 + data.len() as u32;
        [&kind.to_le_bytes()[..], &[0, 0], &blocks.to_le_bytes(), &total.to_le_bytes(), data]
            .concat()
    };
    let head = [0xed26_ff3au32.to_le_bytes(), [1, 0, 0, 0], [28, 0, 12, 0], 4096u32.to_le_bytes()];
    let counts = [image.len() as u32 / 4096, 3, 0].map(u32::to_le_bytes);
    let (first, rest) = image.split_at(4096);
    let raw = [chunk(0xcac1, 1, first), chunk(0xcac2, 1, &[7; 4])].concat();
    [
        head.concat(),
        counts.concat(),
        raw,
        chunk(0xcac1, rest.len() as u32 / 4096 - 1, &rest[4096..]),
    ]
    .concat()
}

#[test]
fn a_root_filesystem_is_named_expanded_or_refused_by_its_content() {
    let folder = place();
    let at = folder.path();
    let plain = ext4(64, 64 << 10);
    let gz = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    std::io::Write::write_all(&mut xz, &plain).unwrap();
    let taken = [
        ("plain", plain.clone(), "ext2/3/4"),
        ("gz", gz(&plain), "ext2/3/4 from gzip"),
        ("xz", xz.finish().unwrap(), "ext2/3/4 from xz"),
        ("zst", super::stranger::frame(&plain), "ext2/3/4 from zstd"),
        ("sparse", sparse(&plain), "ext2/3/4 from an Android sparse image"),
        ("sparse in gz", gz(&sparse(&plain)), "from an Android sparse image from gzip"),
    ];
    let build = |more: &[&str]| {
        let words =
            [&["build", "--rootfs", "given", "--product", "demo", "--compatible", "b"], more];
        [&words.concat()[..], &["--version", "1.0.0", "-o", "x.surefoot"]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let run =
        |more: &[&str]| forge(at, &build(more).iter().map(String::as_str).collect::<Vec<_>>());
    let mut first = None;
    for (what, bytes, kind) in taken {
        std::fs::write(at.join("given"), bytes).unwrap();
        let done = run(&[]);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && said.contains(kind), "{what}: {done:?}");
        // The same image gives the same artifact, however it came.
        let artifact = std::fs::read(at.join("x.surefoot")).unwrap();
        assert!(*first.get_or_insert(artifact.clone()) == artifact, "{what}");
        std::fs::remove_file(at.join("x.surefoot")).unwrap();
    }
    let mut tar = vec![1; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let mut whole = vec![0; 4096];
    whole[512..520].copy_from_slice(b"EFI PART");
    let refused = [
        (tar.clone(), "a tar archive"),
        (gz(&tar), "gzip that holds a tar archive"),
        (gz(&gz(&gz(&plain))), "packed once more"),
        (gz(&plain)[..90].to_vec(), "damaged"),
        (whole, "a whole disk with a GPT"),
        (ext4(65, 64 << 10), "cut short"),
        (b"not an image\n".to_vec(), "text"),
        (Vec::new(), "empty"),
        (vec![0; 4096], "nothing but zeros"),
        (b"QFI\xfb".to_vec(), "qcow2"),
        (vec![0xfe; 70_000], "no filesystem that is known"),
    ];
    for (bytes, what) in refused {
        std::fs::write(at.join("given"), &bytes).unwrap();
        let done = run(&[]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(65), "{what}: {said}");
        assert!(said.contains(what) && said.contains("[NOT_AN_IMAGE]"), "{what}: {said}");
        assert!(!at.join("x.surefoot").exists(), "{what}");
        assert!(bytes.is_empty() || run(&["--raw"]).status.success(), "{what}");
        let _ = std::fs::remove_file(at.join("x.surefoot"));
    }
    // Nothing is left beside it.
    assert_eq!(std::fs::read_dir(at).unwrap().count(), 3, "KEYS, image, given");
}

#[test]
fn an_image_may_come_through_a_pipe() {
    let folder = place();
    let at = folder.path();
    let image = ext4(64, 64 << 10);
    std::fs::write(at.join("plain"), &image).unwrap();
    let mut shell = Command::new("sh");
    let script = "cat plain | \"$0\" build --rootfs /dev/fd/0 --product demo --compatible b \
                  --version 1.0.0 --key KEYS/release.key -o x.surefoot";
    shell.current_dir(at).args(["-c", script, env!("CARGO_BIN_EXE_surefoot-forge")]);
    let done = shell.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    good(at, &VERIFY);
}

#[test]
fn the_other_parts_of_a_slot_are_built_with_their_names() {
    let folder = place();
    let at = folder.path();
    let mut fat = [&[0; 510][..], b"\x55\xaa", &[0; 4096]].concat();
    fat[54..57].copy_from_slice(b"FAT");
    let mut squashfs = vec![7; 8192];
    squashfs[..4].copy_from_slice(b"hsqs");
    squashfs[40..48].copy_from_slice(&8192u64.to_le_bytes());
    for (name, bytes) in
        [("boot.vfat", &fat), ("root.squashfs", &squashfs), ("text", &b"text".to_vec())]
    {
        std::fs::write(at.join(name), bytes).unwrap();
    }
    let given = |more: &[&str]| -> Vec<String> {
        let words =
            ["build", "--rootfs", "root.squashfs", "--product", "demo", "--compatible", "b"];
        let rest = ["--version", "1.0.0", "-o", "x.surefoot"];
        [&words[..], more, &rest, &KEY].concat().iter().map(|w| (*w).to_owned()).collect()
    };
    let words = |given: &[String]| good(at, &given.iter().map(String::as_str).collect::<Vec<_>>());
    let said = words(&given(&["--part", "boot=boot.vfat", "--part", "fpga=text"]));
    assert!(said.contains("part boot: FAT\npart fpga: taken as it is\n"), "{said}");
    assert!(good(at, &VERIFY).contains("every digest as signed"));
    let shown = good(at, &["inspect", "x.surefoot"]);
    assert!(shown.contains("part boot for every revision"), "{shown}");
    let json: serde_json::Value =
        serde_json::from_str(&good(at, &["inspect", "x.surefoot", "--json"])).unwrap();
    let parts: Vec<_> = json["payloads"].as_array().unwrap().iter().map(|p| &p["part"]).collect();
    assert_eq!(parts, [&serde_json::Value::Null, &"boot".into(), &"fpga".into()]);
    for (part, status, code) in [
        ("boot=text", 65, "NOT_AN_IMAGE"),
        ("boot=missing", 66, "NO_SUCH_FILE"),
        ("boot", 64, "USAGE"),
        ("two words=text", 64, "USAGE"),
        ("rootfs=text", 64, "USAGE"),
    ] {
        let given = given(&["--part", part]);
        bad(at, &given.iter().map(String::as_str).collect::<Vec<_>>(), status, code);
    }
    // The same from the file, where the revisions have a boot partition each.
    let text = "product = 'demo'\ncompatible = ['b']\nversion = '1.0.0'\nkey = 'KEYS/release.key'\n\
        output = 'y.surefoot'\nparts = { fpga = 'text' }\n\
        [[payloads]]\nrootfs = 'root.squashfs'\n\
        [[payloads]]\npart = 'boot'\nimage = 'boot.vfat'\nhardware = ['r1']\n\
        [[payloads]]\npart = 'boot'\nimage = 'boot.vfat'\nhardware = ['r2']\n";
    std::fs::write(at.join("surefoot-forge.toml"), text).unwrap();
    let said = good(at, &["build"]);
    assert!(said.contains("part boot: FAT\npart boot: FAT\npart fpga"), "{said}");
    std::fs::write(at.join("surefoot-forge.toml"), text.replace("image = ", "rootfs = ")).unwrap();
    bad(at, &["build"], 78, "CONFIG_INVALID");
}
