//! Factory reset: what a device has learned since it left the factory goes, and what makes it this device and keeps it safe
//! stays. It is asked for now and done at the next boot, before anything uses the data partition; a cut repeats it.

use super::erase::erase;
use super::fragment::{FRAGMENT, keep_only_id};
use super::work::{Setup, Work};
use crate::config::Settings;
use crate::device::{Reset, World, is_undecided, kept_folder};
use crate::event::Sink;
use crate::model::{Failure, ReasonCode, Result};
use std::path::PathBuf;

/// What stays, below the data partition; what a name stands for ends with `*`.
pub const KEPT: [&str; 11] = [
    "preload",
    "identity",
    "lost+found",
    "surefoot/floor.*",
    "surefoot/committed.*",
    "surefoot/journal.*",
    "surefoot/channel.json",
    "surefoot/hold.json",
    "surefoot/setup.json",
    "etc/ssh/ssh_host_*",
    "etc/machine-id",
];

/// What stays beside, and is no fact about the device: how the state folder works, and the host name and the id of the device.
const ALSO: [&str; 6] = [
    "surefoot/lock",
    "surefoot/hold.lock",
    "surefoot/reserve.*",
    "surefoot/factory-reset.json",
    "etc/hostname",
    FRAGMENT,
];

/// Whether this boot is to erase: one was asked for in an earlier one.
pub(super) fn is_due(work: &Work<'_>) -> bool {
    matches!(Reset::pending(&work.settings.device.state), Ok(Some(reset)) if !in_this_boot(work, &reset))
}

fn in_this_boot(work: &Work<'_>, reset: &Reset) -> bool {
    let same = |world: &World| !reset.boot.is_empty() && reset.boot == world.boot_id();
    work.world().is_ok_and(same)
}

/// Does it before anything of the data partition is in use, for a program that runs before the init system.
pub fn end_reset(settings: &Settings, sink: &dyn Sink) -> Result<()> {
    finish(&mut Work::new(settings, sink))
}

/// Does what was asked for in an earlier boot. Nothing where nothing was; where it has to wait, nothing is erased, and the
/// failure says why. What cannot be erased is told and kept, and no later boot tries it again by itself.
pub(super) fn finish(work: &mut Work<'_>) -> Result<()> {
    let state = work.settings.device.state.clone();
    let Some(reset) = Reset::pending(&state)? else { return Ok(()) };
    if in_this_boot(work, &reset) {
        return Ok(());
    }
    let waits = |failure: Failure| failure.at("a factory reset waits");
    let world = work.world().map_err(waits)?;
    if is_undecided(world).map_err(waits)? {
        let why = "a new system is on trial";
        return Err(waits(Failure::new(ReasonCode::TrialPending, why)));
    }
    world.data_is_here().map_err(waits)?;
    let data = world.data_folder().map_err(waits)?;
    let held = world.lock("factory-reset").map_err(waits)?;
    // It may have been withdrawn, or done by another process, while this one waited.
    let Some(reset) = Reset::pending(&state)? else { return Ok(()) };
    let setup = Setup::load(&state);
    if let Some(folder) = &reset.keep
        && let Err(failure) = kept_folder(&data, &data.join(folder))
    {
        // No later boot would know better what is to stay, and until then nothing would be installed.
        let failure = failure.at("no factory reset was done");
        reset.give_up(&state, failure.detail())?;
        return Err(failure);
    }
    let state_name = state.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut kept: Vec<String> =
        KEPT.iter().chain(&ALSO).map(|name| renamed(name, &state_name)).collect();
    kept.extend(reset.keep.iter().map(|folder| folder.display().to_string()));
    let mut left = erase(&data, kept)?;
    work.setup = setup;
    work.setup.done.retain(|step, _| step == "grow");
    // Its settings go but for the id.
    let also = keep_only_id(work).and_then(|()| work.setup.save(&state));
    if let Err(failure) = also {
        left.push((state.clone(), failure.to_string()));
    }
    for (path, why) in &left {
        work.warn(format!("the factory reset has left {}: {why}", path.display()));
    }
    let left: Vec<PathBuf> = left.into_iter().map(|(path, _)| path).collect();
    reset.end(&state, &left)?;
    drop(held);
    Ok(())
}

/// A state folder may have another name.
fn renamed(name: &str, state: &str) -> String {
    name.strip_prefix("surefoot/").map_or_else(|| name.to_owned(), |rest| format!("{state}/{rest}"))
}
