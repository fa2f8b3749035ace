//! What is kept of `/etc` on a root filesystem that nobody writes to: files on the data partition, shown at their places at
//! every boot.

use super::work::{Work, make_folder};
use crate::model::{ReasonCode, Result, WithReason, paths};
use crate::sys::{durable, files, host, mount, mounts};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The folder of the data partition for it.
pub(super) const ETC: &str = "etc";

/// A text of 32 hexadecimal digits (machine-id(5)).
fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) && text != "0".repeat(32)
}

/// Keeps the id that this boot has where systemd has just made it, and a new one where the image brings one: that would be
/// every device's.
pub(super) fn machine_id(work: &mut Work<'_>) -> Result<String> {
    let kept = format!("{ETC}/machine-id");
    let read =
        |path: &Path| files::foreign_text(path, files::SMALL).unwrap_or_default().trim().to_owned();
    let mut id = read(&work.data.join(&kept));
    if !is_machine_id(&id) {
        id = read(&work.at(paths::MACHINE_ID));
        let made_now = work.real && is_mounted(Path::new(paths::MACHINE_ID));
        if !is_machine_id(&id) || !made_now {
            let new = files::kernel_text("/proc/sys/kernel/random/uuid");
            id = new.reason(ReasonCode::Io, "a random number")?.trim().replace('-', "");
        }
    }
    work.keep(&kept, format!("{id}\n").as_bytes(), 0o444, paths::MACHINE_ID)?;
    Ok(id)
}

fn is_mounted(path: &Path) -> bool {
    mounts::mounts().is_ok_and(|all| all.iter().any(|m| Path::new(&m.point) == path))
}

/// Copies what `[first_boot] keep` names, once: from then on the copy counts.
pub(super) fn step(work: &mut Work<'_>) -> Result<String> {
    let mut told = Vec::new();
    for path in work.settings.first_boot.keep.clone() {
        let below = path.strip_prefix("/").unwrap_or(&path).to_owned();
        let (from, to) = (work.at(&path), work.data.join(&below));
        if !to.exists() {
            copy(&from, &to).reason(ReasonCode::Io, format!("keeping {}", path.display()))?;
        }
        if to.exists() {
            work.show(below, &path);
            told.push(path.display().to_string());
        }
    }
    Ok(if told.is_empty() { "nothing else is kept".to_owned() } else { told.join(", ") })
}

/// A file or a folder of files; what does not exist is nothing. A folder has its name last, when it is whole.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let about = match std::fs::symlink_metadata(from) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about?,
    };
    let told = |f: crate::model::Failure| io::Error::other(f.to_string());
    make_folder(to.parent().unwrap_or(Path::new("/"))).map_err(told)?;
    if about.is_dir() {
        let beside = to.with_extension("new");
        if beside.exists() {
            std::fs::remove_dir_all(&beside)?;
        }
        make_folder(&beside).map_err(told)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &beside.join(entry.file_name()))?;
        }
        std::fs::set_permissions(&beside, about.permissions())?;
        std::fs::rename(&beside, to)?;
        return durable::sync_folder(to.parent().unwrap_or(Path::new("/"))).map_err(told);
    }
    durable::write(to, &files::read_foreign(from, files::SMALL)?).map_err(told)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())
}

/// Shows everything at its place: what `/run` and `/var` hold is copied, what has a place is mounted over it, and what has none
/// appears in its folder. Says what could not be shown.
pub(super) fn show(work: &Work<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for shown in &work.setup.shown {
        let (from, to) = (work.data.join(&shown.kept), work.at(&shown.at));
        if from.exists()
            && let Err(error) = show_one(work, &from, &to)
        {
            wrong.push(format!("{} is kept and cannot be shown: {error}", shown.at.display()));
        }
    }
    if work.real
        && let Ok(name) = files::foreign_text(&work.data.join(ETC).join("hostname"), 256)
        && let Err(error) = set_host_name(name.trim())
    {
        wrong.push(format!("the host name cannot be set: {error}"));
    }
    wrong
}

fn set_host_name(name: &str) -> io::Result<()> {
    let file = files::own_to_change(Path::new("/proc/sys/kernel/hostname"), 0o644)?;
    file.write_all_at(name.as_bytes(), 0)
}

fn show_one(work: &Work<'_>, from: &Path, to: &Path) -> io::Result<()> {
    let is_id = to == work.at(paths::MACHINE_ID);
    if same(from, to) {
        return Ok(());
    }
    if is_id
        && work.real
        && let Ok(text) = files::read_own(Path::new("/run/machine-id"), 64)
    {
        // systemd has mounted this file over /etc/machine-id, and programs have it open already.
        let id = files::read_own(from, 64)?;
        if text.len() == id.len() && is_mounted(to) {
            return files::own_to_change(Path::new("/run/machine-id"), 0o444)?.write_all_at(&id, 0);
        }
    }
    let folder = existing(to);
    if !to.exists() && (!work.real || host::writable(&folder)) || to.starts_with(work.at("run")) {
        if let Some(above) = to.parent() {
            std::fs::create_dir_all(above)?;
        }
        std::fs::copy(from, to)?;
        return Ok(());
    }
    if !work.real {
        return std::fs::copy(from, to).map(drop);
    }
    if to.exists() {
        return mount::bind(from, to);
    }
    // As many parts of the path above the kept file as the place has below its folder.
    let below = to.strip_prefix(&folder).map_err(io::Error::other)?.components().count();
    let layer = from.ancestors().nth(below).unwrap_or(from);
    // The folder is seen with the rights of its upper layer.
    std::fs::set_permissions(layer, std::fs::metadata(&folder)?.permissions())?;
    mount::layer(layer, &folder)
}

/// The lowest folder above a path that there is.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().skip(1).find(|p| p.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// Whether both are the same file, or have the same bytes.
fn same(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let read = |path: &Path| files::read_foreign(path, files::SMALL).ok();
    id(a).is_some() && id(a) == id(b) || read(a).is_some_and(|bytes| read(b) == Some(bytes))
}
