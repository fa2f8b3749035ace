//! An update from far away: what the slot that runs has is copied, what it has not is fetched, and a slot that
//! is not what its record says costs bytes and nothing else. Names such as D01 are those of the project's
//! hostile corpus.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{self, Bench, forge, image};
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use surefoot::config::{Where, load};
use surefoot::device::{Answer, Installation, Installed, World, install};
use surefoot::event::{Event, Nowhere, Sink, Via};
use surefoot::model::{Failure, ReasonCode, Result};
use surefoot::source::{Fetch, Source};
use surefoot::update::{Allowed, Order, Then};

/// An artifact far away. `in_order`: whether it reads ahead.
struct Far {
    bytes: Vec<u8>,
    received: AtomicU64,
    in_order: bool,
    /// Where the connection is lost, in bytes received.
    ends: u64,
}

impl Far {
    fn new(artifact: &str, in_order: bool) -> Arc<Far> {
        Far::ending(artifact, in_order, u64::MAX)
    }

    fn ending(artifact: &str, in_order: bool, ends: u64) -> Arc<Far> {
        Arc::new(Far { bytes: common::read(artifact), received: 0.into(), in_order, ends })
    }
}

impl Fetch for Far {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let lost = || Failure::new(ReasonCode::SourceLost, "the connection is lost");
        let before = self.received.fetch_add(buf.len() as u64, Ordering::Relaxed);
        if before + buf.len() as u64 > self.ends {
            return Err(lost());
        }
        let at = usize::try_from(offset).unwrap();
        buf.copy_from_slice(self.bytes.get(at..at + buf.len()).ok_or_else(lost)?);
        Ok(())
    }
    fn is_dear(&self) -> bool {
        true
    }
    fn in_order(&self, ranges: &[Range<u64>]) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let reader = InOrder { far: self, ranges: ranges.to_vec() };
        Ok(self.in_order.then(|| Box::new(reader) as _))
    }
    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

struct InOrder<'a> {
    far: &'a Far,
    ranges: Vec<Range<u64>>,
}

impl Read for InOrder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.ranges.retain(|range| !range.is_empty());
        let Some(range) = self.ranges.first_mut() else { return Ok(0) };
        let len = buf.len().min(usize::try_from(range.end - range.start).unwrap());
        self.far.read_at(range.start, &mut buf[..len]).map_err(std::io::Error::other)?;
        range.start += len as u64;
        Ok(len)
    }
}

/// The image that runs, and the one that comes: 30 KiB more near its begin, so that everything behind moves,
/// and 100 KB of it new.
pub(crate) const LEN: usize = 2_800_000;

pub(crate) fn old() -> Vec<u8> {
    image(3, LEN)
}

pub(crate) fn new() -> Vec<u8> {
    let mut image = old();
    image[2_000_000..2_100_000].copy_from_slice(&common::image(91, 300_000)[100_000..200_000]);
    image.splice(700_001..700_001, common::image(92, 300_000)[70_000..100_720].iter().copied());
    image.truncate(LEN);
    image
}

/// A signed artifact of this image.
pub(crate) fn build(bench: &Bench, version: &str, image: &[u8], more: &[&str]) -> String {
    let [img, out] = ["img", "surefoot"].map(|kind| bench.path(&format!("{version}.{kind}")));
    std::fs::write(&img, image).unwrap();
    let key = bench.path("KEYS/release.key");
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
        "--key",
        &key,
    ];
    let names = ["--product", "demo", "--compatible", "demo-board", "--version", version];
    let chunks = ["--chunk-size", "16K"];
    forge(&[&words[..], &names, &chunks, more].concat()).ok();
    out
}

/// A device that runs 1.5.0 from slot B, with its record there.
pub(crate) fn running(bench: &Bench, artifact: &str) {
    bench.surefoot(&["install", artifact]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
}

fn world(bench: &Bench) -> World {
    let place = Where::File(PathBuf::from(bench.path("DEV/surefoot.toml")));
    World::open(load(&place).unwrap().settings).unwrap()
}

fn ask(dry_run: bool) -> Installation {
    Installation {
        apps: None,
        then: Then::Switch,
        allowed: Allowed::default(),
        order: Order::default(),
        hold_ok: false,
        anew: false,
        only: None,
        expected: None,
        url: None,
        full: None,
        dry_run,
    }
}

fn bring(bench: &Bench, far: &Arc<Far>, sink: &dyn Sink) -> Result<Answer> {
    match install(&world(bench), Source::Ranges(Arc::clone(far) as _), ask(false), sink)? {
        Installed::Done(answer) => Ok(answer),
        other => panic!("nothing was written: {other:?}"),
    }
}

/// Slot A holds the image, boots and matches its record.
#[track_caller]
fn holds_and_boots(bench: &Bench, image: &[u8]) {
    assert!(bench.slot_bytes("a")[..image.len()] == *image, "slot a does not hold the image");
    assert_eq!(bench.reboot(&[]), "a");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["verify", "a"]).ok();
}

struct Told(Mutex<Vec<Event>>);

impl Sink for Told {
    fn emit(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

#[test]
fn what_the_running_slot_has_is_copied_and_the_plan_says_so_first() {
    let bench = Bench::new();
    running(&bench, &build(&bench, "1.5.0", &old(), &[]));
    let artifact = build(&bench, "2.0.0", &new(), &[]);
    let whole = std::fs::metadata(&artifact).unwrap().len();
    let disk = common::read(&bench.path("DEV/disk.img"));
    for in_order in [true, false] {
        std::fs::write(bench.path("DEV/disk.img"), &disk).unwrap();
        let far = Far::new(&artifact, in_order);
        let source = Source::Ranges(Arc::clone(&far) as _);
        let planned = install(&world(&bench), source, ask(true), &Nowhere).unwrap();
        let Installed::Plan { forecast: Some(plan), cost, .. } = planned else { panic!() };
        assert_eq!(plan.stands + plan.copied + plan.zeros + plan.fetch, LEN as u64);
        assert_eq!((plan.fetched, cost.via), (far.received(), Via::Adaptive));
        assert!(plan.copied > plan.fetch && plan.to_fetch < whole / 3, "{plan:?} of {whole}");
        assert!(common::read(&bench.path("DEV/disk.img")) == disk, "a dry run touches nothing");

        let (far, told) = (Far::new(&artifact, in_order), Told(Mutex::default()));
        let answer = bring(&bench, &far, &told).unwrap();
        let (done, report) = (answer.cost.unwrap(), answer.report.unwrap());
        assert_eq!((done.fetched, done.via), (far.received(), Via::Adaptive));
        assert_eq!(done, cost, "the plan was right");
        assert_eq!(done.fetched, plan.fetched + report.fetched, "nothing came twice");
        assert_eq!((report.copied, report.fetched), (plan.copied, plan.to_fetch));
        let told = told.0.into_inner().unwrap();
        let place = |wanted: fn(&Event) -> bool| told.iter().position(wanted).unwrap();
        let planned = place(|e| matches!(e, Event::Planned { .. }));
        let ended = place(|e| matches!(e, Event::PhaseEnded { moved: Some(_), .. }));
        assert!(planned < ended);
        let Event::PhaseEnded { moved: Some(moved), .. } = &told[ended] else { panic!() };
        assert_eq!((moved.fetched, moved.reused), (done.fetched, done.reused));
        if in_order {
            bench.surefoot(&["rollback"]).ok();
        }
    }
    holds_and_boots(&bench, &new());
}

/// D01: the record of the slot that runs says what does not stand there any more. In one block, in many, in
/// all of them.
#[test]
fn d01_a_running_slot_that_changed_under_its_record_costs_bytes_and_ends_right() {
    let bench = Bench::new();
    running(&bench, &build(&bench, "1.5.0", &old(), &[]));
    let artifact = build(&bench, "2.0.0", &new(), &[]);
    let head = 4096 + common::read(&artifact).len() as u64 / 50;
    let stored = common::read(&artifact).len() as u64;
    let (at, disk) = (bench.slot_offset("b"), common::read(&bench.path("DEV/disk.img")));
    let kept = bench.path("STATE");
    common::run("cp", &["-a", &bench.path("DEV/state"), &kept], &[], b"").ok();
    let mut before = 0;
    for (step, in_order) in [(LEN, true), (200_000, true), (200_000, false), (4096, true)] {
        std::fs::write(bench.path("DEV/disk.img"), &disk).unwrap();
        common::run("cp", &["-aT", &kept, &bench.path("DEV/state")], &[], b"").ok();
        for place in (900_000..LEN + 900_000).step_by(step).map(|place| place % LEN) {
            bench.patch_disk(at + place.max(4096), b"another byte");
        }
        let far = Far::new(&artifact, in_order);
        let cost = bring(&bench, &far, &Nowhere).unwrap().cost.unwrap();
        assert!(bench.slot_bytes("a")[..LEN] == new()[..], "every {step}");
        assert!(cost.fetched >= before, "every {step}: {cost:?}, {before} before");
        assert!(far.received() <= stored + head, "{} of {stored}", far.received());
        before = cost.fetched;
    }
    assert!(before * 10 > stored * 8, "at last everything is fetched: {before} of {stored}");
    holds_and_boots(&bench, &new());
}

#[test]
fn a_running_slot_without_a_record_or_without_its_chunks_has_nothing_to_copy() {
    let bench = Bench::new();
    let artifact = build(&bench, "2.0.0", &new(), &[]);
    let far = Far::new(&artifact, true);
    // The factory's image has no record.
    let report = bring(&bench, &far, &Nowhere).unwrap().report.unwrap();
    assert_eq!((report.copied, report.kept), (0, 0));
    assert!(bench.slot_bytes("b")[..LEN] == new()[..]);
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    // A record that is damaged is no record.
    let len = 4 << 20;
    bench.patch_disk(bench.slot_offset("b") + len - (1 << 20) + 5000, b"another byte");
    let far = Far::new(&build(&bench, "3.0.0", &old(), &[]), true);
    let report = bring(&bench, &far, &Nowhere).unwrap().report.unwrap();
    assert_eq!((report.copied, report.kept), (0, 0));
    holds_and_boots(&bench, &old());
}

#[test]
fn a_connection_that_is_lost_is_gone_on_with_and_what_stands_is_not_fetched_again() {
    let bench = Bench::new();
    running(&bench, &build(&bench, "1.5.0", &old(), &[]));
    // Nothing of it is near.
    let image = image(77, LEN);
    let artifact = build(&bench, "2.0.0", &image, &[]);
    let stored = common::read(&artifact).len() as u64;
    let lost = bring(&bench, &Far::ending(&artifact, true, stored * 9 / 10), &Nowhere);
    assert_eq!(lost.unwrap_err().code(), ReasonCode::SourceLost);
    assert_eq!(bench.reboot(&[]), "b");
    let far = Far::new(&artifact, true);
    let answer = bring(&bench, &far, &Nowhere).unwrap();
    let (cost, report) = (answer.cost.unwrap(), answer.report.unwrap());
    assert!(report.kept > 0 && cost.fetched < stored, "{cost:?} of {stored}");
    holds_and_boots(&bench, &image);
}

#[test]
fn a_slot_of_two_parts_is_copied_part_by_part() {
    let bench = Bench::with(&["--boot-part=3M"]);
    let [boot, other] = [5, 6].map(|seed| {
        let path = bench.path(&format!("boot-{seed}.img"));
        std::fs::write(&path, image(seed, 600 << 10)).unwrap();
        format!("boot={path}")
    });
    running(&bench, &build(&bench, "1.5.0", &old(), &["--part", &boot]));
    // The same boot part, another root; then the other way round.
    let same = build(&bench, "2.0.0", &new(), &["--part", &boot]);
    let whole = common::read(&same).len() as u64;
    let far = Far::new(&same, true);
    let report = bring(&bench, &far, &Nowhere).unwrap().report.unwrap();
    assert!(report.copied > 0 && far.received() < whole / 3, "{report:?} of {whole}");
    holds_and_boots(&bench, &new());
    let changed = build(&bench, "3.0.0", &new(), &["--part", &other]);
    let far = Far::new(&changed, true);
    let report = bring(&bench, &far, &Nowhere).unwrap().report.unwrap();
    assert!(report.copied + report.kept > LEN as u64 / 2, "{report:?}");
    assert!(bench.slot_bytes("b")[..LEN] == new()[..]);
    assert_eq!(bench.reboot(&[]), "b");
}
