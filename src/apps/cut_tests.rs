//! The power goes: at each call of the engine, and at each durable write, while apps are installed, updated, and taken
//! back. The engine loses what was not synced, or keeps torn pieces of it. What is in memory is gone. Afterwards the
//! device comes to rest by itself, with the old or the new set whole, and with data that its release can read.

#![allow(clippy::unwrap_used)]

use super::fixture::{App, Bench, Memory, name};
use super::life_tests::{engine, install, saved, settle, shop};
use super::plan::Documents;
use super::*;
use crate::engine::fake::{FakeEngine, FakeLoss};
use crate::engine::{
    Container, ContainerSpec, ContainerState, Engine, EngineInfo, Execution, ImageToLoad,
    LayerSource, Logs, StoredImage, labels,
};
use crate::model::{Digest, ReasonCode, Result};
use crate::sys::power::cut_at_write;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// What a thread leaves with when the engine has no power.
struct Gone;

/// The fake engine, with a database that migrates its data at its start, and with an eye on what must never be.
struct Shadow {
    inner: FakeEngine,
    specs: Mutex<BTreeMap<String, ContainerSpec>>,
    faults: Mutex<Vec<String>>,
    /// The release whose web is never well.
    sick: Option<Digest>,
    rows: PathBuf,
}

impl Shadow {
    fn new(bench: &Bench) -> Shadow {
        let rows = bench.data().join("shop/volumes/rows/rows");
        Shadow {
            inner: engine(),
            specs: Mutex::default(),
            faults: Mutex::default(),
            sick: None,
            rows,
        }
    }

    fn after<T>(&self, done: Result<T>) -> Result<T> {
        if self.inner.world().cut {
            resume_unwind(Box::new(Gone));
        }
        done
    }

    fn fault(&self, what: String) {
        self.faults.lock().unwrap().push(what);
    }

    fn schema(&self) -> Option<u32> {
        std::fs::read_to_string(&self.rows).ok()?.parse().ok()
    }

    /// What a service does with its data when it starts.
    fn starts(&self, container: &str) {
        let specs = self.specs.lock().unwrap();
        let Some(spec) = specs.get(container) else { return };
        let service = spec.labels.get(labels::SERVICE);
        for other in self.inner.running() {
            let same = specs.get(&other).is_some_and(|o| o.labels.get(labels::SERVICE) == service);
            if other != container && same {
                self.fault(format!("{other} runs while {container} is started"));
            }
        }
        let own = spec.environment.iter().find_map(|e| e.strip_prefix("SCHEMA=")?.parse().ok());
        let Some(own): Option<u32> = own else { return };
        if self.schema().is_some_and(|there| there > own) {
            self.fault(format!("{container} reads data of schema {:?}", self.schema()));
        }
        std::fs::write(&self.rows, own.to_string()).unwrap();
    }
}

impl Engine for Shadow {
    fn info(&self) -> Result<EngineInfo> {
        self.after(self.inner.info())
    }
    fn images(&self) -> Result<Vec<StoredImage>> {
        self.after(self.inner.images())
    }
    fn load(&self, image: &ImageToLoad<'_>, layers: &mut dyn LayerSource) -> Result<()> {
        self.after(self.inner.load(image, layers))
    }
    fn scrub(&self, image: &Digest) -> Result<()> {
        self.after(self.inner.scrub(image))
    }
    fn remove_image(&self, image: &Digest) -> Result<()> {
        self.after(self.inner.remove_image(image))
    }
    fn sync(&self) -> Result<()> {
        self.after(self.inner.sync())
    }
    fn containers(&self) -> Result<Vec<Container>> {
        self.after(self.inner.containers())
    }
    fn create(&self, spec: &ContainerSpec) -> Result<()> {
        self.specs.lock().unwrap().insert(spec.name.clone(), spec.clone());
        self.after(self.inner.create(spec))
    }
    fn start(&self, name: &str) -> Result<()> {
        let before = self.inner.deeds().len();
        let done = self.inner.start(name);
        if self.inner.deeds().len() > before {
            self.starts(name);
        }
        self.after(done)
    }
    fn stop(&self, name: &str, grace: Duration) -> Result<()> {
        self.after(self.inner.stop(name, grace))
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.after(self.inner.remove(name))
    }
    fn exec(&self, name: &str, command: &[String], timeout: Duration) -> Result<Execution> {
        let done = self.after(self.inner.exec(name, command, timeout))?;
        let specs = self.specs.lock().unwrap();
        let label = |key: &str| specs.get(name).and_then(|spec| spec.labels.get(key)).cloned();
        let sick = self.sick.is_some_and(|of| label(labels::RELEASE) == Some(of.to_string()));
        match sick && label(labels::SERVICE).as_deref() == Some("web") {
            true => Ok(Execution { status: Some(1), output: "no answer".to_owned() }),
            false => Ok(done),
        }
    }
    fn logs(&self, name: &str, want: &Logs, line: &mut dyn FnMut(&[u8]) -> bool) -> Result<()> {
        self.after(self.inner.logs(name, want, line))
    }
    fn make_network(&self, app: &str) -> Result<()> {
        self.after(self.inner.make_network(app))
    }
    fn remove_network(&self, app: &str) -> Result<()> {
        self.after(self.inner.remove_network(app))
    }
}

/// A release whose database writes this schema, and that no older one can read.
fn release(web: &str, schema: u32) -> App {
    shop(web).but(|document| {
        let volume = document.volumes.get_mut(&name("rows")).unwrap();
        (volume.schema, volume.readable_by) = (schema, schema);
        let db = document.services.get_mut(&name("db")).unwrap();
        db.environment.insert("SCHEMA".to_owned(), schema.to_string());
    })
}

/// What is done, from which release on, and which releases may run in the end.
struct Story {
    what: &'static str,
    before: Option<u64>,
    /// The web of the release that comes is never well.
    fails: bool,
}

const STORIES: [Story; 3] = [
    Story { what: "an installation", before: None, fails: false },
    Story { what: "an update", before: Some(1), fails: false },
    Story { what: "an update that fails", before: Some(1), fails: true },
];

#[derive(Debug, Clone, Copy)]
enum Cut {
    Call { at: u64, after: bool, loss: FakeLoss },
    Write { at: u64 },
}

/// Plays a story with a cut, and judges where the device comes to rest. False where the cut came after the end.
fn play(story: &Story, bundles: &[Vec<u8>; 2], cut: Cut) -> bool {
    let bench = Bench::new();
    let mut shadow = Shadow::new(&bench);
    if story.before.is_some() {
        install(&bench, &shadow, &mut Supervisor::default(), &[&bundles[0]]).unwrap();
    }
    if story.fails {
        let coming = read_bundle(&bench.trust, &Memory::new(bundles[1].clone())).unwrap();
        shadow.sick = Some(coming.digest());
    }
    let work = || install(&bench, &shadow, &mut Supervisor::default(), &[&bundles[1]]).map(drop);
    let landed = match cut {
        Cut::Write { at } => cut_at_write(at, 1, work).is_none(),
        Cut::Call { at, after, loss } => {
            let now = shadow.inner.calls();
            shadow.inner.plan(|plan| {
                (plan.cut_at, plan.cut_after, plan.loss) = (Some(now + at), after, loss);
            });
            match catch_unwind(AssertUnwindSafe(work)) {
                Ok(_) => false,
                Err(why) if why.is::<Gone>() => true,
                Err(why) => resume_unwind(why),
            }
        }
    };
    if landed {
        bench.reboot();
        shadow.inner.power_cut();
    }
    shadow.inner.plan(|plan| plan.cut_at = None);
    let mut watch = Supervisor::default();
    let told = format!("{} with {cut:?}", story.what);
    settle(&bench, &shadow, &mut watch).unwrap_or_else(|f| panic!("{told}: {f}"));
    judge(&bench, &shadow, &mut watch, story.before, story, &told);
    // What was begun is asked for again, and comes to its end.
    match install(&bench, &shadow, &mut watch, &[&bundles[1]]) {
        Ok(_) => {}
        Err(failure) if story.fails && failure.code() == ReasonCode::RolledBackBefore => {}
        Err(failure) => panic!("{told}, again: {failure}"),
    }
    let end = if story.fails { story.before } else { Some(2) };
    judge(&bench, &shadow, &mut watch, end, story, &told);
    landed
}

/// Whether the device rests with the release that runs at least, or with the one that comes, and all of it is well.
fn judge(
    bench: &Bench,
    shadow: &Shadow,
    watch: &mut Supervisor,
    least: Option<u64>,
    story: &Story,
    told: &str,
) {
    let ctx = bench.ctx_with(Some(shadow));
    let mut journal;
    let due = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        settle(bench, shadow, watch).unwrap_or_else(|f| panic!("{told}: {f}"));
        journal = saved(bench);
        watch.turn(&ctx, &mut journal).unwrap_or_else(|f| panic!("{told}: {f}"));
        let status = apps_status(&ctx, &journal, Some(watch));
        if status.apps.iter().all(|app| app.state == AppState::Running) {
            break;
        }
        assert!(std::time::Instant::now() < due, "{told}: it never runs: {status:?}");
    }
    // What was only begun to be brought in waits for its bundle.
    let rests =
        matches!(journal.phase, AppPhase::Idle | AppPhase::Staging(_) | AppPhase::Staged(_));
    assert!(rests, "{told}: {:?}", journal.phase);
    assert_eq!(journal.live, journal.set_of(ctx.booted), "{told}");
    let runs = journal.live.get(&name("shop"));
    let counter = runs.map(|g| g.release_counter);
    let may = [least, if story.fails { story.before } else { Some(2) }];
    assert!(may.contains(&counter), "{told}: {counter:?} runs");
    let mut expected = Vec::new();
    if let Some(generation) = runs {
        let plan = Documents::default().plan(&ctx, &name("shop"), generation, &journal.ports);
        let units = plan.unwrap().units.into_iter();
        let once = |s: &crate::bundle::ServiceName| s.as_str() == "init";
        expected = units.filter(|u| !once(&u.service)).map(|u| u.spec.name).collect();
    }
    expected.sort();
    assert_eq!(shadow.inner.running(), expected, "{told}");
    if let Some(counter) = counter {
        assert_eq!(shadow.schema().map(u64::from), Some(counter), "{told}: the data");
    }
    let faults = shadow.faults.lock().unwrap().clone();
    assert_eq!((faults, shadow.inner.complaints()), (Vec::new(), Vec::new()), "{told}");
    let world = shadow.inner.world();
    assert!(world.now.containers.values().all(|c| c.state != ContainerState::Created), "{told}");
}

/// Every fourth cut in an ordinary run, each time with others left out for each story; all with `SUREFOOT_DEEP`.
fn stride() -> u64 {
    if std::env::var_os("SUREFOOT_DEEP").is_some() { 1 } else { 4 }
}

fn bundles() -> [Vec<u8>; 2] {
    let bench = Bench::new();
    [bench.bundle(&release("one", 1), 1), bench.bundle(&release("two", 2), 2)]
}

#[test]
fn a_power_cut_at_any_call_of_the_engine_leaves_the_old_or_the_new_set_whole() {
    let bundles = bundles();
    let losses = [FakeLoss::Gone, FakeLoss::Torn, FakeLoss::Kept];
    for (n, story) in (0..).zip(&STORIES) {
        let mut at = 1 + n % stride();
        loop {
            let loss = losses[usize::try_from((at / stride()) % 3).unwrap()];
            let cut = Cut::Call { at, after: (at / stride() / 3) % 2 == 1, loss };
            if !play(story, &bundles, cut) {
                break;
            }
            at += stride();
        }
        assert!(at > 20, "{}: {at} calls", story.what);
    }
}

#[test]
fn a_power_cut_at_any_durable_write_leaves_the_old_or_the_new_set_whole() {
    let bundles = bundles();
    for (n, story) in (0..).zip(&STORIES) {
        let mut at = n % stride();
        while play(story, &bundles, Cut::Write { at }) {
            at += stride();
        }
        assert!(at > 20, "{}: {at} writes", story.what);
    }
}
