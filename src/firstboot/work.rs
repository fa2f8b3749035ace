//! What the steps of a first boot work on, and what is kept of them.

use crate::config::Settings;
use crate::device::World;
use crate::event::{Event, Sink};
use crate::model::{Failure, ReasonCode, Result, StateFile, WithReason, document};
use crate::sys::tree::{clear, make_folder};
use crate::sys::{durable, files};
use crate::update::{JournalStore, Stored};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// `setup.json`: which steps are done. It is written after the step whose end it tells, so that a cut repeats one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Setup {
    v: u32,
    /// What each step that is done has come to.
    pub(super) done: BTreeMap<String, String>,
    /// Why those of them were refused for good that were.
    pub(super) left: BTreeMap<String, ReasonCode>,
}

impl Setup {
    /// What is kept; a file that cannot be read is none, and every step is repeated.
    pub(super) fn load(state: &Path) -> Setup {
        let bytes = durable::read(&StateFile::SETUP.within(state), StateFile::SETUP.limit);
        bytes.ok().flatten().and_then(|bytes| document(&bytes)).unwrap_or_default()
    }

    pub(super) fn save(&self, state: &Path) -> Result<()> {
        let setup = Setup { v: 1, ..self.clone() };
        let text = serde_json::to_string_pretty(&setup);
        let text = text.reason(ReasonCode::Internal, "what is set up")? + "\n";
        write(&StateFile::SETUP.within(state), text.as_bytes())
    }
}

/// The device, as the steps see it.
pub(super) struct Work<'a> {
    pub(super) settings: &'a Settings,
    /// The disk and the bootloader, opened when a step first needs them: what is kept is shown without.
    world: OnceCell<Result<World>>,
    /// Where the system's files are: `/`, or the folder of a device that is played.
    pub(super) root: PathBuf,
    /// Where the data partition is mounted.
    pub(super) data: PathBuf,
    /// Whether this is the machine itself: mounts are made and the kernel is told.
    pub(super) real: bool,
    pub(super) setup: Setup,
    /// The step that runs is to be repeated at the next boot.
    pub(super) again: bool,
    pub(super) sink: &'a dyn Sink,
}

impl<'a> Work<'a> {
    /// Reads what is kept, and changes nothing.
    pub(super) fn new(settings: &'a Settings, sink: &'a dyn Sink) -> Work<'a> {
        let real = settings.device.booted.is_none();
        let root = if real { PathBuf::from("/") } else { settings.folder.join("root") };
        let state = &settings.device.state;
        Work {
            settings,
            world: OnceCell::new(),
            root,
            data: state.parent().unwrap_or(state).to_owned(),
            real,
            setup: Setup::load(state),
            again: false,
            sink,
        }
    }

    /// The disk and the bootloader, where they can be opened.
    pub(super) fn world(&self) -> Result<&World> {
        let world = self.world.get_or_init(|| World::open(self.settings.clone()));
        world.as_ref().map_err(Failure::clone)
    }

    /// A path of the system below its root.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Keeps bytes on the data partition under a path below it, where they are not there already.
    pub(super) fn keep(&self, kept: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let file = self.folder_for(kept.as_ref())?;
        if !files::read_own(&file, files::SMALL).is_ok_and(|there| there == bytes) {
            write(&file, bytes)?;
        }
        // After a cut before it the same step sets it.
        std::fs::set_permissions(&file, Permissions::from_mode(mode))
            .reason(ReasonCode::Io, format!("keeping {}", file.display()))
    }

    /// The full path of something below the data partition, in a folder that is made where it is not there. A link on the way is an
    /// error: it would lead to files that are not kept.
    pub(super) fn folder_for(&self, kept: &Path) -> Result<PathBuf> {
        let mut folder = self.data.clone();
        for part in kept.parent().unwrap_or(Path::new("")).components() {
            folder.push(part);
            match std::fs::symlink_metadata(&folder) {
                Ok(about) if about.is_dir() => {}
                Ok(_) => {
                    let why = format!("{} is no folder", folder.display());
                    return Err(Failure::new(ReasonCode::Io, why));
                }
                Err(_) => make_folder(&folder)?,
            }
        }
        Ok(self.data.join(kept))
    }

    /// Whether this device was updated before it ever did this step: what it is known by stays as it is then.
    pub(super) fn is_fielded(&self, step: &str) -> bool {
        let updated = || match JournalStore::new(&self.settings.device.state).load() {
            Stored::Found(journal) => journal.last.is_some(),
            stored => matches!(stored, Stored::Lost),
        };
        !self.setup.done.contains_key(step) && updated()
    }

    pub(super) fn warn(&self, text: String) {
        self.sink.emit(&Event::Warning { text });
    }
}

/// Writes a file, also where something of another kind stands there or in the place beside it: a folder, which damage may have left, would be an error for ever.
pub(super) fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let beside = PathBuf::from(format!("{}.new", file.display()));
    for path in [file, &beside] {
        if std::fs::symlink_metadata(path).is_ok_and(|about| about.is_dir()) {
            clear(path).reason(ReasonCode::Io, path.display())?;
        }
    }
    durable::write(file, bytes)
}
