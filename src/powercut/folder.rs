//! The folder that is a device: where its disk and its memory are.

use super::broken;
use crate::config::{Where, load};
use crate::device::World;
use crate::model::{Format, Result, SlotId, StateFile};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A device's folder: where its disk and its memory are.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    disk: String,
    state: String,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Folder> {
        let path = path.canonicalize().map_err(|e| broken(path.display(), e))?;
        let text = |name: &str| path.join(name).display().to_string();
        Ok(Folder { disk: text("disk.img"), state: text("state"), path })
    }

    pub(super) fn is_disk(&self, path: &str) -> bool {
        path == self.disk
    }

    pub(super) fn is_state(&self, path: &str) -> bool {
        path == self.state
    }

    /// The name of a file in the state folder.
    pub(super) fn state_name(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix(&self.state)?.strip_prefix('/')?;
        is_kept(name).then(|| name.to_owned())
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.path.join("disk.img")
    }

    pub(super) fn open_world(&self) -> Result<World> {
        World::open(load(&Where::File(self.path.join("surefoot.toml")))?.settings)
    }

    /// The state folder's files.
    pub(super) fn files(&self) -> Result<Files> {
        let read = || {
            let mut files = Files::new();
            for entry in std::fs::read_dir(self.path.join("state"))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if is_kept(&name) {
                    files.insert(name, std::fs::read(entry.path())?);
                }
            }
            Ok(files)
        };
        read().map_err(|e: std::io::Error| broken(self.path.join("state").display(), e))
    }

    /// Its trust file.
    pub(super) fn trust(&self) -> Result<Vec<u8>> {
        let path = self.path.join("trust.toml");
        std::fs::read(&path).map_err(|e| broken(path.display(), e))
    }

    /// Another trust file comes in its place.
    pub(super) fn believes(&self, trust: &[u8]) -> Result<()> {
        let path = self.path.join("trust.toml");
        std::fs::write(&path, trust).map_err(|e| broken(path.display(), e))
    }

    /// The state folder is emptied.
    pub(super) fn forgets(&self) -> Result<()> {
        let state = self.path.join("state");
        let empty = || {
            std::fs::remove_dir_all(&state)?;
            std::fs::create_dir(&state)
        };
        empty().map_err(|e: std::io::Error| broken(state.display(), e))
    }

    /// Says which slot runs, and whether its health check would say no.
    pub(super) fn runs(&self, slot: SlotId, unhealthy: bool) -> Result<()> {
        let write = || {
            let marker = self.path.join("run/unhealthy");
            match unhealthy {
                true => std::fs::write(marker, "unhealthy\n")?,
                false if marker.exists() => std::fs::remove_file(marker)?,
                false => {}
            }
            // A new file, as its time says which boot this is.
            let _ = std::fs::remove_file(self.path.join("run/booted"));
            std::fs::write(self.path.join("run/booted"), format!("{slot}\n"))
        };
        write().map_err(|e: std::io::Error| broken(self.path.display(), e))
    }
}

/// The files of the state folder.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Whether the bytes of this file count: not those of a lock, nor of what keeps room free.
fn is_kept(name: &str) -> bool {
    StateFile::named(name).is_none_or(|kept| kept.format != Format::Empty)
}
