//! Takes away what neither a set nor a change under way names: containers, networks, images, trees, heads and copies. Only
//! what is ours, and only what is named by nothing that may run again.

use super::bundles::kept_folders;
use super::kinds::remove;
use super::plan::Documents;
use super::trees::trees;
use super::volumes::copies_of;
use super::{AppContext, AppJournal, kept_bundle};
use crate::bundle::{AppKind, ServiceName};
use crate::engine::{ContainerState, labels};
use crate::event::Event;
use crate::model::{Digest, ReasonCode, Result, WithReason};
use crate::sys::{systemd, tree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What is to go.
#[derive(Debug, Default)]
struct Rubbish {
    containers: Vec<(String, bool)>,
    images: Vec<Digest>,
    networks: Vec<String>,
    /// Generations of apps that leave the device.
    leaving: Vec<(ServiceName, Digest)>,
    paths: Vec<PathBuf>,
}

impl Rubbish {
    fn is_empty(&self) -> bool {
        self.containers.is_empty()
            && self.images.is_empty()
            && self.paths.is_empty()
            && self.networks.is_empty()
    }
}

/// Whether something is to be taken away; `None` where that could not be seen.
pub(super) fn rubbish(
    ctx: &AppContext<'_>,
    documents: &mut Documents,
    journal: &AppJournal,
) -> Option<bool> {
    find(ctx, documents, journal).ok().map(|found| !found.is_empty())
}

fn find(ctx: &AppContext<'_>, documents: &mut Documents, journal: &AppJournal) -> Result<Rubbish> {
    let needed = journal.needed();
    let mut found = Rubbish::default();
    // What is named and cannot be read may still be mended: nothing of the engine goes while that is so.
    let mut images = BTreeSet::new();
    let mut certain = true;
    for (app, digest) in &needed {
        match documents.images(ctx, app, digest) {
            Ok(of) => images.extend(of),
            Err(_) => certain = false,
        }
    }
    let apps: BTreeSet<&ServiceName> = needed.iter().map(|(app, _)| app).collect();
    for (app, digest, folder) in kept_folders(ctx.state) {
        let key = (app, digest);
        if !needed.contains(&key) {
            if !apps.contains(&key.0) {
                found.leaving.push(key);
            }
            found.paths.push(folder);
        }
    }
    let data = ctx.data_folder();
    for folder in entries(&data) {
        let name = folder.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok());
        let Some(name): Option<ServiceName> = name else { continue };
        for (digest, tree) in trees(&folder) {
            let is_needed = digest.is_some_and(|digest| needed.contains(&(name.clone(), digest)));
            if !is_needed {
                found.paths.push(tree);
            }
        }
        let copies = folder.join("copies");
        let current = journal.change().map(|change| copies_of(&folder, change.number));
        found
            .paths
            .extend(entries(&copies).into_iter().filter(|copy| current.as_ref() != Some(copy)));
    }
    let Some(engine) = ctx.engine.filter(|_| certain) else { return Ok(found) };
    // Generations that may run without a change: whose containers are theirs.
    let mut names = BTreeSet::new();
    for (app, generation) in journal.set_of(ctx.booted).iter().chain(&journal.live) {
        match documents.plan(ctx, app, generation, &journal.ports) {
            Ok(plan) => names.extend(plan.pieces()),
            Err(_) => return Ok(found),
        }
    }
    let mut networks = BTreeSet::new();
    for container in engine.containers()? {
        let app = container.labels.get(labels::APP).cloned().unwrap_or_default();
        if !names.contains(&container.name) {
            let runs = container.state == ContainerState::Running;
            found.containers.push((container.name, runs));
            if !apps.iter().any(|name| name.as_str() == app) {
                networks.insert(app);
            }
        }
    }
    found.networks = networks.into_iter().collect();
    for image in engine.images()? {
        if !image.tags.is_empty() && !images.contains(&image.id) {
            found.images.push(image.id);
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Takes it away. A cut leaves some of it for the next time.
pub(super) fn collect(
    ctx: &AppContext<'_>,
    documents: &mut Documents,
    journal: &AppJournal,
) -> Result<()> {
    let found = find(ctx, documents, journal)?;
    if let Some(engine) = ctx.engine {
        for (name, runs) in &found.containers {
            systemd::waits();
            if *runs {
                engine.stop(name, std::time::Duration::from_secs(10))?;
            }
            engine.remove(name)?;
        }
        for app in &found.networks {
            engine.remove_network(app)?;
        }
        for image in &found.images {
            systemd::waits();
            engine.remove_image(image)?;
        }
    }
    for (app, digest) in &found.leaving {
        let Ok(head) = kept_bundle(ctx, app, digest) else { continue };
        if head.document().kind != AppKind::Command {
            continue;
        }
        if let Err(failure) = remove(ctx, head.document(), &head.generation(BTreeMap::new())) {
            let text = format!("{app} leaves this device, and its program said: {failure}");
            ctx.sink.emit(&Event::Warning { text });
        }
    }
    for path in &found.paths {
        systemd::waits();
        // The head goes first: what is half taken away is not there.
        let _none = crate::sys::durable::remove(&path.join("head"));
        tree::clear(path).reason(ReasonCode::Io, format!("removing {}", path.display()))?;
    }
    Ok(())
}
