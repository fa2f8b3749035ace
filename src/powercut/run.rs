//! A whole run: tell each story once, then cut it everywhere.

use super::broken;
use super::folder::Folder;
use super::image::{Certain, Left};
use super::judge::{Bench, How, copy_settings};
use super::pages::{Base, Pages};
use super::plan::Cuts;
use super::record::{Recorded, Stage, record};
use super::report::{Report, Violation};
use super::rom::Rom;
use super::story::{Brings, Story, stories};
use super::system::Image;
use super::way::Way;
use super::work::{Case, Desk};
use crate::artifact::read_head;
use crate::device;
use crate::event::Nowhere;
use crate::inspect;
use crate::model::{Failure, ReasonCode, Result, SlotId, State, WithReason};
use crate::source::{LocalFile, Sequential, Source};
use crate::sys::signals;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Instant;

/// How often chance may come up with an image that was there already, per image asked for.
const PATIENCE: usize = 40;

/// What is to be done.
pub struct Order<'a> {
    /// The device's folder. It is read, never changed.
    pub device: &'a Path,
    /// The update.
    pub artifact: &'a Path,
    /// The update after it; without one it is the same again.
    pub next: Option<&'a Path>,
    /// Releases that must never be taken after a newer one. With them something is lost in stories of
    /// their own: a record, the state folder, and with `trust` the keys.
    pub older: &'a [PathBuf],
    /// What brings the update in stories of their own: its URL, a delta, a delta's URL.
    pub ways: &'a [String],
    /// The trust file after a change of keys.
    pub trust: Option<&'a Path>,
    /// The `surefoot` whose writes are recorded.
    pub program: &'a Path,
    /// How many images at least, together.
    pub images: u64,
    /// How many images at least in each phase.
    pub per_phase: u64,
    /// Chance.
    pub seed: u64,
    /// Workers.
    pub jobs: usize,
    /// Where failing devices are kept.
    pub keep: &'a Path,
    /// Only stories whose name contains this.
    pub only: Option<&'a str>,
    /// End at the first violation.
    pub stop_at_first: bool,
    /// Every how many images all boots are the judging ROM's.
    pub wholly_every: u64,
    /// Boots the first time; records; judges.
    pub rom: &'a dyn Rom,
    /// Boots in between.
    pub quick: &'a dyn Rom,
}

/// Told now and then: images judged, images expected, violations.
pub type Progress<'a> = &'a (dyn Fn(u64, u64, usize) + Sync);

/// Does it. An error is one of the run, not a violation.
pub fn run(order: &Order<'_>, progress: Progress<'_>) -> Result<Report> {
    let started = Instant::now();
    // A device that is judged carries the work that a signal ends: that would look like a violation.
    signals::heed_for_ever();
    is_ready(order)?;
    let scratch = Scratch::new()?;
    let new = image(order.device, order.artifact)?;
    let next = order.next.map_or(Ok(new.clone()), |path| image(order.device, path))?;
    let older: Vec<Image> =
        order.older.iter().map(|path| image(order.device, path)).collect::<Result<_>>()?;
    let ways: Vec<Way> = order.ways.iter().map(|word| Way::of(word)).collect::<Result<_>>()?;
    let device = Folder::open(order.device)?;
    ways.iter().try_for_each(|way| way.install(order.program, &device, &["--dry-run"]))?;
    let (told, wrong) = tell(order, &scratch, (&new, &ways), &older)?;
    let plan = Plan::new(&told, order);
    let bench = Bench {
        next: &next,
        program: order.program,
        older: &older,
        counter: counter(order.device)?,
        rom: order.rom,
        quick: order.quick,
        known: Mutex::default(),
    };
    let first = Report { v: 1, rom: order.rom.name(), violations: wrong, ..Report::default() };
    let desk = Desk {
        bench: &bench,
        report: Mutex::new(first),
        seen: Mutex::default(),
        keep: order.keep,
        device: order.device,
        stop_at_first: order.stop_at_first,
    };
    let (sender, cases) = sync_channel(2 * order.jobs);
    let cases = Mutex::new(cases);
    std::thread::scope(|scope| {
        let worker = |n: usize| {
            let (desk, cases, folder) = (&desk, &cases, scratch.path.join(format!("worker-{n}")));
            // The interpreter of boot scripts wants the whole stack.
            let started = Builder::new().spawn_scoped(scope, move || desk.work(&folder, cases));
            started.reason(ReasonCode::NoMemory, "a thread could not be started")
        };
        let workers = (0..order.jobs).map(worker).collect::<Result<Vec<_>>>()?;
        let cutter = Cutter {
            order,
            plan: &plan,
            desk: &desk,
            progress,
            number: AtomicU64::new(0),
            met: RefCell::default(),
        };
        for story in &told {
            cutter.cut(story, &sender);
        }
        drop(sender);
        workers
            .into_iter()
            .try_for_each(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    if let Some(signal) = signals::told() {
        return Err(Failure::new(ReasonCode::Interrupted, format!("ended by {signal}")));
    }
    let mut report = desk.report.into_inner().unwrap_or_else(|e| e.into_inner());
    report.deeds = plan.deeds;
    report.seconds = started.elapsed().as_secs();
    Ok(report)
}

/// The stories begin on a device at rest that would take the update: said before anything is made.
fn is_ready(order: &Order<'_>) -> Result<()> {
    let world = Folder::open(order.device)?.open_world()?;
    let state = inspect::status(&world)?.state;
    if !matches!(state, State::Idle | State::Updated | State::RolledBack | State::Failed) {
        let text = format!("{} is {state}: settle it first", order.device.display());
        return Err(Failure::new(ReasonCode::TrialPending, text));
    }
    device::judge(&world, Source::open(order.artifact)?, &Nowhere).map(|_| ())
}

/// Plays every story once. One that does not go as it must without any cut is a violation already.
fn tell(
    order: &Order<'_>,
    scratch: &Scratch,
    (new, ways): (&Image, &[Way]),
    older: &[Image],
) -> Result<(Vec<Recorded>, Vec<Violation>)> {
    let runs = counter(order.device)?;
    let between = older.iter().filter(|image| image.counter > runs).max_by_key(|i| i.counter);
    let device = Folder::open(order.device)?;
    let base = Pages::new(Base::read(&device.disk())?);
    let start = Left { disk: base, files: device.files()? };
    let trust = device.trust()?;
    let wanted = |s: &Story| {
        order.only.is_none_or(|word| s.name.contains(word))
            && (!older.is_empty() || !s.asks_for_the_order())
            && (order.trust.is_some() || !s.changes_keys())
            && (between.is_some() || s.brings == Brings::Artifact)
    };
    let stories = stories(ways).into_iter().filter(wanted).enumerate();
    let tell = |(n, story): (usize, Story)| {
        let path = scratch.path.join(format!("story-{n}"));
        copy_settings(order.device, &path)?;
        let folder = Folder::open(&path)?;
        let running = device.open_world()?.booted()?;
        folder.runs(running, false)?;
        Bench::put_down(&start, &trust, &folder)?;
        let artifact = match story.brings {
            Brings::Artifact => new,
            Brings::Between => between.unwrap_or(new),
        };
        let way = story.way.as_ref();
        let (program, trust, rom) = (order.program, order.trust, order.rom);
        let stage = Stage { program, artifact, way, trust, rom };
        Ok((story.name, record(&stage, &folder, &story)))
    };
    let (mut told, mut wrong) = (Vec::new(), Vec::new());
    for one in stories.map(tell) {
        match one? {
            (_, Ok(story)) => told.push(story),
            (story, Err(f)) if f.code() == ReasonCode::Internal => {
                wrong.push(Violation::without_a_cut(story, f.detail()));
            }
            (name, Err(failure)) => return Err(failure.at(format!("telling {name}"))),
        }
    }
    let whole: Vec<_> = told.iter().flat_map(|story| story.whole.clone()).collect();
    told.iter_mut().for_each(|story| story.whole.clone_from(&whole));
    Ok((told, wrong))
}

/// How many images each deed gets.
struct Plan {
    deeds: u64,
    ops: BTreeMap<&'static str, u64>,
    target: u64,
}

impl Plan {
    fn new(told: &[Recorded], order: &Order<'_>) -> Plan {
        let mut ops: BTreeMap<&'static str, u64> = BTreeMap::new();
        for story in told {
            for op in story.history.ops.iter().filter(|op| op.begin >= story.from) {
                *ops.entry(op.phase).or_default() += 1;
            }
        }
        let phases = u64::try_from(ops.len().max(1)).unwrap_or(1);
        let target = order.per_phase.max(order.images.div_ceil(phases));
        Plan { deeds: ops.values().sum(), ops, target }
    }

    /// How many images the deeds of a phase get, up to and with the `nth`: the same number each, or
    /// none for some where there are more deeds than images.
    fn up_to(&self, phase: &str, nth: u64) -> u64 {
        let ops = self.ops.get(phase).copied().unwrap_or(1).max(1);
        (self.target.max(1) * nth).div_ceil(ops)
    }

    fn total(&self) -> u64 {
        self.ops.iter().map(|(phase, ops)| self.up_to(phase, *ops)).sum()
    }
}

/// Makes the cases.
struct Cutter<'a> {
    order: &'a Order<'a>,
    plan: &'a Plan,
    desk: &'a Desk<'a>,
    progress: Progress<'a>,
    number: AtomicU64,
    /// How many deeds of each phase there were so far, in all stories.
    met: RefCell<HashMap<&'static str, u64>>,
}

impl Cutter<'_> {
    fn cut<'s>(&self, story: &'s Recorded, sender: &SyncSender<Case<'s>>) {
        let history = &story.history;
        let mut certain = Certain::new(Pages::new(story.base.clone()));
        // What one deed could not use, the next of its phase gets.
        let mut owed: HashMap<&str, u64> = HashMap::new();
        for (op, deed) in history.ops.iter().enumerate().filter(|(_, o)| o.begin >= story.from) {
            let boot = story.boots.iter().find(|b| b.moment == deed.begin);
            if let Some(boot) = boot.filter(|_| self.order.rom.can_be_cut()) {
                certain.go_on(history, deed.begin);
                self.inside(story, &certain, boot.phase, sender);
            }
            certain.go_on(history, deed.begin + 1);
            let unit = matches!(deed.deed, super::deed::Deed::Disk { .. });
            let quota = self.quota(deed.phase) + owed.remove(deed.phase).unwrap_or(0);
            let (mut made, mut tries) = (0, 0);
            for choice in Cuts::new(history, op, unit, self.order.seed) {
                if made >= quota || tries > super::small(quota) * PATIENCE || self.desk.enough() {
                    break;
                }
                tries += 1;
                let left = certain.image(history, &story.map, &choice);
                if !self.desk.is_new(left.mark()) {
                    continue;
                }
                made += 1;
                let kind = choice.kind(op);
                let garbled = choice.garbles(op) && story.map.in_slot(&deed.deed);
                self.send(
                    story,
                    left,
                    (deed.phase, kind),
                    deed.told.clone(),
                    garbled,
                    None,
                    sender,
                );
            }
            if made < quota {
                owed.insert(deed.phase, quota - made);
            }
        }
    }

    /// The images of the next deed of this phase.
    fn quota(&self, phase: &'static str) -> u64 {
        let mut met = self.met.borrow_mut();
        let nth = met.entry(phase).or_default();
        *nth += 1;
        self.plan.up_to(phase, *nth) - self.plan.up_to(phase, *nth - 1)
    }

    /// The same boot again, with the power going inside U-Boot itself.
    fn inside<'s>(
        &self,
        story: &'s Recorded,
        certain: &Certain,
        phase: &'static str,
        sender: &SyncSender<Case<'s>>,
    ) {
        let nothing = super::choice::Choice::default();
        let left = certain.image(&story.history, &story.map, &nothing);
        // A boot stores the environment once or twice, 32 sectors each; its text is in the first.
        for sectors in [0, 1, 2, 3, 4, 16, 31, 32, 33, 34, 35, 40, 63] {
            for bytes in [0, 1, 4, 5, 6, 100, 300, 511] {
                let deed = format!("U-Boot, {sectors} sectors and {bytes} bytes in");
                let kind = ("cut inside U-Boot", Some((sectors, bytes)));
                self.send(story, left.clone(), (phase, kind.0), deed, false, kind.1, sender);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a case is what it is made of")]
    fn send<'s>(
        &self,
        story: &'s Recorded,
        left: Left,
        (phase, kind): (&'static str, &'static str),
        deed: String,
        garbled: bool,
        inside: Option<(u64, u64)>,
        sender: &SyncSender<Case<'s>>,
    ) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let wholly = number.is_multiple_of(self.order.wholly_every);
        // Nobody listens only after a worker has failed, and then its error is the result.
        let how = How { wholly, garbled };
        let _ = sender.send(Case { story, left, phase, kind, deed, inside, how });
        let (images, violations) = self.desk.counts();
        (self.progress)(images, self.plan.total(), violations);
    }
}

/// The image in an artifact that this device would take.
fn image(device: &Path, artifact: &Path) -> Result<Image> {
    let world = Folder::open(device)?.open_world()?;
    let file = LocalFile::open(artifact)?;
    let head = read_head(&mut Sequential::new(&file))?;
    let release = head.verify(&world.trust()?)?;
    let hardware = world.target()?.hardware;
    let payloads = release.manifest.select(hardware.as_ref())?;
    let part = |part: &crate::slot::Part| {
        let payload = payloads.iter().find(|p| p.part().as_ref() == Some(&part.name));
        payload.map(|p| (p.size, p.sha256))
    };
    let parts = world.layout.parts(SlotId::A).iter().map(part).collect::<Option<_>>();
    let parts = parts.ok_or_else(|| broken(artifact.display(), "a part is not in it"))?;
    let path = artifact.canonicalize().map_err(|e| broken(artifact.display(), e))?;
    let counter = release.manifest.release_counter;
    Ok(Image { path, parts, counter })
}

/// What orders the release that runs.
fn counter(device: &Path) -> Result<u64> {
    let world = Folder::open(device)?.open_world()?;
    Ok(world.named(world.booted()?).release_counter)
}

/// A folder that goes when the run ends; in memory where that is possible.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Result<Scratch> {
        let name = format!("surefoot-powercut-{}", std::process::id());
        let memory = Path::new("/dev/shm").join(&name);
        let path = match std::fs::create_dir(&memory) {
            Ok(()) => memory,
            Err(_) => std::env::temp_dir().join(&name),
        };
        std::fs::create_dir_all(&path).map_err(|e| broken(path.display(), e))?;
        Ok(Scratch { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that stays behind harms nobody.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
