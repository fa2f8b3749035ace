//! What is kept of `/etc` on a root filesystem that nobody writes to: files on the data partition.

use super::copy::copy;
use super::work::Work;
use crate::model::{Failure, ReasonCode, Result, WithReason, paths};
use crate::sys::below::Below;
use crate::sys::{files, mounts};
use std::path::Path;

/// The folder of the data partition for it.
pub(super) const ETC: &str = "etc";

/// The folder for what `[first_boot] keep` names, below `/etc`.
pub(super) const KEPT: &str = "etc/kept";

/// A text of 32 hexadecimal digits (machine-id(5)).
pub(super) fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) && text != "0".repeat(32)
}

/// Keeps the id that this boot has where systemd has just made it, and a new one where the image brings one: that would be
/// every device's.
pub(super) fn machine_id(work: &mut Work<'_>) -> Result<String> {
    let kept = format!("{ETC}/machine-id");
    let held = Below::hold(&work.data, kept.as_ref()).and_then(|file| file.read(64));
    let mut id = String::from_utf8_lossy(&held.unwrap_or_default()).trim().to_owned();
    if !is_machine_id(&id) {
        let now = files::foreign_text(&work.at(paths::MACHINE_ID), files::SMALL);
        id = now.unwrap_or_default().trim().to_owned();
        let made_now = work.real && is_mounted(Path::new(paths::MACHINE_ID));
        if !is_machine_id(&id) || !made_now {
            let new = files::kernel_text("/proc/sys/kernel/random/uuid");
            id = new.reason(ReasonCode::Io, "a random number")?.trim().replace('-', "");
        }
    }
    work.keep(&kept, format!("{id}\n").as_bytes(), 0o444)?;
    Ok(id)
}

fn is_mounted(path: &Path) -> bool {
    mounts::mounts().is_ok_and(|all| all.iter().any(|m| Path::new(&m.point) == path))
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
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).reason(ReasonCode::Io, path.display())
            }
            Err(_) if about.is_err() => continue,
            Err(_) if about.is_ok_and(|a| a.is_symlink()) => {
                work.warn(format!("{} is a link and is not kept", path.display()));
                continue;
            }
            Err(_) => work
                .folder_for(&below)
                .and_then(|to| copy(&from, &to, &work.data.join(ETC).join(".new"), &mut left)),
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
