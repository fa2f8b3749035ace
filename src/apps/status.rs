//! What apps there are and how they are, as one document.

use super::look::{Come, Seen, come, seen};
use super::plan::{AppPlan, Documents, Unit};
use super::sets::moved;
use super::show::{Shown, shown};
use super::{AppContext, AppEnded, AppJournal, AppMove, AppPhase, Change, Generation, Supervisor};
use crate::bundle::{AppKind, ServiceName};
use crate::engine::Engine;
use crate::model::{Digest, ReasonCode, Result, Version};
use crate::sys::{host, tree};
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

/// Looks at all apps. Never fails: what cannot be looked at is said in its place.
/// `watch`: what this process has seen of the services, where it looks after them; without it what another one has
/// seen is told. No probe is asked here.
pub fn apps_status(
    ctx: &AppContext<'_>,
    journal: &AppJournal,
    watch: Option<&Supervisor>,
) -> AppsStatus {
    let (mut engine, mut engine_failure, mut architecture) = (None, None, None);
    let (mut there, mut images) = (Ok(Seen::new()), Vec::new());
    if let Some(asked) = ctx.engine {
        there = seen(asked);
        match asked.info() {
            Ok(info) => {
                engine = Some(format!("{:?} {}", info.kind, info.version));
                let slash = if info.variant.is_empty() { "" } else { "/" };
                architecture = Some(format!("{}{slash}{}", info.architecture, info.variant));
            }
            Err(failure) => engine_failure = Some(failure.to_string()),
        }
        images = own_images(asked);
    }
    // A process that looks after nothing has seen nothing.
    let watch = watch.filter(|watch| watch.has_seen());
    let shown = watch.map_or_else(|| shown(ctx), |watch| watch.shown(ctx));
    let (mut documents, view) = (Documents::default(), View { ctx, journal, shown, there });
    let runs = match &journal.phase {
        // The new side is what was started, and what is judged.
        AppPhase::Trying { change, .. } => moved(&journal.live, &change.moves),
        _ => journal.live.clone(),
    };
    let apps = runs.iter().map(|(app, g)| view.app(&mut documents, app, g)).collect();
    AppsStatus {
        v: 1,
        engine,
        engine_failure,
        architecture,
        apps,
        images,
        disk: disk(ctx),
        change: journal.change().map(|change| ChangeStatus {
            phase: phase(&journal.phase).to_owned(),
            moves: moves(change),
            reason: match &journal.phase {
                AppPhase::Returning { reason, .. } => Some(*reason),
                _ => None,
            },
        }),
        last: journal.last.as_ref().map(|last| ChangeEnded {
            outcome: match last.outcome {
                AppEnded::Updated => "updated",
                AppEnded::RolledBack => "rolled-back",
                AppEnded::Failed => "failed",
            }
            .to_owned(),
            moves: moves(&last.change),
            reason: last.reason,
            text: last.detail.clone(),
            at: last.at,
        }),
    }
}

fn own_images(engine: &dyn Engine) -> Vec<ImageOnDevice> {
    let images = engine.images().unwrap_or_default().into_iter();
    let ours = images.filter(|image| !image.tags.is_empty());
    ours.map(|image| ImageOnDevice { id: image.id, layers: image.layers }).collect()
}

fn disk(ctx: &AppContext<'_>) -> Option<AppsDisk> {
    let folder = ctx.data_folder();
    let free = host::free_bytes(&folder).ok()?;
    let apps = std::fs::read_dir(&folder).ok()?.flatten();
    let volumes = apps.flat_map(|app| ["volumes", "copies"].map(|part| app.path().join(part)));
    let used = volumes.map(|folder| tree::used_bytes(&folder).unwrap_or(0));
    Some(AppsDisk { free, data: used.fold(0, u64::saturating_add) })
}

fn phase(phase: &AppPhase) -> &'static str {
    match phase {
        AppPhase::Idle => "idle",
        AppPhase::Staging(_) => "staging",
        AppPhase::Staged(_) => "staged",
        AppPhase::Switching(_) => "switching",
        AppPhase::Trying { .. } => "trying",
        AppPhase::Returning { .. } => "returning",
    }
}

fn moves(change: &Change) -> Vec<String> {
    let version = |side: &Option<Generation>| {
        side.as_ref().map_or_else(|| "none".to_owned(), |g| g.version.to_string())
    };
    let one = |m: &AppMove| format!("{} {} -> {}", m.app, version(&m.from), version(&m.to));
    change.moves.iter().map(one).collect()
}

struct View<'a> {
    ctx: &'a AppContext<'a>,
    journal: &'a AppJournal,
    shown: Shown,
    there: Result<Seen>,
}

impl View<'_> {
    fn app(&self, documents: &mut Documents, app: &ServiceName, g: &Generation) -> AppStatus {
        let previous = self.journal.previous.get(app);
        let mut status = AppStatus {
            name: app.clone(),
            version: g.version.clone(),
            digest: g.digest,
            kind: None,
            state: AppState::Failed,
            text: String::new(),
            development: g.development,
            services: Vec::new(),
            config: BTreeMap::new(),
            previous: previous.into_iter().flatten().map(|g| g.version.clone()).collect(),
            web: None,
        };
        let plan = match documents.plan(self.ctx, app, g, &self.journal.ports) {
            Ok(plan) => plan,
            Err(failure) => {
                status.text = failure.to_string();
                return status;
            }
        };
        status.kind = Some(plan.document.kind);
        status.web.clone_from(&plan.document.web);
        for (key, rule) in &plan.document.config {
            let value = g.config.get(key).or(rule.default.as_ref());
            status.config.extend(value.map(|value| (key.clone(), value.clone())));
        }
        if plan.document.kind == AppKind::Containers {
            status.services = plan.units.iter().map(|unit| self.service(&plan, unit)).collect();
        } else {
            let runs = super::kinds::runs(self.ctx, &plan);
            status.state = if runs { AppState::Running } else { AppState::Degraded };
        }
        if let Some(why) = self.shown.failures.get(app) {
            status.text.clone_from(why);
        }
        if plan.document.kind == AppKind::Containers {
            status.state = self.state(&status, &plan);
        }
        if self.journal.stopped.contains(app) {
            (status.state, status.text) = (AppState::Stopped, String::new());
        }
        status
    }

    fn state(&self, status: &AppStatus, plan: &AppPlan) -> AppState {
        let services = || status.services.iter();
        if self.there.is_err() || self.ctx.engine.is_none() || !status.text.is_empty() {
            return AppState::Failed;
        }
        let bad = |s: &ServiceStatus| s.healthy == Some(false) || s.state == "ended";
        if services().any(bad) {
            return AppState::Degraded;
        }
        let asked = |s: &ServiceStatus| {
            let probe = plan.document.services.get(&s.name).and_then(|s| s.health.as_ref());
            s.state == "done" || s.state == "running" && (probe.is_none() || s.healthy.is_some())
        };
        if services().all(asked) { AppState::Running } else { AppState::Starting }
    }

    fn service(&self, plan: &AppPlan, unit: &Unit) -> ServiceStatus {
        let service = plan.document.services.get(&unit.service);
        let state = match &self.there {
            Err(_) => "missing",
            Ok(there) => match come(self.ctx, plan, unit, there, &self.journal.ran) {
                Come::Runs => "running",
                Come::Done(_) => "done",
                Come::Ended { .. } => "ended",
                Come::Startable { .. } => "missing",
            },
        };
        let seen = self.shown.containers.get(&unit.spec.name).cloned().unwrap_or_default();
        let port = |(address, host, container, protocol): &(String, u16, u16, &'static str)| {
            let colon = if address.is_empty() { "" } else { ":" };
            format!("{address}{colon}{host}/{protocol} -> {container}")
        };
        ServiceStatus {
            name: unit.service.clone(),
            replica: unit.replica,
            state: state.to_owned(),
            healthy: seen.healthy,
            text: seen.text,
            restarts: seen.restarts,
            critical: service.is_some_and(|s| s.critical),
            ports: unit.spec.ports.iter().map(port).collect(),
        }
    }
}
