//! `surefoot-forge channel`: a folder that any web server can serve, whole at every moment.

use crate::common::{Said, forge};
use surefoot::source::channel::{Channel, Released, Unread, place, reached};
use surefoot::trust::Trust;

/// A folder with keys and releases.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        forge(&["keygen", "--out", &desk.at("KEYS")]).ok();
        desk
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn release(&self, version: &str) -> String {
        let (image, out) =
            (self.at(&format!("{version}.img")), self.at(&format!("{version}.surefoot")));
        let seed = version.bytes().fold(7, |n, b| n * 31 + u64::from(b));
        std::fs::write(&image, crate::common::image(seed, 256 << 10)).unwrap();
        let key = self.at("KEYS/release.key");
        let words =
            ["build", "--raw", "--rootfs", &image, "--product", "demo", "--compatible", "board"];
        forge(&[&words[..], &["--version", version, "--key", &key, "-o", &out]].concat()).ok();
        out
    }

    fn channel(&self, words: &[&str]) -> Said {
        let (verb, rest) = words.split_first().unwrap();
        let www = self.at("www");
        forge(&[&["channel", verb, www.as_str()], rest].concat())
    }

    fn begun() -> Desk {
        let desk = Desk::new();
        let key = desk.at("KEYS/channel.key");
        desk.channel(&["init", "--product", "demo", "--name", "stable", "--key", &key]).ok();
        desk
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.at("www/stable.channel")).unwrap()
    }

    /// The channel as a device with this trust file reads it.
    fn read(&self) -> Channel {
        let trust = std::fs::read_to_string(self.at("KEYS/trust.toml")).unwrap();
        let trust = Trust::parse(&trust).unwrap();
        let unread = Unread::parse(&self.bytes()).unwrap();
        (*unread.verify(&trust, &"demo".parse().unwrap()).unwrap()).clone()
    }

    fn one(&self) -> Released {
        self.read().body.releases[0].clone()
    }

    fn served(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.at("www")).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn status(&self, more: &[&str]) -> serde_json::Value {
        self.channel(&[&["status", "--json"], more].concat()).ok().json()
    }
}

#[test]
fn nothing_is_served_before_it_is_published_and_only_public_files_ever_are() {
    let desk = Desk::begun();
    let artifact = desk.release("2.0.0");
    desk.channel(&["add", &artifact]).ok();
    assert_eq!(desk.served(), Vec::<String>::new());
    assert_eq!(desk.status(&[])["published"], serde_json::Value::Null);
    desk.channel(&["publish"]).ok();
    let release = desk.one();
    assert_eq!(desk.served(), [release.url.as_str(), "stable.channel"]);
    let bytes = std::fs::read(desk.at(&format!("www/{}", release.url))).unwrap();
    assert_eq!(bytes, std::fs::read(&artifact).unwrap(), "the same bytes, never a rebuild");
    assert_eq!(release.size, bytes.len() as u64);
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &str| std::fs::metadata(desk.at(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("www.work"), mode("www/stable.channel")), (0o700, 0o644));
    assert_eq!(mode(&format!("www/{}", release.url)), 0o644);
    assert!(!std::fs::read_dir(desk.at("www.work")).unwrap().any(|e| {
        let text = std::fs::read(e.unwrap().path()).unwrap();
        String::from_utf8_lossy(&text).contains("surefoot-secret-key")
    }));
}

#[test]
fn phases_count_from_the_publication_and_a_pause_moves_them() {
    let desk = Desk::begun();
    desk.channel(&["add", &desk.release("2.0.0")]).ok();
    desk.channel(&["phase", "2.0.0", "--percent", "0,5,100", "--every", "6h", "--first", "canary"])
        .ok();
    desk.channel(&["publish"]).ok();
    let first = desk.read().body;
    let phases = &first.releases[0].phases;
    let told: Vec<_> = phases.iter().map(|p| (p.at - first.issued, p.percent)).collect();
    assert_eq!(told, [(0, 0), (21_600, 5), (43_200, 100)]);
    assert_eq!(first.releases[0].first[0].as_str(), "canary");
    desk.channel(&["publish"]).ok();
    let second = desk.read().body;
    assert_eq!((second.serial, &second.releases[0].phases), (first.serial + 1, phases));
    desk.channel(&["pause", "2.0.0"]).ok();
    assert_eq!(desk.status(&[])["unpublished_changes"], true);
    desk.channel(&["publish"]).ok();
    assert!(desk.one().paused);
    assert_eq!(desk.status(&[])["releases"][0]["percent"], 0);
    // A day passes: the draft says when the pause began.
    let draft = desk.at("www.work/draft.json");
    let text = std::fs::read_to_string(&draft).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let since = value["releases"][0]["paused_since"].as_u64().unwrap();
    value["releases"][0]["paused_since"] = (since - 86_400).into();
    std::fs::write(&draft, value.to_string()).unwrap();
    desk.channel(&["resume", "2.0.0"]).ok();
    desk.channel(&["publish"]).ok();
    let resumed = desk.one();
    let moved = resumed.phases[0].at - phases[0].at;
    assert!(!resumed.paused && (86_400..86_400 + 600).contains(&moved), "{moved}");
    desk.channel(&["withdraw", "2.0.0"]).ok();
    desk.channel(&["publish"]).ok();
    assert!(desk.one().withdrawn);
}

#[test]
fn a_publication_that_was_cut_anywhere_is_servable_and_is_published_again() {
    let desk = Desk::begun();
    desk.channel(&["add", &desk.release("2.0.0")]).ok();
    desk.channel(&["phase", "2.0.0", "--percent", "5,100"]).ok();
    let before = std::fs::read(desk.at("www.work/draft.json")).unwrap();
    desk.channel(&["publish"]).ok();
    let published = desk.read().body;
    // Between the channel and the draft: serial and times are those that devices have seen.
    std::fs::write(desk.at("www.work/draft.json"), &before).unwrap();
    desk.channel(&["publish"]).ok();
    let again = desk.read().body;
    assert_eq!(again.serial, published.serial + 1);
    assert_eq!(again.releases, published.releases);
    // Between the artifact and the channel: the channel still says what it said.
    let key = desk.at("KEYS/channel.key");
    let second = Desk::begun();
    second.channel(&["add", &second.release("3.0.0")]).ok();
    let draft = std::fs::read_to_string(second.at("www.work/draft.json")).unwrap();
    let draft: serde_json::Value = serde_json::from_str(&draft).unwrap();
    let name = draft["releases"][0]["release"]["url"].as_str().unwrap().to_owned();
    std::fs::rename(second.at(&format!("www.work/{name}")), second.at(&format!("www/{name}")))
        .unwrap();
    assert_eq!(second.served(), [name.as_str()]);
    second.channel(&["publish"]).ok();
    assert_eq!(second.one().url, name);
    // A lost draft of an artifact is told, and nothing is published.
    std::fs::remove_file(second.at(&format!("www/{name}"))).unwrap();
    let kept = second.bytes();
    assert_eq!(second.channel(&["publish", "--key", &key]).code, 66);
    assert_eq!(second.bytes(), kept);
}

#[test]
fn what_devices_would_refuse_is_refused_here() {
    let desk = Desk::begun();
    let bad = |words: &[&str], code: i32, reason: &str| {
        let said = desk.channel(words);
        assert_eq!(said.code, code, "{words:?}: {}", said.err);
        assert!(said.err.contains(&format!("[{reason}]")), "{words:?}: {}", said.err);
    };
    let artifact = desk.release("2.0.0");
    desk.channel(&["add", &artifact]).ok();
    bad(&["add", &artifact], 64, "USAGE");
    bad(&["init", "--product", "demo", "--name", "beta"], 64, "USAGE");
    bad(&["phase", "2.0.0", "--percent", "5,101"], 64, "USAGE");
    bad(&["phase", "2.0.0", "--percent", "50,20"], 64, "USAGE");
    bad(&["phase", "2.0.0", "--percent", "5", "--every", "0s"], 64, "USAGE");
    bad(&["phase", "2.0.0", "--percent", "5", "--every", "6"], 64, "USAGE");
    bad(&["pause", "9.0.0"], 64, "USAGE");
    bad(&["publish", "--key", &desk.at("KEYS/root.key")], 65, "KEY_ROLE");
    // The trust file names a channel key: a release key does not count.
    let (release, trust) = (desk.at("KEYS/release.key"), desk.at("KEYS/trust.toml"));
    bad(&["publish", "--key", &release, "--trust", &trust], 65, "KEY_ROLE");
    assert_eq!(desk.served(), Vec::<String>::new());
    // Damage is found before it is public.
    let mut bytes = std::fs::read(desk.release("3.0.0")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(desk.at("bad.surefoot"), bytes).unwrap();
    bad(&["add", &desk.at("bad.surefoot")], 65, "CHUNK_CORRUPT");
    let elsewhere = desk.at("elsewhere");
    let said = forge(&["channel", "status", &elsewhere]);
    assert_eq!(said.code, 66, "{}", said.err);
    // A channel key signs nothing that is installed.
    let said = forge(&["sign", &artifact, "--key", &desk.at("KEYS/channel.key")]);
    assert!(said.err.contains("[KEY_ROLE]"), "{}", said.err);
}

#[test]
fn reports_say_how_far_a_release_has_come_and_whether_to_pause_it() {
    let desk = Desk::begun();
    desk.channel(&["add", &desk.release("2.0.0")]).ok();
    desk.channel(&["phase", "2.0.0", "--percent", "50"]).ok();
    desk.channel(&["publish"]).ok();
    let release = desk.one();
    let reports = desk.at("reports");
    std::fs::create_dir(&reports).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let report = |n: u32, at: u64, end: Option<&str>| {
        let value = serde_json::json!({
            "v": 1, "device": format!("device-{n}"), "product": "demo", "channel": "stable", "at": at,
            "version": "2.0.0", "digest": release.digest, "end": end, "later": "unknown",
        });
        value.to_string()
    };
    let ids = (0..10u32).filter(|n| reached(place(&format!("device-{n}"), &release.digest), 50));
    let expected = ids.count();
    let begun: Vec<_> = (0..10).map(|n| report(n, now - 3600, None)).collect();
    let ended: Vec<_> = (0..8).map(|n| report(n, now - 1800, Some("updated"))).collect();
    std::fs::write(format!("{reports}/begun.jsonl"), begun.join("\n")).unwrap();
    std::fs::write(format!("{reports}/ended.jsonl"), ended.join("\n")).unwrap();
    std::fs::write(format!("{reports}/noise"), "<html>\n").unwrap();
    let status = |more: &[&str]| desk.status(&[&["--reports", reports.as_str()], more].concat());
    let found = status(&[]);
    let counts = &found["releases"][0]["reports"];
    assert_eq!(
        (&counts["updated"], &counts["under_way"], &counts["silent"]),
        (&8.into(), &2.into(), &0.into())
    );
    assert_eq!((&counts["reached"], &found["devices"]), (&expected.into(), &10.into()));
    assert_eq!(
        (&found["unreadable_reports"], &found["releases"][0]["should_pause"]),
        (&1.into(), &false.into())
    );
    // An end in the second of its beginning, in a file that is read first.
    std::fs::write(format!("{reports}/at-once.json"), report(9, now - 3600, Some("updated")))
        .unwrap();
    assert_eq!(status(&[])["releases"][0]["reports"]["updated"], 9);
    std::fs::remove_file(format!("{reports}/at-once.json")).unwrap();
    // Two devices that began and say nothing are as bad as two that failed.
    let silent = status(&["--silent", "30m"]);
    assert_eq!(silent["releases"][0]["reports"]["silent"], 2);
    assert_eq!(silent["releases"][0]["should_pause"], true);
    std::fs::write(format!("{reports}/one.json"), report(8, now - 60, Some("rolled-back")))
        .unwrap();
    let failed = status(&[]);
    assert_eq!(failed["releases"][0]["reports"]["failed"], 1);
    assert_eq!(failed["releases"][0]["should_pause"], true);
    assert_eq!(status(&["--pause-above", "50"])["releases"][0]["should_pause"], false);
    assert!(desk.channel(&["status", "--reports", &reports]).ok().out.contains("PAUSE IT"));
}

#[test]
fn several_keys_sign_one_channel_for_devices_of_several_generations() {
    let desk = Desk::begun();
    forge(&["keygen", "--out", &desk.at("OLD")]).ok();
    desk.channel(&["add", &desk.release("2.0.0")]).ok();
    let keys = [desk.at("KEYS/channel.key"), desk.at("OLD/channel.key")];
    desk.channel(&["publish", "--key", &keys[0], "--key", &keys[1]]).ok();
    for set in ["KEYS", "OLD"] {
        let trust = std::fs::read_to_string(desk.at(&format!("{set}/trust.toml"))).unwrap();
        let unread = Unread::parse(&desk.bytes()).unwrap();
        unread.verify(&Trust::parse(&trust).unwrap(), &"demo".parse().unwrap()).unwrap();
    }
    // A program speaks for a key that never leaves its token.
    let program = desk.at("token");
    let script = "#!/bin/sh\nexit 1\n";
    crate::common::program(&program, script.as_bytes());
    let public = desk.at("KEYS/channel.pub");
    let said = desk.channel(&["publish", "--key", &format!("cmd:{program}"), "--pub", &public]);
    assert!(said.err.contains("[KEY_UNUSABLE]"), "{}", said.err);
}

#[test]
fn options_are_drafted_published_and_taken_away() {
    let desk = Desk::begun();
    desk.channel(&["option", "log", "info"]).ok();
    desk.channel(&["option", "log", "debug", "--tag", "lab"]).ok();
    desk.channel(&["option", "log", "trace", "--device", "device-1"]).ok();
    desk.channel(&["option", "log", "warn"]).ok();
    desk.channel(&["publish"]).ok();
    let lab = ["lab".parse().unwrap()];
    let of = |id: &str, tags| desk.read().body.options_for(id, tags).remove("log");
    assert_eq!(of("device-1", &lab).as_deref(), Some("trace"));
    assert_eq!(of("device-2", &lab).as_deref(), Some("debug"));
    assert_eq!(of("device-2", &[]).as_deref(), Some("warn"), "the last one counts");
    desk.channel(&["option", "log", "--tag", "lab"]).ok();
    desk.channel(&["publish"]).ok();
    assert_eq!(of("device-2", &lab).as_deref(), Some("warn"));
    assert_eq!(desk.channel(&["option", "log", "--tag", "lab"]).code, 64, "it is gone");
    assert_ne!(desk.channel(&["option", "log", "two\nlines"]).code, 0);
    assert_eq!(desk.read().body.options.len(), 2, "what is refused changes nothing");
}

#[test]
fn folders_above_what_is_served_can_be_read_and_the_drafts_cannot() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new();
    let (www, key) = (desk.at("srv/site/www"), desk.at("KEYS/channel.key"));
    let words = ["--product", "demo", "--name", "stable", "--key", &key];
    forge(&[&["channel", "init", &www], &words[..]].concat()).ok();
    let mode = |path: &str| std::fs::metadata(desk.at(path)).unwrap().permissions().mode() & 0o777;
    std::fs::create_dir(desk.at("usual")).unwrap();
    assert_eq!((mode("srv"), mode("srv/site")), (mode("usual"), mode("usual")));
    assert_eq!((mode("srv/site/www"), mode("srv/site/www.work")), (mode("usual"), 0o700));
}

#[test]
fn a_file_that_was_lost_is_named_and_put_back() {
    let desk = Desk::begun();
    let artifact = desk.release("2.0.0");
    desk.channel(&["add", &artifact]).ok();
    let lose = |name: &str| std::fs::remove_file(desk.at(name)).unwrap();
    let url = desk.status(&[])["missing"].clone();
    assert_eq!(url, serde_json::json!([]));
    // Not published yet: it is a draft again.
    let draft = std::fs::read_to_string(desk.at("www.work/draft.json")).unwrap();
    let draft: serde_json::Value = serde_json::from_str(&draft).unwrap();
    let name = draft["releases"][0]["release"]["url"].as_str().unwrap().to_owned();
    lose(&format!("www.work/{name}"));
    desk.channel(&["add", &artifact]).ok();
    assert_eq!(desk.served(), Vec::<String>::new());
    desk.channel(&["publish"]).ok();
    let (served, serial) = (desk.served(), desk.read().body.serial);
    // Published: it is named, and served again at once.
    for cut in [false, true] {
        lose(&format!("www/{name}"));
        if cut {
            std::fs::write(desk.at(&format!("www/{name}")), b"half").unwrap();
        }
        assert_eq!(desk.status(&[])["missing"], serde_json::json!([name]));
        assert!(desk.channel(&["status"]).ok().out.contains(&format!("MISSING: {name}")));
        let said = desk.channel(&["publish"]);
        assert_eq!(said.code, 66, "{}", said.err);
        assert!(said.err.contains("channel add"), "{}", said.err);
        desk.channel(&["add", &artifact]).ok();
        assert_eq!((desk.served(), desk.read().body.serial), (served.clone(), serial));
        let bytes = std::fs::read(desk.at(&format!("www/{name}"))).unwrap();
        assert!(bytes == std::fs::read(&artifact).unwrap());
    }
    assert_eq!(desk.channel(&["add", &artifact]).code, 64, "nothing is lost");
    // What is withdrawn is asked for by no device.
    desk.channel(&["withdraw", "2.0.0"]).ok();
    lose(&format!("www/{name}"));
    desk.channel(&["publish"]).ok();
    assert!(desk.one().withdrawn);
    assert_eq!(desk.status(&[])["missing"], serde_json::json!([]));
}

#[test]
fn a_verb_that_would_change_nothing_says_so() {
    let desk = Desk::begun();
    let artifact = desk.release("2.0.0");
    desk.channel(&["add", &artifact]).ok();
    let refused = |words: &[&str], why: &str| {
        let said = desk.channel(words);
        assert!(said.code == 64 && said.err.contains(why), "{words:?}: {}", said.err);
    };
    refused(&["resume", "2.0.0"], "is not paused");
    desk.channel(&["pause", "2.0.0"]).ok();
    desk.channel(&["withdraw", "2.0.0"]).ok();
    for verb in ["pause", "resume"] {
        refused(&[verb, "2.0.0"], "is withdrawn");
    }
    refused(&["phase", "2.0.0", "--percent", "5"], "is withdrawn");
    refused(&["add", &artifact], "is withdrawn");
}

#[test]
fn a_channel_begins_only_with_what_devices_can_follow() {
    let desk = Desk::new();
    forge(&["keygen", "--out", &desk.at("OTHER")]).ok();
    let (key, other) = (desk.at("KEYS/channel.key"), desk.at("OTHER/channel.key"));
    let trust = desk.at("KEYS/trust.toml");
    let init = |key: &str, more: &[&str]| {
        let words = ["init", "--product", "demo", "--name", "stable", "--key", key];
        desk.channel(&[&words[..], more].concat())
    };
    for (more, why) in [
        (["--report", "nonsense"], "`nonsense` is no address"),
        (["--report", "ftp://h/x"], "`ftp://h/x` is no address"),
        (["--poll", "5"], "`5` has no unit"),
        (["--valid-for", "30"], "`30` has no unit"),
    ] {
        let said = init(&key, &more);
        assert!(said.code == 64 && said.err.contains(why), "{more:?}: {}", said.err);
    }
    let said = init(&other, &["--trust", &trust]);
    assert_eq!(said.code, 65, "{}", said.err);
    assert!(!std::path::Path::new(&desk.at("www.work")).exists(), "nothing was begun");
    init(&key, &["--trust", &trust, "--report", "https://h.example/r", "--poll", "5m"]).ok();
    let said = desk.channel(&["add", &desk.release("2.0.0"), "--key", &other]);
    assert_eq!(said.code, 65, "{}", said.err);
    desk.channel(&["add", &desk.release("2.0.0")]).ok();
}
