//! What must be there before a container is made: its network, folders of volumes and logs, files of secrets.

use super::AppContext;
use super::plan::{AppPlan, Unit};
use super::spec::{log_folder, secret_file, volume_folder};
use crate::bundle::{MountKind, ServiceName, ServiceNetwork, Volume};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::{durable, files, tree};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// A secret has at most this many bytes.
const MAX_SECRET_LEN: u64 = 1 << 20;

/// Makes all that a container needs. Each step may be repeated.
pub(super) fn prepare(ctx: &AppContext<'_>, plan: &AppPlan, unit: &Unit) -> Result<()> {
    let Some(service) = plan.document.services.get(&unit.service) else { return Ok(()) };
    super::grants::check_service(ctx, service)?;
    if service.network == ServiceNetwork::App {
        ctx.engine()?.make_network(plan.app.as_str())?;
    }
    let data = ctx.data_of(&plan.app);
    for mount in &service.mounts {
        let MountKind::Volume { volume } = &mount.what else { continue };
        let about = plan.document.volumes.get(volume);
        make_volume(&volume_folder(&data, volume), about.and_then(owner), 0o755)?;
    }
    for n in 0..service.logs.len() {
        // For any user that the service runs as.
        make_volume(&log_folder(&data, &unit.service, n), None, 0o1777)?;
    }
    for secret in &service.secrets {
        lay_secret(ctx, &plan.app, secret)?;
    }
    Ok(())
}

fn owner(volume: &Volume) -> Option<[u32; 2]> {
    volume.owner
}

/// Makes the folder of a volume where there is none: under another name until its owner is right.
fn make_volume(folder: &Path, owner: Option<[u32; 2]>, mode: u32) -> Result<()> {
    match std::fs::symlink_metadata(folder) {
        Ok(about) if about.is_dir() => return Ok(()),
        Ok(_) => {
            let text = format!("{} is no folder", folder.display());
            return Err(Failure::new(ReasonCode::Io, text));
        }
        Err(_) => {}
    }
    let beside = folder.with_extension("new");
    tree::make_folder(&beside)?;
    let told = |e: &std::io::Error| durable::io_failure("make", folder, e);
    std::fs::set_permissions(&beside, Permissions::from_mode(mode)).map_err(|e| told(&e))?;
    if let Some([user, group]) = owner {
        chown(&beside, Some(user), Some(group)).map_err(|e| told(&e))?;
    }
    durable::sync_folder(&beside)?;
    tree::rename(&beside, folder)
}

/// The file of the device with a secret; `None` where there is none.
pub(super) fn secret_of(ctx: &AppContext<'_>, secret: &ServiceName) -> Result<Option<Vec<u8>>> {
    let Some(folder) = &ctx.settings.secrets else { return Ok(None) };
    durable::read_foreign(&folder.join(secret.as_str()), MAX_SECRET_LEN)
}

/// Lays a secret where the container finds it: in memory, in a folder that root alone enters; any user in the
/// container may read it.
fn lay_secret(ctx: &AppContext<'_>, app: &ServiceName, secret: &ServiceName) -> Result<()> {
    let Some(bytes) = secret_of(ctx, secret)? else { return Ok(()) };
    let file = secret_file(&ctx.run_of(app), secret);
    if files::read_own(&file, MAX_SECRET_LEN).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let folder = file.parent().unwrap_or(ctx.run);
    let told = || format!("making {}", folder.display());
    std::fs::create_dir_all(folder).reason(ReasonCode::Io, told())?;
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
        .reason(ReasonCode::Io, told())?;
    // In place where there is one: a container that runs has this very file.
    match std::fs::symlink_metadata(&file).is_ok_and(|about| about.is_file()) {
        true => durable::write_foreign(&file, &bytes),
        false => durable::publish_with(&file, &bytes, 0o444),
    }
}

/// Whether the container was started by us in this boot, and not stopped by us since: a file in memory says so.
pub(super) fn is_fresh(ctx: &AppContext<'_>, app: &ServiceName, container: &str) -> bool {
    let said = files::read_own(&fresh_file(ctx, app, container), 256);
    said.is_ok_and(|boot| boot == ctx.boot_id.as_bytes())
}

fn fresh_file(ctx: &AppContext<'_>, app: &ServiceName, container: &str) -> std::path::PathBuf {
    ctx.run_of(app).join("started").join(container)
}

/// Says that it was started, or that it is as if it never had been.
pub(super) fn mark_fresh(
    ctx: &AppContext<'_>,
    app: &ServiceName,
    container: &str,
    fresh: bool,
) -> Result<()> {
    let file = fresh_file(ctx, app, container);
    let folder = file.parent().unwrap_or(ctx.run);
    if fresh {
        std::fs::create_dir_all(folder)
            .reason(ReasonCode::Io, format!("making {}", folder.display()))?;
        return durable::publish(&file, ctx.boot_id.as_bytes());
    }
    match std::fs::remove_file(&file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(durable::io_failure("remove", &file, &e))
        }
        _ => Ok(()),
    }
}
