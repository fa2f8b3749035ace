//! The device as the settings describe it, opened but not yet touched.

use super::offers::Web;
use super::readiness::unopened;
use super::rights::{may_look, may_write};
#[cfg(feature = "apps")]
use crate::apps::Supervisor;
use crate::artifact::Installed;
use crate::boot::{BootControl, BootFacts};
use crate::config::Settings;
use crate::disk::Disk;
#[cfg(feature = "apps")]
use crate::engine::Engine;
use crate::health::{Remote, Seen};
use crate::model::{
    Digest, Failure, Identifier, ReasonCode, Result, SlotId, StateFile, WithReason,
};
use crate::slot::{self, Layout, OpenPart};
use crate::sys::lock::{FileLock, Holder, holder};
use crate::sys::process::{Children, Runner};
use crate::sys::{clock, durable, files, host, mounts};
use crate::trust::{Trust, Verified};
use crate::update::{
    CommittedStore, FloorStore, History, Journal, JournalStore, Named, Order, Stored, Target, Work,
};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Everything a request works on.
pub struct World {
    /// What the configuration means.
    pub settings: Settings,
    /// The disk.
    pub disk: Arc<Disk>,
    /// Which partitions are which slot.
    pub layout: Layout,
    /// The bootloader.
    pub boot: Box<dyn BootControl>,
    /// The journal's place.
    pub journal: JournalStore,
    /// The floor's place.
    pub floor: FloorStore,
    /// The place of what was committed.
    pub committed: CommittedStore,
    /// The history's place.
    pub history: History,
    /// Runs checks, hooks and other programs of the integrator.
    pub runner: Box<dyn Runner>,
    /// Looks over the network, where this process has none.
    pub remote: Option<Box<dyn Remote>>,
    /// What speaks with the network for this device, in place of its fetcher: for tests.
    pub web: Option<Box<dyn Web>>,
    /// Whether this very process installs something just now.
    pub at_work: bool,
    /// Who asks this world for something; the user of this process where nothing else is said.
    pub asked_by: Option<String>,
    /// The container engine, in place of the one that the settings name: for tests.
    #[cfg(feature = "apps")]
    pub engine: Option<Arc<dyn Engine>>,
    /// What is remembered of the services of apps between two looks; the daemon's, where it asks.
    #[cfg(feature = "apps")]
    pub watch: Arc<Mutex<Supervisor>>,
    booted: Result<SlotId>,
    seen: Mutex<Vec<Seen>>,
}

impl World {
    /// Opens the device for reading. Nothing is written here and by nobody without the lock.
    pub fn open(settings: Settings) -> Result<World> {
        World::opened(settings).map_err(unopened)
    }

    fn opened(settings: Settings) -> Result<World> {
        may_look(&settings)?;
        let disk = Arc::new(settings.device.disk.open()?);
        let layout = Layout::find(&disk.table()?, &settings.slots)?;
        let boot = settings.bootloader.open(Some(disk.clone()))?;
        let booted = find_booted(&settings, &disk, &layout);
        let state = &settings.device.state;
        let (journal, floor) = (JournalStore::new(state), FloorStore::new(state));
        let (history, committed) = (History::new(state), CommittedStore::new(state));
        let (runner, remote) = (Box::new(Children), None);
        let seen = Mutex::default();
        Ok(World {
            settings,
            disk,
            layout,
            boot,
            journal,
            floor,
            committed,
            history,
            runner,
            remote,
            web: None,
            at_work: false,
            asked_by: None,
            #[cfg(feature = "apps")]
            engine: None,
            #[cfg(feature = "apps")]
            watch: Arc::default(),
            booted,
            seen,
        })
    }

    /// What the health checks have said last, to this world.
    pub(super) fn last_seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the checks have said to somebody who watches them.
    pub fn remember_seen(&self, seen: &[Seen]) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen.to_vec();
    }

    /// The slot that runs; `BOOTED_UNKNOWN` where that is not certain, and then nothing is written.
    pub fn booted(&self) -> Result<SlotId> {
        self.booted.clone()
    }

    /// Which boot this is: the kernel's id, or for an image when its `booted` file was replaced.
    pub fn boot_id(&self) -> String {
        let Some(file) = &self.settings.device.booted else {
            return host::boot_id().unwrap_or_default();
        };
        let replaced = std::fs::metadata(file).and_then(|m| m.modified()).ok();
        let since = replaced.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or_else(String::new, |s| s.as_nanos().to_string())
    }

    /// Seconds for which this boot has been up: by the kernel, or for an image the time since its
    /// `booted` file was replaced. There a newer file `uptime` beside it says otherwise, so that
    /// nobody has to wait for a deadline.
    pub fn up(&self) -> u64 {
        let Some(booted) = &self.settings.device.booted else {
            return host::uptime();
        };
        let replaced = |file: &Path| std::fs::metadata(file).and_then(|m| m.modified()).ok();
        let said = booted.with_file_name("uptime");
        let since = replaced(booted);
        if since.is_some() && replaced(&said) >= since {
            let text = files::foreign_text(&said, 64).unwrap_or_default();
            return text.trim().parse().unwrap_or(0);
        }
        since.and_then(|t| t.elapsed().ok()).map_or(0, |t| t.as_secs())
    }

    /// The trust file, read anew: `TRUST_MISSING`, `TRUST_INVALID`.
    pub fn trust(&self) -> Result<Trust> {
        let file = &self.settings.trust_file;
        let limit = u64::try_from(crate::trust::MAX_TRUST_LEN).unwrap_or(u64::MAX);
        let bytes = durable::read_foreign(file, limit)
            .map_err(|f| Failure::new(ReasonCode::TrustInvalid, f.detail()))?;
        let missing = || Failure::new(ReasonCode::TrustMissing, format!("no {}", file.display()));
        let text = String::from_utf8(bytes.ok_or_else(missing)?).map_err(|_| {
            Failure::new(ReasonCode::TrustInvalid, format!("{} is not text", file.display()))
        })?;
        // Each key in it is checked, which takes most of a look: what the same text says is kept.
        static LAST: Mutex<Option<(String, Trust)>> = Mutex::new(None);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((same, trust)) if *same == text => Ok(trust.clone()),
            _ => {
                let trust = Trust::parse(&text).map_err(|f| f.at(file.display()))?;
                *last = Some((text, trust.clone()));
                Ok(trust)
            }
        }
    }

    /// What an artifact must be made for.
    pub fn target(&self) -> Result<crate::install::Target> {
        let device = &self.settings.device;
        let hardware: Option<Identifier> = match &device.hardware {
            None => None,
            Some(source) => {
                let variable = |name: &str| self.boot.variable(name);
                Some(slot::revision(source, &self.settings.folder, variable)?)
            }
        };
        let (product, compatible) = (device.product.clone(), device.compatible.clone());
        Ok(crate::install::Target { product, compatible, hardware })
    }

    /// The parts of a slot for reading.
    pub fn parts(&self, slot: SlotId) -> Result<Vec<OpenPart>> {
        slot::read_parts(&self.disk, &self.layout, slot)
    }

    /// The security epoch below which nothing is installed or returned to: the stored floor, or
    /// what the trust file demands.
    pub fn floor_epoch(&self) -> u32 {
        let demanded = self.trust().map_or(0, |t| t.min_epoch());
        self.floor.load().epoch.max(demanded)
    }

    /// The signed record of a slot, if it is accepted now.
    pub fn installed(&self, slot: SlotId) -> Option<Verified<Installed>> {
        self.held(slot).installed
    }

    /// What stands in a slot, by what orders releases.
    pub fn named(&self, slot: SlotId) -> Named {
        self.held(slot).stand.label.named
    }

    /// The move of a release into a slot, from what runs in the other one.
    pub fn move_into(&self, slot: SlotId, digest: Digest, to: Named, order: Order) -> Work {
        let names = self.layout.parts(slot).iter().map(|p| p.partition.name.clone());
        let (partitions, from) = (names.collect(), self.named(slot.other()));
        Work { digest, slot, partitions, from, to, order }
    }

    /// Whether a bootloader would find a system in the slot: [`slot::bootable`].
    pub fn bootable(&self, slot: SlotId) -> bool {
        self.parts(slot).is_ok_and(|parts| slot::bootable(&parts))
    }

    /// The journal, or an empty one: that it was lost is answered from the environment.
    pub fn load_journal(&self) -> Journal {
        match self.journal.load() {
            Stored::Found(journal) => journal,
            Stored::Lost => {
                log::warn!("the journal cannot be read; going on from the environment alone");
                Journal::default()
            }
            Stored::Absent => Journal::default(),
        }
    }

    /// Whether the release that runs is committed: no trial of it is pending.
    pub fn committed(&self, facts: &BootFacts, booted: SlotId) -> bool {
        !(facts.trial && facts.slot == Some(booted))
    }

    /// Whether what is written to the state folder is there after an update and a power cut.
    pub fn state_is_durable(&self) -> Result<()> {
        let state = &self.settings.device.state;
        let refuse = |what: String| Err(Failure::new(ReasonCode::StateNotDurable, what));
        let folder = if state.exists() { state } else { state.parent().unwrap_or(state) };
        if !folder.is_dir() {
            return refuse(format!("{} is no folder", folder.display()));
        }
        if !self.disk.is_image() && host::same_filesystem(folder, "/".as_ref()) {
            return refuse(format!("{} lies on the root filesystem", folder.display()));
        }
        if !folder.is_dir() {
            return refuse(format!("{} is no folder", folder.display()));
        }
        match host::writable(folder) {
            true => Ok(()),
            false => may_write(folder)
                .and_then(|()| refuse(format!("{} cannot be written", folder.display()))),
        }
    }

    /// The file lock itself, waiting for so long.
    pub(super) fn file_lock(&self, patience: Duration) -> Result<FileLock> {
        self.state_folder()?;
        let refuse = |what: String| Failure::new(ReasonCode::StateNotDurable, what);
        let state = &self.settings.device.state;
        FileLock::take(&StateFile::LOCK.within(state), patience).map_err(|f| match f.code() {
            ReasonCode::Busy | ReasonCode::NoSpace | ReasonCode::NotAllowed => f,
            _ => refuse(f.detail().to_owned()),
        })
    }

    /// Makes sure that there is a state folder that keeps what is written to it.
    pub(super) fn state_folder(&self) -> Result<()> {
        self.state_is_durable()?;
        let state = &self.settings.device.state;
        if !state.exists() {
            let made = std::fs::create_dir(state);
            let refuse = |what: String| Failure::new(ReasonCode::StateNotDurable, what);
            made.map_err(|e| refuse(format!("{}: {e}", state.display())))?;
        }
        Ok(())
    }

    /// Whether nobody is at work, as far as can be seen without making or holding anything.
    pub fn is_free(&self) -> bool {
        holder(&StateFile::LOCK.within(&self.settings.device.state))
            .map_or(true, |by| by == Holder::Nobody)
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        clock::unix_seconds()
    }
}

/// The slot that runs (DESIGN 9.12): for an image what a file says, for a device what the kernel
/// says and `/` confirms.
pub(crate) fn find_booted(settings: &Settings, disk: &Disk, layout: &Layout) -> Result<SlotId> {
    let unknown = |why: &str| Err(Failure::new(ReasonCode::BootedUnknown, why));
    match &settings.device.booted {
        Some(file) if disk.is_image() => slot::booted_from_file(file),
        Some(_) => unknown("`device.booted` is for disk images; a device asks its kernel"),
        None if disk.is_image() => {
            unknown("`device.booted` is not set; an image has no kernel to ask")
        }
        None => {
            let line = mounts::kernel_command_line()
                .reason(ReasonCode::BootedUnknown, "the kernel's command line")?;
            let booted = slot::booted_on_device(&line, &slot::root_on(disk)?, layout)?;
            disk.number().map_or(Ok(()), |number| slot::refuse_twin(number, &line))?;
            Ok(booted)
        }
    }
}

/// A manifest by what orders releases.
pub(super) fn named(manifest: &crate::artifact::Manifest) -> Named {
    Named {
        version: Some(manifest.version.clone()),
        release_counter: manifest.release_counter,
        security_epoch: manifest.security_epoch,
        ..Named::default()
    }
}

/// The digest under which a slot's content is known; [`Digest::NONE`] for a factory system.
pub(super) fn digest_of(target: &Target) -> Option<Digest> {
    match target {
        Target::Recorded(digest) => Some(*digest),
        Target::Factory => Some(Digest::NONE),
        Target::Nothing | Target::Refused(_) => None,
    }
}
