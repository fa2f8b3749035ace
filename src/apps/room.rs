//! Whether the disk has room for a change, and whether it could be taken back: numbers, before anything is downloaded.

use super::member::Admission;
use super::plan::Documents;
use super::spec::volume_folder;
use super::volumes::to_copy;
use super::{AppContext, BundleHead};
use crate::artifact::PayloadKind;
use crate::bundle::{AppDocument, AppKind};
use crate::model::{ByteLen, Digest, Failure, ReasonCode, Result};
use crate::sys::{durable, host, tree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file system has to hold.
#[derive(Debug, Default, Clone, Copy)]
struct Need {
    /// Images, trees and bundles.
    bytes: u64,
    /// Copies of volumes.
    copies: u64,
}

/// `SCHEMA_ONE_WAY` where data could not be taken back, `NO_SPACE` where there is no room for the rest. Says in the
/// admission what is needed.
pub(super) fn check(
    ctx: &AppContext<'_>,
    documents: &mut Documents,
    heads: &[&BundleHead],
    admission: &mut Admission,
) -> Result<()> {
    let (mut store, mut data) = (Need::default(), Need::default());
    let mut store_folder = None;
    let mut known: BTreeMap<(String, Digest), Arc<AppDocument>> = BTreeMap::new();
    for head in heads {
        let key = (head.app().to_string(), head.digest());
        known.insert(key, Arc::new(head.document().clone()));
        data.bytes = data.bytes.saturating_add(head.document().disk);
        if ctx.settings.keep_files {
            data.bytes = data.bytes.saturating_add(head.release().artifact_len());
        }
    }
    let there = layers_there(ctx, heads, &mut store_folder)?;
    let mut counted = BTreeSet::new();
    for payload in heads.iter().flat_map(|head| &head.release().manifest.payloads) {
        let place = match payload.kind {
            PayloadKind::Layer if !there.contains(&payload.sha256) => &mut store,
            PayloadKind::Tree => &mut data,
            _ => continue,
        };
        if counted.insert(payload.sha256) {
            place.bytes = place.bytes.saturating_add(payload.size);
            admission.download = admission.download.saturating_add(payload.stored_size);
        }
    }
    // What an engine needs beside the bytes themselves.
    store.bytes = store.bytes.saturating_add(store.bytes / 10);
    for m in &admission.moves {
        let (Some(from), Some(to)) = (&m.from, &m.to) else { continue };
        let mut load = |digest: &Digest| match known.get(&(m.app.to_string(), *digest)) {
            Some(document) => Ok(Arc::clone(document)),
            None => documents.get(ctx, &m.app, digest),
        };
        let (old, new) = match (load(&from.digest), load(&to.digest)) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(failure), _) | (_, Err(failure)) => {
                admission.notes.push(format!("{} cannot be taken back: {failure}", m.app));
                continue;
            }
        };
        let unreadable = |(name, volume): (&crate::bundle::ServiceName, &crate::bundle::Volume)| {
            new.volumes
                .get(name)
                .is_some_and(|v| v.schema < volume.readable_by)
                .then_some(name.clone())
        };
        if let Some(name) = old.volumes.iter().find_map(unreadable) {
            let (app, version) = (&m.app, &to.version);
            let text = format!(
                "{version} of {app} cannot read what {} has written to the volume {name}",
                from.version
            );
            let next = "Install a release that can, or remove the app and its volume first.";
            return Err(Failure::new(ReasonCode::SchemaOneWay, text).with_next(next));
        }
        for name in to_copy(&old, &new) {
            let folder = volume_folder(&ctx.data_of(&m.app), name);
            let used =
                tree::used_bytes(&folder).map_err(|e| durable::io_failure("read", &folder, &e))?;
            data.copies = data.copies.saturating_add(used);
        }
    }
    admission.room = store.bytes.saturating_add(data.bytes).saturating_add(data.copies);
    let data_folder = above(&ctx.data_folder());
    let one = store_folder.as_deref().is_none_or(|s| host::same_filesystem(s, &data_folder));
    if one {
        data.bytes = data.bytes.saturating_add(store.bytes);
    } else if let Some(folder) = &store_folder {
        fits(folder, store)?;
    }
    fits(&data_folder, data)
}

/// The layers that the engine's store has, where an app of containers is to come.
fn layers_there(
    ctx: &AppContext<'_>,
    heads: &[&BundleHead],
    store: &mut Option<PathBuf>,
) -> Result<BTreeSet<Digest>> {
    if !heads.iter().any(|head| head.document().kind == AppKind::Containers) {
        return Ok(BTreeSet::new());
    }
    let engine = ctx.engine()?;
    // An engine on this device: its folder is here. Else there is nothing to measure.
    *store = Some(engine.info()?.store).filter(|folder| folder.is_dir());
    Ok(engine.images()?.into_iter().flat_map(|image| image.layers).collect())
}

/// The folder itself, or the nearest one above it that is there.
fn above(folder: &Path) -> PathBuf {
    folder.ancestors().find(|f| f.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn fits(folder: &Path, need: Need) -> Result<()> {
    let free = host::free_bytes(folder).map_err(|e| durable::io_failure("measure", folder, &e))?;
    let (all, shown) = (need.bytes.saturating_add(need.copies), folder.display());
    if all <= free {
        return Ok(());
    }
    let [needed, copies, free_text] = [all, need.copies, free].map(ByteLen);
    if need.bytes <= free {
        let text = format!(
            "copies of volumes need {copies}, all of the change {needed}; {shown} has {free_text} free"
        );
        return Err(Failure::new(ReasonCode::SchemaOneWay, text));
    }
    let text = format!("the change needs {needed}; {shown} has {free_text} free");
    Err(Failure::new(ReasonCode::NoSpace, text))
}
