//! Deltas on a device: an ordinary file for install, verify, sticks and the inbox.

use crate::common::{Bench, Said, forge, image, read};
use crate::net::server::{File, Server, missing};

/// Three versions of an image; a delta from 1.0.1 to 1.0.2 beside its full artifact in a folder of its own.
pub(crate) struct Place {
    pub(crate) bench: Bench,
    pub(crate) full: String,
    pub(crate) delta: String,
}

pub(crate) const LEN: usize = 1 << 20;

pub(crate) fn newer(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut new = bytes.to_vec();
    new.splice(300_000..300_000, *b"moved by this");
    new.truncate(LEN);
    new[600_000..650_000].copy_from_slice(&image(seed, 200_000)[70_000..120_000]);
    (400_000..500_000).step_by(7_000).for_each(|at| new[at] ^= 9);
    new
}

impl Place {
    pub(crate) fn new() -> Place {
        Place::of(|_| [image(21, LEN), newer(&image(21, LEN), 77)])
    }

    /// The same where the base does not run.
    pub(crate) fn factory() -> Place {
        Place::made(|_| [image(21, LEN), newer(&image(21, LEN), 77)])
    }

    /// Of the images that are made there.
    pub(crate) fn of(images: impl FnOnce(&Bench) -> [Vec<u8>; 2]) -> Place {
        let place = Place::made(images);
        place.bench.surefoot(&["install", &place.bench.path("from.surefoot")]).ok();
        place.bench.reboot(&[]);
        place.bench.surefoot(&["commit"]).ok();
        place
    }

    fn made(images: impl FnOnce(&Bench) -> [Vec<u8>; 2]) -> Place {
        let bench = Bench::new();
        let [one, two] = images(&bench);
        let from = artifact(&bench, "from", &one, "1.0.1");
        let full = artifact(&bench, "to", &two, "1.0.2");
        std::fs::create_dir(bench.path("D")).unwrap();
        let delta = bench.path("D/to.from-1.0.1.delta.surefoot");
        make(&bench, &from, &full, &delta);
        Place { bench, full, delta }
    }

    /// The full artifact lies beside the delta.
    pub(crate) fn beside(&self) {
        std::fs::copy(&self.full, self.bench.path("D/to.surefoot")).unwrap();
    }

    /// One byte of the slot that runs is another.
    pub(crate) fn change(&self, at: usize) {
        let at = self.bench.slot_offset(&self.bench.booted()) + at;
        let old = self.bench.disk_bytes(at as u64, 1);
        self.bench.patch_disk(at, &[old[0] ^ 1]);
    }

    pub(crate) fn runs(&self, version: &str) {
        self.bench.reboot(&[]);
        let status = self.bench.status();
        assert_eq!(status["slots"][self.bench.booted()]["version"], version, "{status}");
    }
}

pub(crate) fn artifact(bench: &Bench, name: &str, bytes: &[u8], version: &str) -> String {
    let path = |end: &str| bench.path(&format!("{name}.{end}"));
    let (img, out, key) = (path("img"), path("surefoot"), bench.path("KEYS/release.key"));
    std::fs::write(&img, bytes).unwrap();
    let words = [
        "build",
        "--rootfs",
        &img,
        "--raw",
        "-o",
        &out,
        "--level",
        "3",
        "--context",
        "1M",
        "--version",
        version,
    ];
    let more = ["--product", "demo", "--compatible", "demo-board", "--key", &key];
    forge(&[&words[..], &more].concat()).ok();
    out
}

pub(crate) fn make(bench: &Bench, from: &str, to: &str, out: &str) {
    let key = bench.path("KEYS/release.key");
    forge(&["delta", "--from", from, "--to", to, "-o", out, "--key", &key]).ok();
}

/// The last document that it says.
pub(crate) fn last(said: &Said) -> serde_json::Value {
    let documents = serde_json::Deserializer::from_str(&said.out).into_iter();
    documents.last().unwrap().unwrap()
}

#[test]
fn a_delta_is_an_ordinary_file_for_verify_and_install() {
    let place = Place::new();
    let bench = &place.bench;
    bench.surefoot(&["verify", &place.delta]).ok();
    let plan = bench.surefoot(&["install", &place.delta, "--dry-run", "--json"]).ok();
    assert!(plan.out.contains("\"delta\""), "{}", plan.out);
    let answer = last(&bench.surefoot(&["install", &place.delta, "--json"]).ok());
    assert_eq!(answer["via"], "delta", "{answer}");
    let file = std::fs::metadata(&place.delta).unwrap().len();
    assert_eq!(answer["fetched"], file);
    assert!(file < std::fs::metadata(&place.full).unwrap().len() / 3);
    place.runs("1.0.2");
    bench.surefoot(&["commit"]).ok();
    // The slot holds exactly the release: its record and every byte.
    bench.surefoot(&["verify"]).ok();
    // What runs now is not what the delta is made from.
    let said = bench.surefoot(&["install", &place.delta]).refused(65, "DELTA_BASE");
    assert!(said.err.contains("1.0.1") && said.err.contains("full artifact"), "{}", said.err);
    bench.surefoot(&["install", &place.delta, "--dry-run"]).refused(65, "DELTA_BASE");
}

#[test]
fn where_the_base_does_not_run_the_plan_and_the_deed_are_the_full_artifact_beside_it() {
    let place = Place::factory();
    let bench = &place.bench;
    bench.surefoot(&["install", &place.delta, "--dry-run"]).refused(65, "DELTA_BASE");
    place.beside();
    for words in [&["--dry-run"][..], &[]] {
        let said = bench.surefoot(&[&["install", &place.delta, "--json"], words].concat()).ok();
        let told = format!("{}{}", said.out, said.err);
        assert!(told.contains("DELTA_BASE") && told.contains("takes its place"), "{told}");
        assert_eq!(last(&said)["via"], "full", "{}", said.out);
    }
    place.runs("1.0.2");
}

#[test]
fn what_lies_beside_a_delta_must_be_the_release_that_it_makes() {
    let place = Place::factory();
    let bench = &place.bench;
    let other = artifact(bench, "other", &image(5, LEN), "1.0.3");
    std::fs::copy(&other, bench.path("D/to.surefoot")).unwrap();
    for words in [&["--dry-run"][..], &[]] {
        let said = bench.surefoot(&[&["install", &place.delta], words].concat());
        assert!(format!("{}{}", said.out, said.err).contains("OTHER_RELEASE"), "{}", said.err);
        said.refused(65, "DELTA_BASE");
    }
    assert_eq!(bench.status()["state"], "idle");
}

#[test]
fn a_delta_comes_as_a_stream_and_one_that_is_cut_is_a_lost_source() {
    let place = Place::new();
    let bytes = read(&place.delta);
    let cut = &bytes[..bytes.len() - 10];
    let said = place.bench.surefoot_with(&["install", "-"], &[], cut);
    said.refused(69, "SOURCE_LOST");
    place.bench.surefoot_with(&["install", "-"], &[], &bytes).ok();
    place.runs("1.0.2");
}

#[test]
fn on_a_slot_that_has_changed_the_full_artifact_takes_its_place() {
    // In its first bytes, as by a mount: it is seen before anything is written.
    let place = Place::new();
    let other = if place.bench.booted() == "a" { "b" } else { "a" };
    place.change(1024 + 52);
    let target = place.bench.slot_bytes(other);
    place.bench.surefoot(&["install", &place.delta]).refused(65, "DELTA_BASE");
    assert!(place.bench.slot_bytes(other) == target, "nothing was written");
    place.change(1024 + 52);
    // Further back: it is seen when it is used.
    place.change(700_000);
    place.bench.surefoot(&["install", &place.delta]).refused(65, "DELTA_BASE");
    place.beside();
    let said = place.bench.surefoot(&["install", &place.delta]).ok();
    assert!(format!("{}{}", said.out, said.err).contains("takes its place"), "{}", said.err);
    place.runs("1.0.2");
}

/// A web server with the delta, and with the full artifact beside it.
fn serve(place: &Place) -> Server {
    let files =
        [("/x/to.from-1.0.1.delta.surefoot", &place.delta), ("/x/to.surefoot", &place.full)];
    let files = files.map(|(name, path)| (name, File::new(&read(path))));
    Server::new(move |asked, line| match files.iter().find(|(name, _)| asked.target == *name) {
        Some((_, file)) => file.give(asked, line),
        None => missing(line),
    })
}

#[test]
fn over_a_network_a_delta_is_fetched_and_nothing_else() {
    let place = Place::new();
    let server = serve(&place);
    let url = server.url("/x/to.from-1.0.1.delta.surefoot");
    let plan = last(&place.bench.surefoot(&["install", &url, "--dry-run", "--json"]).ok());
    assert_eq!(plan["via"], "delta", "{plan}");
    let number = |name: &str| plan["forecast"][name].as_u64().unwrap();
    let file = std::fs::metadata(&place.delta).unwrap().len();
    assert_eq!((number("fetched") + number("to_fetch"), &plan["fetched"]), (file, &file.into()));
    let text = place.bench.surefoot(&["install", &url, "--dry-run"]).ok().out;
    assert!(text.contains("(via delta)") && text.contains("over the network"), "{text}");
    assert!(!text.contains("to read from the artifact"), "{text}");
    let said = place.bench.surefoot(&["install", &url, "--json"]).ok();
    let first: serde_json::Value =
        serde_json::Deserializer::from_str(&said.out).into_iter().next().unwrap().unwrap();
    assert_eq!((&first["event"], &first["via"]), (&"planned".into(), &"delta".into()));
    let answer = last(&said);
    assert_eq!(answer["via"], "delta", "{answer}");
    let full = std::fs::metadata(&place.full).unwrap().len();
    assert!(answer["fetched"].as_u64().unwrap() < full / 2, "{answer}");
    assert!(server.asked().iter().all(|asked| asked.target.ends_with(".delta.surefoot")));
    place.runs("1.0.2");
}

#[test]
fn over_a_network_the_full_artifact_takes_its_place() {
    let place = Place::new();
    let server = serve(&place);
    place.change(700_000);
    let url = server.url("/x/to.from-1.0.1.delta.surefoot");
    let said = place.bench.surefoot(&["install", &url]).ok();
    let text = format!("{}{}", said.out, said.err);
    assert!(text.contains("to.surefoot takes its place"), "{text}");
    assert!(server.asked().iter().any(|asked| asked.target == "/x/to.surefoot"));
    place.runs("1.0.2");
    // Where there is none, the delta is what is refused.
    place.bench.surefoot(&["commit"]).ok();
    let alone = File::new(&read(&place.delta));
    let server = Server::new(move |asked, line| match asked.target.ends_with(".delta.surefoot") {
        true => alone.give(asked, line),
        false => missing(line),
    });
    let url = server.url("/to.from-1.0.1.delta.surefoot");
    place.bench.surefoot(&["install", &url]).refused(65, "DELTA_BASE");
}

#[test]
fn a_damaged_delta_is_refused_before_anything_is_written() {
    let place = Place::new();
    let bench = &place.bench;
    let before = bench.firm_ground();
    let other = if bench.booted() == "a" { "b" } else { "a" };
    let target = bench.slot_bytes(other);
    let good = read(&place.delta);
    let bad = bench.path("bad.surefoot");
    let try_it = |bytes: &[u8], code: &str| {
        std::fs::write(&bad, bytes).unwrap();
        bench.surefoot(&["install", &bad]).refused(65, code);
        assert!(bench.firm_ground() == before);
        assert!(bench.slot_bytes(other) == target);
    };
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    try_it(&flipped, "CHUNK_CORRUPT");
    try_it(&good[..last], "TRUNCATED");
    try_it(&[&good[..], b"x"].concat(), "TRAILING_BYTES");
}

#[test]
fn what_a_cut_has_left_is_gone_on_with() {
    let place = Place::new();
    let bench = &place.bench;
    // The plug is pulled at one write after the other, again and again.
    let mut cut = 0;
    loop {
        let plug = format!("{cut}:700");
        let said =
            bench.surefoot_with(&["install", &place.delta], &[("SUREFOOT_SIM_CUT", &plug)], b"");
        if said.code == 0 {
            break;
        }
        assert_eq!(said.code, 99, "cut {cut}: {}", said.err);
        let slot = bench.reboot(&[]);
        assert_eq!(bench.status()["slots"][&slot]["version"], "1.0.1", "cut {cut}");
        cut += 2;
    }
    assert!(cut > 10, "{cut}");
    place.runs("1.0.2");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["verify"]).ok();
}
