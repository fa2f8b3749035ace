//! The settings of this device that are not of its image, its id and its proxy: kept, and written anew at each boot to where settings are read.

use super::provision::{Provision, Secret};
use super::work::Work;
use crate::model::{ReasonCode, Result, WithReason, paths};
use crate::sys::below::Below;
use crate::sys::tree::make_folder;
use crate::sys::{durable, files};
use serde::{Deserialize, Serialize};
use std::io::{Error, ErrorKind};

/// What is said there is a configuration from the next step on.
pub(super) const FRAGMENT: &str = "etc/surefoot/60-first-boot.toml";

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
