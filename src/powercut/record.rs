//! Plays a story on a copy of the device with the real programs, and keeps what they wrote.

use super::body::{Body, bodies};
use super::broken;
use super::folder::Folder;
use super::history::History;
use super::log;
use super::pages::{Base, Pages};
use super::phase::{Map, Phases, Place, Runs, denied};
use super::rom::Rom;
use super::story::{Accident, Nature, Step, Story};
use super::system::{Image, digests};
use super::way::Way;
use crate::model::{Digest, Failure, ReasonCode, Result, SlotId};
use crate::slot::Part;
use crate::sys::power::{CUT_STATUS, CUT_VARIABLE, LIE_VARIABLE, LOG_VARIABLE};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A boot that was recorded, to be cut once more inside U-Boot itself.
#[derive(Debug, Clone)]
pub(super) struct RecordedBoot {
    pub(super) moment: usize,
    pub(super) phase: &'static str,
}

/// More than the first 128 KiB and less than a slot record: a write of the slot's body.
const LIE: &str = "200000";

/// A story as it went.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) name: &'static str,
    pub(super) nature: Nature,
    /// The release that it brings.
    pub(super) new: Image,
    pub(super) way: Option<Way>,
    pub(super) history: History,
    /// Where the power starts to be cut.
    pub(super) from: usize,
    pub(super) base: Arc<Base>,
    pub(super) map: Map,
    pub(super) boots: Vec<RecordedBoot>,
    /// The systems that may run besides the new one, by the SHA-256 of each whole partition.
    pub(super) old: Vec<(SlotId, Vec<Digest>)>,
    /// The device's trust file where the power starts to be cut.
    pub(super) trust: Vec<u8>,
    /// The floor there.
    pub(super) floor: u32,
    /// What stands in the slots before and after the story, without their first blocks: a slot that
    /// offers a kernel offers one of these.
    pub(super) whole: Vec<Body>,
}

/// Who plays.
pub(super) struct Stage<'a> {
    pub(super) program: &'a Path,
    pub(super) artifact: &'a Image,
    /// What brings it, where that is not the artifact as a file.
    pub(super) way: Option<&'a Way>,
    /// The trust file that a system brings along.
    pub(super) trust: Option<&'a Path>,
    pub(super) rom: &'a dyn Rom,
}

/// Where things stand on the disk of this device.
pub(super) fn map(folder: &Folder) -> Result<Map> {
    let world = folder.open_world()?;
    let copies = world.boot.look()?.disk_ranges();
    let unusable = |what: &str| Err(Failure::new(ReasonCode::ConfigInvalid, what));
    if copies.len() != 2 {
        return unusable("power cuts are tried with two copies of the environment on the disk");
    }
    if world.disk.path().canonicalize().ok() != Some(folder.disk()) {
        return unusable("the device's disk must be disk.img in its folder");
    }
    let place = |part: &Part| {
        let (range, number) = (part.partition.range(), part.partition.number);
        Place { name: part.name.clone(), range, number }
    };
    let slots =
        [SlotId::A, SlotId::B].map(|s| world.layout.parts(s).iter().map(place).collect::<Vec<_>>());
    Ok(Map { copies, slots })
}

/// Plays `story` in `folder`, which is a copy that it may use up.
pub(super) fn record(stage: &Stage<'_>, folder: &Folder, story: &Story) -> Result<Recorded> {
    let map = map(folder)?;
    let base = Base::read(&folder.disk())?;
    let files = folder.files()?;
    let mut known = files.iter().filter(|(name, _)| name.starts_with("journal."));
    let known = known.by_ref().map(|(_, bytes)| denied(bytes)).max().unwrap_or(0);
    let mut recorded = Recorded {
        name: story.name,
        nature: story.nature,
        new: stage.artifact.clone(),
        way: story.way.clone(),
        trust: Vec::new(),
        floor: 0,
        history: History::new(&files),
        from: 0,
        base,
        old: Vec::new(),
        whole: bodies(folder, &map)?,
        boots: Vec::new(),
        map: map.clone(),
    };
    let mut phases = Phases::new(&map, &folder.open_world()?.settings.bootloader, known);
    let mut begun = false;
    for step in &story.steps {
        let moved = !matches!(step, Step::FromHere | Step::Happens(_));
        match step {
            Step::FromHere => {
                recorded.from = recorded.history.now();
                recorded.old = systems(folder, &map, begun)?;
                recorded.trust = folder.trust()?;
                recorded.floor = folder.open_world()?.floor.load().epoch;
            }
            Step::Happens(accident) => {
                befalls(stage, folder, &map, *accident)?;
                // Nobody is at work meanwhile, so the story goes on from what stands there now.
                recorded.history = History::new(&folder.files()?);
                recorded.base = Base::read(&folder.disk())?;
                recorded.boots.clear();
            }
            Step::Boot => {
                phases.runs = Runs::Boot;
                recorded.history.all_lands();
                boot(stage, folder, &mut recorded, &mut phases)?;
            }
            Step::Surefoot(verb, words, may) => {
                phases.runs = Runs::Verb(verb);
                run(stage, folder, verb, words, None, may, &mut recorded.history, &mut phases)?;
            }
            Step::Cut(verb, words, plug) => {
                phases.runs = Runs::Verb(verb);
                let plug = Some((CUT_VARIABLE, (*plug).to_owned()));
                run(
                    stage,
                    folder,
                    verb,
                    words,
                    plug,
                    &[CUT_STATUS],
                    &mut recorded.history,
                    &mut phases,
                )?;
                recorded.history.all_lands();
            }
            Step::Lie(verb, words, may) => {
                phases.runs = Runs::Verb(verb);
                let plug = Some((LIE_VARIABLE, LIE.to_owned()));
                run(stage, folder, verb, words, plug, may, &mut recorded.history, &mut phases)?;
            }
        }
        begun |= moved;
    }
    // What U-Boot itself does in these is what it does in the others.
    if story.asks_for_the_order() || story.way.is_some() {
        recorded.boots.clear();
    }
    recorded.whole.extend(bodies(folder, &map)?);
    Ok(recorded)
}

/// Does to a device what no program of ours does.
fn befalls(stage: &Stage<'_>, folder: &Folder, map: &Map, accident: Accident) -> Result<()> {
    match accident {
        Accident::KeysChange => {
            let trust = stage.trust.ok_or_else(|| broken("a change of keys", "no trust file"))?;
            folder.believes(&std::fs::read(trust).map_err(|e| broken(trust.display(), e))?)
        }
        Accident::RecordLost => {
            let record = map.record(folder.open_world()?.booted()?);
            let noise = vec![0x5a; super::small(record.end - record.start)];
            let disk = crate::disk::open_image_writable(&folder.disk())?;
            disk.write_at(record.start, &noise)?;
            disk.flush()
        }
        Accident::StateLost => folder.forgets(),
    }
}

/// The systems that stand complete before the story: the running one; with `both` the other too.
fn systems(folder: &Folder, map: &Map, both: bool) -> Result<Vec<(SlotId, Vec<Digest>)>> {
    let world = folder.open_world()?;
    let running = world.booted()?;
    let mut slots = vec![running];
    // Where the story begins with a trial or with two systems, either may boot; a factory system
    // has no record, and a slot that was left half written has no first block.
    if both && world.bootable(running.other()) {
        slots.push(running.other());
    }
    let disk = Pages::new(Base::read(&folder.disk())?);
    let system = |slot: SlotId| {
        let read = |at: u64, bytes: &mut [u8]| {
            disk.read(at, bytes);
            Ok(())
        };
        map.read(slot, read).map(|bytes| (slot, digests(&bytes)))
    };
    slots.into_iter().map(system).collect()
}

#[expect(clippy::too_many_arguments, reason = "one command and what is kept of it")]
fn run(
    stage: &Stage<'_>,
    folder: &Folder,
    verb: &str,
    words: &[&str],
    plug: Option<(&str, String)>,
    may: &[i32],
    history: &mut History,
    phases: &mut Phases,
) -> Result<()> {
    let path = folder.path.join("write.log");
    let _ = std::fs::remove_file(&path);
    let mut command = Command::new(stage.program);
    command.arg("--config").arg(folder.path.join("surefoot.toml")).arg(verb);
    for word in words {
        match *word {
            "@" => match stage.way {
                Some(way) => command.arg(&way.word),
                None => command.arg(&stage.artifact.path),
            },
            word => command.arg(word),
        };
    }
    command.env(LOG_VARIABLE, &path).stdin(Stdio::null());
    if let Some((name, value)) = plug {
        command.env(name, value);
    }
    let done = command.output().map_err(|e| broken(stage.program.display(), e))?;
    let status = done.status.code().unwrap_or(-1);
    if !may.contains(&status) {
        let said = String::from_utf8_lossy(&done.stderr);
        let error = said.lines().find(|l| l.starts_with("surefoot: ")).unwrap_or("no error told");
        let why = format!("`surefoot {verb}` ended with {status} and not with {may:?}: {error}");
        return Err(Failure::new(ReasonCode::Internal, why));
    }
    let bytes = std::fs::read(&path).unwrap_or_default();
    history.add(folder, log::parse(&bytes)?, phases)
}

/// A boot, and what U-Boot wrote in it: at most one save of each copy, in the order of serials.
fn boot(
    stage: &Stage<'_>,
    folder: &Folder,
    recorded: &mut Recorded,
    phases: &mut Phases,
) -> Result<()> {
    let moment = recorded.history.now();
    let copies = |folder: &Folder| -> Result<Vec<Vec<u8>>> {
        let disk = Pages::new(Base::read(&folder.disk())?);
        let read = |c: &std::ops::Range<u64>| {
            let mut bytes = vec![0; super::small(c.end - c.start)];
            disk.read(c.start, &mut bytes);
            bytes
        };
        Ok(recorded.map.copies.iter().map(read).collect())
    };
    let before = copies(folder)?;
    let booted = stage.rom.boot(&folder.path)?;
    let after = copies(folder)?;
    let changed = (0..2).filter(|n| before[*n] != after[*n]);
    let mut saved: Vec<(usize, u8)> = changed.map(|n| (n, after[n][4])).collect();
    if let [(_, first), (_, second)] = saved[..]
        && second.wrapping_sub(first) != 1
    {
        saved.reverse();
    }
    let mut lines = Vec::new();
    for (id, (copy, _)) in (0..).zip(&saved) {
        let (at, path) = (recorded.map.copies[*copy].start, folder.disk().display().to_string());
        let bytes = Arc::from(after[*copy].clone());
        lines.push(log::Line::Begin(id * 2, log::Act::Write { at, bytes, path }));
        lines.push(log::Line::End(id * 2));
        // U-Boot writes without a cache of its own and waits for the card.
        lines.push(log::Line::Begin(
            id * 2 + 1,
            log::Act::Sync(folder.disk().display().to_string()),
        ));
        lines.push(log::Line::End(id * 2 + 1));
    }
    recorded.history.add(folder, lines, phases)?;
    if let Some(op) = recorded.history.ops.iter().find(|op| op.begin >= moment) {
        recorded.boots.push(RecordedBoot { moment, phase: op.phase });
    }
    recorded.history.all_lands();
    let slot = booted.slot.ok_or_else(|| broken(recorded.name, "nothing boots"))?;
    folder.runs(slot, recorded.nature == Nature::Unhealthy)
}
