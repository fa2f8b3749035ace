//! Apps, for the status, the doctor and a report.

use super::finding::Diagnosis;
use crate::apps::{AppState, AppsStatus};
use crate::device::{World, apps_are_here, apps_status};
use crate::model::{ByteLen, Failure, ReasonCode, Result, WithReason};
use crate::sys::{files, host};
use serde_json::{Value, json};
use std::path::Path;

/// How they are; `None` where this device has none. An engine that is silent is told in its place.
pub(super) fn of(world: &World) -> Option<AppsStatus> {
    let found = apps_are_here(world).then(|| apps_status(world).ok()).flatten()?;
    let nothing = found.apps.is_empty() && found.change.is_none() && found.last.is_none();
    (!nothing).then_some(found)
}

/// For support: how they are, and the journal.
pub(super) fn told(world: &World) -> Result<Value> {
    if !apps_are_here(world) {
        return Ok(Value::Null);
    }
    let status = serde_json::to_value(apps_status(world)?).reason(ReasonCode::Internal, "apps")?;
    let journal = world.apps_journal_document();
    Ok(super::redact::redacted(json!({ "status": status, "journal": journal })))
}

/// What apps lean on.
pub(super) fn look(world: &World, out: &mut Diagnosis) {
    if !apps_are_here(world) {
        return;
    }
    match apps_status(world) {
        Ok(status) => judge(world, &status, out),
        Err(failure) => warn(out, &failure),
    }
}

fn warn(out: &mut Diagnosis, failure: &Failure) {
    out.warn("apps", failure.to_string(), failure.next().to_owned());
}

fn judge(world: &World, status: &AppsStatus, out: &mut Diagnosis) {
    match (&status.engine, &status.engine_failure, &status.architecture) {
        (Some(engine), _, runs) => {
            let runs = runs.as_ref().map_or_else(String::new, |runs| format!(", {runs}"));
            out.good("engine", format!("{engine}{runs}"));
            on_the_data_partition(world, out);
            memory_is_limited("/sys/fs/cgroup".as_ref(), out);
        }
        (None, Some(failure), _) => {
            let remedy = ReasonCode::EngineMissing.next_step().to_owned();
            out.warn("engine", failure.clone(), remedy);
        }
        (None, None, _) => {}
    }
    for app in &status.apps {
        let name = format!("{} {}", app.name, app.version);
        match app.state {
            AppState::Running | AppState::Starting => out.good("apps", format!("{name} runs")),
            AppState::Stopped => out.notice(
                "apps",
                format!("{name} is stopped by a person"),
                format!("`surefoot apps start {}` starts it.", app.name),
            ),
            AppState::Degraded | AppState::Failed => out.warn(
                "apps",
                format!("{name}: {}", app.text),
                format!("`surefoot apps logs {}` has what its services printed.", app.name),
            ),
        }
    }
}

/// Less room than this for volumes and images is told.
const ROOM: u64 = 64 << 20;

/// What apps have written must outlive the slots, and so must the engine's store.
fn on_the_data_partition(world: &World, out: &mut Diagnosis) {
    let Some(data) = &world.settings.apps.data else { return };
    let folder = data.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    if !world.disk.is_image() && host::same_filesystem(folder, "/".as_ref()) {
        let text =
            format!("{} lies on the root filesystem: an update takes it away", data.display());
        let remedy = "Name a folder of the data partition in `[apps] data`.".to_owned();
        out.warn("apps", text, remedy);
    }
    if let Ok(free) = host::free_bytes(folder)
        && free < ROOM
    {
        let text = format!("{} has {} free for apps", data.display(), ByteLen(free));
        out.warn("apps", text, "Make room on the data partition.".to_owned());
    }
    if let Some(store) = world.engine_store()
        && !world.disk.is_image()
        && host::same_filesystem(&store, "/".as_ref())
    {
        let text = format!(
            "the engine keeps its images in {}, on the root filesystem: an update takes them away",
            store.display()
        );
        let remedy = "Set the engine's store to a folder of the data partition.".to_owned();
        out.warn("engine", text, remedy);
    }
}

/// Without this controller no limit of memory holds.
fn memory_is_limited(cgroup: &Path, out: &mut Diagnosis) {
    let unified = files::kernel_text(cgroup.join("cgroup.controllers"));
    let memory = match unified {
        Ok(controllers) => controllers.split_whitespace().any(|name| name == "memory"),
        Err(_) => cgroup.join("memory").is_dir(),
    };
    if !memory {
        let text = "the kernel does not limit memory: limits of services do not hold".to_owned();
        let remedy = "Build the kernel with CONFIG_MEMCG, and on a Raspberry Pi start it with `cgroup_enable=memory`.";
        out.warn("engine", text, remedy.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Level;

    #[test]
    fn a_kernel_that_limits_no_memory_is_told() {
        let told = |files: &[(&str, &str)]| {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = dir.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            let mut out = Diagnosis::new();
            memory_is_limited(dir.path(), &mut out);
            out.findings.iter().any(|f| f.level == Level::Warning)
        };
        assert!(!told(&[("cgroup.controllers", "cpu io memory pids\n")]));
        assert!(told(&[("cgroup.controllers", "cpu io pids\n")]));
        assert!(!told(&[("memory/tasks", "")]), "the older form has a folder for it");
        assert!(told(&[]));
    }
}
