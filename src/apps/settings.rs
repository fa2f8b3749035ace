//! `[apps]`: where apps live on this device, and what they may have of it. Nothing is granted by itself.

use crate::model::{Identifier, StateFile, size};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `[apps]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AppSettings {
    /// The socket of the container engine. Without it bundles of containers are refused.
    pub engine: Option<PathBuf>,
    /// The folder for data of apps: volumes, and the trees of native apps. Outlives updates.
    pub data: Option<PathBuf>,
    /// The folder with a file for each secret.
    pub secrets: Option<PathBuf>,
    /// The folder whose bundles are installed at the first start without a network.
    pub preload: Option<PathBuf>,
    /// Whether whole bundles are kept, so that a lost or damaged store is filled again without a network.
    pub keep_files: bool,
    /// The form in which this system's engine keeps its store; another number is another store.
    pub store_epoch: u32,
    /// Files, folders and sockets of the device that may be mounted in a service; what lies below a folder, too.
    pub binds: Vec<PathBuf>,
    /// Device nodes that a service may have.
    pub devices: Vec<PathBuf>,
    /// Capabilities that a service may have beyond the engine's own.
    pub capabilities: Vec<String>,
    /// Whether a service may have the device's own network.
    pub host_network: bool,
    /// Whether a service may have all rights of root.
    pub privileged: bool,
    /// What bundles are granted that they ask for by name.
    pub permissions: Vec<Identifier>,
    /// What the system and its hardware provide to bundles, by name.
    pub provides: Vec<Identifier>,
    /// What of the memory is not for apps.
    #[serde(deserialize_with = "size")]
    pub reserved_memory: u64,
    /// Variables of services whose value is this device's.
    pub variables: BTreeMap<String, String>,
    /// Addresses of endpoints elsewhere, by name.
    pub external: BTreeMap<String, String>,
    /// Programs of apps of the kind `command`, by name: a full path.
    pub commands: BTreeMap<String, PathBuf>,
}

impl AppSettings {
    /// The same with full paths: relative ones begin at `folder`, and what is not said lies beside `state`.
    #[must_use]
    pub fn at(self, folder: &Path, state: &Path) -> AppSettings {
        let of =
            |path: Option<PathBuf>, usual: PathBuf| Some(path.map_or(usual, |p| folder.join(p)));
        // The folder that the data partition is mounted at, where the state folder is one of its folders.
        let beside = state.parent().unwrap_or(state);
        AppSettings {
            engine: self.engine.map(|p| folder.join(p)),
            data: of(self.data, beside.join("apps")),
            secrets: of(self.secrets, state.join("secrets")),
            preload: of(self.preload, beside.join("preload")),
            ..self
        }
    }

    /// Where heads, documents and configurations of bundles are kept.
    pub fn bundles(state: &Path) -> PathBuf {
        StateFile::BUNDLES.within(state)
    }
}
