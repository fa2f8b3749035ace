//! One image, from the power coming back to the next update.

use super::broken;
use super::folder::Folder;
use super::image::Left;
use super::pages::Mark;
use super::record::Recorded;
use super::rest::{Device, System, patiently};
use super::rom::Rom;
use super::system::Image;
use crate::model::{Result, SlotId};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a first boot started, and the copies of the environment as it left them.
pub(super) type Known = (Option<SlotId>, Vec<Vec<u8>>);

/// How many first boots are remembered, 32 KiB each.
const KNOWN_MAX: usize = 4096;

/// What all images share.
pub(super) struct Bench<'a> {
    pub(super) next: &'a Image,
    /// The `surefoot` that goes on where a release is not brought as a file.
    pub(super) program: &'a Path,
    /// Releases that are offered once all is at rest.
    pub(super) older: &'a [Image],
    /// The release counter of what ran before the stories.
    pub(super) counter: u64,
    /// Judges the first boot of every image, and all boots of some.
    pub(super) rom: &'a dyn Rom,
    /// Boots in between.
    pub(super) quick: &'a dyn Rom,
    /// First boots by the disk they started from: a boot reads nothing else.
    pub(super) known: Mutex<HashMap<Mark, Known>>,
}

/// How one image is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Every boot is the judging ROM's.
    pub(super) wholly: bool,
    /// A whole unit of a slot was garbled: nothing is promised of what that slot offers.
    pub(super) garbled: bool,
}

/// How an image came to rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rested {
    pub(super) system: System,
    pub(super) boots: u32,
    pub(super) time: Duration,
}

/// A verdict: at rest, or one line that says what is wrong.
pub(super) type Verdict = std::result::Result<Rested, String>;

impl Bench<'_> {
    /// Puts the image down in `folder`, which is a copy of the device.
    pub(super) fn put_down(left: &Left, trust: &[u8], folder: &Folder) -> Result<()> {
        left.disk.put_down(&folder.disk())?;
        folder.believes(trust)?;
        let state = folder.path.join("state");
        let fill = || {
            let _ = std::fs::remove_dir_all(&state);
            std::fs::create_dir(&state)?;
            left.files.iter().try_for_each(|(name, bytes)| std::fs::write(state.join(name), bytes))
        };
        fill().map_err(|e| broken(state.display(), e))
    }

    /// Judges what `folder` holds. `mark`: that of its disk.
    pub(super) fn judge(
        &self,
        story: &Recorded,
        folder: &Folder,
        mark: Option<Mark>,
        how: How,
    ) -> Result<Verdict> {
        let started = Instant::now();
        let slot = self.first_boot(&story.map.copies, folder, mark)?;
        let mut device = Device {
            folder,
            story,
            next: self.next,
            program: self.program,
            rom: if how.wholly { self.rom } else { self.quick },
            boots: 0,
        };
        let first = slot.map_or(Ok(()), |slot| match how.garbled {
            true => Ok(()),
            false => device.offers_nothing_torn(slot.other(), self.rom),
        });
        let rested = first.and_then(|()| device.booted(slot)).and_then(|runs| device.rest(runs));
        let time = started.elapsed();
        let rested = rested.and_then(|(slot, system)| {
            device.keeps_the_order(slot, self.older, self.counter)?;
            device.begins_again(system)?;
            Ok(Rested { system, boots: device.boots, time })
        });
        Ok(rested.and_then(|rested| device.update().map(|()| rested)))
    }

    /// The same disk boots the same way: what U-Boot did is done again without it.
    fn first_boot(
        &self,
        places: &[Range<u64>],
        folder: &Folder,
        mark: Option<Mark>,
    ) -> Result<Option<SlotId>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((slot, copies)) = mark.and_then(|m| known().get(&m).cloned()) {
            let disk = patiently(|| crate::disk::open_image_writable(&folder.disk()))?;
            places
                .iter()
                .zip(&copies)
                .try_for_each(|(place, copy)| disk.write_at(place.start, copy))?;
            return Ok(slot);
        }
        let slot = patiently(|| self.rom.boot(&folder.path))?.slot;
        if let Some(mark) = mark {
            let disk = crate::disk::open_image(&folder.disk())?;
            let read = |place: &Range<u64>| {
                let mut copy = vec![0; super::small(place.end - place.start)];
                disk.read_at(place.start, &mut copy).map(|()| copy)
            };
            let copies: Result<Vec<Vec<u8>>> = places.iter().map(read).collect();
            let mut known = known();
            // Enough for what lies near each other; not the memory of a whole run.
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(mark, (slot, copies?));
        }
        Ok(slot)
    }
}

/// Copies a device's folder but for its disk and its memory.
pub(super) fn copy_settings(from: &Path, to: &Path) -> Result<()> {
    let copy = || {
        std::fs::create_dir_all(to.join("run"))?;
        std::fs::create_dir_all(to.join("state"))?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_file() && name != "disk.img" && name != "write.log" {
                std::fs::copy(entry.path(), to.join(name))?;
            }
        }
        Ok(())
    };
    copy().map_err(|e: std::io::Error| broken(to.display(), e))
}
