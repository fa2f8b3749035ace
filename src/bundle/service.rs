//! One service of a bundle: which image, how it is started, what it may use, and when it is healthy.

use super::{ServiceName, is_default};
use crate::model::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A service. All durations are milliseconds, all sizes bytes. What the Compose file leaves out is empty, and then
/// what the image says counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The image: SHA-256 of its configuration, which the engine calls its id.
    pub image: Digest,
    /// In place of the image's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// In place of the image's entry point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Variables with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Variables whose value is the device's: `[apps.variables]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// Secrets that are laid into `/run/secrets`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<ServiceName>,
    /// `UID[:GID]` or a name of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Its host name; its own name where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// What must have come so far before it is started.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub after: BTreeMap<ServiceName, StartAfter>,
    /// Whether it runs for as long as the app does, or once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run: RunWhen,
    /// How many of it run.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub replicas: u32,
    /// Which network it has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: ServiceNetwork,
    /// Names beside its own by which the other services of the app find it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Ports of the device that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortPair>,
    /// Lines of its `/etc/hosts`: `NAME:ADDRESS`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<String>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// What of the device, of the app's volumes and of memory is mounted in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Device nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceNode>,
    /// What it is given in addition: `NET_ADMIN`, without `CAP_`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// What is taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Its root cannot be written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// It may do whatever root of the device may.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// It gains no rights by running a set-uid program.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
    /// A first process that reaps children.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init: bool,
    /// Settings of its kernel namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Limits by name: soft, hard.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, [i64; 2]>,
    /// What it reserves, and what it may use at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Size of `/dev/shm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
    /// The signal that ends it, `SIGTERM` where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How long it may take to end; 10 s where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<u64>,
    /// Whether it is started again when it ends.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: RestartRule,
    /// What asks whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthProbe>,
    /// The system's commit waits for it where it was well before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub critical: bool,
    /// Folders of it that are logs: each becomes a volume of its own with this limit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub logs: BTreeMap<String, u64>,
    /// What it prints is kept up to this size; 10 MB where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_size: Option<u64>,
    /// Labels of the integrator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_one(n: &u32) -> bool {
    *n == 1
}

/// How far another service must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartAfter {
    /// How far.
    pub condition: StartCondition,
}

/// How far a service must have come, by the words of Compose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartCondition {
    /// It was started.
    ServiceStarted,
    /// Its health probe says yes.
    ServiceHealthy,
    /// It ran once, and ended with 0.
    ServiceCompletedSuccessfully,
}

/// When a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunWhen {
    /// For as long as the app does.
    #[default]
    Always,
    /// To its end, once for each release; neither a restart nor a rollback repeats it.
    OncePerRelease,
    /// To its end, once for each device.
    OnceEver,
    /// To its end, each time that the app is started.
    EveryStart,
}

/// What network a service has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceNetwork {
    /// The app's own, in which each service is found by its name and its aliases.
    #[default]
    App,
    /// The device's.
    Host,
    /// None.
    None,
}

/// A port of the device that leads to one of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortPair {
    /// The address of the device; every one where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The port of the device; `None`: one from 30000 to 32767, chosen once and kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<u16>,
    /// The port of the service.
    pub container: u16,
    /// By which protocol.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: Protocol,
}

/// By which protocol a port is reached.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// Something that is mounted in a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// What.
    pub what: MountKind,
    /// Where in the service: absolute, without `..`.
    pub target: String,
    /// It cannot be written there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum MountKind {
    /// A volume of the app.
    Volume {
        /// Its name.
        volume: ServiceName,
    },
    /// A file, folder or socket of the device, which must be on its allow-list.
    Bind {
        /// Absolute, without `..`.
        source: String,
        /// What must stand there: `file`, `dir`, `socket`; anything where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// At most so many bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceNode {
    /// On the device.
    pub source: String,
    /// In the service.
    pub target: String,
    /// `r`, `w`, `m`.
    pub rights: String,
}

/// What a service reserves, and what it may use at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Thousandths of a processor that it reserves.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reserved_cpu: u64,
    /// Bytes of memory that it reserves.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reserved_memory: u64,
    /// Thousandths of a processor that it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_cpu: Option<u64>,
    /// Bytes of memory that it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_memory: Option<u64>,
    /// Processes that it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_processes: Option<u64>,
}

/// Whether a service is started again when it ends. Always with a growing pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartRule {
    /// Never.
    No,
    /// Where it ended with another status than 0.
    OnFailure,
    /// Always.
    #[default]
    Always,
}

/// What asks whether a service is well: a program in it, run by us, whatever the engine can do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthProbe {
    /// The program and its arguments, run in the service. A shell is `/bin/sh -c` here.
    pub command: Vec<String>,
    /// Between two probes.
    pub interval: u64,
    /// After so long a probe has failed.
    pub timeout: u64,
    /// So many failures one after the other mean: not well.
    pub retries: u32,
    /// Failures do not count for so long after the start.
    pub start_period: u64,
}
