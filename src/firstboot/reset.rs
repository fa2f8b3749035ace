//! Factory reset: what a device has learned since it left the factory goes, and what makes it this device and keeps it safe
//! stays. It is asked for now and done at the next boot, before anything uses the data partition; a cut repeats it.

use super::take::{FRAGMENT, keep_only_id};
use super::work::Work;
use crate::device::{World, is_undecided};
use crate::model::{Failure, ReasonCode, Result, StateFile, WithReason, document};
use crate::sys::durable;
use crate::sys::power;
use crate::update::Phase;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What stays, below the data partition; what a name stands for ends with `*`.
pub const KEPT: [&str; 10] = [
    "preload",
    "identity",
    "lost+found",
    "surefoot/floor.*",
    "surefoot/committed.*",
    "surefoot/journal.*",
    "surefoot/channel.json",
    "surefoot/setup.json",
    "etc/ssh/ssh_host_*",
    "etc/machine-id",
];

/// What stays beside, and is no fact about the device: how the state folder works, and the host name and the id of the device.
const ALSO: [&str; 5] = [
    "surefoot/lock",
    "surefoot/reserve.*",
    "surefoot/factory-reset.json",
    "etc/hostname",
    FRAGMENT,
];

/// `factory-reset.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Asked {
    v: u32,
    /// A folder of the data partition that stays, too.
    keep: Option<PathBuf>,
}

/// Asks for it. `keep` is a folder on the data partition that stays, by its full path. `TRIAL_PENDING` during a trial, and while an
/// update is under way.
pub fn factory_reset(world: &World, keep: Option<&Path>) -> Result<String> {
    let _held = world.lock("factory-reset")?;
    if is_undecided(world)? || world.load_journal().phase != Phase::Idle {
        let why = "an update is under way; it must be decided before anything is erased";
        return Err(Failure::new(ReasonCode::TrialPending, why));
    }
    let state = &world.settings.device.state;
    let data = state.parent().unwrap_or(state);
    if data == world.settings.folder {
        let why = "the state folder of this device lies in no data folder: everything beside it would be erased";
        return Err(Failure::new(ReasonCode::Usage, why));
    }
    let keep = keep.map(|folder| below(data, folder)).transpose()?;
    let text = serde_json::to_string(&Asked { v: 1, keep });
    let text = text.reason(ReasonCode::Internal, "the reset")? + "\n";
    durable::write(&StateFile::RESET.within(state), text.as_bytes())?;
    Ok(format!("The next boot erases {} but for what docs/first-boot.md lists.", data.display()))
}

fn below(data: &Path, folder: &Path) -> Result<PathBuf> {
    let below = folder.strip_prefix(data).ok().filter(|p| p.components().next().is_some());
    let plain = |p: &&Path| p.components().all(|c| matches!(c, std::path::Component::Normal(_)));
    let why = || {
        Failure::new(
            ReasonCode::Usage,
            format!("{} is no folder below {}", folder.display(), data.display()),
        )
    };
    below.filter(plain).filter(|_| folder.is_dir()).map(Path::to_owned).ok_or_else(why)
}

/// Does what was asked for. Nothing where nothing was.
pub(super) fn finish(work: &mut Work<'_>) -> Result<()> {
    let state = work.settings.device.state.clone();
    let marker = StateFile::RESET.within(&state);
    let Some(bytes) = durable::read(&marker, StateFile::RESET.limit)? else { return Ok(()) };
    // One that cannot be read was asked for all the same; the file is written in one piece.
    let asked: Asked = document(&bytes).unwrap_or_default();
    if let Ok(world) = work.world()
        && is_undecided(world).unwrap_or(true)
    {
        work.warn("a factory reset waits until the trial is decided".to_owned());
        return Ok(());
    }
    let state_name = state.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut kept: Vec<String> =
        KEPT.iter().chain(&ALSO).map(|name| renamed(name, &state_name)).collect();
    kept.extend(asked.keep.map(|folder| folder.display().to_string()));
    erase(&work.data, "", &kept)?;
    work.setup.done.retain(|step, _| step == "grow");
    work.setup.shown.clear();
    // Its settings go but for the id.
    keep_only_id(work)?;
    if work.data.join("etc/hostname").exists() {
        work.show("etc/hostname", "/etc/hostname");
    }
    work.setup.save(&state)?;
    durable::remove(&marker)
}

/// A state folder may have another name.
fn renamed(name: &str, state: &str) -> String {
    name.strip_prefix("surefoot/").map_or_else(|| name.to_owned(), |rest| format!("{state}/{rest}"))
}

/// Whether this name stays, or something in it.
fn stays(name: &str, kept: &[String]) -> Stays {
    let is = |kept: &String| match kept.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == kept,
    };
    if kept.iter().any(is) {
        Stays::Whole
    } else if kept.iter().any(|kept| kept.starts_with(&format!("{name}/"))) {
        Stays::Partly
    } else {
        Stays::Not
    }
}

enum Stays {
    Whole,
    Partly,
    Not,
}

fn erase(folder: &Path, name: &str, kept: &[String]) -> Result<()> {
    let told = || format!("erasing {}", folder.display());
    let entries = std::fs::read_dir(folder).reason(ReasonCode::Io, told())?;
    for entry in entries {
        let entry = entry.reason(ReasonCode::Io, told())?;
        let own = entry.file_name().to_string_lossy().into_owned();
        let below = if name.is_empty() { own } else { format!("{name}/{own}") };
        let path = entry.path();
        match stays(&below, kept) {
            Stays::Whole => {}
            Stays::Partly if entry.file_type().is_ok_and(|kind| kind.is_dir()) => {
                erase(&path, &below, kept)?
            }
            _ => remove(&path)?,
        }
    }
    durable::sync_folder(folder)
}

/// A file, or a folder with all that is in it. Links are not followed.
fn remove(path: &Path) -> Result<()> {
    let told = || format!("erasing {}", path.display());
    let about = std::fs::symlink_metadata(path).reason(ReasonCode::Io, told())?;
    if !about.is_dir() {
        return power::acting(power::Deed::Memory, || std::fs::remove_file(path))
            .reason(ReasonCode::Io, told());
    }
    for entry in std::fs::read_dir(path).reason(ReasonCode::Io, told())? {
        remove(&entry.reason(ReasonCode::Io, told())?.path())?;
    }
    power::acting(power::Deed::Memory, || std::fs::remove_dir(path)).reason(ReasonCode::Io, told())
}
