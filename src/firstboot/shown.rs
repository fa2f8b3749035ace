//! What is kept appears at its places, at every boot. Which file belongs where is a list of this image and its settings: nothing that
//! lies on the data partition says what is mounted over what, and what another program reads as its configuration is made anew out of
//! values that keep their rules.

use super::keep::{self, ETC, KEPT};
use super::parts::{self, Made, home};
use super::work::Work;
use super::{fragment, keys, wifi};
use crate::model::paths;
use crate::sys::below::Below;
use crate::sys::mounts::{self, Mount};
use crate::sys::tree::make_folder;
use crate::sys::{durable, files, host, mount};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// What is taken from `provision.toml` and shown, in words.
pub(super) const LOGINS: &str = "the ssh keys";
pub(super) const WIFI: &str = "the wireless network";

/// Something that is kept.
struct Shown {
    /// What it is called, where it is made.
    what: &'static str,
    from: Below,
    folder: bool,
    /// Its place, below the root.
    to: PathBuf,
}

/// Shows everything at its place: what `/run` holds is copied, what has a place is mounted over it, and what has none appears in
/// its folder. Says what could not be shown, and why.
pub(super) fn show(work: &Work<'_>) -> Vec<String> {
    all(work).into_iter().map(|(_, text)| text).collect()
}

/// The same, with what it is called.
pub(super) fn all(work: &Work<'_>) -> Vec<(&'static str, String)> {
    let (mut wrong, mut ready) = (Vec::new(), Vec::new());
    let cannot =
        |at: &Path, error: &Error| format!("{} is kept and cannot be shown: {error}", at.display());
    if let Err(error) = close(work) {
        wrong.push(("", format!("{ETC} on the data partition cannot be made private: {error}")));
    }
    for (kept, at) in list(work) {
        match ready_to_show(work, &kept, &at) {
            Ok(shown) => ready.extend(shown),
            Err(error) => wrong.push(("", cannot(&at, &error))),
        }
    }
    for (what, made) in made(work) {
        let each = |files: Vec<Made>| -> Result<Vec<Shown>> {
            files.iter().map(|made| render(work, what, made)).collect()
        };
        match made.and_then(each) {
            Ok(shown) => ready.extend(shown),
            Err(error) => wrong.push((what, cannot(Path::new(what), &error))),
        }
    }
    // Folders first, and before them what covers the folders above.
    ready.sort_by(|a, b| (!a.folder, &a.to).cmp(&(!b.folder, &b.to)));
    if work.real {
        wrong.extend(layers(work, &ready).into_iter().map(|text| ("", text)));
    }
    for shown in &ready {
        if let Err(error) = show_one(work, shown) {
            wrong.push((shown.what, cannot(&shown.to, &error)));
        }
    }
    wrong.extend(fragment::show_settings(work).into_iter().map(|text| ("", text)));
    wrong
}

/// Lets root alone into what is kept: what is private by its folder in `/etc` is private here, too, and in the making.
pub(super) fn close(work: &Work<'_>) -> Result<()> {
    let folder = match Below::hold(&work.data, ETC.as_ref()) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        held => held?,
    };
    let about = folder.about()?;
    if about.is_dir() && about.mode() & 0o7777 != 0o700 {
        std::fs::set_permissions(folder.place(), Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Every file and folder that may be kept and is shown as it is, and its place.
fn list(work: &Work<'_>) -> Vec<(PathBuf, PathBuf)> {
    let keys = keys::names().map(|name| (PathBuf::from(&name), Path::new("/").join(name)));
    let own = work.settings.first_boot.keep.iter();
    let own = own
        .filter_map(|at| Some((Path::new(KEPT).join(at.strip_prefix("/etc").ok()?), at.clone())));
    keys.chain(own).collect()
}

/// What is made of values that are kept. Which keys may log in counts only where the boot partition may say so.
fn made(work: &Work<'_>) -> Vec<(&'static str, Result<Vec<Made>>)> {
    let mut made = vec![
        (paths::MACHINE_ID, keep::made_id(work)),
        ("/etc/hostname", parts::hostname(work)),
        (WIFI, wifi::made(work)),
    ];
    if work.settings.first_boot.provision {
        made.push((LOGINS, parts::logins(work)));
    }
    made
}

/// Makes a file in memory, from where it is shown.
fn render(work: &Work<'_>, what: &'static str, made: &Made) -> Result<Shown> {
    let folder = work.settings.run.join("shown");
    let below = made.at.strip_prefix("/").map_err(Error::other)?;
    put(made.text.as_bytes(), &folder.join(below), made.mode)?;
    let from = Below::hold(&folder, below)?;
    Ok(Shown { what, from, folder: false, to: work.at(&made.at) })
}

/// `None` where nothing is kept.
fn ready_to_show(work: &Work<'_>, kept: &Path, at: &Path) -> Result<Option<Shown>> {
    let from = match Below::hold(&work.data, kept) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        held => held?,
    };
    let about = from.about()?;
    let folder = about.is_dir() && kept.starts_with(KEPT);
    if let Some(what) = files::not_a_file(about.file_type()).filter(|_| !folder) {
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    Ok(Some(Shown { what: "", from, folder, to: work.at(at) }))
}

/// Gives every file and folder that the image does not have a place to be mounted on: an overlay of two read-only layers in its
/// folder, with an empty file in the upper one. None where something else is mounted below that folder, which it would hide.
fn layers(work: &Work<'_>, ready: &[Shown]) -> Vec<String> {
    let mut mounted = mounts::mounts().unwrap_or_default();
    let mut folders = without_place(work, ready);
    // A layer of before, with what is in it, is made again above the new one.
    let hides = |folder: &Path, m: &Mount| {
        let point = Path::new(&m.point);
        point != folder && point.starts_with(folder)
    };
    while let Some(own) = mounted
        .iter()
        .find(|m| m.source == mount::LAYER && folders.keys().any(|folder| hides(folder, m)))
    {
        if mount::unmount(own.point.as_ref()).is_err() {
            break;
        }
        mounted = mounts::mounts().unwrap_or_default();
        folders = without_place(work, ready);
    }
    let failed = |(folder, files): (PathBuf, Vec<&Shown>)| {
        let again = |m: &Mount| ready.iter().any(|shown| shown.to == Path::new(&m.point));
        let error = match mounted.iter().find(|m| hides(&folder, m) && !again(m)) {
            Some(m) => Error::other(format!("it would hide what is mounted on {}", m.point)),
            None => layer(work, &folder, &files).err()?,
        };
        Some(format!("{} cannot have another layer: {error}", folder.display()))
    };
    folders.into_iter().filter_map(failed).collect()
}

/// What has no place to be mounted on, by the folder that a layer would give it one in.
fn without_place<'s>(work: &Work<'_>, ready: &'s [Shown]) -> BTreeMap<PathBuf, Vec<&'s Shown>> {
    let missing = ready.iter().filter(|shown| {
        let within = |folder: &&Shown| {
            folder.folder && folder.to != shown.to && shown.to.starts_with(&folder.to)
        };
        !shown.to.exists() && !ready.iter().any(|folder| within(&folder))
    });
    let mut folders = BTreeMap::<PathBuf, Vec<&Shown>>::new();
    let own = [PathBuf::from("/etc"), home(work)];
    for shown in missing {
        let folder = existing(&shown.to);
        if own.iter().any(|own| folder.starts_with(own)) && !host::writable(&folder) {
            folders.entry(folder).or_default().push(shown);
        }
    }
    folders
}

fn layer(work: &Work<'_>, folder: &Path, files: &[&Shown]) -> Result<()> {
    let base = work.settings.run.join("layers");
    make_folder(&base).map_err(|failure| Error::other(failure.to_string()))?;
    // One that another run of this boot has made is mounted.
    let upper = (0..64).map(|n| base.join(n.to_string())).find(|path| !path.exists());
    let upper = upper.ok_or(ErrorKind::AlreadyExists)?;
    std::fs::create_dir(&upper)?;
    for shown in files {
        let place = upper.join(shown.to.strip_prefix(folder).map_err(Error::other)?);
        std::fs::create_dir_all(if shown.folder {
            &place
        } else {
            place.parent().unwrap_or(&upper)
        })?;
        if !shown.folder {
            files::new(&place, 0o600)?;
        }
    }
    // The folder is seen with the owner and the rights of its upper layer.
    let about = std::fs::metadata(folder)?;
    chown(&upper, Some(about.uid()), Some(about.gid()))?;
    std::fs::set_permissions(&upper, Permissions::from_mode(about.mode() & 0o7777))?;
    mount::layer(&upper, folder)
}

fn show_one(work: &Work<'_>, shown: &Shown) -> Result<()> {
    let (from, to) = (&shown.from, shown.to.as_path());
    let about = from.about()?;
    let id = |m: &std::fs::Metadata| (m.dev(), m.ino());
    if std::fs::metadata(to).is_ok_and(|there| id(&there) == id(&about)) {
        return Ok(());
    }
    if !work.real || to.starts_with("/run") {
        // What is played has no mounts.
        return if shown.folder {
            Ok(())
        } else {
            put(&from.read(files::SMALL)?, to, about.mode() & 0o777)
        };
    }
    uncover(to)?;
    if to == Path::new(paths::MACHINE_ID) && to.exists() {
        return exchange(from, to);
    }
    let folder = existing(to);
    if !to.exists() {
        let why = "the image has no such place, and none can be made there";
        if !host::writable(&folder) || std::fs::symlink_metadata(to).is_ok() {
            return Err(Error::new(ErrorKind::NotFound, why));
        }
        std::fs::create_dir_all(if shown.folder { to } else { to.parent().unwrap_or(to) })?;
        if !shown.folder {
            files::new(to, 0o600)?;
        }
    }
    mount::bind(&from.place(), to)
}

/// Takes away what an earlier run of this boot has mounted there, where its file was replaced since: it has no name any more, and
/// nothing can be mounted over it.
fn uncover(to: &Path) -> Result<()> {
    let last = || -> Result<bool> {
        let all = mounts::mounts()?;
        let last = all.iter().rfind(|m| Path::new(&m.point) == to);
        Ok(last.is_some_and(|m| m.root.ends_with("//deleted")))
    };
    while last()? {
        mount::unmount(to)?;
    }
    Ok(())
}

/// Writes a file that is not needed after a reboot, where it is not there already.
fn put(bytes: &[u8], to: &Path, mode: u32) -> Result<()> {
    if files::read_own(to, files::SMALL).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(above) = to.parent() {
        std::fs::create_dir_all(above)?;
    }
    durable::publish_with(to, bytes, mode).map_err(|failure| Error::other(failure.to_string()))
}

/// Puts the kept id in place of the one that systemd has made for this boot and mounted over the empty file of the image. The journal daemon has read the other one, and would keep a folder for it on the data partition.
fn exchange(from: &Below, to: &Path) -> Result<()> {
    let id = from.read(64)?;
    let read = |path: &Path| files::read_foreign(path, 64).unwrap_or_default();
    let made = Path::new("/run/machine-id");
    if read(to) == id {
        return Ok(());
    }
    if read(made).len() == id.len() {
        files::own_to_change(made, 0o444)?.write_all_at(&id, 0)?;
    }
    if read(to) != id {
        mount::bind(&from.place(), to)?;
    }
    host::restart_journal();
    Ok(())
}

/// The lowest folder above a path that there is.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().skip(1).find(|p| p.is_dir()).unwrap_or(Path::new("/")).to_owned()
}
