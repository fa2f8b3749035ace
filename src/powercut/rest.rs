//! What a device does by itself after the power comes back, until it rests: boots, and `surefoot`
//! with nobody typing. Anything that goes wrong here is a verdict, told in one line.

use super::body::Body;
use super::folder::Folder;
use super::record::Recorded;
use super::rom::Rom;
use super::story::Nature;
use super::system::{Image, digests};
use crate::device::{self, Installation, Installed, World};
use crate::event::Nowhere;
use crate::inspect;
use crate::model::{ReasonCode, SlotId, State};
use crate::source::Source;
use crate::update::{Allowed, Then};
use std::path::Path;
use std::time::{Duration, Instant};

/// More boots than any update needs, four tries and a way back among them.
const BOOTS_MAX: u32 = 12;

/// How long a disk may be held by somebody who only starts a program.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which complete system a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    /// One that stood before the story.
    Old,
    /// The story's release.
    New,
    /// The release after it.
    Next,
}

/// A device that is brought to rest.
pub(super) struct Device<'a> {
    pub(super) folder: &'a Folder,
    pub(super) story: &'a Recorded,
    pub(super) next: &'a Image,
    pub(super) program: &'a Path,
    pub(super) rom: &'a dyn Rom,
    pub(super) boots: u32,
}

type Said<T> = std::result::Result<T, String>;

fn said(what: &str) -> impl Fn(crate::model::Failure) -> String + '_ {
    move |f| format!("{what}: {f}")
}

/// Another worker that starts a program holds copies of this one's descriptors, and with them its
/// lock on the disk, until that program runs: a moment that no device has.
pub(super) fn patiently<T>(act: impl Fn() -> crate::model::Result<T>) -> crate::model::Result<T> {
    let started = Instant::now();
    // The check that the next update could be written meets the same lock, and says so in its own
    // words.
    let busy = |f: &crate::model::Failure| match f.code() {
        ReasonCode::Busy => true,
        ReasonCode::HealthUnknown => f.detail().contains("[BUSY]"),
        _ => false,
    };
    loop {
        match act() {
            Err(f) if busy(&f) && started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}

impl Device<'_> {
    fn world(&self) -> Said<World> {
        self.folder.open_world().map_err(said("opening the device"))
    }

    /// Power off and on; what runs then is complete, or it is a violation.
    pub(super) fn boot(&mut self) -> Said<(SlotId, System)> {
        let slot = patiently(|| self.rom.boot(&self.folder.path)).map_err(said("booting"))?.slot;
        self.booted(slot)
    }

    /// After a boot that somebody else made.
    pub(super) fn booted(&mut self, slot: Option<SlotId>) -> Said<(SlotId, System)> {
        self.boots += 1;
        if self.boots > BOOTS_MAX {
            return Err(format!("no rest after {BOOTS_MAX} boots"));
        }
        let slot = slot.ok_or("nothing boots")?;
        let system = self.system(slot)?;
        let bad = system == System::New && self.story.nature != Nature::Good;
        self.folder.runs(slot, bad).map_err(said("saying what runs"))?;
        Ok((slot, system))
    }

    /// The bytes of its parts.
    fn read(&self, slot: SlotId) -> Said<Vec<Vec<u8>>> {
        let disk = crate::disk::open_image(&self.folder.disk()).map_err(said("the disk"))?;
        let read = |at: u64, bytes: &mut [u8]| disk.read_at(at, bytes);
        self.story.map.read(slot, read).map_err(said("reading the slot"))
    }

    /// A slot that is torn offers no kernel, whatever the environment says: a boot script takes
    /// the other slot where one cannot be loaded (DESIGN 9.2). The first block of the first part
    /// alone may be torn: it is destroyed first and written last, and all else is then whole.
    pub(super) fn offers_nothing_torn(&self, slot: SlotId, rom: &dyn Rom) -> Said<()> {
        let bytes = self.read(slot)?;
        let (part, kernel) = self.story.map.kernel(slot);
        if crate::slot::filesystem(&bytes[part]).is_none()
            || Body::stands_in(&bytes, &self.story.whole)
            || self.story.old.contains(&(slot, digests(&bytes)))
        {
            return Ok(());
        }
        match rom.loads(&self.folder.path, self.story.map.parts(slot)[part].number, kernel) {
            Some(Ok(true)) => Err(format!("slot {slot} is torn and offers a kernel")),
            Some(Err(failure)) => Err(said("loading a kernel")(failure)),
            Some(Ok(false)) | None => Ok(()),
        }
    }

    /// Which system runs, by every byte of its slot. A kernel without its root is none.
    fn system(&self, slot: SlotId) -> Said<System> {
        let bytes = self.read(slot)?;
        let begins = |image: &Image| image.begins(&bytes);
        match () {
            // First, as an update may bring the image that runs already.
            () if self.story.old.contains(&(slot, digests(&bytes))) => Ok(System::Old),
            () if begins(&self.story.new) => Ok(System::New),
            () if begins(self.next) => Ok(System::Next),
            () => Err(format!("slot {slot} runs and holds no complete system")),
        }
    }

    /// From a boot to rest: the slot and the system that stay.
    pub(super) fn rest(&mut self, mut runs: (SlotId, System)) -> Said<(SlotId, System)> {
        loop {
            // Its kernel started, and then nothing: a watchdog, or somebody with a plug.
            if runs.1 == System::New && self.story.nature == Nature::Never {
                runs = self.boot()?;
                continue;
            }
            let world = self.world()?;
            let state = patiently(|| device::come_to_rest(&world, &Nowhere))
                .map_err(said("coming to rest"))?;
            let done = match state {
                State::Trying => match patiently(|| device::commit(&world, None, &Nowhere)) {
                    Err(f)
                        if matches!(f.code(), ReasonCode::HealthFailed | ReasonCode::HookVeto) =>
                    {
                        Ok(true)
                    }
                    other => other.map(|_| false),
                },
                State::Installing => match &self.story.way {
                    None => self.install(&world, &self.story.new.path, false).map(|()| false),
                    Some(way) => {
                        drop(world);
                        patiently(|| way.install(self.program, self.folder, &[])).map(|()| false)
                    }
                },
                State::Staged => patiently(|| device::switch(&world, &Nowhere)).map(|_| false),
                State::Switching => Ok(true),
                State::Idle | State::Updated | State::RolledBack | State::Failed => break,
            };
            if done.map_err(said(state.as_str()))? {
                runs = self.boot()?;
            }
        }
        self.settled(runs)
    }

    fn settled(&self, (slot, system): (SlotId, System)) -> Said<(SlotId, System)> {
        let world = self.world()?;
        let env = world.boot.look().map_err(said("the environment"))?;
        if env.trial || env.slot != Some(slot) {
            let named = env.slot.map_or("nothing", SlotId::letter);
            return Err(format!(
                "at rest in slot {slot}, and the environment names {named}, trial: {}",
                env.trial
            ));
        }
        if system == System::New && self.story.nature != Nature::Good {
            return Err("a bad system stays".to_owned());
        }
        let last = world.load_journal().last;
        let denies = last.is_some_and(|l| l.outcome == crate::update::Ended::RolledBack);
        if denies && self.story.nature != Nature::Good {
            // Nobody asked for it, so it must not come back by itself.
            match self.install(&world, &self.story.new.path, false) {
                Err(f) if f.code() == ReasonCode::RolledBackBefore => {}
                Err(f) => return Err(format!("a release that came back, offered again: {f}")),
                Ok(()) => return Err("a release that came back is taken again".to_owned()),
            }
        }
        Ok((slot, system))
    }

    /// Where nothing of the update is left, the same way brings it again from the begin.
    pub(super) fn begins_again(&mut self, system: System) -> Said<()> {
        let Some(way) = self.story.way.as_ref().filter(|_| system == System::Old) else {
            return Ok(());
        };
        patiently(|| way.install(self.program, self.folder, &[]))
            .map_err(said("from the begin"))?;
        let (_, system) = self.boot()?;
        if system != System::New {
            return Err(format!("installed from the begin, and {system:?} boots"));
        }
        let world = self.world()?;
        patiently(|| device::commit(&world, None, &Nowhere)).map_err(said("committing it"))?;
        Ok(())
    }

    /// Whatever was lost, nothing older than what stays is taken, and the floor is where it was.
    pub(super) fn keeps_the_order(&self, slot: SlotId, offered: &[Image], before: u64) -> Said<()> {
        let world = self.world()?;
        let (was, floor) = (self.story.floor, world.floor.load().epoch);
        if floor < was {
            return Err(format!("the floor was {was}, and is {floor}"));
        }
        if offered.is_empty() {
            return Ok(());
        }
        let runs = match self.story.new.begins(&self.read(slot)?) {
            true => self.story.new.counter,
            false => before,
        };
        // The one that comes nearest: what refuses it refuses the others.
        let older = offered.iter().filter(|older| older.counter < runs);
        let Some(older) = older.max_by_key(|older| older.counter) else {
            return Ok(());
        };
        match patiently(|| install(&world, &older.path, false, true)) {
            Err(f) if matches!(f.code(), ReasonCode::VersionOlder | ReasonCode::BelowFloor) => {
                Ok(())
            }
            Err(f) => Err(format!("release {}, offered after {runs}: {f}", older.counter)),
            Ok(_) => Err(format!("release {} is taken after {runs}", older.counter)),
        }
    }

    /// The next update: it installs, boots and stays.
    pub(super) fn update(&mut self) -> Said<()> {
        let world = self.world()?;
        self.install(&world, &self.next.path, true).map_err(said("the next update"))?;
        drop(world);
        let (slot, system) = self.boot()?;
        if system != System::Next && self.next.parts != self.story.new.parts {
            return Err(format!("the next update is armed, and {system:?} boots"));
        }
        // Where the next release is the story's own, its second chance is a good one.
        self.folder.runs(slot, false).map_err(said("saying what runs"))?;
        let world = self.world()?;
        patiently(|| device::commit(&world, None, &Nowhere))
            .map_err(said("committing the next update"))?;
        let state = inspect::status(&world).map_err(said("status"))?.state;
        if state != State::Updated {
            return Err(format!("after the next update the state is {state}"));
        }
        Ok(())
    }

    /// `by_a_person`: whatever ran or came back before may be installed again.
    fn install(
        &self,
        world: &World,
        artifact: &Path,
        by_a_person: bool,
    ) -> crate::model::Result<()> {
        patiently(|| install(world, artifact, by_a_person, false)).map(|_| ())
    }
}

fn install(
    world: &World,
    artifact: &Path,
    by_a_person: bool,
    dry_run: bool,
) -> crate::model::Result<Installed> {
    let ask = Installation {
        anew: false,
        url: None,
        full: None,
        only: None,
        expected: None,
        then: Then::Switch,
        allowed: Allowed { older: false, reinstall: by_a_person, retry_rolled_back: by_a_person },
        order: Default::default(),
        hold_ok: false,
        dry_run,
        apps: None,
    };
    device::install(world, Source::open(artifact)?, ask, &Nowhere)
}
