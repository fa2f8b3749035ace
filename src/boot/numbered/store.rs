//! The two files: choosing the one that counts, and replacing the other.

use super::Copy;
use super::copy::LEN_MAX;
use crate::boot::BootMemory;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::lock::FileLock;
use crate::sys::{durable, files};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than any file takes to write.
const DEADLINE: Duration = Duration::from_secs(10);

/// What both files hold: a copy, or why there is none.
pub(in crate::boot) struct Loaded {
    pub(super) copies: [std::result::Result<Copy, String>; 2],
    /// The one that counts; `None` if none is valid.
    pub(super) chosen: Option<usize>,
}

impl Loaded {
    /// The copy that counts. `ENV_UNREADABLE` if none is valid.
    pub(super) fn copy(&self) -> Result<&Copy> {
        match self.chosen.map(|chosen| &self.copies[chosen]) {
            Some(Ok(copy)) => Ok(copy),
            _ => {
                let whys = self.copies.iter().zip(0..);
                let whys =
                    whys.filter_map(|(c, n)| Some(format!("env-{n}: {}", c.as_ref().err()?)));
                let why = whys.collect::<Vec<_>>().join("; ");
                let why = format!("no file of the bootloader is valid: {why}");
                Err(Failure::new(ReasonCode::EnvUnreadable, why))
            }
        }
    }
}

/// The files of one device.
pub(in crate::boot) struct NumberedStore {
    folder: PathBuf,
}

impl NumberedStore {
    pub(in crate::boot) fn new(folder: &Path) -> NumberedStore {
        NumberedStore { folder: folder.to_owned() }
    }

    pub(in crate::boot) fn file(&self, copy: usize) -> PathBuf {
        self.folder.join(format!("env-{copy}"))
    }

    /// Reads both. Each is whole at any time, so that a reader takes no lock.
    pub(in crate::boot) fn load(&self) -> Result<Loaded> {
        let copies = [self.read(0)?, self.read(1)?];
        let chosen = match &copies {
            [Ok(first), Ok(second)] => Some(usize::from(second.number > first.number)),
            copies => copies.iter().position(std::result::Result::is_ok),
        };
        Ok(Loaded { copies, chosen })
    }

    fn read(&self, copy: usize) -> Result<std::result::Result<Copy, String>> {
        let path = self.file(copy);
        match files::read_own(&path, LEN_MAX) {
            Ok(bytes) => Ok(Copy::parse(&bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Err("it does not exist".to_owned())),
            // A folder, a pipe, a file without an end.
            Err(e) if e.kind() == ErrorKind::InvalidInput => Ok(Err(format!("it {e}"))),
            Err(e) => Err(durable::io_failure("read", &path, &e)),
        }
    }

    /// Takes the lock and reads: what is decided from `loaded` can be saved without another
    /// process having come between.
    pub(in crate::boot) fn begin(&self) -> Result<Session<'_>> {
        // Made in the folder, so that a folder that cannot be written is met here.
        let lock = FileLock::take(&self.folder.join("lock"), DEADLINE)?;
        Ok(Session { loaded: self.load()?, store: self, _lock: lock })
    }

    /// Writes both files, whatever was there: what a factory does, and never an update.
    #[cfg(test)]
    pub(in crate::boot) fn write_factory(&self, copies: [&Copy; 2]) -> Result<()> {
        let texts = copies.map(|copy| copy.text().expect("it fits"));
        durable::write(&self.file(0), texts[0].as_bytes())?;
        durable::write(&self.file(1), texts[1].as_bytes())
    }
}

/// The store, locked and read.
pub(in crate::boot) struct Session<'a> {
    store: &'a NumberedStore,
    loaded: Loaded,
    _lock: FileLock,
}

impl Session<'_> {
    /// What the files hold now.
    pub(super) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// What a write of this would put where. `ENV_FULL` if it does not fit.
    pub(super) fn next(&self, memory: &BootMemory) -> Result<(usize, Copy, String)> {
        let now = self.loaded.copy()?;
        let full = || Failure::new(ReasonCode::EnvFull, "the files of the bootloader are full");
        let number = now.number.checked_add(1).ok_or_else(full)?;
        let copy = Copy { number, memory: memory.clone(), rest: now.rest.clone() };
        let text = copy.text().ok_or_else(full)?;
        Ok((1 - self.loaded.chosen.unwrap_or(0), copy, text))
    }

    /// One write: replaces the file that does not count, reads it back and compares. What the page
    /// cache says is enough for a file of a simulated device; for a real medium it would not be.
    pub(in crate::boot) fn save(&mut self, memory: &BootMemory) -> Result<()> {
        let (target, copy, text) = self.next(memory)?;
        durable::write(&self.store.file(target), text.as_bytes())?;
        self.loaded = self.store.load()?;
        if self.loaded.chosen == Some(target) && self.loaded.copies[target].as_ref() == Ok(&copy) {
            return Ok(());
        }
        let why = "the file that was written is not the one that counts";
        Err(Failure::new(ReasonCode::EnvReadBack, why))
    }

    /// What the copy that counts says.
    pub(in crate::boot) fn memory(&self) -> Result<&BootMemory> {
        Ok(&self.loaded.copy()?.memory)
    }
}
