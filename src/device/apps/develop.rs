//! The time of development on a device: what a development key brings runs only under a hold, and the end of the hold brings
//! back what ran before, and takes away what was made meanwhile.

use super::answer::in_words;
use super::carry::{at_rest, carry_out};
use super::gear::Gear;
use super::journal::found;
use crate::apps::{AppCommand, AppJournal, AppMove, AppPhase, Generation};
use crate::bundle::ServiceName;
use crate::device::World;
use crate::event::Sink;
use crate::model::{ReasonCode, Result, WithReason};
use crate::sys::{durable, stop::Stop};
use crate::update::Order;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below an app's folder for data.
const VOLUMES: &str = "volumes";

/// Before a generation of a development key is switched to for the first time: what is there of the app is written down.
pub(super) fn remember(gear: &Gear<'_>, journal: &AppJournal, moves: &[AppMove]) -> Result<()> {
    let developed = |one: &&AppMove| one.to.as_ref().is_some_and(|to| to.development);
    let next = moves.iter().filter(developed).fold(journal.clone(), |journal, one| {
        journal.before_development(&one.app, names(&folder(gear.world, &one.app)))
    });
    match next == *journal {
        true => Ok(()),
        false => gear.world.apps_store().save(&next),
    }
}

fn folder(world: &World, app: &ServiceName) -> PathBuf {
    let data = world.settings.apps.data.clone().unwrap_or_default();
    data.join(app.as_str())
}

/// What lies in the folder of an app: volumes by `volumes/NAME`, and anything else by its name.
fn names(folder: &Path) -> BTreeSet<String> {
    let list = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let volumes = list(&folder.join(VOLUMES)).map(|entry| format!("{VOLUMES}/{}", name(entry)));
    let others = list(folder).map(name).filter(|name| name != VOLUMES);
    volumes.chain(others).collect()
}

/// Whether something of a development key is here that is to go, now that no hold allows it.
fn is_over(world: &World) -> bool {
    let Some(journal) = world.apps_journal() else { return false };
    let some = !journal.develop.is_empty() || !journal.without_development().is_empty();
    some && world.hold().is_none()
}

/// The end of a hold: brings back what ran before development keys had a part. `BUSY` where something else is at work; the
/// daemon does it then, as after a hold that ended by itself.
pub(in crate::device) fn unhold(world: &World, by: &str, sink: &dyn Sink) -> Result<Vec<String>> {
    if !is_over(world) {
        return Ok(Vec::new());
    }
    let held = world.lock_for("unhold", by, false, Duration::from_secs(5))?;
    let gear = Gear::of(world)?.under_hold();
    held.stop.over(|| end(&gear, by, sink))
}

/// The same in a turn of the daemon, which holds the lock.
pub(super) fn end_if_over(world: &World, sink: &dyn Sink) -> Result<()> {
    match is_over(world) {
        true => end(&Gear::of(world)?.under_hold(), "the end of the hold", sink).map(drop),
        false => Ok(()),
    }
}

/// What was remembered goes last: a cut anywhere does the rest again.
fn end(gear: &Gear<'_>, by: &str, sink: &dyn Sink) -> Result<Vec<String>> {
    let settled = Stop::default().over(|| carry_out(gear, &AppCommand::Settle, &[], sink))?;
    at_rest(&settled)?;
    let moves = settled.without_development();
    let told: Vec<String> = moves.iter().map(in_words).collect();
    if !moves.is_empty() {
        let order = Order { by: by.to_owned(), ..Order::default() };
        let change = AppCommand::Change { moves: moves.clone(), order, switch: true };
        carry_out(gear, &change, &[], sink)?;
    }
    let journal = found(gear, sink)?;
    if journal.phase != AppPhase::Idle || !journal.without_development().is_empty() {
        // It did not come back as it should; the next turn of the daemon tries again.
        return Ok(told);
    }
    for (app, before) in &journal.develop {
        // Where a release key has signed what runs now, the data is its own.
        let digest = |generation: Option<&Generation>| generation.map(|g| g.digest);
        if digest(journal.live.get(app)) != digest(before.generation.as_ref()) {
            continue;
        }
        let folder = folder(gear.world, app);
        for name in names(&folder).difference(&before.data) {
            remove(&folder.join(name))?;
        }
        if before.generation.is_none() && before.data.is_empty() && folder.is_dir() {
            remove(&folder)?;
        }
    }
    gear.world.apps_store().save(&journal.forgetting_development())?;
    Ok(told)
}

fn remove(path: &Path) -> Result<()> {
    let told = || format!("removing {}", path.display());
    let found = std::fs::symlink_metadata(path).reason(ReasonCode::Io, told())?;
    let removed = match found.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    removed.reason(ReasonCode::Io, told())?;
    path.parent().map_or(Ok(()), durable::sync_folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_folder_of_an_app_is_named_so_that_what_comes_later_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(names(&dir.path().join("none")), BTreeSet::new());
        std::fs::create_dir_all(dir.path().join("volumes/db")).unwrap();
        std::fs::create_dir_all(dir.path().join("data")).unwrap();
        let before = names(dir.path());
        assert_eq!(before, ["data", "volumes/db"].map(str::to_owned).into());
        std::fs::create_dir_all(dir.path().join("volumes/scratch/deep")).unwrap();
        let after = names(dir.path());
        let made: Vec<_> = after.difference(&before).collect();
        assert_eq!(made, ["volumes/scratch"]);
        remove(&dir.path().join(made[0])).unwrap();
        assert_eq!(names(dir.path()), before);
    }
}
