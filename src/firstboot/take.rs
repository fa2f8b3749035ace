//! `provision.toml` taken: first everything in it is durable on the data partition, then the file is written over.

use super::boot::Boot;
use super::keep::ETC;
use super::provision::{Found, PROVISION_FILE, PROVISION_LIMIT, Provision, Secret};
use super::shown::{self, Made};
use super::wifi;
use super::work::{Work, make_folder};
use crate::model::{Failure, ReasonCode, Result, WithReason, paths};
use crate::sys::below::Below;
use crate::sys::{durable, files};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What there is to take at most boots.
pub(super) const NOTHING: &str = "nothing to take";

/// What is said there is a configuration from the next step on.
pub(super) const FRAGMENT: &str = "etc/surefoot/60-first-boot.toml";

/// What is kept of a `provision.toml` as it is written there, each in a file of its own: values that keep the rules of that file. No text
/// for another program is kept.
pub(super) const WIFI: &str = "etc/surefoot/wifi.toml";
const LOGINS: &str = "etc/surefoot/ssh-keys.toml";

/// Looks at each boot: a technician may write another one later.
pub(super) fn step(work: &mut Work<'_>) -> Result<String> {
    if !work.settings.first_boot.provision {
        return Ok("`[first_boot] provision` is false".to_owned());
    }
    let Some(boot) = Boot::open(work)? else {
        return Ok("the disk has no boot partition".to_owned());
    };
    let Some(bytes) = boot.read(PROVISION_FILE, PROVISION_LIMIT)? else {
        return Ok(NOTHING.to_owned());
    };
    match Provision::parse(&bytes).map_err(|f| f.at(PROVISION_FILE))? {
        Found::Taken { clean: true } => Ok(NOTHING.to_owned()),
        Found::Taken { clean: false } => {
            boot.erase(PROVISION_FILE)?;
            Ok(NOTHING.to_owned())
        }
        Found::Wish(wish) => {
            let told = take(work, &wish)?;
            boot.erase(PROVISION_FILE)?;
            Ok(told)
        }
    }
}

fn take(work: &Work<'_>, wish: &Provision) -> Result<String> {
    let mut told = Vec::new();
    keep_name(work, wish.hostname.as_deref())?;
    told.extend(wish.hostname.as_ref().map(|name| format!("host name {name}")));
    keep_fragment(work, wish.id.as_deref(), wish.proxy.as_ref())?;
    told.extend(wish.id.as_ref().map(|id| format!("id {id}")));
    told.extend(wish.proxy.as_ref().map(|_| "a proxy".to_owned()));
    if !wish.ssh_keys.is_empty() {
        let mut part = Provision::default();
        part.ssh_keys.clone_from(&wish.ssh_keys);
        keep_part(work, LOGINS, &part)?;
        told.push(format!("{} ssh keys", wish.ssh_keys.len()));
    }
    if let Some(network) = &wish.wifi {
        let by = wifi::keep(work, network)?;
        told.push(format!("the network {} for {by}", network.ssid));
    }
    // What is erased from the card and has no effect would be lost.
    let taken = [(shown::LOGINS, !wish.ssh_keys.is_empty()), (shown::WIFI, wish.wifi.is_some())];
    let wrong = shown::all(work);
    if let Some((_, why)) = wrong.into_iter().find(|(what, _)| taken.contains(&(*what, true))) {
        return Err(Failure::new(ReasonCode::ProvisionInvalid, why));
    }
    Ok(if told.is_empty() { "nothing is in it".to_owned() } else { told.join(", ") })
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
    Ok(vec![Made::new(shown::home(work).join(".ssh/authorized_keys"), text, 0o600)])
}

/// The host name that is kept, also for the running system.
pub(super) fn hostname(work: &Work<'_>) -> io::Result<Vec<Made>> {
    let bytes = match Below::hold(&work.data, Path::new(ETC).join("hostname").as_path()) {
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

/// Keeps a host name.
pub(super) fn keep_name(work: &Work<'_>, name: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    work.keep(&format!("{ETC}/hostname"), format!("{name}\n").as_bytes(), 0o644)
}

/// Keeps settings of this device; what is not named stays as it was.
pub(super) fn keep_fragment(
    work: &Work<'_>,
    id: Option<&str>,
    proxy: Option<&Secret>,
) -> Result<()> {
    let mut told = kept_settings(work).unwrap_or_default().0;
    let Told { device, source } = &mut told;
    device.id = id.map(str::to_owned).or(device.id.take());
    source.proxy = proxy.map(|p| p.0.clone()).or(source.proxy.take());
    write_fragment(work, &told)
}

/// Keeps the id alone.
pub(super) fn keep_only_id(work: &Work<'_>) -> Result<()> {
    let told = kept_settings(work).unwrap_or_default().0;
    write_fragment(work, &Told { source: ToldSource::default(), ..told })
}

/// The id that was kept.
pub(super) fn kept_id(work: &Work<'_>) -> Option<String> {
    kept_settings(work).ok()?.0.device.id
}

/// What is kept, and which of it breaks the rules and counts for nothing: another computer may have written it, or the medium may be
/// worn.
fn kept_settings(work: &Work<'_>) -> std::io::Result<(Told, Vec<String>)> {
    let bytes = match Below::hold(&work.data, FRAGMENT.as_ref()) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(<_>::default()),
        held => held?.read(files::SMALL)?,
    };
    let read = std::str::from_utf8(&bytes).ok().and_then(|text| toml::from_str::<Told>(text).ok());
    let mut told = read.ok_or_else(|| Error::new(ErrorKind::InvalidData, "it is damaged"))?;
    let mut wrong = Vec::new();
    let id = Provision::named(told.device.id.clone(), None);
    if id.check().is_err() {
        told.device.id = None;
        wrong.push("the id that is kept breaks its rules; it does not count".to_owned());
    }
    let mut proxy = Provision::default();
    proxy.proxy = told.source.proxy.clone().map(Secret);
    if proxy.check().is_err() {
        told.source.proxy = None;
        wrong.push("the proxy that is kept breaks its rules; it does not count".to_owned());
    }
    Ok((told, wrong))
}

/// Makes this device's settings anew where they are read, out of what is kept and sound. What is not sound is told, and is no mistake
/// in the configuration: the daemon would do nothing any more.
pub(super) fn show_settings(work: &Work<'_>) -> Vec<String> {
    let to = work.at(paths::RUN).join("60-first-boot.toml");
    let (told, mut wrong) = kept_settings(work).unwrap_or_else(|error| {
        (Told::default(), vec![format!("{FRAGMENT} is kept and does not count: {error}")])
    });
    let done = match text(&told) {
        Ok(Some((text, mode))) => make_folder(to.parent().unwrap_or(&to))
            .and_then(|()| durable::publish_with(&to, text.as_bytes(), mode)),
        Ok(None) if to.exists() => durable::remove(&to),
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    wrong.extend(done.err().map(|failure| failure.to_string()));
    wrong
}

fn write_fragment(work: &Work<'_>, told: &Told) -> Result<()> {
    match text(told)? {
        Some((text, mode)) => work.keep(FRAGMENT, text.as_bytes(), mode),
        None => durable::remove(&work.folder_for(FRAGMENT.as_ref())?),
    }
}

/// The file, and its mode: anybody may read it but for a password, as all programs of a user who asks for the status read all settings.
/// `None` where there is nothing to say.
fn text(told: &Told) -> Result<Option<(String, u32)>> {
    if *told == Told::default() {
        return Ok(None);
    }
    let text = toml::to_string(told).reason(ReasonCode::Internal, "what was found out")?;
    let secret = told.source.proxy.as_ref().is_some_and(|proxy| proxy.contains('@'));
    let mode = if secret { 0o600 } else { 0o644 };
    Ok(Some((format!("# What the first boot has found out about this device.\n{text}"), mode)))
}

/// The settings of this device that are not of its image.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Told {
    device: ToldDevice,
    source: ToldSource,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ToldDevice {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ToldSource {
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
}
