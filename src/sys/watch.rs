//! Waiting for files that are put into a folder.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::io::Result;
use std::path::Path;

/// A folder under watch.
#[derive(Debug)]
pub struct Watch {
    events: Inotify,
}

impl Watch {
    /// Watches from now on for files that are moved into `folder`.
    pub fn arrivals(folder: &Path) -> Result<Watch> {
        let events = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        events.add_watch(folder, flags)?;
        Ok(Watch { events })
    }

    /// Returns when something has come since the last time.
    pub fn wait(&self) -> Result<()> {
        self.events.read_events()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_noticed_when_it_gets_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = folder.path().join("inbox");
        std::fs::create_dir(&inbox).unwrap();
        let watch = Watch::arrivals(&inbox).unwrap();
        std::fs::write(folder.path().join("x"), b"x").unwrap();
        std::fs::rename(folder.path().join("x"), inbox.join("x")).unwrap();
        watch.wait().unwrap();
        assert!(Watch::arrivals(&folder.path().join("none")).is_err());
    }
}
