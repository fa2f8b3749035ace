//! The journal of apps, read and saved for this device; and made again from what is here where it was lost.

use super::gear::Gear;
use crate::apps::{AppJournal, AppJournalStore, AppStored, Generation, kept_bundle};
use crate::bundle::ServiceName;
use crate::device::World;
use crate::engine::{ContainerState, labels};
use crate::event::{Event, Nowhere, Sink};
use crate::model::{Digest, Result};
use std::collections::BTreeMap;

impl World {
    pub(super) fn apps_store(&self) -> AppJournalStore {
        AppJournalStore::new(&self.settings.device.state)
    }

    /// The journal of apps; `None` where it was lost.
    pub(super) fn apps_journal(&self) -> Option<AppJournal> {
        match self.apps_store().load() {
            AppStored::Absent => Some(AppJournal::default()),
            AppStored::Found(journal) => Some(journal),
            AppStored::Lost => None,
        }
    }
}

impl World {
    /// The journal of apps as a document, for support.
    pub fn apps_journal_document(&self) -> serde_json::Value {
        let journal = self.apps_journal();
        journal.and_then(|j| serde_json::to_value(j).ok()).unwrap_or(serde_json::Value::Null)
    }

    /// The folder of the engine's store, where an engine answers.
    pub fn engine_store(&self) -> Option<std::path::PathBuf> {
        let gear = Gear::at_a_glance(self).ok()?;
        gear.engine()?.info().ok().map(|info| info.store)
    }
}

/// The journal; one that was lost is made of the containers that are here, so that what runs goes on. The values of a
/// configuration are lost with it.
pub(super) fn found(gear: &Gear<'_>, sink: &dyn Sink) -> Result<AppJournal> {
    if let Some(journal) = gear.world.apps_journal() {
        return Ok(journal);
    }
    let journal = adopted(gear)?;
    gear.world.apps_store().save(&journal)?;
    let text = "the journal of apps was lost: the apps that were found here go on, without the values of their configuration";
    sink.emit(&Event::Warning { text: text.to_owned() });
    Ok(journal)
}

fn adopted(gear: &Gear<'_>) -> Result<AppJournal> {
    let ctx = gear.context(&Nowhere);
    let mut seen = BTreeMap::<(ServiceName, Digest), bool>::new();
    for container in ctx.engine()?.containers()? {
        let label = |name: &str| container.labels.get(name);
        let app = label(labels::APP).and_then(|app| app.parse::<ServiceName>().ok());
        let digest = label(labels::RELEASE).and_then(|digest| digest.parse::<Digest>().ok());
        if let (Some(app), Some(digest)) = (app, digest) {
            let runs = container.state == ContainerState::Running;
            *seen.entry((app, digest)).or_default() |= runs;
        }
    }
    let kept = |((app, digest), runs): ((ServiceName, Digest), bool)| {
        let head = kept_bundle(&ctx, &app, &digest).ok()?;
        let generation: Generation = head.generation(BTreeMap::new());
        Some((app, generation, runs))
    };
    Ok(AppJournal::adopted(gear.booted(), seen.into_iter().filter_map(kept), 0))
}
