//! Whether the one who asks may look. What may not be read is not known: nothing is concluded from
//! it, and the one who may read it is named.

use crate::config::Settings;
use crate::model::{Failure, ReasonCode, Result, StateFile};
use crate::sys::host;
use std::path::{Path, PathBuf};

/// `NOT_ALLOWED` where an ordinary user may not read something that every answer leans on.
pub fn may_look(settings: &Settings) -> Result<()> {
    let state = &settings.device.state;
    let copies = StateFile::JOURNAL.into_iter().chain(StateFile::FLOOR);
    let kept: Vec<_> = copies
        .chain([StateFile::HISTORY, StateFile::HOLD])
        .map(|kept| kept.within(state))
        .collect();
    let (_, bootloader) = settings.bootloader.described_by();
    // Where the disk cannot be found, that is told when it is opened.
    let disk = settings.device.disk.path().unwrap_or_default();
    let all = [disk.as_path(), bootloader, &settings.trust_file, state];
    let kept = kept.iter().chain(settings.device.booted.as_ref()).map(PathBuf::as_path);
    for path in all.into_iter().chain(kept) {
        if is_hidden(path) {
            return Err(not_allowed(&format!(
                "user {} may not read {}, so what runs here and whether a bad update would come back is unknown",
                host::user(),
                path.display()
            )));
        }
    }
    Ok(())
}

/// `NOT_ALLOWED` where an ordinary user may not write to a folder that others may write to.
pub(super) fn may_write(folder: &Path) -> Result<()> {
    match host::is_denied(folder, true) {
        true => {
            Err(not_allowed(&format!("{} may not write to {}", host::user(), folder.display())))
        }
        false => Ok(()),
    }
}

/// A folder must be entered too.
fn is_hidden(path: &Path) -> bool {
    host::is_denied(path, false) || path.is_dir() && host::is_denied(&path.join("."), false)
}

fn not_allowed(text: &str) -> Failure {
    Failure::new(ReasonCode::NotAllowed, text)
}
