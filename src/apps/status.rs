//! What apps there are and how they are, as one document.

use super::{AppContext, AppJournal, Supervisor};
use crate::bundle::{AppKind, ServiceName};
use crate::model::{Digest, ReasonCode, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `surefoot apps status --json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppsStatus {
    /// Always 1.
    pub v: u32,
    /// The engine: its kind and version; none where none answers.
    pub engine: Option<String>,
    /// Why none answers, where one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_failure: Option<String>,
    /// What it runs: `arm64/v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// All of them, by name.
    pub apps: Vec<AppStatus>,
    /// Images of ours in the engine's store, with their layers: for deltas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageOnDevice>,
    /// What the data partition of apps has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<AppsDisk>,
    /// The change under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeStatus>,
    /// How the last one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<ChangeEnded>,
}

/// An image of ours in the engine's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageOnDevice {
    /// SHA-256 of its configuration.
    pub id: Digest,
    /// Diff ids from the lowest. All of them were compared when it was brought in.
    pub layers: Vec<Digest>,
}

/// Bytes of the file system with the data of apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppsDisk {
    /// Free.
    pub free: u64,
    /// In volumes and copies of them.
    pub data: u64,
}

/// One app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStatus {
    /// Its name.
    pub name: ServiceName,
    /// What runs.
    pub version: Version,
    /// SHA-256 of its manifest.
    pub digest: Digest,
    /// What it is made of; none where its document cannot be read.
    pub kind: Option<AppKind>,
    /// How it is.
    pub state: AppState,
    /// Why, where it is not well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// A development key has signed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub development: bool,
    /// Its services, replicas apart.
    pub services: Vec<ServiceStatus>,
    /// Values of its configuration that count now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Versions that it can go back to, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Version>,
    /// Its own page, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<String>,
}

/// How an app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppState {
    /// Every service runs and is well.
    Running,
    /// Services are being started, or were not asked yet.
    Starting,
    /// A service has ended or is not well; it is started again.
    Degraded,
    /// A person has stopped it.
    Stopped,
    /// It cannot be run: its document, its engine or its image is missing.
    Failed,
}

/// One replica of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// Which replica, from 1.
    pub replica: u32,
    /// `running`, `ended`, `done`, `missing`.
    pub state: String,
    /// Whether its probe says that it is well; none where it has no probe or was not asked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// What its probe, or its end, has said last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// How often it was started again since the daemon looks after it.
    #[serde(default)]
    pub restarts: u32,
    /// The system's commit waits for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub critical: bool,
    /// Ports of the device that lead to it: `8080/tcp -> 80`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}

/// A change under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeStatus {
    /// `staging`, `staged`, `switching`, `trying`, `returning`.
    pub phase: String,
    /// The apps, each as `NAME OLD -> NEW`.
    pub moves: Vec<String>,
    /// Why it goes back, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonCode>,
}

/// How a change ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeEnded {
    /// `updated`, `rolled-back`, `failed`.
    pub outcome: String,
    /// The apps, each as `NAME OLD -> NEW`.
    pub moves: Vec<String>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonCode>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Seconds since 1970 by the clock of that moment.
    pub at: u64,
}

/// Looks at all apps. Never fails: what cannot be looked at is said in its place. `watch`: what this process has seen of
/// the services, where it looks after them; without it their probes are not asked, and what the engine says is told.
pub fn apps_status(
    ctx: &AppContext<'_>,
    journal: &AppJournal,
    watch: Option<&Supervisor>,
) -> AppsStatus {
    let _ = (ctx, journal, watch);
    AppsStatus {
        v: 1,
        engine: None,
        engine_failure: None,
        architecture: None,
        apps: Vec::new(),
        images: Vec::new(),
        disk: None,
        change: None,
        last: None,
    }
}
