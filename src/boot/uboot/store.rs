//! The stored environment: choosing a copy, and replacing the stale one.
//!
//! And if the power goes while a copy is written? It was the one U-Boot does not use, so until
//! its last byte is there the other one boots, and from then on the new one does. A store with a
//! single copy has no such moment; it is graded weak.

use super::lock::{DEADLINE, EnvLock, LOCK_PATH};
use super::place::Place;
use super::{Env, FwEnvConfig, choose};
use crate::disk::Disk;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::files;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a reader waits for the lock.
const PATIENCE: Duration = Duration::from_secs(1);

/// What one copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyState {
    /// Why it is not valid.
    Dead(String),
    /// A valid copy.
    Alive {
        /// Its flags byte; `None` for the only copy.
        serial: Option<u8>,
        /// Its variables.
        env: Env,
    },
}

/// All copies, and which one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The copies, in the order of `fw_env.config`.
    pub copies: Vec<CopyState>,
    /// The one U-Boot would use; `None` if none is valid.
    pub chosen: Option<usize>,
}

impl Loaded {
    fn new(copies: Vec<CopyState>) -> Loaded {
        let chosen = match &copies[..] {
            [CopyState::Alive { serial: a, .. }, CopyState::Alive { serial: b, .. }] => {
                Some(choose(a.unwrap_or(0), b.unwrap_or(0)))
            }
            copies => copies.iter().position(|c| matches!(c, CopyState::Alive { .. })),
        };
        Loaded { copies, chosen }
    }

    /// The environment that U-Boot would use. `ENV_UNREADABLE` if no copy is valid, with the
    /// reasons.
    pub fn env(&self) -> Result<&Env> {
        if let Some(CopyState::Alive { env, .. }) = self.chosen.and_then(|c| self.copies.get(c)) {
            return Ok(env);
        }
        let whys = self.copies.iter().zip(1..).filter_map(|(c, n)| match c {
            CopyState::Dead(why) => Some(format!("copy {n}: {why}")),
            CopyState::Alive { .. } => None,
        });
        let why = whys.collect::<Vec<_>>().join("; ");
        Err(Failure::new(ReasonCode::EnvUnreadable, why))
    }

    /// The copy that the next write goes to, and the flags byte it will carry.
    fn next(&self) -> Result<(usize, Option<u8>)> {
        self.env()?;
        if self.copies.len() == 1 {
            return Ok((0, None));
        }
        let chosen = self.chosen.unwrap_or(0);
        let serial = match self.copies.get(chosen) {
            Some(CopyState::Alive { serial, .. }) => serial.unwrap_or(0),
            _ => 0,
        };
        Ok((1 - chosen, Some(serial.wrapping_add(1))))
    }
}

/// The environment of one device, found through its `fw_env.config`.
pub struct EnvStore {
    places: Vec<Place>,
    disk: Option<Arc<Disk>>,
    lock_path: PathBuf,
    deadline: Duration,
}

impl EnvStore {
    /// `base` is the folder that relative paths in the file start from. Copies that lie in `disk`
    /// (by whatever name) are read and written through it.
    pub fn new(config: &FwEnvConfig, base: &Path, disk: Option<Arc<Disk>>) -> EnvStore {
        let place = |copy| Place::new(copy, base, disk.as_ref());
        EnvStore {
            places: config.copies.iter().map(place).collect(),
            disk,
            lock_path: PathBuf::from(LOCK_PATH),
            deadline: DEADLINE,
        }
    }

    /// Reads `fw_env.config` at `path`; relative paths in it start from its folder. `ENV_CONFIG`
    /// if it cannot be read or understood.
    pub fn open(path: &Path, disk: Option<Arc<Disk>>) -> Result<EnvStore> {
        let place = || format!("{}", path.display());
        let text =
            files::foreign_text(path, files::SMALL).reason(ReasonCode::EnvConfig, place())?;
        let config = FwEnvConfig::parse(&text).map_err(|f| f.at(place()))?;
        let base = path.parent().unwrap_or(Path::new("."));
        Ok(EnvStore::new(&config, base, disk))
    }

    /// Another lock file than libubootenv's, and how long to wait for it: for tests and for a
    /// simulated device that no `fw_setenv` shares.
    #[must_use]
    pub fn with_lock(mut self, path: PathBuf, deadline: Duration) -> EnvStore {
        self.lock_path = path;
        self.deadline = deadline;
        self
    }

    /// True if two copies are kept.
    pub fn is_redundant(&self) -> bool {
        self.places.len() == 2
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(super) fn disk(&self) -> Option<&Disk> {
        self.disk.as_deref()
    }

    fn lock(&self) -> Result<EnvLock> {
        let needed = self.places.iter().any(Place::is_device);
        EnvLock::take(&self.lock_path, self.deadline, needed)
    }

    fn read(&self) -> Result<Loaded> {
        let redundant = self.is_redundant();
        let mut copies = Vec::new();
        let config = |why: String| Failure::new(ReasonCode::EnvConfig, why);
        for place in &self.places {
            let read = place.read().map_err(|f| match f.code() {
                // The file that names it is wrong, not the disk gone.
                ReasonCode::DiskMissing => config(format!("fw_env.config: {}", f.detail())),
                _ => f.at("environment"),
            })?;
            copies.push(match read {
                Err(why) => CopyState::Dead(why),
                Ok(bytes) => match Env::decode(&bytes, redundant) {
                    Ok((env, serial)) => CopyState::Alive { serial, env },
                    Err(why) => CopyState::Dead(why.to_owned()),
                },
            });
        }
        Ok(Loaded::new(copies))
    }

    /// Reads all copies from the medium, not in the middle of somebody's write. No valid copy is
    /// an answer, not an error; an error means that we could not look.
    pub fn load(&self) -> Result<Loaded> {
        // A program that hangs with the lock must not keep anybody from looking: without the lock
        // whole copies are as true as with it, and a dead one may only be half written.
        let lock = EnvLock::take(&self.lock_path, self.deadline.min(PATIENCE), false);
        let loaded = self.read()?;
        let dead = |c: &CopyState| matches!(c, CopyState::Dead(_));
        match lock {
            Err(busy) if loaded.copies.iter().any(dead) => Err(busy),
            _ => Ok(loaded),
        }
    }

    /// Takes the lock and reads: what is decided from `loaded` can be saved without anybody
    /// having come between.
    pub fn begin(&self) -> Result<Session<'_>> {
        let lock = self.lock()?;
        Ok(Session { loaded: self.read()?, store: self, _lock: lock })
    }

    /// Writes *every* copy, whatever was there: what a factory does, and never an update. The
    /// first copy is the newer one.
    pub fn write_factory(&self, env: &Env) -> Result<()> {
        let _lock = self.lock()?;
        let redundant = self.is_redundant();
        for (place, serial) in self.places.iter().zip([1, 0]) {
            place.write(&env.encode(place.size, redundant.then_some(serial))?)?;
        }
        Ok(())
    }
}

/// The store, locked and read.
pub struct Session<'a> {
    store: &'a EnvStore,
    loaded: Loaded,
    _lock: EnvLock,
}

impl Session<'_> {
    /// What the copies hold now.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Everything that [`Session::save`] does before its first byte.
    pub fn rehearse(&self, env: &Env) -> Result<()> {
        let (target, serial) = self.loaded.next()?;
        let place = &self.store.places[target];
        env.encode(place.size, serial)?;
        place.rehearse()
    }

    /// One write: `env` into the copy that U-Boot does not use, with the next serial number;
    /// flushed, read back from the medium, compared, parsed and chosen. `ENV_FULL` before
    /// anything is written; after `ENV_READ_BACK` or `IO` the other copy is what it was.
    pub fn save(&mut self, env: &Env) -> Result<()> {
        let (target, serial) = self.loaded.next()?;
        let place = &self.store.places[target];
        place.write(&env.encode(place.size, serial)?)?;
        self.loaded = self.store.read()?;
        let expected = CopyState::Alive { serial, env: env.clone() };
        if self.loaded.chosen == Some(target) && self.loaded.copies[target] == expected {
            return Ok(());
        }
        let why = "the copy that was written is not the one that counts";
        Err(Failure::new(ReasonCode::EnvReadBack, why))
    }
}
