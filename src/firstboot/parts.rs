//! What is kept of `provision.toml` beside settings: host name, network and keys that may log in, as values that keep the rules of that
//! file; and the files that are made of them. No text for another program is kept.

use super::provision::{Found, PROVISION_LIMIT, Provision};
use super::work::Work;
use crate::model::Result;
use crate::sys::below::Below;
use crate::sys::files;
use std::fmt::Write;
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

/// Each in a file of its own.
pub(super) const WIFI: &str = "etc/surefoot/wifi.toml";
pub(super) const LOGINS: &str = "etc/surefoot/ssh-keys.toml";
const HOSTNAME: &str = "etc/hostname";

/// A file that is made at each boot.
pub(super) struct Made {
    pub(super) at: PathBuf,
    pub(super) text: String,
    pub(super) mode: u32,
}

impl Made {
    pub(super) fn new(at: impl Into<PathBuf>, text: impl Into<String>, mode: u32) -> Made {
        Made { at: at.into(), text: text.into(), mode }
    }
}

/// Keeps a host name.
pub(super) fn keep_name(work: &Work<'_>, name: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    work.keep(HOSTNAME, format!("{name}\n").as_bytes(), 0o644)
}

/// Keeps a part of what was there.
pub(super) fn keep_part(work: &Work<'_>, kept: &str, part: &Provision) -> Result<()> {
    work.keep(kept, part.text()?.as_bytes(), 0o600)
}

/// Reads a part that is kept; nothing where nothing is. Another computer may have written it: what breaks the rules is an error, whose
/// words show no value.
pub(super) fn kept_part(work: &Work<'_>, kept: &str) -> io::Result<Provision> {
    let bytes = match Below::hold(&work.data, kept.as_ref()) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Provision::default()),
        held => held?.read(PROVISION_LIMIT)?,
    };
    match Provision::parse(&bytes) {
        Ok(Found::Wish(part)) => Ok(part),
        Ok(Found::Taken { .. }) => Ok(Provision::default()),
        Err(failure) => Err(Error::new(ErrorKind::InvalidData, failure.detail())),
    }
}

/// The file that says which keys may log in.
pub(super) fn logins(work: &Work<'_>) -> io::Result<Vec<Made>> {
    let keys = kept_part(work, LOGINS)?.ssh_keys;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    for key in keys {
        let _ = writeln!(text, "{key}");
    }
    Ok(vec![Made::new(home(work).join(".ssh/authorized_keys"), text, 0o600)])
}

/// The host name that is kept, also for the running system.
pub(super) fn hostname(work: &Work<'_>) -> io::Result<Vec<Made>> {
    let bytes = match Below::hold(&work.data, HOSTNAME.as_ref()) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        held => held?.read(256)?,
    };
    let name = String::from_utf8_lossy(&bytes).trim().to_owned();
    let named = Provision::named(None, Some(name.clone())).check();
    named.map_err(|_| Error::new(ErrorKind::InvalidData, "it is no host name"))?;
    if work.real {
        files::own_to_change(Path::new("/proc/sys/kernel/hostname"), 0o644)?
            .write_all_at(name.as_bytes(), 0)?;
    }
    Ok(vec![Made::new("/etc/hostname", format!("{name}\n"), 0o644)])
}

/// The home of root by the image's list of users.
pub(super) fn home(work: &Work<'_>) -> PathBuf {
    let text = files::foreign_text(&work.at("/etc/passwd"), files::SMALL).unwrap_or_default();
    let mut users = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let root = users.find(|user| user.get(2) == Some(&"0"));
    let home = root.and_then(|user| user.get(5).map(PathBuf::from)).unwrap_or_default();
    let mut parts = home.components();
    let below_root = parts.next() == Some(Component::RootDir) && parts.next().is_some();
    if below_root && !home.components().any(|part| part == Component::ParentDir) {
        home
    } else {
        PathBuf::from("/root")
    }
}
