//! What an app wants of the device, against what the settings grant. Nothing is granted by itself.

use super::AppContext;
use crate::bundle::{AppDocument, MountKind, Service, ServiceNetwork};
use crate::model::{Failure, ReasonCode, Result, printable};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// `NOT_PERMITTED` for the first thing that is not granted; `APP_REQUIRES` where it is granted and not there.
pub(super) fn check(ctx: &AppContext<'_>, document: &AppDocument) -> Result<()> {
    for permission in &document.permissions {
        if !ctx.settings.permissions.contains(permission) {
            return Err(refused(&format!("the permission `{permission}`"), "permissions"));
        }
    }
    let services = document.services.iter();
    services.into_iter().try_for_each(|(name, service)| {
        check_service(ctx, service).map_err(|f| f.at(format!("service {name}")))
    })
}

/// The same of one service: asked at its start again, as links and settings change.
pub(super) fn check_service(ctx: &AppContext<'_>, service: &Service) -> Result<()> {
    let settings = ctx.settings;
    if service.privileged && !settings.privileged {
        return Err(refused("all rights of root", "privileged"));
    }
    if service.network == ServiceNetwork::Host && !settings.host_network {
        return Err(refused("the device's own network", "host_network"));
    }
    let plain = |name: &str| name.to_ascii_uppercase().trim_start_matches("CAP_").to_owned();
    for capability in &service.cap_add {
        if !settings.capabilities.iter().any(|own| plain(own) == plain(capability)) {
            let what = format!("the capability `{}`", printable(capability, 40));
            return Err(refused(&what, "capabilities"));
        }
    }
    for mount in &service.mounts {
        if let MountKind::Bind { source, of } = &mount.what {
            check_bind(&settings.binds, source, of.as_deref())?;
        }
    }
    service.devices.iter().try_for_each(|node| check_device(&settings.devices, &node.source))
}

fn refused(what: &str, key: &str) -> Failure {
    let text = format!("it wants {what}, which `[apps] {key}` of this device does not grant");
    Failure::new(ReasonCode::NotPermitted, text)
}

/// The path behind every link. What is not granted by its name is not looked for: that it is there is nothing that a
/// bundle may learn.
fn behind(source: &str, granted: &[PathBuf], key: &str) -> Result<PathBuf> {
    let (path, shown) = (Path::new(source), printable(source, 200));
    let below = |path: &Path, folder: &Path| path.starts_with(folder);
    if !granted.iter().any(|folder| below(path, folder)) {
        return Err(refused(&format!("`{shown}`"), key));
    }
    let real = std::fs::canonicalize(path).map_err(|e| {
        let text = format!("it wants `{shown}`, which is not on this device: {e}");
        Failure::new(ReasonCode::AppRequires, text)
    })?;
    // A link that leads out of what is granted leads to what is not.
    let real_below =
        |folder: &PathBuf| std::fs::canonicalize(folder).is_ok_and(|folder| below(&real, &folder));
    match granted.iter().any(real_below) {
        true => Ok(real),
        false => Err(refused(&format!("`{shown}`, which leads to {}", real.display()), key)),
    }
}

fn check_bind(granted: &[PathBuf], source: &str, of: Option<&str>) -> Result<()> {
    let real = behind(source, granted, "binds")?;
    let told = |e: std::io::Error| {
        Failure::new(ReasonCode::AppRequires, format!("{}: {e}", real.display()))
    };
    let kind = std::fs::metadata(&real).map_err(told)?.file_type();
    let fits = match of {
        None => !(kind.is_block_device() || kind.is_char_device()),
        Some("file") => kind.is_file(),
        Some("dir") => kind.is_dir(),
        Some("socket") => kind.is_socket(),
        Some(_) => false,
    };
    match fits {
        true => Ok(()),
        false => {
            let of = of.unwrap_or("file, folder or socket");
            let text = format!("`{}` is no {}", printable(source, 200), printable(of, 40));
            Err(Failure::new(ReasonCode::AppRequires, text))
        }
    }
}

fn check_device(granted: &[PathBuf], source: &str) -> Result<()> {
    let real = behind(source, granted, "devices")?;
    let node = std::fs::metadata(&real).map(|about| about.file_type());
    match node.is_ok_and(|kind| kind.is_block_device() || kind.is_char_device()) {
        true => Ok(()),
        false => {
            let text = format!("`{}` is no device node", printable(source, 200));
            Err(Failure::new(ReasonCode::AppRequires, text))
        }
    }
}
