//! A factory reset as it was asked for, and what it has come to: `factory-reset.json`. What is erased, `firstboot` knows.

use super::look::is_undecided;
use super::world::World;
use crate::model::{
    Failure, ReasonCode, Result, StateFile, WithReason, document, paths, printable,
};
use crate::sys::{durable, files, mounts};
use crate::update::Phase;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// So many paths are kept of what could not be erased.
const LEFT: usize = 16;

/// `factory-reset.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reset {
    /// The version of this file's shape.
    pub v: u32,
    /// The boot in which it was asked for: the next one erases.
    pub boot: String,
    /// A folder that stays, below the data partition.
    pub keep: Option<PathBuf>,
    /// Whether it is over. It is not tried again by itself: what was written since then was not meant.
    pub done: bool,
    /// What could not be erased, by its full path.
    pub left: Vec<String>,
    /// Why nothing was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Reset {
    /// One line for people.
    pub fn text(&self) -> String {
        match (self.done, &self.left[..]) {
            (false, _) => {
                "a factory reset was asked for: the next boot erases the data partition".to_owned()
            }
            (true, []) => {
                let why = self.why.as_deref().unwrap_or("the file that says so is damaged");
                format!("a factory reset was asked for, and nothing was erased: {why}")
            }
            (true, left) => format!("a factory reset has left {}", left.join(", ")),
        }
    }
}

impl Reset {
    fn load(state: &Path) -> Result<Option<Reset>> {
        let path = StateFile::RESET.within(state);
        // Written in one piece: what cannot be read was damaged since, and says of no folder whether it stays.
        let damaged = || Reset { done: true, ..Reset::default() };
        match files::read_own(&path, StateFile::RESET.limit) {
            Ok(bytes) => Ok(Some(document(&bytes).unwrap_or_else(damaged))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                Err(durable::io_failure("read", &path, &e))
            }
            Err(_) => Ok(Some(damaged())),
        }
    }

    /// A request that was not carried out yet.
    pub fn pending(state: &Path) -> Result<Option<Reset>> {
        Ok(Reset::load(state)?.filter(|reset| !reset.done))
    }

    /// Ends it, with what could not be erased.
    pub fn end(mut self, state: &Path, left: &[PathBuf]) -> Result<()> {
        if left.is_empty() {
            return durable::remove(&StateFile::RESET.within(state));
        }
        self.left = left.iter().filter_map(|path| told(path)).take(LEFT).collect();
        self.left.dedup();
        self.done = true;
        self.keep(state)
    }

    /// Ends it with nothing erased.
    pub fn give_up(mut self, state: &Path, why: &str) -> Result<()> {
        self.done = true;
        self.why = Some(printable(why, 500));
        self.keep(state)
    }

    fn keep(&self, state: &Path) -> Result<()> {
        let text = serde_json::to_string(self);
        let text = text.reason(ReasonCode::Internal, "the reset")? + "\n";
        durable::write(&StateFile::RESET.within(state), text.as_bytes())
    }
}

/// A path as a document can hold it, or the folder above which it can: all folders above what is there are there.
fn told(path: &Path) -> Option<String> {
    let fits = |text: &&str| text.len() <= 500 && printable(text, 500) == **text;
    path.ancestors().find_map(|path| path.to_str().filter(fits)).map(str::to_owned)
}

impl World {
    /// A factory reset that the next boot does, or one that has left something which is still there.
    pub fn reset(&self) -> Result<Option<Reset>> {
        let Some(mut reset) = Reset::load(&self.settings.device.state)? else { return Ok(None) };
        let before = reset.left.len();
        let state = &self.settings.device.state;
        let data = state.parent().unwrap_or(state);
        let data = std::fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
        // Another computer may have written the file: what it names elsewhere is no business of a reset.
        let is = |path: &Path| path.starts_with(&data) && path.symlink_metadata().is_ok();
        reset.left.retain(|path| is(Path::new(path)));
        Ok(Some(reset).filter(|reset| !reset.done || before == 0 || !reset.left.is_empty()))
    }

    /// `RESET_PENDING` where a factory reset was asked for: what is installed would be erased under way.
    pub(super) fn no_reset(&self) -> Result<()> {
        match self.reset()? {
            Some(reset) if !reset.done => Err(Failure::new(ReasonCode::ResetPending, reset.text())),
            _ => Ok(()),
        }
    }

    /// The folder that a factory reset erases, without links; `USAGE` where it holds what is not this device's data alone.
    pub fn data_folder(&self) -> Result<PathBuf> {
        let state = &self.settings.device.state;
        let data = state.parent().unwrap_or(state);
        let refuse = |why: &str| {
            let why = format!("{} {why}: everything in it would be erased", data.display());
            Err(Failure::new(ReasonCode::Usage, why))
        };
        if self.disk.is_image() && *data == self.settings.folder {
            return refuse("is no data folder of its own");
        }
        let looking = || format!("looking at {}", data.display());
        let folder = std::fs::canonicalize(data).reason(ReasonCode::Io, looking())?;
        let mounts = mounts::mounts().reason(ReasonCode::Io, looking())?;
        let own = mounts.iter().any(|m| Path::new(&m.point) == folder);
        match self.disk.is_image() || own && folder.parent().is_some() {
            true => Ok(folder),
            false => refuse("is not where the data partition is mounted"),
        }
    }

    /// `STATE_NOT_DURABLE` where the folder that holds the state folder lies on another disk than the one that runs, as far as
    /// that can be told: on that of a twin.
    pub fn data_is_here(&self) -> Result<()> {
        let state = &self.settings.device.state;
        let data = state.parent().unwrap_or(state);
        let Some(own) = self.disk.number() else { return Ok(()) };
        let (disks, said) = mounts::disks_under(data)
            .reason(ReasonCode::StateNotDurable, format!("looking at {}", data.display()))?;
        if disks.is_empty() || disks.contains(&own) {
            return Ok(());
        }
        let why = format!("{} is {said}, on another disk than `/`", data.display());
        let next = format!("Mount what `data` in {} leads to there.", paths::LINKS);
        Err(Failure::new(ReasonCode::StateNotDurable, why).with_next(next))
    }
}

/// Asks for it. `keep` is a folder on the data partition that stays, by its full path. `TRIAL_PENDING` during a trial, and while an
/// update is under way.
pub fn factory_reset(world: &World, keep: Option<&Path>) -> Result<String> {
    let _held = world.lock("factory-reset")?;
    if is_undecided(world)? || world.load_journal().phase != Phase::Idle {
        let why = "an update is under way; it must be decided before anything is erased";
        return Err(Failure::new(ReasonCode::TrialPending, why));
    }
    let data = world.data_folder()?;
    let state = &world.settings.device.state;
    let below = |folder: &Path| match folder.strip_prefix(state.parent().unwrap_or(state)) {
        Ok(below) => kept_folder(&data, &data.join(below)),
        Err(_) => kept_folder(&data, folder),
    };
    let keep = keep.map(below).transpose()?;
    let reset = Reset { v: 1, boot: world.boot_id(), keep, ..Reset::default() };
    reset.keep(state)?;
    let data = data.display();
    Ok(format!(
        "The next boot erases {data} but for what docs/first-boot.md lists. Until then nothing is installed."
    ))
}

/// Withdraws it, and forgets what an earlier one has left.
pub fn cancel_reset(world: &World) -> Result<String> {
    let _held = world.lock("factory-reset")?;
    let path = StateFile::RESET.within(&world.settings.device.state);
    match path.is_dir() {
        true => std::fs::remove_dir_all(&path).reason(ReasonCode::Io, "withdrawing the reset")?,
        false => durable::remove(&path)?,
    }
    Ok("No factory reset is pending.".to_owned())
}

/// What of the full path of a folder lies below the data folder. `USAGE` where it is none, or where a part of it is a link:
/// what is behind it would be erased.
pub fn kept_folder(data: &Path, folder: &Path) -> Result<PathBuf> {
    let why = |why: &str| {
        let why = format!("{} {why} {}", folder.display(), data.display());
        Failure::new(ReasonCode::Usage, why)
    };
    let below = folder.strip_prefix(data).map_err(|_| why("does not lie below"))?;
    let plain = |part| matches!(part, Component::Normal(_));
    let told = told(below).is_some_and(|told| Path::new(&told) == below);
    if below.as_os_str().is_empty() || !below.components().all(plain) || !told {
        return Err(why("is no name for a folder below"));
    }
    let mut path = data.to_owned();
    for part in below {
        path.push(part);
        if !path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return Err(why("is not there, or leads through a link, below"));
        }
    }
    Ok(below.to_owned())
}
