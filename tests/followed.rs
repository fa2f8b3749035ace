//! A channel on a web server of the loopback, against the built program: by hand, and by a daemon.

use crate::common::{Bench, Said, forge};
use crate::delta::install::last;
use crate::kept::{Kept, until};
use crate::net::server::{Asked, File, Line, Server};
use std::path::Path;

/// Answers as an honest web server whose files are a folder.
pub(crate) fn give(folder: &str, asked: &Asked, line: &mut dyn Line) -> std::io::Result<bool> {
    if asked.method == "POST" {
        line.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(true);
    }
    let Ok(bytes) = std::fs::read(Path::new(folder).join(asked.target.trim_start_matches('/')))
    else {
        line.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(true);
    };
    let etag = format!("\"{}\"", surefoot::model::Digest::of(&bytes));
    if asked.header("if-none-match") == Some(&etag) {
        write!(line, "HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n")?;
        return Ok(true);
    }
    let len = bytes.len();
    match asked.range(len) {
        Some(part) => {
            write!(
                line,
                "HTTP/1.1 206 Partial Content\r\nETag: {etag}\r\nContent-Length: {}\r\nContent-Range: bytes {}-{}/{len}\r\n\r\n",
                part.len(),
                part.start,
                part.end - 1
            )?;
            line.write_all(&bytes[part])?;
        }
        None => {
            write!(line, "HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: {len}\r\n\r\n")?;
            line.write_all(&bytes)?;
        }
    }
    Ok(true)
}

pub(crate) struct Followed {
    pub(crate) bench: Bench,
    pub(crate) www: String,
    pub(crate) server: Server,
}

impl Followed {
    pub(crate) fn new() -> Followed {
        Followed::on(give)
    }

    /// With a server that answers like this.
    pub(crate) fn on(
        answer: impl Fn(&str, &Asked, &mut dyn Line) -> std::io::Result<bool> + Send + Sync + 'static,
    ) -> Followed {
        let bench = Bench::new();
        let www = bench.path("www");
        let folder = www.clone();
        let server = Server::new(move |asked, line| answer(&folder, asked, line));
        let followed = Followed { bench, www, server };
        followed.follow(&followed.server.url("/stable.channel"));
        let key = followed.bench.path("KEYS/channel.key");
        let words =
            ["--product", "demo", "--name", "stable", "--key", &key, "--report", "/reports"];
        forge(&[&["channel", "init", &followed.www], &words[..]].concat()).ok();
        followed
    }

    pub(crate) fn follow(&self, url: &str) {
        let config = self.bench.path("DEV/surefoot.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.split("\n[source]").next().unwrap().replace("id = \"device-1\"\n", "");
        let text = text.replacen("[device]\n", "[device]\nid = \"device-1\"\n", 1);
        // The witness answers, so that nothing outside this host is asked.
        let witness = format!("witness = [\"127.0.0.1:{}\"]", self.server.port);
        let source = format!("[source]\nchannel = \"{url}\"\n{witness}\n");
        std::fs::write(&config, format!("{text}\n{source}")).unwrap();
    }

    pub(crate) fn channel(&self, words: &[&str]) {
        let (verb, rest) = words.split_first().unwrap();
        forge(&[&["channel", verb, self.www.as_str()], rest].concat()).ok();
    }

    pub(crate) fn publish(&self, version: &str, phase: &[&str]) {
        self.channel(&["add", &self.bench.release(version)]);
        if !phase.is_empty() {
            self.channel(&[&["phase", version], phase].concat());
        }
        self.channel(&["publish"]);
    }

    pub(crate) fn ask(&self, words: &[&str]) -> Said {
        self.bench.surefoot_with(words, &[("SUREFOOT_SIM_PACE", "100")], b"")
    }

    /// How the updates ended that the device has told of; `null` for one that began.
    fn told(&self) -> Vec<String> {
        let posted = self.server.asked().into_iter().filter(|asked| asked.method == "POST");
        let end = |asked: Asked| {
            let value: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
            value["end"].as_str().unwrap_or("null").to_owned()
        };
        posted.map(end).collect()
    }
}

#[test]
fn a_device_looks_updates_and_tells_how_it_ended() {
    let place = Followed::new();
    place.channel(&["publish"]);
    let nothing = place.ask(&["check-update", "--json"]);
    assert_eq!((nothing.code, &nothing.json()["offers"]), (3, &serde_json::Value::Null));
    place.publish("2.0.0", &[]);
    let found = place.ask(&["check-update", "--json"]).ok().json();
    assert_eq!(found["offers"]["version"], "2.0.0");
    let plan = place.ask(&["update", "--dry-run", "--json"]).ok().json();
    assert_eq!(plan["dry_run"], true, "{plan}");
    assert_eq!(place.told(), Vec::<String>::new());
    place.ask(&["update", "--json"]).ok();
    assert_eq!(place.told(), ["null"]);
    place.bench.reboot(&[]);
    place.bench.surefoot(&["commit"]).ok();
    assert_eq!(place.ask(&["update"]).code, 3);
    assert_eq!(place.told(), ["null", "updated"]);
    // The next one waits for this device's phase, and says until when.
    place.publish("3.0.0", &["--percent", "0,100", "--every", "2h"]);
    let waits = place.ask(&["check-update", "--json"]);
    let waits = (waits.code, waits.json()["waits"].clone());
    assert!(
        waits.0 == 3 && waits.1["version"] == "3.0.0" && waits.1["until"].is_u64(),
        "{waits:?}"
    );
    assert_eq!(place.ask(&["update", "--json"]).json()["waits"], waits.1);
}

#[test]
fn what_is_no_channel_and_no_server_have_their_codes() {
    let place = Followed::new();
    place.publish("2.0.0", &[]);
    let file = format!("{}/stable.channel", place.www);
    let old = std::fs::read(&file).unwrap();
    place.publish("3.0.0", &[]);
    let new = std::fs::read(&file).unwrap();
    place.ask(&["check-update"]).ok();
    std::fs::write(&file, &old).unwrap();
    for verb in ["check-update", "update"] {
        place.ask(&[verb]).refused(65, "CHANNEL_OLDER");
    }
    std::fs::write(&file, b"<html>log in</html>").unwrap();
    place.ask(&["check-update"]).refused(65, "NOT_A_CHANNEL");
    let mut bad = new.clone();
    bad[200] ^= 1;
    std::fs::write(&file, &bad).unwrap();
    assert_eq!(place.ask(&["update"]).code, 65);
    std::fs::write(&file, vec![0x89; 400 << 10]).unwrap();
    assert_eq!(place.ask(&["check-update"]).code, 65);
    std::fs::write(&file, &new).unwrap();
    place.ask(&["check-update"]).ok();
    // Nobody listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    place.follow(&format!("http://127.0.0.1:{gone}/stable.channel"));
    assert_eq!(place.ask(&["check-update"]).code, 69);
    assert_eq!(place.ask(&["update"]).code, 69);
}

#[test]
fn a_daemon_follows_its_channel_by_itself() {
    let place = Followed::new();
    let config = place.bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[source]\n", "[source]\npoll = \"10s\"\n");
    std::fs::write(&config, text).unwrap();
    place.publish("2.0.0", &[]);
    let pace = ("SUREFOOT_SIM_PACE", "100");
    let kept = Kept::with(&place.bench, &config, &[pace]);
    let state = |want: &str| place.bench.status()["state"] == want;
    until("it is armed", || state("switching"));
    until("its beginning is told", || place.told() == ["null"]);
    // What is taken back while it only waits is dropped.
    place.channel(&["withdraw", "2.0.0"]);
    place.channel(&["publish"]);
    until("it is dropped", || !state("switching"));
    until("that is told", || place.told() == ["null", "stopped"]);
    place.publish("3.0.0", &[]);
    until("the next one is armed", || state("switching"));
    assert!(place.server.asked().iter().any(|asked| asked.header("if-none-match").is_some()));
    drop(kept);
    assert_eq!(place.bench.reboot(&[]), "b");
    let _kept = Kept::with(&place.bench, &config, &[pace]);
    until("it is committed", || state("updated"));
    until("its end is told", || place.told().last().is_some_and(|end| end == "updated"));
}

#[test]
fn a_report_that_the_server_refuses_for_good_keeps_no_other_one_back() {
    use std::sync::atomic::{AtomicU16, Ordering};
    static STATUS: AtomicU16 = AtomicU16::new(503);
    let place = Followed::on(|folder, asked, line| match asked.method.as_str() {
        "POST" => {
            let status = STATUS.load(Ordering::SeqCst);
            write!(line, "HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n").map(|()| true)
        }
        _ => give(folder, asked, line),
    });
    place.publish("2.0.0", &[]);
    // What a server may take later waits.
    for status in [503, 401, 403, 407, 408, 425, 429] {
        STATUS.store(status, Ordering::SeqCst);
        let before = place.told().len();
        let said = match status {
            503 => place.ask(&["update"]).ok(),
            _ => place.ask(&["check-update"]),
        };
        assert!(!said.err.contains("REPORT_REFUSED"), "{status}: {}", said.err);
        assert_eq!(place.told()[before..], ["null"], "{status}");
    }
    place.bench.reboot(&[]);
    place.bench.surefoot(&["commit"]).ok();
    // The first one is refused for good and named, and so is the next one.
    STATUS.store(422, Ordering::SeqCst);
    let before = place.told().len();
    let said = place.ask(&["check-update"]);
    for what in ["2.0.0 has begun", "2.0.0 is installed and committed", "422", "REPORT_REFUSED"] {
        assert!(said.err.contains(what), "{what}: {}", said.err);
    }
    assert_eq!(place.told()[before..], ["null", "updated"]);
    STATUS.store(200, Ordering::SeqCst);
    let before = place.told().len();
    place.ask(&["check-update"]);
    assert_eq!(place.told().len(), before, "both are gone");
}

#[test]
fn another_file_midway_is_begun_anew_once_by_itself_too() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    static CHANGES: AtomicBool = AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    // The mark of the artifact is another one after the second answer, as after a copy to the server.
    let place = Followed::on(move |folder, request, line| {
        if !request.target.ends_with(".surefoot") {
            return give(folder, request, line);
        }
        let bytes = std::fs::read(format!("{folder}{}", request.target))?;
        let changed = CHANGES.load(Ordering::SeqCst) && asked.fetch_add(1, Ordering::SeqCst) >= 2;
        let etag = if changed { "\"two\"" } else { "\"one\"" };
        File { etag, ..File::new(&bytes) }.give(request, line)
    });
    place.publish("2.0.0", &[]);
    let plan = last(&place.ask(&["update", "--dry-run", "--json"]).ok());
    CHANGES.store(true, Ordering::SeqCst);
    let said = place.ask(&["update", "--json"]).ok();
    let told = format!("{}{}", said.out, said.err);
    // What came twice counts twice.
    let fetched = |document: &serde_json::Value| document["fetched"].as_u64().unwrap();
    assert!(fetched(&last(&said)) > fetched(&plan), "{told}: {plan}");
    assert!(told.contains("begun anew") && told.contains("SOURCE_CHANGED"), "{told}");
    assert_eq!(place.bench.status()["state"], "switching");
}

#[test]
fn options_go_both_ways() {
    let place = Followed::new();
    let config = place.bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[source.options]\nsite = \"north\"\n")).unwrap();
    std::fs::create_dir_all(place.bench.path("DEV/run/surefoot")).unwrap();
    place.channel(&["option", "log", "debug", "--device", "device-1"]);
    place.channel(&["option", "log", "info", "--device", "device-2"]);
    place.publish("2.0.0", &[]);
    let found = place.ask(&["check-update", "--json"]).ok().json();
    assert_eq!(found["options"], serde_json::json!({ "log": "debug" }));
    let shown = || -> serde_json::Value {
        serde_json::from_slice(&crate::common::read(
            &place.bench.path("DEV/run/surefoot/options.json"),
        ))
        .unwrap()
    };
    assert_eq!(shown()["options"]["log"], "debug");
    place.ask(&["update"]).ok();
    let posted = place.server.asked().into_iter().find(|asked| asked.method == "POST").unwrap();
    let told: serde_json::Value = serde_json::from_slice(&posted.body).unwrap();
    assert_eq!(told["options"], serde_json::json!({ "site": "north" }), "{told}");
    // After a reboot, and without a network, what was last known counts.
    std::fs::remove_file(place.bench.path("DEV/run/surefoot/options.json")).unwrap();
    std::fs::rename(format!("{}/stable.channel", place.www), place.bench.path("away")).unwrap();
    assert_eq!(place.ask(&["check-update"]).code, 69);
    assert_eq!(shown()["options"]["log"], "debug");
}

#[test]
fn what_was_left_half_written_and_has_no_server_any_more_holds_up_no_look() {
    // The artifact ends in its middle, and then its server is out for ever.
    let place = Followed::on(|folder, asked, line| {
        let first = asked.range(usize::MAX).map_or(0, |part| part.start);
        if !asked.target.ends_with("v2.0.0.surefoot") || first == 0 {
            return give(folder, asked, line);
        }
        line.write_all(b"HTTP/1.1 503 Out\r\nContent-Length: 0\r\n\r\n")?;
        Ok(true)
    });
    let config = place.bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[source]\n", "[source]\npoll = \"10s\"\n");
    std::fs::write(&config, text).unwrap();
    place.channel(&["publish"]);
    let artifact = place.bench.release("2.0.0");
    std::fs::copy(&artifact, format!("{}/v2.0.0.surefoot", place.www)).unwrap();
    let url = place.server.url("/v2.0.0.surefoot");
    assert_eq!(place.ask(&["install", &url]).code, 69);
    assert_eq!(place.bench.status()["state"], "installing");
    place.publish("3.0.0", &[]);
    let _kept = Kept::with(&place.bench, &config, &[("SUREFOOT_SIM_PACE", "100")]);
    until("the channel's release is armed", || place.bench.status()["state"] == "switching");
    assert_eq!(place.bench.status()["slots"]["b"]["version"], "3.0.0");
}

#[test]
fn both_verbs_say_what_was_dropped_and_name_a_release_that_came_back_once() {
    let place = Followed::new();
    for (verb, version) in [("check-update", "2.0.0"), ("update", "2.0.1")] {
        place.publish(version, &[]);
        place.ask(&["update"]).ok();
        place.channel(&["withdraw", version]);
        place.channel(&["publish"]);
        let said = place.ask(&[verb]);
        let told = format!("{version} was withdrawn by channel stable and is dropped.");
        assert!(said.code == 3 && said.out.contains(&told), "{verb}: {}{}", said.out, said.err);
        assert_eq!(place.bench.status()["state"], "idle");
    }
    place.publish("3.0.0", &[]);
    place.ask(&["update"]).ok();
    assert_eq!(place.bench.reboot(&[]), "b");
    place.bench.surefoot(&["rollback", "--reason", "dark"]).ok();
    assert_eq!(place.bench.reboot(&[]), "a");
    for verb in ["check-update", "update"] {
        let said = place.ask(&[verb]);
        let told = format!("{}{}", said.out, said.err);
        assert_eq!(told.matches("was tried here and rolled back").count(), 1, "{verb}: {told}");
        assert!(told.contains("surefoot install http") && told.contains("--retry-rolled-back"));
    }
}
