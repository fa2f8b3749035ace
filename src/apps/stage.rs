//! Brings in what a generation needs: its images into the engine, its tree into the data folder, its head and document
//! into the state folder. What runs goes on. Nothing counts before it was compared and is durable.

use super::bundles::{image_config, keep_bundle};
use super::bytes::BundleBytes;
use super::kept::{keep_file, kept_file};
use super::opened::open_bundle;
use super::{AppContext, AppMove, BundleHead, BundleSource, kept_bundle};
use crate::artifact::PayloadKind;
use crate::bundle::{AppKind, ImageEntry, ServiceName};
use crate::engine::{ContainerState, Engine, ImageToLoad, LayerBytes, LayerSource, StoredImage};
use crate::event::{Event, Phase};
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::source::{Fetch, LocalFile};
use crate::sys::{stop, systemd};
use std::collections::BTreeSet;
use std::io::Read;

/// Brings in all that the new side of `moves` needs, compares it and makes it durable; what runs goes on. For a joint
/// release, whose set is written beside a slot: for everything else the driver does it.
pub fn stage_bundles(
    ctx: &AppContext<'_>,
    moves: &[AppMove],
    sources: &[BundleSource<'_>],
) -> Result<()> {
    let mut progress = Progress { ctx, total: 0, done: 0, told: 0 };
    let new: Vec<_> = moves.iter().filter_map(|m| Some((&m.app, m.to.as_ref()?))).collect();
    let given = |digest: &Digest| sources.iter().find(|s| s.digest == *digest).map(|s| s.bytes);
    // What is not brought along may lie here whole: what the engine has lost comes from there.
    let missing = new.iter().filter(|(_, generation)| given(&generation.digest).is_none());
    let kept: Vec<(Digest, LocalFile)> =
        missing.filter_map(|(app, g)| Some((g.digest, kept_file(ctx, app, &g.digest)?))).collect();
    let mut heads = Vec::new();
    for (app, generation) in new {
        let own = kept.iter().find(|(digest, _)| *digest == generation.digest);
        let own = own.map(|(_, file)| file as &dyn Fetch);
        let source = given(&generation.digest).or(own);
        let (head, source) = head_of(ctx, app, &generation.digest, source)?;
        let payloads = head.release().manifest.payloads.iter().skip(1);
        progress.total += payloads.map(|p| p.size).sum::<u64>();
        heads.push((head, source, generation));
    }
    ctx.sink.emit(&Event::PhaseStarted { phase: Phase::Stage, total: progress.total });
    for (head, source, generation) in &heads {
        if head.document().kind == AppKind::Containers {
            stage_images(ctx, head, source.as_ref(), &mut progress)
                .map_err(|f| f.at(head.app()))?;
            continue;
        }
        let other = moves.iter().find(|m| m.app == *head.app()).and_then(|m| m.from.as_ref());
        let previous = other.map(|generation| generation.digest);
        super::kinds::stage(ctx, head, generation, previous, source.as_ref())
            .map_err(|f| f.at(head.app()))?;
        progress.passed(head.document().files().iter().map(|file| file.size).sum());
    }
    // The store first: what the head vouches for is there when the head is.
    if let Some(engine) = ctx
        .engine
        .filter(|_| heads.iter().any(|(head, ..)| head.document().kind == AppKind::Containers))
    {
        engine.sync()?;
    }
    for (head, source, _) in &heads {
        if let Some(source) = source {
            // Before the head, with which the generation is here. What a delta made is not kept whole.
            if let Some(whole) = source.whole() {
                keep_file(ctx, head, whole)?;
            }
            keep_bundle(ctx, head, source)?;
        }
        // Believed only as it will be found after a cut.
        kept_bundle(ctx, head.app(), &head.digest())?;
    }
    ctx.sink.emit(&Event::PhaseEnded { phase: Phase::Stage, done: progress.total, moved: None });
    Ok(())
}

fn head_of<'s>(
    ctx: &AppContext<'_>,
    app: &ServiceName,
    digest: &Digest,
    source: Option<&'s dyn Fetch>,
) -> Result<(BundleHead, Option<BundleBytes<'s>>)> {
    let Some(source) = source else { return Ok((kept_bundle(ctx, app, digest)?, None)) };
    let (head, bytes) = open_bundle(ctx, source)?;
    match head.app() == app && head.digest() == *digest {
        true => Ok((head, Some(bytes))),
        false => {
            let text = format!("another bundle lies where {app} {} was offered", digest.short());
            Err(Failure::new(ReasonCode::OtherRelease, text))
        }
    }
}

struct Progress<'a> {
    ctx: &'a AppContext<'a>,
    total: u64,
    done: u64,
    told: u64,
}

impl Progress<'_> {
    fn passed(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes).min(self.total);
        systemd::waits();
        if self.done.saturating_sub(self.told) >= self.total / 100 {
            self.told = self.done;
            let (phase, done, total) = (Phase::Stage, self.done, self.total);
            self.ctx.sink.emit(&Event::Progress { phase, done, total, moved: None });
        }
    }
}

/// So often all images of a bundle are gone through.
const PASSES: u32 = 3;

fn stage_images(
    ctx: &AppContext<'_>,
    head: &BundleHead,
    source: Option<&BundleBytes<'_>>,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let engine = ctx.engine()?;
    let mut scrubbed: BTreeSet<Digest> = BTreeSet::new();
    let images = &head.document().images;
    for _ in 0..PASSES {
        for (n, (id, entry)) in images.iter().enumerate() {
            stop::look()?;
            let stored = engine.images()?.into_iter().find(|image| image.id == *id);
            let stage = Stage { ctx, engine, head, source, id, entry, n };
            // Without a name of ours it is another program's, and gone when that program says so.
            let ours = |image: &StoredImage| image.layers == entry.layers && !image.tags.is_empty();
            match stored.filter(ours) {
                Some(image) => stage.rely_on(&image, &mut scrubbed, progress)?,
                None => stage.load(progress)?,
            }
        }
        // A damaged layer may have taken another image of the same bundle along.
        let there: BTreeSet<Digest> = engine.images()?.into_iter().map(|image| image.id).collect();
        if images.keys().all(|id| there.contains(id)) {
            return Ok(());
        }
    }
    let text = "images that were brought in are gone again";
    Err(Failure::new(ReasonCode::EngineAnswer, text))
}

/// One image of one bundle.
struct Stage<'a> {
    ctx: &'a AppContext<'a>,
    engine: &'a dyn Engine,
    head: &'a BundleHead,
    source: Option<&'a BundleBytes<'a>>,
    id: &'a Digest,
    entry: &'a ImageEntry,
    n: usize,
}

impl Stage<'_> {
    /// An image that is in the store is read once before it is relied upon; a damaged one is brought in anew.
    fn rely_on(
        &self,
        image: &StoredImage,
        scrubbed: &mut BTreeSet<Digest>,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        if scrubbed.contains(&image.id) {
            return Ok(());
        }
        match self.engine.scrub(&image.id) {
            Ok(()) => {
                scrubbed.insert(image.id);
                progress.passed(self.entry.size);
                Ok(())
            }
            Err(damaged) if damaged.code() == ReasonCode::LayerDamaged => {
                if self.source.is_none() {
                    return Err(damaged);
                }
                let text = format!("{}: it is brought in again", damaged.detail());
                self.ctx.sink.emit(&Event::Warning { text });
                self.forget(|image| image.id == *self.id)?;
                self.load(progress)?;
                let Err(still) = self.engine.scrub(self.id) else { return Ok(()) };
                if still.code() != ReasonCode::LayerDamaged {
                    return Err(still);
                }
                // What it shares with another image is damaged: an engine keeps that for as long as one has it.
                let layers: BTreeSet<&Digest> = self.entry.layers.iter().collect();
                self.forget(|image| image.layers.iter().any(|layer| layers.contains(layer)))?;
                self.load(progress)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Takes images away, each with the containers that were made of it. A container that runs keeps what it has.
    fn forget(&self, goes: impl Fn(&StoredImage) -> bool) -> Result<()> {
        let images = self.engine.images()?.into_iter().filter(|image| goes(image));
        let damaged: Vec<Digest> = images.map(|image| image.id).collect();
        let of_these = |image: &str| damaged.iter().any(|id| id.to_string() == image);
        for container in self.engine.containers()?.iter().filter(|c| of_these(&c.image)) {
            if container.state == ContainerState::Running {
                let text = format!("a layer is damaged from which {} runs", container.name);
                let next = "Stop the app with `surefoot apps stop`, and install its bundle again.";
                return Err(Failure::new(ReasonCode::LayerDamaged, text).with_next(next));
            }
            self.engine.remove(&container.name)?;
        }
        damaged.iter().try_for_each(|image| self.engine.remove_image(image))
    }

    fn load(&self, progress: &mut Progress<'_>) -> Result<()> {
        let (app, digest) = (self.head.app(), self.head.digest());
        let config = match self.source {
            Some(source) => {
                let payload = self.head.payload(&PayloadKind::Image, self.id)?;
                let most = crate::bundle::MAX_IMAGE_CONFIG_LEN;
                source.read(self.head.release(), payload, most)?
            }
            None => image_config(self.ctx, app, &digest, self.id)?,
        };
        let mut layers = Vec::new();
        for layer in &self.entry.layers {
            layers.push((*layer, self.head.payload(&PayloadKind::Layer, layer)?.size));
        }
        let tag = format!("surefoot.local/{app}:{}-{}", digest.short(), self.n);
        let image = ImageToLoad { id: *self.id, config: &config, layers: &layers, tag };
        let mut bytes = Layers { head: self.head, source: self.source, progress };
        self.engine.load(&image, &mut bytes)
    }
}

/// Layers as the bundle brings them.
struct Layers<'a, 'p> {
    head: &'a BundleHead,
    source: Option<&'a BundleBytes<'a>>,
    progress: &'a mut Progress<'p>,
}

impl LayerSource for Layers<'_, '_> {
    fn open(&mut self, layer: &Digest) -> Result<LayerBytes<'_>> {
        let source = self.source.ok_or_else(|| {
            let text = format!(
                "the engine's store has lost an image of {}, and its bundle is not here",
                self.head.app()
            );
            Failure::new(ReasonCode::LayerDamaged, text)
        })?;
        let payload = self.head.payload(&PayloadKind::Layer, layer)?;
        let reader = source.open(self.head.release(), payload)?;
        Ok(Box::new(Counted { reader, progress: &mut *self.progress }))
    }
}

struct Counted<'a, 'p> {
    reader: Box<dyn Read + 'a>,
    progress: &'a mut Progress<'p>,
}

impl Read for Counted<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buf)?;
        self.progress.passed(read as u64);
        Ok(read)
    }
}
