//! From the specification of a container to the words of the API.

use super::types::{ContainerSpec, EngineKind};
use crate::model::{Failure, ReasonCode, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The network of an app.
pub(super) fn network_of(app: &str) -> String {
    format!("sf-{app}")
}

/// The document of `POST /containers/create`.
pub(super) fn document(kind: EngineKind, spec: &ContainerSpec) -> Result<Value> {
    let own = matches!(spec.network.as_str(), "host" | "none");
    let network = if own { spec.network.clone() } else { network_of(&spec.network) };
    let mut host = json!({
        "NetworkMode": network,
        // Only this program starts containers.
        "RestartPolicy": { "Name": "no" },
        "Mounts": mounts(spec)?,
        "Tmpfs": spec.tmpfs,
        "Devices": spec.devices.iter().map(|[from, to, rights]| json!({
            "PathOnHost": from, "PathInContainer": to, "CgroupPermissions": rights,
        })).collect::<Vec<_>>(),
        "CapAdd": spec.cap_add,
        "CapDrop": spec.cap_drop,
        "SecurityOpt": spec.security,
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only,
        "Init": spec.init,
        "Sysctls": spec.sysctls,
        "Ulimits": spec.ulimits.iter().map(|(name, soft, hard)| json!({
            "Name": name, "Soft": soft, "Hard": hard,
        })).collect::<Vec<_>>(),
        "ExtraHosts": spec.extra_hosts,
        "Dns": spec.dns,
        "LogConfig": log(kind, spec.log_size),
    });
    let numbers = [
        ("NanoCpus", spec.nano_cpus),
        ("Memory", spec.memory),
        ("PidsLimit", spec.processes),
        ("ShmSize", spec.shm_size),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            host[name] = json!(value);
        }
    }
    let mut whole = json!({
        "Image": format!("sha256:{}", spec.image),
        "Env": spec.environment,
        "Labels": spec.labels,
        // Probes are this program's own.
        "Healthcheck": { "Test": ["NONE"] },
    });
    if !own {
        let (mut exposed, mut bound) = (Map::new(), Map::new());
        for (address, device, container, protocol) in &spec.ports {
            let port = format!("{container}/{protocol}");
            exposed.insert(port.clone(), json!({}));
            let here = json!({ "HostIp": address, "HostPort": device.to_string() });
            match bound.entry(port).or_insert_with(|| json!([])) {
                Value::Array(list) => list.push(here),
                _ => continue,
            }
        }
        (whole["ExposedPorts"], host["PortBindings"]) = (exposed.into(), bound.into());
        let mut ends = Map::new();
        ends.insert(network, json!({ "Aliases": spec.aliases }));
        whole["NetworkingConfig"] = json!({ "EndpointsConfig": ends });
    }
    // A container on the device's network has the device's name.
    if spec.network != "host" && !spec.hostname.is_empty() {
        whole["Hostname"] = json!(spec.hostname);
    }
    let words = [
        ("User", &spec.user),
        ("WorkingDir", &spec.working_dir),
        ("StopSignal", &spec.stop_signal),
    ];
    for (name, value) in words {
        if let Some(value) = value {
            whole[name] = json!(value);
        }
    }
    if let Some(entrypoint) = &spec.entrypoint {
        whole["Entrypoint"] = json!(entrypoint);
    }
    if let Some(command) = &spec.command {
        whole["Cmd"] = json!(command);
    }
    whole["HostConfig"] = host;
    Ok(whole)
}

/// Mounts, and not `Binds`: for those every engine makes a folder where the source is not there, as a path that is
/// not mounted yet. Podman makes one for both, so that it is looked for here.
fn mounts(spec: &ContainerSpec) -> Result<Vec<Value>> {
    let mount = |bind: &String| {
        let mut parts = bind.split(':');
        let (source, target, read_only) =
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(source), Some(target), None, None) => (source, target, false),
                (Some(source), Some(target), Some("ro"), None) => (source, target, true),
                _ => return Err(bad(spec, bind)),
            };
        // Podman writes a mount as `name=value,…` and reads it again.
        if bind.contains([',', '"', '\n']) || !source.starts_with('/') || !target.starts_with('/') {
            return Err(bad(spec, bind));
        }
        if !Path::new(source).exists() {
            let detail = format!("{}: `{source}` cannot be mounted: it is not there", spec.name);
            return Err(Failure::new(ReasonCode::EngineFailed, detail));
        }
        Ok(json!({ "Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only }))
    };
    spec.binds.iter().map(mount).collect()
}

fn bad(spec: &ContainerSpec, bind: &str) -> Failure {
    let detail = format!(
        "{}: `{bind}` cannot be mounted: it is not SOURCE:TARGET[:ro], or has a comma",
        spec.name
    );
    Failure::new(ReasonCode::AppInvalid, detail)
}

/// A log that cannot fill a disk. Docker keeps it in two files of half the size.
fn log(kind: EngineKind, size: u64) -> Value {
    match kind {
        EngineKind::Docker => {
            let half = (size / 2).max(4096).to_string();
            json!({ "Type": "json-file", "Config": { "max-size": half, "max-file": "2" } })
        }
        EngineKind::Podman => {
            json!({ "Type": "k8s-file", "Config": { "max-size": size.max(4096).to_string() } })
        }
    }
}
