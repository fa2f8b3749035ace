//! Locks of services: an app that must not be stopped just now holds flock(2) on a file of the folder that it finds as
//! `/run/surefoot`. The kernel gives it back where the app ends.

use crate::apps::AppMove;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::lock::{Holder, holder};
use std::path::{Path, PathBuf};

/// The file that a service locks.
pub(super) const LOCK: &str = "update.lock";

/// Where a service of this app finds it.
pub(super) fn lock_file(run: &Path, app: &str) -> PathBuf {
    run.join("apps").join(app).join("lock").join(LOCK)
}

/// Refuses with `APP_LOCKED` where a service of an app that would be stopped holds its lock.
pub(super) fn none_is_held(run: &Path, moves: &[AppMove]) -> Result<()> {
    for one in moves.iter().filter(|one| one.from.is_some()) {
        let file = lock_file(run, one.app.as_str());
        // A lock that cannot be looked at holds nothing back: the folder is ours, and no other puts a file there.
        if matches!(holder(&file), Ok(Holder::Somebody | Holder::Process(_))) {
            let text = format!("a service of {} holds {}", one.app, file.display());
            return Err(Failure::new(ReasonCode::AppLocked, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::lock::FileLock;
    use std::time::Duration;

    #[test]
    fn a_service_that_holds_its_lock_is_not_stopped() {
        let run = tempfile::tempdir().unwrap();
        let file = lock_file(run.path(), "shop");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let generation = |counter| crate::apps::Generation {
            digest: crate::model::Digest::of(&[counter]),
            version: "1.0.0".parse().unwrap(),
            release_counter: u64::from(counter),
            config: std::collections::BTreeMap::new(),
            development: false,
            keep: 1,
        };
        let update = [AppMove {
            app: "shop".parse().unwrap(),
            from: Some(generation(1)),
            to: Some(generation(2)),
        }];
        let new = [AppMove { from: None, ..update[0].clone() }];
        assert!(none_is_held(run.path(), &update).is_ok(), "no service has made the file");
        let held = FileLock::take(&file, Duration::ZERO).unwrap();
        let refused = none_is_held(run.path(), &update).unwrap_err();
        assert_eq!(refused.code(), ReasonCode::AppLocked);
        assert!(none_is_held(run.path(), &new).is_ok(), "nothing of it runs");
        drop(held);
        assert!(none_is_held(run.path(), &update).is_ok());
    }
}
