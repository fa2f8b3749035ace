//! What a channel offers, on a device: from the bytes that come to the release that runs. The network is one
//! that a test has in its hands; tests/followed.rs has a real one.

use crate::common::{Bench, forge};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use surefoot::config::{Where, load};
use surefoot::device::{self, Document, Offering, Unheard, Updated, Web, World};
use surefoot::event::Nowhere;
use surefoot::model::{Failure, ReasonCode, Result};
use surefoot::source::{Reached, Source, Tries};
use surefoot::update::{Ended, Order, Reboot};

/// A web server whose files are a folder, and what was posted to it.
struct Fake {
    folder: String,
    gone: AtomicBool,
    asked: Mutex<Vec<Option<String>>>,
    posted: Mutex<Vec<serde_json::Value>>,
}

impl Fake {
    fn file(&self, url: &str) -> String {
        format!("{}/{}", self.folder, url.split_once("255.255.255.255/").unwrap().1)
    }

    fn has_network(&self) -> std::result::Result<(), Unheard> {
        match self.gone.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(Unheard {
                failure: Failure::new(ReasonCode::HostUnreachable, "nobody is there"),
                wait: Some(Duration::from_secs(7)),
            }),
        }
    }

    fn posts(&self) -> Vec<String> {
        let posted = self.posted.lock().unwrap();
        let word = |v: &serde_json::Value| v["end"].as_str().unwrap_or("begun").to_owned();
        posted.iter().map(word).collect()
    }
}

impl Web for Fake {
    fn document(
        &self,
        url: &str,
        etag: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Document, Unheard> {
        self.has_network()?;
        self.asked.lock().unwrap().push(etag.map(str::to_owned));
        let bytes = std::fs::read(self.file(url)).unwrap();
        assert!(bytes.len() <= limit);
        let own = surefoot::model::Digest::of(&bytes).to_string();
        match etag == Some(&own) {
            true => Ok(Document::Same),
            false => Ok(Document::Bytes { bytes, etag: Some(own) }),
        }
    }

    fn report(&self, url: &str, body: &str) -> std::result::Result<(), Unheard> {
        assert!(url.ends_with("255.255.255.255/reports"), "{url}");
        self.has_network()?;
        self.posted.lock().unwrap().push(serde_json::from_str(body).unwrap());
        Ok(())
    }

    fn reach(&self, _: &str, _: &[String], _: bool) -> Result<Reached> {
        Ok(Reached::default())
    }

    fn artifact(&self, url: &str, _: Tries) -> Result<Source> {
        self.has_network().map_err(|why| why.failure)?;
        Source::open(Path::new(&self.file(url)))
    }
}

/// A network in which nothing answers.
struct Silent;

impl Web for Silent {
    fn document(
        &self,
        _: &str,
        _: Option<&str>,
        _: usize,
    ) -> std::result::Result<Document, Unheard> {
        Err(Failure::new(ReasonCode::Unreachable, "silent").into())
    }

    fn report(&self, _: &str, _: &str) -> std::result::Result<(), Unheard> {
        Err(Failure::new(ReasonCode::Unreachable, "silent").into())
    }

    fn reach(&self, _: &str, _: &[String], _: bool) -> Result<Reached> {
        Ok(Reached::default())
    }

    fn artifact(&self, _: &str, _: Tries) -> Result<Source> {
        Err(Failure::new(ReasonCode::Unreachable, "silent"))
    }
}

struct Place {
    bench: Bench,
    web: Fake,
}

impl Place {
    /// A device that follows the channel `stable` of a folder.
    fn new() -> Place {
        let bench = Bench::new();
        let config = bench.path("DEV/surefoot.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replacen("[device]\n", "[device]\nid = \"device-1\"\n", 1);
        let source = "\n[source]\nchannel = \"http://255.255.255.255/stable.channel\"\n";
        std::fs::write(&config, text + source).unwrap();
        let (www, key) = (bench.path("www"), bench.path("KEYS/channel.key"));
        let words =
            ["--product", "demo", "--name", "stable", "--key", &key, "--report", "/reports"];
        forge(&[&["channel", "init", &www], &words[..]].concat()).ok();
        let web = Fake {
            folder: www,
            gone: AtomicBool::new(false),
            asked: Mutex::default(),
            posted: Mutex::default(),
        };
        Place { bench, web }
    }

    fn channel(&self, words: &[&str]) {
        let (verb, rest) = words.split_first().unwrap();
        forge(&[&["channel", verb, self.web.folder.as_str()], rest].concat()).ok();
    }

    fn publish(&self, version: &str, phase: &[&str]) {
        self.channel(&["add", &self.bench.release(version)]);
        if !phase.is_empty() {
            self.channel(&[&["phase", version], phase].concat());
        }
        self.channel(&["publish"]);
    }

    fn world(&self) -> World {
        let place = Where::File(self.bench.path("DEV/surefoot.toml").into());
        let mut world = World::open(load(&place).unwrap().settings).unwrap();
        world.web = Some(Box::new(Silent));
        world
    }

    fn check(&self) -> std::result::Result<Offering, ReasonCode> {
        device::check_update(&self.world(), &self.web, &Nowhere).map_err(|f| f.code())
    }

    fn version(&self) -> Option<String> {
        self.check().unwrap().offers.map(|offer| offer.version)
    }

    fn update(&self) -> std::result::Result<Updated, ReasonCode> {
        let order =
            Order { by: "root".into(), automatic: false, reboot: Reboot::Asked, drill: None };
        device::update(&self.world(), &self.web, false, order, &Nowhere).map_err(|f| f.code())
    }

    fn by_itself(&self) -> std::result::Result<Option<Duration>, Unheard> {
        device::automatic(&self.world(), &self.web, &Nowhere)
    }

    fn served(&self) -> Vec<u8> {
        std::fs::read(format!("{}/stable.channel", self.web.folder)).unwrap()
    }

    fn serve(&self, bytes: &[u8]) {
        std::fs::write(format!("{}/stable.channel", self.web.folder), bytes).unwrap();
    }
}

#[test]
fn what_a_channel_offers_is_installed_and_its_end_is_told_after_the_commit() {
    let place = Place::new();
    place.channel(&["publish"]);
    assert_eq!(place.check().unwrap().nothing(), Some(ReasonCode::NothingOffered));
    place.publish("2.0.0", &[]);
    assert_eq!(place.version().as_deref(), Some("2.0.0"));
    let Ok(Updated::Installed(_)) = place.update() else { panic!("installed") };
    assert_eq!(place.web.posts(), ["begun"]);
    place.bench.reboot(&[]);
    // On trial nothing is decided, and nothing is told.
    let _ = place.check();
    assert_eq!(place.web.posts(), ["begun"]);
    place.bench.surefoot(&["commit"]).ok();
    // Without a network the word is kept, over a reboot too.
    place.web.gone.store(true, Ordering::SeqCst);
    assert_eq!(place.check().err(), Some(ReasonCode::HostUnreachable));
    place.bench.reboot(&[]);
    place.web.gone.store(false, Ordering::SeqCst);
    assert_eq!(place.check().unwrap().nothing(), Some(ReasonCode::NothingOffered));
    assert_eq!(place.web.posts(), ["begun", "updated"]);
    let told = place.web.posted.lock().unwrap()[1].clone();
    assert_eq!((&told["device"], &told["version"]), (&"device-1".into(), &"2.0.0".into()));
    let _ = place.check();
    assert_eq!(place.web.posts().len(), 2, "told once");
    // What counts as known is not fetched again.
    assert!(place.web.asked.lock().unwrap().last().unwrap().is_some());
}

#[test]
fn a_release_that_came_back_is_told_and_not_offered_again() {
    let place = Place::new();
    place.publish("2.0.0", &[]);
    place.update().unwrap();
    place.bench.reboot(&[]);
    place.bench.surefoot(&["rollback", "--reason", "dark"]).ok();
    place.bench.reboot(&[]);
    let offering = place.check().unwrap();
    assert_eq!(offering.nothing(), Some(ReasonCode::NothingOffered));
    let mut found = offering.findings.iter();
    let back = found.find(|f| f.code == ReasonCode::RolledBackBefore).unwrap();
    let next = "`surefoot install http://255.255.255.255/";
    assert!(back.remedy.contains(next), "{}", back.remedy);
    assert!(back.remedy.contains(" --retry-rolled-back`"), "{}", back.remedy);
    assert_eq!(place.web.posts(), ["begun", "rolled-back"]);
    // The next one is.
    place.publish("3.0.0", &[]);
    assert_eq!(place.version().as_deref(), Some("3.0.0"));
}

#[test]
fn both_verbs_settle_first_what_a_boot_has_decided_and_tell_it() {
    for asks in [true, false] {
        let place = Place::new();
        place.publish("2.0.0", &[]);
        place.update().unwrap();
        // It never comes up, and the bootloader gives it up: no program has said so yet.
        let home = (0..10).any(|_| place.bench.reboot(&["--fail"]) == "a");
        assert!(home);
        assert_eq!(place.web.posts(), ["begun"]);
        match asks {
            true => assert_eq!(place.check().unwrap().nothing(), Some(ReasonCode::NothingOffered)),
            false => assert!(matches!(place.update(), Ok(Updated::Nothing(_)))),
        }
        assert_eq!(place.web.posts(), ["begun", "rolled-back"], "{asks}");
        assert_eq!(place.bench.status()["state"], "rolled-back");
    }
}

#[test]
fn what_is_critical_waits_for_no_window_and_for_nobody_who_asks() {
    let place = Place::new();
    let config = place.bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[update]\nreboot = \"asked\"\n")).unwrap();
    let reboot = || place.world().load_journal().work().map(|work| work.order.reboot);
    place.publish("2.0.0", &[]);
    place.by_itself().unwrap();
    assert_eq!(reboot(), Some(Reboot::Asked));
    place.channel(&["add", &place.bench.release("3.0.0"), "--critical"]);
    place.channel(&["publish"]);
    place.by_itself().unwrap();
    assert_eq!(reboot(), Some(Reboot::Now));
}

#[test]
fn a_phase_that_has_not_begun_is_waited_for_and_named() {
    let place = Place::new();
    place.bench.update_to("1.5.0");
    place.publish("2.0.0", &["--percent", "0,100", "--every", "2h"]);
    let offering = place.check().unwrap();
    assert_eq!(offering.nothing(), Some(ReasonCode::NotYet));
    let waits = offering.waits.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let until = waits.until.unwrap();
    assert!(waits.version == "2.0.0" && until > now && until <= now + 7200, "{waits:?}");
    assert!(matches!(place.update(), Ok(Updated::Nothing(_))));
    place.by_itself().unwrap();
    assert_eq!(place.bench.status()["state"], "updated");
    place.channel(&["pause", "2.0.0"]);
    place.channel(&["publish"]);
    assert_eq!(place.check().unwrap().waits.unwrap().until, None);
}

#[test]
fn a_factory_fresh_device_takes_the_newest_at_once_and_in_one_step() {
    let place = Place::new();
    for version in ["2.0.0", "3.0.0", "4.0.0"] {
        place.publish(version, &["--percent", "0"]);
    }
    assert_eq!(place.version().as_deref(), Some("4.0.0"));
    place.update().unwrap();
    place.bench.reboot(&[]);
    place.bench.surefoot(&["commit"]).ok();
    assert_eq!(place.bench.status()["slots"]["b"]["version"], "4.0.0");
}

#[test]
fn n22_a_channel_that_is_refused_changes_nothing() {
    let place = Place::new();
    place.publish("2.0.0", &[]);
    let old = place.served();
    place.publish("3.0.0", &[]);
    let new = place.served();
    assert_eq!(place.version().as_deref(), Some("3.0.0"));
    let kept = std::fs::read(place.bench.path("DEV/state/channel.json")).unwrap();
    let mut damaged = new.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    for (what, bytes, code) in [
        ("an older one", old, ReasonCode::ChannelOlder),
        ("a damaged one", damaged, ReasonCode::SignatureInvalid),
        ("a page", b"<html>".to_vec(), ReasonCode::NotAChannel),
        ("half of it", new[..new.len() / 2].to_vec(), ReasonCode::Truncated),
    ] {
        place.serve(&bytes);
        assert_eq!(place.check().err(), Some(code), "{what}");
        assert_eq!(
            std::fs::read(place.bench.path("DEV/state/channel.json")).unwrap(),
            kept,
            "{what}"
        );
    }
    // Another serial 2, from another folder.
    let draft = place.bench.path("www.work/draft.json");
    let text = std::fs::read_to_string(&draft).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["serial"] = 1.into();
    value["valid_for"] = 77.into();
    std::fs::write(&draft, value.to_string()).unwrap();
    std::fs::remove_file(format!("{}/stable.channel", place.web.folder)).unwrap();
    place.channel(&["publish"]);
    assert_eq!(place.check().err(), Some(ReasonCode::ChannelChanged));
    place.serve(&new);
    assert_eq!(place.version().as_deref(), Some("3.0.0"), "the good one still counts");
}

#[test]
fn a_stale_channel_is_named_and_obeyed() {
    let place = Place::new();
    place.channel(&["add", &place.bench.release("2.0.0")]);
    let draft = place.bench.path("www.work/draft.json");
    let text = std::fs::read_to_string(&draft).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["valid_for"] = 1.into();
    std::fs::write(&draft, value.to_string()).unwrap();
    place.channel(&["publish"]);
    let mut offering = place.check().unwrap();
    crate::kept::until("it is stale", || {
        offering = place.check().unwrap();
        offering.findings.iter().any(|f| f.code == ReasonCode::ChannelStale)
    });
    assert_eq!(offering.offers.unwrap().version, "2.0.0");
}

#[test]
fn what_is_withdrawn_while_it_waits_is_dropped() {
    let place = Place::new();
    place.publish("2.0.0", &[]);
    place.update().unwrap();
    assert_eq!(place.bench.status()["state"], "switching");
    place.channel(&["withdraw", "2.0.0"]);
    place.channel(&["publish"]);
    let offering = place.check().unwrap();
    assert_eq!(offering.nothing(), Some(ReasonCode::NothingOffered));
    let dropped = "was withdrawn by channel stable and is dropped.";
    assert!(
        offering.text.contains("2.0.0") && offering.text.contains(dropped),
        "{}",
        offering.text
    );
    // It ends as what a person has cancelled, and nothing has failed.
    let status = place.bench.status();
    let last = place.world().load_journal().last.unwrap();
    assert_eq!(status["state"], "idle", "{status}");
    assert_eq!((last.outcome, last.reason), (Ended::Cancelled, Some(ReasonCode::Cancelled)));
    assert_eq!(last.detail, "withdrawn by channel stable");
    assert_eq!(place.bench.reboot(&[]), "a");
    let _ = place.check();
    assert_eq!(place.web.posts(), ["begun", "stopped"]);
    // What a person has brought from elsewhere is theirs.
    place.bench.surefoot(&["install", &place.bench.path("v2.0.0.surefoot")]).ok();
    let _ = place.check();
    assert_eq!(place.bench.status()["state"], "switching");
}

#[test]
fn what_a_newer_offer_overtakes_makes_way_and_holds_are_respected() {
    let place = Place::new();
    place.publish("2.0.0", &[]);
    place.bench.surefoot(&["hold", "--reason", "a fair"]).ok();
    place.by_itself().unwrap();
    assert_eq!(place.bench.status()["state"], "idle");
    place.bench.surefoot(&["unhold"]).ok();
    place.by_itself().unwrap();
    assert_eq!(place.bench.status()["state"], "switching");
    place.by_itself().unwrap();
    place.publish("3.0.0", &[]);
    place.by_itself().unwrap();
    let status = place.bench.status();
    assert_eq!(status["state"], "switching");
    place.bench.reboot(&[]);
    place.bench.surefoot(&["commit"]).ok();
    assert_eq!(place.bench.status()["slots"]["b"]["version"], "3.0.0");
    let _ = place.check();
    assert_eq!(place.web.posts(), ["begun", "begun", "stopped", "updated"]);
}

#[test]
fn another_release_under_the_address_of_an_offer_is_refused_and_not_fetched_again_and_again() {
    let place = Place::new();
    place.publish("2.0.0", &[]);
    let other = place.bench.release("3.0.0");
    let entries = std::fs::read_dir(&place.web.folder).unwrap();
    let name = entries.map(|e| e.unwrap().path()).find(|p| p.extension().unwrap() == "surefoot");
    let name = name.unwrap();
    std::fs::copy(&other, &name).unwrap();
    assert_eq!(place.update().err(), Some(ReasonCode::OtherRelease));
    assert_eq!(place.web.posts(), ["begun", "failed"]);
    // What was wrong is put right: nothing tells it before the channel is published again.
    std::fs::copy(place.bench.path("v2.0.0.surefoot"), &name).unwrap();
    place.by_itself().unwrap();
    assert_eq!(place.bench.status()["state"], "idle");
    place.channel(&["publish"]);
    place.by_itself().unwrap();
    assert_eq!(
        place.bench.status()["state"],
        "switching",
        "a good release is not refused for ever"
    );
}

#[test]
fn a_long_channel_is_known_too_and_is_not_kept_again_and_again() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    for key in ["one", "two", "three", "four"] {
        place.channel(&["option", key, &"x".repeat(1000)]);
    }
    place.publish("2.0.0", &[]);
    assert!(place.served().len() > 4000);
    let kept = || std::fs::metadata(place.bench.path("DEV/state/channel.json")).unwrap().ino();
    assert_eq!(place.version().as_deref(), Some("2.0.0"));
    let before = kept();
    assert_eq!(place.version().as_deref(), Some("2.0.0"));
    assert!(place.web.asked.lock().unwrap().last().unwrap().is_some(), "its mark is known");
    assert_eq!(kept(), before, "each life of a flash counts its writes");
}

#[test]
fn credentials_of_a_channel_are_neither_shown_nor_kept() {
    let place = Place::new();
    let config = place.bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("http://255.255.255.255/", "https://user:hush@255.255.255.255/");
    std::fs::write(&config, text).unwrap();
    place.publish("2.0.0", &[]);
    let shown = serde_json::to_string(&place.check().unwrap()).unwrap();
    assert!(shown.contains("https://255.255.255.255/") && !shown.contains("hush"), "{shown}");
    place.update().unwrap();
    assert_eq!(place.web.posts(), ["begun"]);
    for file in ["channel.json", "outcomes.json"] {
        let text = std::fs::read_to_string(place.bench.path(&format!("DEV/state/{file}"))).unwrap();
        assert!(!text.contains("hush"), "{file}: {text}");
    }
    let _ = place.check();
    assert!(place.web.asked.lock().unwrap().last().unwrap().is_some(), "it is known all the same");
}

#[test]
fn an_end_is_not_told_as_earlier_than_its_beginning() {
    let place = Place::new();
    place.publish("2.0.0", &[]);
    place.update().unwrap();
    // Since the reboot the clock of a device without a battery is behind.
    let file = place.bench.path("DEV/state/outcomes.json");
    let mut all: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    all["open"][0]["at"] = 4_000_000_000u64.into();
    std::fs::write(&file, all.to_string()).unwrap();
    place.bench.reboot(&[]);
    place.bench.surefoot(&["commit"]).ok();
    let _ = place.check();
    assert_eq!(place.web.posts(), ["begun", "updated"]);
    assert!(place.web.posted.lock().unwrap()[1]["at"].as_u64() >= Some(4_000_000_000));
}

#[test]
fn without_an_id_or_a_channel_the_configuration_is_at_fault_and_files_still_install() {
    let place = Place::new();
    place.publish("2.0.0", &[]);
    let config = place.bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let none = place.bench.path("no-such-id");
    let with = |id: &str| std::fs::write(&config, text.replace("id = \"device-1\"", id)).unwrap();
    with(&format!("id_file = \"{none}\""));
    assert_eq!(place.check().err(), Some(ReasonCode::NoDeviceId));
    for (id, good) in [("uninitialized\n", false), ("\n", false), ("0123456789abcdef\n", true)] {
        std::fs::write(&none, id).unwrap();
        assert_eq!(place.check().is_ok(), good, "{id:?}");
    }
    std::fs::write(&config, text.replace("channel = ", "# channel = ")).unwrap();
    assert_eq!(place.check().err(), Some(ReasonCode::NoChannel));
    place.bench.surefoot(&["install", &place.bench.path("v2.0.0.surefoot")]).ok();
}
