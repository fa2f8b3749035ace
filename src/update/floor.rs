//! The anti-rollback floor: the security epoch below which nothing is installed (DESIGN 9.18).
//!
//! Two copies, each one line under a checksum, written one after the other; the higher valid one
//! counts, so a torn write never lowers it.

use crate::model::{Result, StateFile};
use crate::sys::durable;
use std::path::{Path, PathBuf};

/// The stored floor.
#[derive(Debug, Clone)]
pub struct FloorStore {
    folder: PathBuf,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// The epoch; 0 where nothing was ever stored.
    pub epoch: u32,
    /// A copy was there and could not be read: a security event, not a reason to stop.
    pub damaged: bool,
}

impl FloorStore {
    /// The floor in this folder.
    pub fn new(folder: &Path) -> FloorStore {
        FloorStore { folder: folder.to_owned() }
    }

    fn path(&self, copy: usize) -> PathBuf {
        StateFile::FLOOR[copy].within(&self.folder)
    }

    /// The higher of the valid copies.
    pub fn load(&self) -> Floor {
        let mut floor = Floor { epoch: 0, damaged: false };
        for copy in [0, 1] {
            match durable::read(&self.path(copy), StateFile::FLOOR[copy].limit) {
                Ok(None) => {}
                Ok(Some(bytes)) => match decode(&bytes) {
                    Some(epoch) => floor.epoch = floor.epoch.max(epoch),
                    None => floor.damaged = true,
                },
                Err(_) => floor.damaged = true,
            }
        }
        floor
    }

    /// Raises the floor to `epoch`, and mends a damaged copy; never lowers it, and writes
    /// nothing when there is nothing to change.
    pub fn raise(&self, epoch: u32) -> Result<()> {
        let found = self.load();
        let epoch = epoch.max(found.epoch);
        if epoch == found.epoch && !found.damaged {
            return Ok(());
        }
        let line = encode(epoch);
        [0, 1].into_iter().try_for_each(|copy| durable::write(&self.path(copy), line.as_bytes()))
    }
}

fn encode(epoch: u32) -> String {
    let crc = crc32fast::hash(format!("floor {epoch}").as_bytes());
    format!("surefoot-floor 1 {epoch} {crc:08x}\n")
}

pub(super) fn decode(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    let epoch = text.strip_prefix("surefoot-floor 1 ")?.split(' ').next()?.parse().ok()?;
    (encode(epoch) == text).then_some(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_and_never_falls() {
        let dir = tempfile::tempdir().unwrap();
        let store = FloorStore::new(dir.path());
        assert_eq!(store.load(), Floor { epoch: 0, damaged: false });
        store.raise(5).unwrap();
        store.raise(3).unwrap();
        assert_eq!(store.load().epoch, 5);
    }

    #[test]
    fn one_torn_copy_neither_lowers_nor_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = FloorStore::new(dir.path());
        store.raise(7).unwrap();
        for copy in [0, 1] {
            std::fs::write(store.path(copy), b"surefoot-floor 1 9 00000000\n").unwrap();
            assert_eq!(store.load(), Floor { epoch: 7, damaged: true });
            store.raise(0).unwrap();
            assert_eq!(store.load(), Floor { epoch: 7, damaged: false });
        }
    }
}
