//! What a fake engine is: values that can be copied, compared and hashed.

use crate::engine::types::{ContainerSpec, ContainerState, Execution, StoredImage};
use crate::engine::types::{EngineInfo, EngineKind};
use crate::model::{Digest, Failure, ReasonCode, Result};
use std::collections::{BTreeMap, BTreeSet};

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeContainer {
    /// As it was asked for.
    pub spec: ContainerSpec,
    /// Whether it runs.
    pub state: ContainerState,
    /// What it has printed, each line with its line feed.
    pub log: Vec<String>,
    /// It does not carry our label.
    pub foreign: bool,
}

impl Default for FakeContainer {
    fn default() -> FakeContainer {
        let spec = ContainerSpec::default();
        FakeContainer { spec, state: ContainerState::Created, log: Vec::new(), foreign: false }
    }
}

/// What an engine's store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FakeStore {
    /// By id.
    pub images: BTreeMap<Digest, StoredImage>,
    /// The length of each layer.
    pub layers: BTreeMap<Digest, u64>,
    /// Layers that have lost bytes.
    pub damaged: BTreeSet<Digest>,
    /// By name.
    pub containers: BTreeMap<String, FakeContainer>,
    /// By app.
    pub networks: BTreeSet<String>,
}

impl FakeStore {
    /// Layers that no image has go.
    pub(super) fn collect(&mut self) {
        let used: BTreeSet<Digest> = self.images.values().flat_map(|i| i.layers.clone()).collect();
        self.layers.retain(|layer, _| used.contains(layer));
        self.damaged.retain(|layer| used.contains(layer));
    }
}

/// What a power cut does to what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FakeLoss {
    /// It is as if it had never been.
    #[default]
    Gone,
    /// Its names are there, and the bytes of its layers are not: what engines have been seen to leave.
    Torn,
    /// All of it is there.
    Kept,
}

/// An engine that says what is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FakeLie {
    /// It says that it has loaded an image, and has not.
    LoadsNothing,
    /// The image that it has loaded has other layers.
    LoadsAnother,
    /// Its log never ends.
    EndlessLog,
    /// Its answers break off.
    HalfAnswers,
}

/// What starting a service comes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FakeStart {
    /// It runs.
    Runs,
    /// It ends at once, with this status.
    Ends(i64),
    /// The engine cannot start it.
    Fails(String),
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FakePlan {
    /// This call, counted from 1, does nothing and fails.
    pub fail_at: Option<u64>,
    /// The power is cut at this call, counted from 1: it fails, and so does every one after it until
    /// [`super::FakeEngine::power_cut`].
    pub cut_at: Option<u64>,
    /// That call does its work first.
    pub cut_after: bool,
    /// What a cut does.
    pub loss: FakeLoss,
    /// What it lies about.
    pub lie: Option<FakeLie>,
    /// Nothing listens.
    pub missing: bool,
    /// So many bytes of layers have room.
    pub room: Option<u64>,
    /// What a start comes to, by service; [`FakeStart::Runs`] where nothing is said.
    pub starts: BTreeMap<String, FakeStart>,
    /// What probes come to, by service: each once, the last one for ever; well where nothing is said.
    pub probes: BTreeMap<String, Vec<Execution>>,
}

/// A whole fake engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeWorld {
    /// What it says of itself.
    pub info: EngineInfo,
    /// What a cut leaves.
    pub durable: FakeStore,
    /// What is there.
    pub now: FakeStore,
    /// What goes wrong.
    pub plan: FakePlan,
    /// Calls so far.
    pub calls: u64,
    /// What changed something.
    pub deeds: Vec<String>,
    /// What no caller should do.
    pub complaints: Vec<String>,
    /// There is no power.
    pub cut: bool,
}

impl Default for FakeWorld {
    fn default() -> FakeWorld {
        let info = EngineInfo {
            kind: EngineKind::Docker,
            version: "fake".to_owned(),
            architecture: "amd64".to_owned(),
            variant: String::new(),
            store: "/".into(),
            processors: 2,
            memory: 1 << 30,
        };
        FakeWorld {
            info,
            durable: FakeStore::default(),
            now: FakeStore::default(),
            plan: FakePlan::default(),
            calls: 0,
            deeds: Vec::new(),
            complaints: Vec::new(),
            cut: false,
        }
    }
}

impl FakeWorld {
    /// One call: what is planned for it, or its work.
    pub(super) fn call<T>(&mut self, work: impl FnOnce(&mut FakeWorld) -> Result<T>) -> Result<T> {
        let gone = || Err(Failure::new(ReasonCode::EngineMissing, "no engine listens"));
        if self.cut || self.plan.missing {
            return gone();
        }
        self.calls += 1;
        let at = Some(self.calls);
        if at == self.plan.fail_at {
            return Err(failed("this call was to fail"));
        }
        if at == self.plan.cut_at {
            if self.plan.cut_after {
                // What it came to is never heard.
                let _ = work(self);
            }
            self.cut = true;
            return gone();
        }
        let done = work(self);
        match (self.plan.lie, done) {
            (Some(FakeLie::HalfAnswers), Ok(_)) => {
                Err(Failure::new(ReasonCode::EngineAnswer, "the answer broke off"))
            }
            (_, done) => done,
        }
    }

    /// A defect of the caller.
    pub(super) fn complain<T>(&mut self, what: impl AsRef<str>) -> Result<T> {
        self.complaints.push(what.as_ref().to_owned());
        Err(failed(what.as_ref()))
    }

    pub(super) fn power_cut(&mut self) {
        let mut left = match self.plan.loss {
            FakeLoss::Gone => self.durable.clone(),
            FakeLoss::Kept => self.now.clone(),
            FakeLoss::Torn => {
                let mut torn = self.now.clone();
                let new = torn.layers.keys().filter(|l| !self.durable.layers.contains_key(l));
                torn.damaged.extend(new.copied().collect::<Vec<_>>());
                torn
            }
        };
        end_all(&mut left);
        self.now = left.clone();
        self.durable = left;
        self.cut = false;
        self.plan.cut_at = None;
    }

    pub(super) fn restart(&mut self) {
        end_all(&mut self.now);
    }
}

fn end_all(store: &mut FakeStore) {
    for container in store.containers.values_mut() {
        if container.state == ContainerState::Running {
            container.state = ContainerState::Ended { status: 137, out_of_memory: false };
        }
    }
}

pub(super) fn failed(words: &str) -> Failure {
    Failure::new(ReasonCode::EngineFailed, words)
}
