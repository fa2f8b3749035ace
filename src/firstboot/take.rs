//! `provision.toml` taken: first everything in it is durable on the data partition, then the file is written over.

use super::boot::Boot;
use super::keep::ETC;
use super::provision::{Found, PROVISION_FILE, PROVISION_LIMIT, Provision, Secret};
use super::wifi;
use super::work::Work;
use crate::model::{ReasonCode, Result, WithReason, paths};
use crate::sys::files;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What is read as a configuration from the next step on.
pub(super) const FRAGMENT: &str = "etc/surefoot/60-first-boot.toml";

pub(super) fn step(work: &mut Work<'_>) -> Result<String> {
    let Some(boot) = Boot::open(work)? else {
        return Ok("the disk has no boot partition".to_owned());
    };
    let Some(bytes) = boot.read(PROVISION_FILE, PROVISION_LIMIT)? else {
        return Ok(format!("no {PROVISION_FILE}"));
    };
    match Provision::parse(&bytes).map_err(|f| f.at(PROVISION_FILE))? {
        Found::Taken { clean: true } => Ok("taken before".to_owned()),
        Found::Taken { clean: false } => {
            boot.erase(PROVISION_FILE)?;
            Ok("taken before".to_owned())
        }
        Found::Wish(wish) => {
            let told = take(work, &wish)?;
            // Once more: what is shown at each boot is known before the file is gone.
            work.setup.save(&work.settings.device.state)?;
            boot.erase(PROVISION_FILE)?;
            Ok(told)
        }
    }
}

fn take(work: &mut Work<'_>, wish: &Provision) -> Result<String> {
    let mut told = Vec::new();
    keep_name(work, wish.hostname.as_deref())?;
    told.extend(wish.hostname.as_ref().map(|name| format!("host name {name}")));
    keep_fragment(work, wish.id.as_deref(), wish.proxy.as_ref())?;
    told.extend(wish.id.as_ref().map(|id| format!("id {id}")));
    told.extend(wish.proxy.as_ref().map(|_| "a proxy".to_owned()));
    if !wish.ssh_keys.is_empty() {
        let text = wish.ssh_keys.iter().fold(String::new(), |mut text, key| {
            let _ = writeln!(text, "{key}");
            text
        });
        work.keep(
            "etc/root/.ssh/authorized_keys",
            text.as_bytes(),
            0o600,
            "/root/.ssh/authorized_keys",
        )?;
        told.push(format!("{} ssh keys", wish.ssh_keys.len()));
    }
    if let Some(network) = &wish.wifi {
        let by = wifi::keep(work, network)?;
        told.push(format!("the network {} for {by}", network.ssid));
    }
    Ok(if told.is_empty() { "nothing is in it".to_owned() } else { told.join(", ") })
}

/// Keeps a host name.
pub(super) fn keep_name(work: &mut Work<'_>, name: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    work.keep(&format!("{ETC}/hostname"), format!("{name}\n").as_bytes(), 0o644, "/etc/hostname")
}

/// Keeps settings of this device; what is not named stays as it was.
pub(super) fn keep_fragment(
    work: &mut Work<'_>,
    id: Option<&str>,
    proxy: Option<&Secret>,
) -> Result<()> {
    let file = work.data.join(FRAGMENT);
    let text = files::foreign_text(&file, files::SMALL).ok();
    let mut told = text.and_then(|text| toml::from_str(&text).ok()).unwrap_or_default();
    let Told { device, source } = &mut told;
    device.id = id.map(str::to_owned).or(device.id.take());
    source.proxy = proxy.map(|p| p.0.clone()).or(source.proxy.take());
    write_fragment(work, &told)
}

/// Keeps the id alone.
pub(super) fn keep_only_id(work: &mut Work<'_>) -> Result<()> {
    let text = files::foreign_text(&work.data.join(FRAGMENT), files::SMALL).unwrap_or_default();
    let told: Told = toml::from_str(&text).unwrap_or_default();
    write_fragment(work, &Told { source: Told::default().source, ..told })
}

/// The id that was kept.
pub(super) fn kept_id(work: &Work<'_>) -> Option<String> {
    let text = files::foreign_text(&work.data.join(FRAGMENT), files::SMALL).ok()?;
    toml::from_str::<Told>(&text).ok()?.device.id
}

fn write_fragment(work: &mut Work<'_>, told: &Told) -> Result<()> {
    if *told == Told::default() {
        return Ok(());
    }
    let text = toml::to_string(told).reason(ReasonCode::Internal, "what was found out")?;
    let text = format!("# What the first boot has found out about this device.\n{text}");
    let name = FRAGMENT.rsplit('/').next().unwrap_or(FRAGMENT);
    // Anybody may read it but for a password: all programs of a user who asks for the status read all settings.
    let secret = told.source.proxy.as_ref().is_some_and(|proxy| proxy.contains('@'));
    let mode = if secret { 0o600 } else { 0o644 };
    work.keep(FRAGMENT, text.as_bytes(), mode, &format!("{}/{name}", paths::RUN))
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
