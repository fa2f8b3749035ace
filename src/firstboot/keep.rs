//! What is kept of `/etc` on a root filesystem that nobody writes to: files on the data partition.

use super::parts::Made;
use super::work::Work;
use crate::model::{Failure, ReasonCode, Result, WithReason, paths};
use crate::sys::below::Below;
use crate::sys::{files, host, mount, mounts, tree};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The folder of the data partition for it.
pub(super) const ETC: &str = "etc";

/// The folder for what `[first_boot] keep` names, below `/etc`.
pub(super) const KEPT: &str = "etc/kept";

/// What the step for the machine id is called.
pub(super) const MACHINE_ID: &str = "machine-id";

/// A text of 32 lower-case hexadecimal digits (machine-id(5)).
fn is_machine_id(text: &str) -> bool {
    let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 32 && text.bytes().all(digit) && text != "0".repeat(32)
}

/// The id that is kept, and whether its file is as programs want it to the byte.
fn kept_id(work: &Work<'_>) -> io::Result<(String, bool)> {
    let bytes = Below::hold(&work.data, Path::new(ETC).join(MACHINE_ID).as_path())?.read(256)?;
    let text = String::from_utf8_lossy(&bytes);
    let id = text.trim().to_ascii_lowercase();
    let exact = *text == format!("{id}\n");
    let wrong = || io::Error::new(ErrorKind::InvalidData, "it is no machine id");
    is_machine_id(&id).then_some((id, exact)).ok_or_else(wrong)
}

/// Whether the id that was kept is gone or damaged.
pub(super) fn id_is_lost(work: &Work<'_>) -> bool {
    !kept_id(work).is_ok_and(|(_, exact)| exact)
}

/// The file with the id that is kept.
pub(super) fn made_id(work: &Work<'_>) -> io::Result<Vec<Made>> {
    match kept_id(work) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        kept => Ok(vec![Made::new(paths::MACHINE_ID, kept?.0 + "\n", 0o444)]),
    }
}

/// Keeps the id that this device has for itself already, or that systemd has just made for this boot; and a new one where the image
/// brings one: that would be every device's.
pub(super) fn machine_id(work: &mut Work<'_>) -> Result<String> {
    let (id, exact) = match kept_id(work) {
        Ok(kept) => kept,
        Err(_) => (own_id(work)?, !work.setup.done.contains_key(MACHINE_ID)),
    };
    if !exact {
        work.warn(
            "the machine id that was kept is gone or damaged, and is written anew".to_owned(),
        );
    }
    work.keep(&format!("{ETC}/{MACHINE_ID}"), format!("{id}\n").as_bytes(), 0o444)?;
    Ok(id)
}

fn own_id(work: &Work<'_>) -> Result<String> {
    let at = Path::new(paths::MACHINE_ID);
    let now = files::foreign_text(&work.at(at), files::SMALL).unwrap_or_default();
    let now = now.trim().to_ascii_lowercase();
    if is_machine_id(&now) && is_own(work, at, MACHINE_ID) {
        return Ok(now);
    }
    let new = files::kernel_text("/proc/sys/kernel/random/uuid");
    Ok(new.reason(ReasonCode::Io, "a random number")?.trim().replace('-', ""))
}

/// Whether a file of `/etc` is this device's own and not its image's: it lies on a file system of its own, or the root can be written to
/// and the device was updated before it ever did this step. With another one it would be a stranger to all that know it.
pub(super) fn is_own(work: &Work<'_>, path: &Path, step: &str) -> bool {
    let mounted = || {
        let all = mounts::mounts().unwrap_or_default();
        mounts::mount_of(&all, path).is_some_and(|m| m.point != "/" && m.source != mount::LAYER)
    };
    let writable = || work.at(path).parent().is_some_and(host::writable);
    work.real && mounted() || work.is_fielded(step) && writable()
}

/// Whether the image brings something of the list that is not kept yet.
pub(super) fn has_more(work: &Work<'_>) -> bool {
    let missing = |path: &PathBuf| {
        let about = std::fs::symlink_metadata(work.at(path));
        let kept = path.strip_prefix("/etc").map(|below| Path::new(KEPT).join(below));
        about.is_ok_and(|a| a.is_file() || a.is_dir())
            && kept.is_ok_and(|kept| {
                matches!(Below::hold(&work.data, &kept), Err(e) if e.kind() == ErrorKind::NotFound)
            })
    };
    work.settings.first_boot.keep.iter().any(missing)
}

/// Copies what `[first_boot] keep` names, once: from then on the copy counts. One that fails keeps no other one back.
pub(super) fn step(work: &mut Work<'_>) -> Result<String> {
    let (mut told, mut failed) = (Vec::new(), None::<Failure>);
    work.folder_for(Path::new(KEPT).join("x").as_path())?;
    for path in &work.settings.first_boot.keep {
        let Ok(below) = path.strip_prefix("/etc") else { continue };
        let (from, below) = (work.at(path), Path::new(KEPT).join(below));
        let mut left = Vec::new();
        let about = std::fs::symlink_metadata(&from);
        let done = match Below::hold(&work.data, &below) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(e).reason(ReasonCode::Io, path.display())
            }
            Err(_) => {
                let Ok(about) = about else { continue };
                match files::not_a_file(about.file_type()).filter(|_| !about.is_dir()) {
                    Some(what) => {
                        work.warn(format!("{} {what}; it is not kept", path.display()));
                        continue;
                    }
                    None => work.folder_for(&below).and_then(|to| {
                        tree::copy(&from, &to, &work.data.join(ETC).join(".new"), &mut left)
                    }),
                }
            }
        };
        left.into_iter().for_each(|text| work.warn(format!("{text}; it is not kept")));
        match done {
            Ok(()) => told.push(path.display().to_string()),
            Err(failure) => {
                work.warn(failure.to_string());
                failed.get_or_insert(failure);
            }
        }
    }
    match failed {
        Some(failure) => Err(failure),
        None if told.is_empty() => Ok("nothing else is kept".to_owned()),
        None => Ok(told.join(", ")),
    }
}
