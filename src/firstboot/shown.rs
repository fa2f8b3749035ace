//! What is kept appears at its places, at every boot. Which file belongs where is a list of this image and its settings: nothing that
//! lies on the data partition says what is mounted over what.

use super::keep::{KEPT, is_machine_id};
use super::provision::Provision;
use super::take;
use super::work::{Work, make_folder};
use crate::model::paths;
use crate::sys::below::Below;
use crate::sys::{durable, files, host, mount};
use std::fs::Permissions;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// What is kept of the first boot itself: below the data partition, and where programs look for it.
const FILES: [(&str, &str); 9] = [
    ("etc/machine-id", paths::MACHINE_ID),
    ("etc/hostname", "/etc/hostname"),
    ("etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key"),
    ("etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_ed25519_key.pub"),
    ("etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ecdsa_key"),
    ("etc/ssh/ssh_host_ecdsa_key.pub", "/etc/ssh/ssh_host_ecdsa_key.pub"),
    (
        "etc/NetworkManager/system-connections/surefoot.nmconnection",
        "/run/NetworkManager/system-connections/surefoot.nmconnection",
    ),
    (
        "etc/wpa_supplicant/wpa_supplicant-wlan0.conf",
        "/etc/wpa_supplicant/wpa_supplicant-wlan0.conf",
    ),
    (
        "etc/systemd/network/80-surefoot-wlan0.network",
        "/run/systemd/network/80-surefoot-wlan0.network",
    ),
];

/// Which keys may log in: only where the boot partition may say so.
const LOGINS: (&str, &str) = ("etc/root/.ssh/authorized_keys", "/root/.ssh/authorized_keys");

/// Networks of iwd: their files have their names.
const NETWORKS: (&str, &str) = ("etc/iwd", "/var/lib/iwd");

/// One network and a few from before.
const NETWORKS_MAX: usize = 16;

/// Something that is kept.
struct Shown {
    from: Below,
    folder: bool,
    /// Its place, below the root.
    to: PathBuf,
}

/// Shows everything at its place: what `/run` holds is copied, what has a place is mounted over it, and what has none appears in
/// its folder. Says what could not be shown, and why.
pub(super) fn show(work: &Work<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ready = Vec::new();
    for (kept, at) in list(work) {
        match ready_to_show(work, &kept, &at) {
            Ok(shown) => ready.extend(shown),
            Err(error) => {
                wrong.push(format!("{} is kept and cannot be shown: {error}", at.display()))
            }
        }
    }
    // Folders first, and before them what covers the folders above.
    ready.sort_by(|a, b| (!a.folder, &a.to).cmp(&(!b.folder, &b.to)));
    if work.real {
        wrong.extend(layers(work, &ready));
    }
    for shown in &ready {
        if let Err(error) = show_one(work, shown) {
            wrong.push(format!("{} is kept and cannot be shown: {error}", shown.to.display()));
        }
    }
    wrong.extend(take::show_settings(work));
    wrong
}

/// Every file and folder that may be kept, and its place.
fn list(work: &Work<'_>) -> Vec<(PathBuf, PathBuf)> {
    let logins = work.settings.first_boot.provision.then_some(&LOGINS);
    let fixed = FILES.iter().chain(logins).map(|(kept, at)| (kept.into(), at.into()));
    let (kept, at) = NETWORKS;
    let networks =
        Below::hold(&work.data, kept.as_ref()).and_then(|folder| std::fs::read_dir(folder.place()));
    let names =
        networks.into_iter().flatten().flatten().map(|entry| PathBuf::from(entry.file_name()));
    let is = |name: &PathBuf| name.extension().is_some_and(|x| x == "psk" || x == "open");
    let networks = names
        .filter(is)
        .take(NETWORKS_MAX)
        .map(|name| (Path::new(kept).join(&name), Path::new(at).join(name)));
    let own = work.settings.first_boot.keep.iter();
    let own = own
        .filter_map(|at| Some((Path::new(KEPT).join(at.strip_prefix("/etc").ok()?), at.clone())));
    fixed.chain(networks).chain(own).collect()
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
    if at == Path::new(paths::MACHINE_ID) && !is_machine_id(&text(&from)?) {
        return Err(Error::new(ErrorKind::InvalidData, "it is no machine id"));
    }
    if at == Path::new("/etc/hostname") {
        let name = text(&from)?;
        let named = Provision::named(None, Some(name.clone())).check();
        named.map_err(|_| Error::new(ErrorKind::InvalidData, "it is no host name"))?;
        if work.real {
            files::own_to_change(Path::new("/proc/sys/kernel/hostname"), 0o644)?
                .write_all_at(name.as_bytes(), 0)?;
        }
    }
    Ok(Some(Shown { from, folder, to: work.at(at) }))
}

fn text(file: &Below) -> Result<String> {
    let bytes = file.read(256)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Gives every file and folder that the image does not have a place to be mounted on: an overlay of two read-only layers in its
/// folder, with an empty file in the upper one.
fn layers(work: &Work<'_>, ready: &[Shown]) -> Vec<String> {
    let missing = ready.iter().filter(|shown| {
        let within = |folder: &&Shown| {
            folder.folder && folder.to != shown.to && shown.to.starts_with(&folder.to)
        };
        !shown.to.exists() && !ready.iter().any(|folder| within(&folder))
    });
    let mut folders = std::collections::BTreeMap::<PathBuf, Vec<&Shown>>::new();
    for shown in missing {
        let folder = existing(&shown.to);
        if ["/etc", "/root"].iter().any(|own| folder.starts_with(own)) && !host::writable(&folder) {
            folders.entry(folder).or_default().push(shown);
        }
    }
    let failed = |(folder, files): (PathBuf, Vec<&Shown>)| {
        let error = layer(work, &folder, &files).err()?;
        Some(format!("{} cannot have another layer: {error}", folder.display()))
    };
    folders.into_iter().filter_map(failed).collect()
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
    if work.real && to == Path::new(paths::MACHINE_ID) && to.exists() {
        return exchange(from, to);
    }
    let folder = existing(to);
    // On the root's own file system nothing is left that is one device's own.
    let foreign = !host::same_filesystem(&folder, "/".as_ref());
    let new = !to.exists() && foreign && host::writable(&folder);
    if !shown.folder && (!work.real || to.starts_with(work.at("run")) || new) {
        return put(from, to, about.mode() & 0o777);
    }
    if !work.real {
        // What is played has no mounts.
        return Ok(());
    }
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

/// A copy, where it is not there already.
fn put(from: &Below, to: &Path, mode: u32) -> Result<()> {
    let bytes = from.read(files::SMALL)?;
    if files::read_own(to, files::SMALL).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(above) = to.parent() {
        std::fs::create_dir_all(above)?;
    }
    durable::publish_with(to, &bytes, mode).map_err(|failure| Error::other(failure.to_string()))
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
