//! What the supervisor has seen last, as a file in memory: the status is asked for by another process.

use super::AppContext;
use super::watch::{Watch, Watched};
use crate::bundle::ServiceName;
use crate::model::from_json;
use crate::sys::durable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// More is not read.
const LIMIT: u64 = 1 << 20;

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Shown {
    /// Which boot it was.
    pub(super) boot_id: String,
    /// By container.
    pub(super) containers: BTreeMap<String, ShownContainer>,
    /// Why an app cannot be run.
    pub(super) failures: BTreeMap<ServiceName, String>,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShownContainer {
    /// What its probe says.
    pub(super) healthy: Option<bool>,
    /// What its probe, or its end, has said last.
    pub(super) text: String,
    /// How often it was started again.
    pub(super) restarts: u32,
}

impl Shown {
    /// What a supervisor has seen.
    pub(super) fn of(
        ctx: &AppContext<'_>,
        watch: &Watch,
        failures: &BTreeMap<ServiceName, String>,
    ) -> Shown {
        let one = |(name, entry): (&String, &Watched)| {
            let (healthy, restarts) = (entry.healthy, entry.restarts);
            (name.clone(), ShownContainer { healthy, text: entry.text.clone(), restarts })
        };
        let containers = watch.entries().map(one).collect();
        Shown { boot_id: ctx.boot_id.clone(), containers, failures: failures.clone() }
    }
}

/// Writes it where it is other than what was `told` last. It is only shown: what fails is seen at the next change.
pub(super) fn publish(ctx: &AppContext<'_>, shown: &Shown, told: &mut Vec<u8>) {
    let Ok(bytes) = serde_json::to_vec(shown) else { return };
    if bytes != *told {
        let folder = ctx.run.join("apps");
        let _made = std::fs::create_dir_all(&folder);
        if durable::publish(&folder.join("watch.json"), &bytes).is_ok() {
            *told = bytes;
        }
    }
}

/// What was seen last in this boot.
pub(super) fn shown(ctx: &AppContext<'_>) -> Shown {
    let bytes = durable::read(&ctx.run.join("apps").join("watch.json"), LIMIT).ok().flatten();
    let shown: Option<Shown> = bytes.and_then(|bytes| from_json(&bytes).ok());
    shown.filter(|shown| shown.boot_id == ctx.boot_id).unwrap_or_default()
}
