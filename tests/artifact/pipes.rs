//! `surefoot-forge` in a pipeline, its warnings, its `--json`, and what an end in the middle leaves.

use super::forge::{build, forge, good, place};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TO_STDOUT: [&str; 14] = [
    "build",
    "--raw",
    "--rootfs",
    "image",
    "--product",
    "demo",
    "--compatible",
    "demo-board",
    "--version",
    "1.0.0",
    "--key",
    "KEYS/release.key",
    "-o",
    "-",
];

fn spawn(folder: &Path, words: &[&str]) -> Child {
    let mut command = Command::new("env");
    // A shell that runs things in the background lets them ignore SIGINT.
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_surefoot-forge")]);
    command.current_dir(folder).args(words).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn piped(folder: &Path, words: &[&str], input: &[u8]) -> Output {
    let mut child = spawn(folder, words);
    let mut stdin = child.stdin.take().unwrap();
    // A program that refuses what it reads does not read all of it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_artifact_goes_through_pipes_and_nothing_else_does() {
    let folder = place();
    let at = folder.path();
    good(at, &build(&["--version", "1.0.0", "--key", "KEYS/release.key"]));
    let file = std::fs::read(at.join("x.surefoot")).unwrap();
    let done = forge(at, &TO_STDOUT);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(done.stdout == file, "standard output has the artifact alone");
    assert!(text(&done.stderr).contains("release counter 1000000"), "{}", text(&done.stderr));
    assert_eq!(names(at), ["KEYS", "image", "x.surefoot"]);
    let verify = ["verify", "-", "--trust", "KEYS/trust.toml"];
    let done = piped(at, &verify, &file);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stdout).contains("demo 1.0.0"), "{}", text(&done.stdout));
    let inspect = ["inspect", "-", "--json"];
    let shown: serde_json::Value =
        serde_json::from_slice(&piped(at, &inspect, &file).stdout).unwrap();
    assert_eq!(
        (&shown["file_len"], &shown["artifact_len"]),
        (&file.len().into(), &file.len().into())
    );
    let mut flipped = file.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (what, bytes) in [("flipped", &flipped[..]), ("cut", &file[..file.len() - 1])] {
        let done = piped(at, &verify, bytes);
        assert_eq!(done.status.code(), Some(65), "{what}: {}", text(&done.stderr));
    }
    let done = piped(at, &["inspect", "-"], &file[..file.len() - 1]);
    assert!(text(&done.stdout).contains("CUT SHORT"), "{}", text(&done.stdout));
}

#[test]
fn a_signature_is_added_in_a_pipe_as_in_a_file() {
    let folder = place();
    let at = folder.path();
    good(at, &build(&["--version", "1.0.0", "--key", "KEYS/release.key"]));
    let file = std::fs::read(at.join("x.surefoot")).unwrap();
    let sign = ["sign", "-", "--key", "KEYS/release-next.key"];
    let done = piped(at, &sign, &file);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("2 signatures"), "{}", text(&done.stderr));
    good(at, &["sign", "x.surefoot", "--key", "KEYS/release-next.key"]);
    assert!(done.stdout == std::fs::read(at.join("x.surefoot")).unwrap());
    // Nothing of a bad one comes out, and its error is one document where a person reads it.
    for bytes in [&file[..file.len() - 1], b"no artifact"] {
        let done = piped(at, &[&sign[..], &["--json"]].concat(), bytes);
        assert_eq!(done.status.code(), Some(65), "{}", text(&done.stderr));
        assert!(done.stdout.is_empty() && text(&done.stderr).contains("\"error\""));
    }
    assert_eq!(names(at), ["KEYS", "image", "x.surefoot"]);
}

#[test]
fn keys_signatures_and_checks_are_one_json_document_where_json_is_asked_for() {
    let folder = place();
    let at = folder.path();
    let json = |words: &[&str]| -> serde_json::Value {
        let done = forge(at, words);
        assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let keys = json(&["keygen", "--out", "MORE", "--json"]);
    assert_eq!((&keys["v"], &keys["trust"]), (&1.into(), &"MORE/trust.toml".into()));
    for (n, name) in ["root", "release", "release-next", "channel"].into_iter().enumerate() {
        let key = &keys["keys"][n];
        assert_eq!(key["name"], name);
        assert!(at.join(key["secret"].as_str().unwrap()).exists());
        let public = std::fs::read_to_string(at.join(key["public"].as_str().unwrap())).unwrap();
        assert!(public.contains(key["id"].as_str().unwrap()), "{public}");
    }
    good(at, &build(&["--version", "1.0.0", "--key", "KEYS/release.key"]));
    let signed = json(&["sign", "x.surefoot", "--key", "KEYS/release-next.key", "--json"]);
    assert_eq!((&signed["signatures"], &signed["warnings"]), (&2.into(), &serde_json::json!([])));
    let checked = json(&["verify", "x.surefoot", "--trust", "KEYS/trust.toml", "--json"]);
    assert_eq!((&checked["version"], &checked["digest"]), (&"1.0.0".into(), &signed["digest"]));
    assert_eq!(checked["artifact_len"], signed["artifact_len"]);
    let by = checked["signed_by"].as_array().unwrap();
    assert!(by.len() == 2 && by.contains(&signed["signed_by"]), "{checked}");
    assert_eq!(checked["image_len"], std::fs::metadata(at.join("image")).unwrap().len());
}

/// A filesystem that has no files without a name; `None` where mounting is not allowed.
struct Plain(String);

impl Plain {
    fn mount(folder: &Path) -> Option<Plain> {
        let (image, point) = (folder.join("vfat.img"), folder.join("vfat"));
        std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        std::fs::create_dir(&point).unwrap();
        let run = |program: &str, words: &[&str]| {
            let done = Command::new(program).args(words).output();
            done.is_ok_and(|done| done.status.success())
        };
        let (image, point) = (image.to_str().unwrap(), point.to_str().unwrap().to_owned());
        let mounted = run("mkfs.vfat", &[image]) && run("mount", &["-o", "loop", image, &point]);
        mounted.then(|| Plain(point))
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn where_files_have_a_name_at_once_the_next_build_removes_what_an_ended_one_left() {
    let folder = place();
    let at = folder.path().canonicalize().unwrap();
    let Some(plain) = Plain::mount(&at) else {
        return crate::skip::skipped("a filesystem without unnamed files: mounting needs root");
    };
    let there = Path::new(&plain.0);
    let noise: Vec<u8> =
        (0..16u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(at.join("image"), noise).unwrap();
    let target = there.join("x.surefoot");
    let mut words = build(&["--version", "1.0.0", "--level", "1"]);
    let place = words.iter().position(|w| *w == "x.surefoot").unwrap();
    words[place] = target.to_str().unwrap();
    let left = || names(there).iter().any(|name| name.ends_with(".tmp"));
    for signal in ["-INT", "-TERM", "-KILL"] {
        let mut child = spawn(&at, &words);
        let until = Instant::now() + Duration::from_secs(300);
        // The scratch file's name is gone at once: what has one is the artifact that is written.
        while !left() && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it never began to write");
        }
        let _ = Command::new("kill").args([signal, &child.id().to_string()]).status();
        child.wait().unwrap();
    }
    good(&at, &words);
    assert_eq!(names(there), ["x.surefoot"]);
    good(&at, &["verify", target.to_str().unwrap(), "--trust", "KEYS/trust.toml"]);
    drop(plain);
}

#[test]
fn an_artifact_never_goes_to_a_terminal_or_over_a_device() {
    let folder = place();
    let at = folder.path();
    // `script` gives its command a terminal.
    let line = format!("{} {}", env!("CARGO_BIN_EXE_surefoot-forge"), TO_STDOUT.join(" "));
    let mut command = Command::new("script");
    let done = command.current_dir(at).args(["-qec", &line, "/dev/null"]).stdin(Stdio::null());
    let done = done.output().unwrap();
    assert_eq!(done.status.code(), Some(64), "{}", text(&done.stdout));
    assert!(text(&done.stdout).contains("which is a terminal"), "{}", text(&done.stdout));
    std::os::unix::fs::symlink("/dev/null", at.join("x.surefoot")).unwrap();
    let done = forge(at, &build(&["--version", "1.0.0"]));
    assert_eq!(done.status.code(), Some(64), "{}", text(&done.stderr));
    assert!(at.join("x.surefoot").is_symlink());
}

#[test]
fn a_release_that_its_own_trust_file_does_not_accept_is_told_to_the_build_host() {
    let folder = place();
    let at = folder.path();
    good(at, &["keygen", "--out", "OTHER"]);
    let trust = std::fs::read_to_string(at.join("KEYS/trust.toml")).unwrap();
    std::fs::write(at.join("two.toml"), trust.replace("release = 1", "release = 2")).unwrap();
    let public = std::fs::read_to_string(at.join("KEYS/release.pub")).unwrap();
    let public = public.split_whitespace().last().unwrap();
    let mut table: toml::Table = trust.parse().unwrap();
    let keys = table["keys"].as_array_mut().unwrap();
    let own = keys.iter().position(|k| k["public"].as_str() == Some(public)).unwrap();
    let id = keys.remove(own)["id"].clone();
    table["revoked"] = toml::Value::Array(vec![id]);
    std::fs::write(at.join("revoked.toml"), table.to_string()).unwrap();
    for (inside, code) in [
        ("KEYS/trust.toml", None),
        ("OTHER/trust.toml", Some("SIGNATURE_UNTRUSTED")),
        ("two.toml", Some("SIGNATURE_THRESHOLD")),
        ("revoked.toml", Some("KEY_REVOKED")),
    ] {
        let words =
            ["--version", "1.0.0", "--key", "KEYS/release.key", "--trust-file-inside", inside];
        let done = forge(at, &build(&[&words[..], &["--json"]].concat()));
        let said = text(&done.stderr);
        assert!(done.status.success(), "{inside}: {said}");
        let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        let warnings = json["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), usize::from(code.is_some()), "{inside}: {json}");
        assert_eq!(said.starts_with("warning: "), code.is_some(), "{inside}: {said}");
        if let Some(code) = code {
            assert!(said.contains(code), "{inside}: {said}");
            assert!(warnings[0].as_str().unwrap().contains(code), "{inside}: {json}");
        }
    }
    // The second signature of two ends the warning.
    let sign = ["sign", "x.surefoot", "--trust-file-inside", "two.toml", "--key"];
    good(at, &build(&["--version", "1.0.0"]));
    let first = forge(at, &[&sign[..], &["KEYS/release.key"]].concat());
    assert!(text(&first.stderr).contains("SIGNATURE_THRESHOLD"), "{}", text(&first.stderr));
    let second = forge(at, &[&sign[..], &["KEYS/release-next.key"]].concat());
    assert!(second.status.success() && second.stderr.is_empty(), "{}", text(&second.stderr));
    let words = ["--version", "1.0.0", "--trust-file-inside", "none.toml"];
    assert_eq!(forge(at, &build(&words)).status.code(), Some(78));
}

#[test]
fn an_error_is_one_json_document_where_json_is_asked_for() {
    let folder = place();
    let at = folder.path();
    let sim = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_surefoot-sim"));
        command.current_dir(at).args(words).output().unwrap()
    };
    for (done, code) in [
        (forge(at, &build(&["--json"])), "USAGE"),
        (forge(at, &["inspect", "image", "--json"]), "NOT_AN_ARTIFACT"),
        (forge(at, &["inspect", "none", "--json"]), "NO_SUCH_FILE"),
        (forge(at, &["sign", "image", "--key", "KEYS/release.key", "--json"]), "NOT_AN_ARTIFACT"),
        (forge(at, &["verify", "image", "--trust", "none", "--json"]), "TRUST_MISSING"),
        (forge(at, &["keygen", "--out", "KEYS", "--json"]), "USAGE"),
        (sim(&["reboot", "none", "--json"]), ""),
        (sim(&["powercut", "none", "--artifact", "none", "--json"]), ""),
    ] {
        assert!(!done.status.success());
        let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(json["v"], 1, "{json}");
        let told = text(&done.stderr);
        for part in ["code", "detail", "next"] {
            let part = json["error"][part].as_str().unwrap();
            assert!(!part.is_empty() && told.contains(part), "{json}: {told}");
        }
        assert!(code.is_empty() || json["error"]["code"] == code, "{json}");
    }
    // Standard output is the artifact's.
    let done = forge(at, &["build", "--json", "--rootfs", "none", "-o", "-"]);
    assert!(done.stdout.is_empty() && text(&done.stderr).contains("\"error\""));
}

/// Whether the process has so many files open in `folder`.
fn holds(child: &Child, folder: &Path, count: usize) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", child.id())) else { return false };
    let links = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    links.filter(|to| to.starts_with(folder) && !to.ends_with("image")).count() >= count
}

fn end(mut child: Child, signal: &str) -> Option<i32> {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    drop(child.stdin.take());
    child.wait_with_output().unwrap().status.signal()
}

#[test]
fn a_build_that_is_ended_leaves_nothing_behind() {
    let folder = place();
    let at = folder.path().canonicalize().unwrap();
    for (signal, number) in [("-INT", 2), ("-TERM", 15), ("-KILL", 9)] {
        // While the image comes: more than a pipe holds, so that some of it is in the scratch file.
        let mut words = build(&["--version", "1.0.0"]);
        words[3] = "/dev/fd/0";
        let mut child = spawn(&at, &words);
        child.stdin.as_mut().unwrap().write_all(&vec![1; 1 << 20]).unwrap();
        assert!(holds(&child, &at, 1));
        assert_eq!(end(child, signal), Some(number));
        assert_eq!(names(&at), ["KEYS", "image"], "{signal}");
    }
    // While the artifact is written and read back. It may have got its name just before the signal.
    let noise: Vec<u8> =
        (0..8u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(at.join("image"), noise).unwrap();
    let mut child = spawn(&at, &build(&["--version", "1.0.0", "--level", "1"]));
    let until = Instant::now() + Duration::from_secs(300);
    while !holds(&child, &at, 2) {
        assert!(Instant::now() < until, "it never began to write");
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::yield_now();
    }
    let _ =
        Command::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status();
    child.wait().unwrap();
    assert!(names(&at).iter().all(|name| !name.starts_with('.')), "{:?}", names(&at));
}
