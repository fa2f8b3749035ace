//! What the device gives to this room for one piece of work.

use super::{AppSettings, SlotTrial};
use crate::bundle::ServiceName;
use crate::engine::Engine;
use crate::event::Sink;
use crate::model::{Failure, Identifier, ReasonCode, Result, SlotId};
use crate::sys::process::Runner;
use crate::trust::Trust;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Paths, settings, engine and identity of the device, read for one request or one turn of the daemon.
pub struct AppContext<'a> {
    /// `[apps]`, with full paths.
    pub settings: &'a AppSettings,
    /// The state folder.
    pub state: &'a Path,
    /// The folder for what is gone after a reboot.
    pub run: &'a Path,
    /// The container engine, where the settings name one.
    pub engine: Option<&'a dyn Engine>,
    /// The keys that may sign.
    pub trust: &'a Trust,
    /// The device's product.
    pub product: &'a Identifier,
    /// What a bundle must be compatible with.
    pub compatible: &'a Identifier,
    /// The slot that runs.
    pub booted: SlotId,
    /// Which boot this is.
    pub boot_id: String,
    /// The system's own trial.
    pub slot: SlotTrial,
    /// A person holds automatic updates: development keys count only then.
    pub held: bool,
    /// Runs programs: systemctl(1) for native apps, and the programs of apps of the kind `command`.
    pub runner: &'a dyn Runner,
    /// Facts of the device for `{NAME}` in values of variables: `id`, `product`, `hardware` and others.
    pub device: &'a BTreeMap<String, String>,
    /// Told of progress.
    pub sink: &'a dyn Sink,
    /// Seconds since the boot.
    pub up: u64,
    /// Seconds since 1970: dates outcomes, decides nothing.
    pub now: u64,
}

impl AppContext<'_> {
    /// The engine, or `ENGINE_MISSING`.
    pub fn engine(&self) -> Result<&dyn Engine> {
        let why = "the settings name no container engine";
        self.engine.ok_or_else(|| Failure::new(ReasonCode::EngineMissing, why))
    }

    /// The folder for data of all apps.
    pub(super) fn data_folder(&self) -> PathBuf {
        let beside = self.state.parent().unwrap_or(self.state);
        self.settings.data.clone().unwrap_or_else(|| beside.join("apps"))
    }

    /// The folder for data of one app.
    pub(super) fn data_of(&self, app: &ServiceName) -> PathBuf {
        self.data_folder().join(app.as_str())
    }

    /// What of one app is gone after a reboot.
    pub(super) fn run_of(&self, app: &ServiceName) -> PathBuf {
        self.run.join("apps").join(app.as_str())
    }
}
