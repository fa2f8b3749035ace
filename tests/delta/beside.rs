//! `install https://HOST/X.surefoot`: a delta beside X is asked for once, and taken where it is of X, starts
//! from what runs and is the shorter way. Whatever else lies there, the artifact is installed.

use super::install::{LEN, Place, artifact, last, make, newer};
use crate::common::{Bench, Said, image, read};
use crate::net::server::{Asked, File, Line, Server, missing};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use surefoot::sys::power::CUT_VARIABLE;

const DELTA: &str = "/x/to.from-1.0.1.delta.surefoot";
const FULL: &str = "/x/to.surefoot";

type Answer = Box<dyn Fn(&Asked, &mut dyn Line) -> std::io::Result<bool> + Send + Sync>;

/// A web server with X, and with any answer in the delta's place.
struct Web {
    server: Server,
    /// Bytes of the bodies of files.
    sent: Arc<AtomicU64>,
}

impl Web {
    fn new(full: &str, delta: impl FnOnce(Arc<AtomicU64>) -> Answer) -> Web {
        let sent = Arc::new(AtomicU64::new(0));
        let (full, delta) = (Web::file(full)(sent.clone()), delta(sent.clone()));
        let server = Server::new(move |asked, line| match asked.target.as_str() {
            FULL => full(asked, line),
            DELTA => delta(asked, line),
            _ => missing(line),
        });
        Web { server, sent }
    }

    /// A good server's answer.
    fn file(path: &str) -> impl FnOnce(Arc<AtomicU64>) -> Answer + use<> {
        let file = File::new(&read(path));
        move |sent| {
            Box::new(move |asked, line| {
                let (head, bytes) = file.parts(asked);
                sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                line.write_all(head.as_bytes())?;
                line.write_all(bytes).map(|()| true)
            })
        }
    }

    fn says(text: &'static str) -> impl FnOnce(Arc<AtomicU64>) -> Answer {
        move |_| Box::new(move |_, line| line.write_all(text.as_bytes()).map(|()| false))
    }

    fn install(&self, bench: &Bench, words: &[&str]) -> Said {
        let url = self.server.url(FULL);
        bench.surefoot(&[&["install", &url, "--json"], words].concat())
    }

    /// What a person reads of it.
    fn told(said: &Said) -> String {
        format!("{}{}", said.out, said.err)
    }

    /// How often the delta was asked for.
    fn deltas(&self) -> usize {
        self.server.asked().iter().filter(|asked| asked.target == DELTA).count()
    }
}

#[test]
fn it_is_taken_and_its_plan_is_shown_first() {
    let place = Place::new();
    let web = Web::new(&place.full, Web::file(&place.delta));
    let plan = last(&web.install(&place.bench, &["--dry-run"]).ok());
    assert_eq!((&plan["via"], &plan["forecast"]["via"]), (&"delta".into(), &"delta".into()));
    let before = web.sent.swap(0, Ordering::Relaxed);
    let answer = last(&web.install(&place.bench, &[]).ok());
    assert_eq!(answer["via"], "delta", "{answer}");
    // All bodies count: those of the artifact's head too, which the plan has foreseen.
    let sent = web.sent.load(Ordering::Relaxed);
    assert_eq!((&answer["fetched"], &plan["fetched"]), (&sent.into(), &sent.into()), "{answer}");
    assert!(before <= sent && sent < read(&place.full).len() as u64 / 2, "{before} {sent}");
    place.runs("1.0.2");
    // The slot holds exactly the release.
    place.bench.surefoot(&["commit"]).ok();
    place.bench.surefoot(&["verify"]).ok();
}

#[test]
fn where_none_is_or_anything_odd_it_is_asked_for_once_and_nothing_is_waited_for() {
    let place = Place::new();
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    let noise = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
    let coded = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx";
    for (odd, text) in
        [(false, busy), (true, page), (true, noise), (true, coded), (true, "HTTP/1.1"), (true, "")]
    {
        let web = Web::new(&place.full, Web::says(text));
        let said = web.install(&place.bench, &["--dry-run"]).ok();
        assert_eq!((&last(&said)["via"], web.deltas()), (&"adaptive".into(), 1), "{text}");
        assert_eq!(Web::told(&said).contains("does not help"), odd, "{text}: {}", said.err);
    }
    // A page that says so has come, and counts.
    let fetched = |text| {
        let web = Web::new(&place.full, Web::says(text));
        let said = web.install(&place.bench, &["--dry-run"]).ok();
        last(&said)["fetched"].as_u64().unwrap()
    };
    let bare = fetched("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let page = fetched("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot here\n");
    assert_eq!(page, bare + 9);
    // Another delta in its place, or the artifact itself.
    let bench = &place.bench;
    let (other, wrong) = (bench.path("other.delta"), bench.path("wrong.delta"));
    let three = artifact(bench, "three", &newer(&image(21, LEN), 5), "1.0.3");
    make(bench, &bench.path("from.surefoot"), &three, &other);
    make(bench, &three, &place.full, &wrong);
    for (file, code) in
        [(&other, "OTHER_RELEASE"), (&wrong, "DELTA_BASE"), (&place.full, "DELTA_INVALID")]
    {
        let web = Web::new(&place.full, Web::file(file));
        let said = web.install(bench, &["--dry-run"]).ok();
        assert_eq!(last(&said)["via"], "adaptive", "{file}");
        let told = Web::told(&said);
        assert!(told.contains("does not help") && told.contains(code), "{told}");
    }
    let web = Web::new(&place.full, |_| Box::new(|_, line| missing(line)));
    let said = web.install(bench, &[]).ok();
    let answer = last(&said);
    assert_eq!((&answer["via"], web.deltas()), (&"adaptive".into(), 1), "{answer}");
    assert_eq!(answer["fetched"], web.sent.load(Ordering::Relaxed));
    assert!(!Web::told(&said).contains("does not help"), "that is no news: {}", said.err);
    place.runs("1.0.2");
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for() {
    let place = Place::new();
    // It would be silent for longer than any limit of a fetch.
    let silent: Answer = Box::new(|_, _| {
        std::thread::sleep(std::time::Duration::from_secs(600));
        Ok(false)
    });
    let web = Web::new(&place.full, |_| silent);
    let said = web.install(&place.bench, &["--dry-run"]).ok();
    assert_eq!((&last(&said)["via"], web.deltas()), (&"adaptive".into(), 1), "{}", said.out);
    assert!(Web::told(&said).contains("no answer within 10 s"), "{}", said.err);
}

#[test]
fn a_device_without_a_record_of_what_runs_asks_for_none() {
    let place = Place::factory();
    let web = Web::new(&place.full, Web::file(&place.delta));
    assert_eq!(last(&web.install(&place.bench, &[]).ok())["via"], "adaptive");
    assert_eq!(web.deltas(), 0);
}

#[test]
fn a_slot_that_has_changed_makes_it_adaptive_by_itself() {
    for (at, seen) in [(1024 + 52, "before anything is written"), (700_000, "while it is written")]
    {
        let place = Place::new();
        place.change(at);
        let web = Web::new(&place.full, Web::file(&place.delta));
        let said = web.install(&place.bench, &[]).ok();
        let answer = last(&said);
        assert!(Web::told(&said).contains("to.surefoot takes its place"), "{seen}: {}", said.err);
        assert_eq!(answer["via"], "adaptive", "{seen}: {answer}");
        assert_eq!(answer["fetched"], web.sent.load(Ordering::Relaxed), "{seen}");
        assert!(web.deltas() > 0);
        place.runs("1.0.2");
        place.bench.surefoot(&["commit"]).ok();
        place.bench.surefoot(&["verify"]).ok();
    }
}

#[test]
fn the_shorter_way_is_taken_whichever_was_named() {
    // The other slot has all of the new release but a little; what runs has nothing of it.
    let place = Place::factory();
    let bench = &place.bench;
    let new = image(31, LEN);
    let mut nearly = new.clone();
    nearly[800_000..800_100].fill(1);
    let [near, runs, full] =
        [("near", &nearly, "1.0.0"), ("runs", &image(32, LEN), "1.0.1"), ("new", &new, "1.0.2")]
            .map(|(name, bytes, version)| artifact(bench, name, bytes, version));
    for file in [&near, &runs] {
        bench.surefoot(&["install", file]).ok();
        bench.reboot(&[]);
        bench.surefoot(&["commit"]).ok();
    }
    let delta = bench.path("new.delta");
    make(bench, &runs, &full, &delta);
    let web = Web::new(&full, Web::file(&delta));
    let by_delta = web.server.url(DELTA);
    let named = bench.surefoot(&["install", &by_delta, "--json", "--dry-run"]).ok();
    assert_eq!(last(&named)["via"], "adaptive", "{}", named.out);
    let answer = last(&web.install(bench, &[]).ok());
    assert_eq!(answer["via"], "adaptive", "{answer}");
    assert!(answer["fetched"].as_u64().unwrap() < read(&delta).len() as u64, "{answer}");
    place.runs("1.0.2");
}

#[test]
fn a_server_that_gives_no_ranges_has_a_delta_too() {
    let place = Place::new();
    let (full, delta) = (File::new(&read(&place.full)), File::new(&read(&place.delta)));
    let server = Server::new(move |asked, line| match asked.target.as_str() {
        FULL => full.whole(line),
        DELTA => delta.whole(line),
        _ => missing(line),
    });
    let answer = last(&place.bench.surefoot(&["install", &server.url(FULL), "--json"]).ok());
    assert_eq!(answer["via"], "delta", "{answer}");
    place.runs("1.0.2");
}

#[test]
fn the_power_may_go_while_it_is_written_and_the_same_url_goes_on() {
    let place = Place::new();
    let web = Web::new(&place.full, Web::file(&place.delta));
    let url = web.server.url(FULL);
    let (mut cut, mut cuts) = (1, 0);
    loop {
        let plug = format!("{cut}:700");
        let said = place.bench.surefoot_with(&["install", &url], &[(CUT_VARIABLE, &plug)], b"");
        if said.code == 0 {
            break;
        }
        assert_eq!(said.code, 99, "cut {cut}: {}", said.err);
        let slot = place.bench.reboot(&[]);
        assert_eq!(place.bench.status()["slots"][&slot]["version"], "1.0.1", "cut {cut}");
        (cut, cuts) = (cut + 2, cuts + 1);
    }
    assert!(cuts > 3, "{cuts}");
    place.runs("1.0.2");
    place.bench.surefoot(&["commit"]).ok();
    place.bench.surefoot(&["verify"]).ok();
}
