//! A channel on a web server of the loopback, against the built program: by hand, and by a daemon.

use crate::common::{Bench, Said, forge};
use crate::kept::{Kept, until};
use crate::net::server::{Asked, Line, Server};
use std::path::Path;

/// Answers as an honest web server whose files are a folder.
fn give(folder: &str, asked: &Asked, line: &mut dyn Line) -> std::io::Result<bool> {
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

struct Followed {
    bench: Bench,
    www: String,
    server: Server,
}

impl Followed {
    fn new() -> Followed {
        let bench = Bench::new();
        let www = bench.path("www");
        let folder = www.clone();
        let server = Server::new(move |asked, line| give(&folder, asked, line));
        let followed = Followed { bench, www, server };
        followed.follow(&followed.server.url("/stable.channel"));
        let key = followed.bench.path("KEYS/channel.key");
        let words = ["--product", "demo", "--name", "stable", "--key", &key, "--report", "reports"];
        forge(&[&["channel", "init", &followed.www], &words[..]].concat()).ok();
        followed
    }

    fn follow(&self, url: &str) {
        let config = self.bench.path("DEV/surefoot.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.split("\n[source]").next().unwrap().replace("id = \"device-1\"\n", "");
        let text = text.replacen("[device]\n", "[device]\nid = \"device-1\"\n", 1);
        std::fs::write(&config, format!("{text}\n[source]\nchannel = \"{url}\"\n")).unwrap();
    }

    fn channel(&self, words: &[&str]) {
        let (verb, rest) = words.split_first().unwrap();
        forge(&[&["channel", verb, self.www.as_str()], rest].concat()).ok();
    }

    fn publish(&self, version: &str, phase: &[&str]) {
        self.channel(&["add", &self.bench.release(version)]);
        if !phase.is_empty() {
            self.channel(&[&["phase", version], phase].concat());
        }
        self.channel(&["publish"]);
    }

    fn ask(&self, words: &[&str]) -> Said {
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
