//! The updater's own files: settings, trust file, and where the environment is. They are in the root of slot a; what that
//! lacks is taken from beside the image.

use super::judge::Judge;
use crate::boot::Bootloader;
use crate::config::{Settings, examine_texts};
use crate::inspect::Diagnosis;
use crate::model::paths;
use crate::rootfs::Root;
use crate::slot::DiskPlace;
use crate::sys::files;
use crate::trust::{MAX_TRUST_LEN, Trust};
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Default)]
pub(super) struct Own {
    pub(super) settings: Option<Settings>,
    pub(super) trust: Option<Trust>,
    /// The text of `fw_env.config`, and its name.
    pub(super) environment: Option<(String, String)>,
}

/// A file of the root, or the one with that name beside the image; and its name, for people.
fn found(
    image: &Path,
    root: Option<&Root>,
    path: &Path,
    topic: &str,
    judge: &Judge,
    out: &mut Diagnosis,
) -> Option<(String, String)> {
    let name = path.to_string_lossy().into_owned();
    match root.map(|root| root.read_text(&name, files::SMALL)) {
        Some(Ok(Some(text))) => return Some((name, text)),
        Some(Err(failure)) => {
            out.block(topic, &failure.at(&name));
            return None;
        }
        Some(Ok(None)) | None => {}
    }
    let file = path.file_name()?;
    let beside = image.parent().unwrap_or(Path::new("")).join(file);
    let text = files::foreign_text(&beside, files::SMALL).ok();
    let (told, remedy) = match &text {
        Some(_) => (
            format!("the root has no {name}; the one beside the image is looked at"),
            format!("Put it into the root, before the release is signed: {name}."),
        ),
        None => (
            format!("there is no {name} in the root, and none beside the image"),
            "See docs/integrator.md for what it must say.".to_owned(),
        ),
    };
    match root {
        Some(_) => judge.lack(topic, told, remedy, out),
        // It may be in there.
        None => out.warn(topic, told, remedy),
    }
    Some((beside.display().to_string(), text?))
}

pub(super) fn read(image: &Path, root: Option<&Root>, judge: &Judge, out: &mut Diagnosis) -> Own {
    let mut own = Own { settings: settings(image, root, judge, out), ..Own::default() };
    // Settings from beside the image name files of this computer.
    let of_root = own.settings.as_ref().filter(|settings| settings.folder == Path::new("/"));
    let trust = of_root.map(|settings| settings.trust_file.clone());
    let trust = trust.unwrap_or_else(|| PathBuf::from(paths::TRUST));
    if let Some((name, text)) = found(image, root, &trust, "trust", judge, out) {
        let short = text.len() <= MAX_TRUST_LEN;
        match Trust::parse(if short { &text } else { "" }) {
            Ok(trust) => {
                crate::inspect::trusted_keys(&trust, out);
                own.trust = Some(trust);
            }
            Err(failure) => out.block("trust", &failure.at(name)),
        }
    }
    let described = match of_root.map(|settings| &settings.bootloader) {
        Some(Bootloader::Uboot { config, .. }) => Some(config.clone()),
        None => Some(PathBuf::from(paths::FW_ENV_CONFIG)),
        #[allow(unreachable_patterns, reason = "a build without the simulator knows no other one")]
        Some(_) => None,
    };
    if let Some(path) = described {
        own.environment = found(image, root, &path, "environment", judge, out);
    }
    own
}

/// Every file of the settings in the root, in the order in which they win; where there is none, the one beside the image.
fn settings(
    image: &Path,
    root: Option<&Root>,
    judge: &Judge,
    out: &mut Diagnosis,
) -> Option<Settings> {
    const TOPIC: &str = "config";
    let mut texts = Vec::new();
    for folder in [paths::LIB, paths::ETC] {
        let names = root.and_then(|root| root.list(folder).ok()).unwrap_or_default();
        for name in names.iter().filter(|n| n.ends_with(".toml") && *n != "trust.toml") {
            let path = format!("{folder}/{name}");
            if let Some(Ok(Some(text))) = root.map(|root| root.read_text(&path, files::SMALL)) {
                texts.push((PathBuf::from(path), text));
            }
        }
    }
    let mut base = PathBuf::from("/");
    if texts.is_empty() {
        let path = PathBuf::from(format!("{}/surefoot.toml", paths::ETC));
        let (name, text) = found(image, root, &path, TOPIC, judge, out)?;
        base = std::path::absolute(image).ok()?.parent()?.to_owned();
        texts.push((PathBuf::from(name), text));
    }
    let examined = examine_texts(texts, &base);
    for mistake in &examined.mistakes {
        out.block(TOPIC, mistake);
    }
    for ignored in &examined.ignored {
        out.notice(TOPIC, ignored.clone(), "Take it out, or correct its name.".to_owned());
    }
    let settings = examined.loaded?.settings;
    let device = &settings.device;
    if let DiskPlace::At(disk) = &device.disk
        && !disk.starts_with(paths::LINKS)
        && root.is_some_and(|root| root.kind() != "folder")
        && disk.starts_with("/dev")
    {
        let text = format!(
            "`[device] disk` names {}: another board may give it another name",
            disk.display()
        );
        out.notice(TOPIC, text, "Say `disk = \"auto\"`.".to_owned());
    }
    if settings.checks.is_empty() {
        let text = "no health check is configured: only a person can commit".to_owned();
        out.warn("health", text, "Add a `[[health.check]]` to the configuration.".to_owned());
    }
    if !device.state.starts_with(paths::DATA)
        && device.state.is_absolute()
        && base == Path::new("/")
    {
        let text = format!("the state folder {} is not on {}", device.state.display(), paths::DATA);
        let remedy = "See to it that another partition is mounted there: on the root it is lost with each update.";
        out.warn("state", text, remedy.to_owned());
    } else if let Some(root) = root
        && base == Path::new("/")
        && matches!(root.exists(paths::DATA), Ok(false))
    {
        let text = format!("the root has no folder {} to mount the data partition on", paths::DATA);
        let remedy = format!(
            "Make it in the root, which may be read-only on the device: `mkdir {}`.",
            paths::DATA
        );
        out.warn("state", text, remedy);
    }
    out.good(TOPIC, format!("{}, {}", device.product, device.compatible));
    Some(settings)
}
