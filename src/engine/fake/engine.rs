//! What a fake engine does when it is asked.

use super::FakeEngine;
use super::world::{FakeContainer, FakeLie, FakeStart, FakeWorld, failed};
use crate::engine::types::{
    Container, ContainerSpec, ContainerState, EngineInfo, Execution, ImageToLoad, LayerSource,
    Logs, StoredImage,
};
use crate::engine::{Engine, images, labels};
use crate::model::{Digest, Failure, ReasonCode, Result};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// A log that never ends has so many lines: who has not had enough by then never has.
const ENDLESS: usize = 100_000;

impl Engine for FakeEngine {
    fn info(&self) -> Result<EngineInfo> {
        self.lock().call(|world| Ok(world.info.clone()))
    }

    fn images(&self) -> Result<Vec<StoredImage>> {
        self.lock().call(|world| Ok(world.now.images.values().cloned().collect()))
    }

    fn load(&self, image: &ImageToLoad<'_>, layers: &mut dyn LayerSource) -> Result<()> {
        self.lock().call(|world| load(world, image, layers))
    }

    fn scrub(&self, image: &Digest) -> Result<()> {
        self.lock().call(|world| {
            let damaged = |why: String| Err(Failure::new(ReasonCode::LayerDamaged, why));
            let Some(found) = world.now.images.get(image) else {
                return damaged(format!("image {} is not in the store", image.short()));
            };
            match found.layers.iter().find(|l| world.now.damaged.contains(l)) {
                Some(layer) => damaged(format!("layer {} is not as it was given", layer.short())),
                None => Ok(()),
            }
        })
    }

    fn remove_image(&self, image: &Digest) -> Result<()> {
        self.lock().call(|world| {
            let Some(found) = world.now.images.get(image) else { return Ok(()) };
            if found.tags.is_empty() {
                return world.complain(format!("image {} is not ours", image.short()));
            }
            let id = image.to_string();
            if world.now.containers.values().any(|c| c.spec.image == id) {
                return Err(failed("a container has this image"));
            }
            world.deeds.push(format!("remove-image {}", image.short()));
            world.now.images.remove(image);
            world.now.collect();
            Ok(())
        })
    }

    fn sync(&self) -> Result<()> {
        self.lock().call(|world| {
            world.durable = world.now.clone();
            Ok(())
        })
    }

    fn containers(&self) -> Result<Vec<Container>> {
        self.lock().call(|world| {
            let ours = world.now.containers.iter().filter(|(_, c)| !c.foreign);
            let plain = |(name, c): (&String, &FakeContainer)| Container {
                name: name.clone(),
                image: c.spec.image.clone(),
                labels: c.spec.labels.clone(),
                state: c.state,
            };
            Ok(ours.map(plain).collect())
        })
    }

    fn create(&self, spec: &ContainerSpec) -> Result<()> {
        self.lock().call(|world| create(world, spec))
    }

    fn start(&self, name: &str) -> Result<()> {
        self.lock().call(|world| start(world, name))
    }

    fn stop(&self, name: &str, _grace: Duration) -> Result<()> {
        self.lock().call(|world| {
            if let Some(found) = ours(world, name)?
                && found.state == ContainerState::Running
            {
                found.state = ContainerState::Ended { status: 143, out_of_memory: false };
                world.deeds.push(format!("stop {name}"));
            }
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.lock().call(|world| match ours(world, name)?.map(|found| found.state) {
            None => Ok(()),
            Some(ContainerState::Running) => world.complain(format!("remove {name}: it runs")),
            Some(_) => {
                world.now.containers.remove(name);
                world.deeds.push(format!("remove {name}"));
                Ok(())
            }
        })
    }

    fn exec(&self, name: &str, _command: &[String], _timeout: Duration) -> Result<Execution> {
        self.lock().call(|world| {
            let service = match ours(world, name)? {
                Some(found) if found.state == ContainerState::Running => service_of(&found.spec),
                _ => return Err(failed("the container does not run")),
            };
            let well = Execution { status: Some(0), output: String::new() };
            let Some(planned) = world.plan.probes.get_mut(&service) else { return Ok(well) };
            match planned.len() {
                0 => Ok(well),
                1 => Ok(planned[0].clone()),
                _ => Ok(planned.remove(0)),
            }
        })
    }

    fn logs(&self, name: &str, want: &Logs, line: &mut dyn FnMut(&[u8]) -> bool) -> Result<()> {
        let (log, endless) = self.lock().call(|world| {
            let endless = world.plan.lie == Some(FakeLie::EndlessLog);
            match ours(world, name)? {
                Some(found) => Ok((found.log.clone(), endless)),
                None => Err(failed("there is no such container")),
            }
        })?;
        let last = want.last.map_or(log.len(), |n| usize::try_from(n).unwrap_or(log.len()));
        let shown = &log[log.len().saturating_sub(last)..];
        if endless {
            assert!(!(0..ENDLESS).all(|_| line(b"again\n")), "a log is read without an end");
        } else if shown.iter().all(|text| line(text.as_bytes())) && want.follow {
            // Nothing more comes in a fake: the one question whether he still listens.
            line(b"");
        }
        Ok(())
    }

    fn make_network(&self, app: &str) -> Result<()> {
        self.lock().call(|world| {
            if world.now.networks.insert(app.to_owned()) {
                world.deeds.push(format!("make-network {app}"));
            }
            Ok(())
        })
    }

    fn remove_network(&self, app: &str) -> Result<()> {
        self.lock().call(|world| {
            let used =
                |c: &FakeContainer| c.spec.network == app && c.state == ContainerState::Running;
            if world.now.containers.values().any(used) {
                return world.complain(format!("remove-network {app}: a container is in it"));
            }
            if world.now.networks.remove(app) {
                world.deeds.push(format!("remove-network {app}"));
            }
            Ok(())
        })
    }
}

/// A container that may be touched.
fn ours<'w>(world: &'w mut FakeWorld, name: &str) -> Result<Option<&'w mut FakeContainer>> {
    match world.now.containers.get_mut(name) {
        Some(found) if found.foreign => Err(failed("the container was not made by this program")),
        found => Ok(found),
    }
}

fn service_of(spec: &ContainerSpec) -> String {
    spec.labels.get(labels::SERVICE).cloned().unwrap_or_default()
}

fn load(
    world: &mut FakeWorld,
    image: &ImageToLoad<'_>,
    layers: &mut dyn LayerSource,
) -> Result<()> {
    let config = images::config_of(image)?;
    let stored: Vec<StoredImage> = world.now.images.values().cloned().collect();
    let have = images::in_place(image, &stored);
    let mut after = world.now.clone();
    for (layer, len) in image.layers.iter().skip(have) {
        let (mut hash, mut from) = (Sha256::new(), layers.open(layer)?);
        let read = std::io::copy(&mut from, &mut hash).map_err(|e| {
            let own = e.get_ref().and_then(|e| e.downcast_ref::<Failure>()).cloned();
            own.unwrap_or_else(|| Failure::new(ReasonCode::ContainerImage, e.to_string()))
        })?;
        if read != *len || Digest(hash.finalize().into()) != *layer {
            let detail = format!("layer {}: its bytes are others than it says", layer.short());
            return Err(Failure::new(ReasonCode::ContainerImage, detail));
        }
        after.layers.insert(*layer, *len);
    }
    if world.plan.room.is_some_and(|room| after.layers.values().sum::<u64>() > room) {
        return Err(failed("no space left on device"));
    }
    let differs = || Err(Failure::new(ReasonCode::EngineAnswer, "the image is not what was given"));
    match world.plan.lie {
        Some(FakeLie::LoadsNothing | FakeLie::LoadsAnother) => return differs(),
        _ => world.deeds.push(format!("load {}", image.id.short())),
    }
    for other in after.images.values_mut() {
        other.tags.retain(|tag| *tag != image.tag);
    }
    let new = StoredImage {
        id: image.id,
        layers: image.layers.iter().map(|(d, _)| *d).collect(),
        architecture: config.architecture,
        variant: config.variant,
        folders: Vec::new(),
        tags: Vec::new(),
    };
    after.images.entry(image.id).or_insert(new).tags.push(image.tag.clone());
    world.now = after;
    Ok(())
}

fn create(world: &mut FakeWorld, spec: &ContainerSpec) -> Result<()> {
    let name = &spec.name;
    for label in [labels::APP, labels::SPEC] {
        if !spec.labels.contains_key(label) {
            return world.complain(format!("create {name}: no label {label}"));
        }
    }
    if let Some(found) = ours(world, name)? {
        match (found.spec.labels.get(labels::SPEC) == spec.labels.get(labels::SPEC), found.state) {
            (true, _) => return Ok(()),
            (false, ContainerState::Running) => {
                return world.complain(format!("create {name}: another one of this name runs"));
            }
            (false, _) => {}
        }
    }
    let image: Option<Digest> = spec.image.parse().ok();
    if !image.is_some_and(|id| world.now.images.contains_key(&id)) {
        return world.complain(format!("create {name}: there is no image {}", spec.image));
    }
    let container = FakeContainer { spec: spec.clone(), ..FakeContainer::default() };
    world.now.containers.insert(name.clone(), container);
    world.deeds.push(format!("create {name}"));
    Ok(())
}

fn start(world: &mut FakeWorld, name: &str) -> Result<()> {
    let Some(found) = ours(world, name)? else {
        return world.complain(format!("start {name}: there is no such container"));
    };
    if found.state == ContainerState::Running {
        return Ok(());
    }
    let spec = found.spec.clone();
    let own = matches!(spec.network.as_str(), "" | "host" | "none");
    if !own && !world.now.networks.contains(&spec.network) {
        return world.complain(format!("start {name}: there is no network for {}", spec.network));
    }
    let port = |p: &(String, u16, u16, &'static str)| (p.1, p.3);
    let taken = world.now.containers.values().filter(|c| c.state == ContainerState::Running);
    let taken: Vec<_> = taken.flat_map(|c| c.spec.ports.iter().map(port)).collect();
    if spec.ports.iter().map(port).any(|p| taken.contains(&p)) {
        return world.complain(format!("start {name}: a port is taken"));
    }
    let image: Option<Digest> = spec.image.parse().ok();
    let layers = image.and_then(|id| world.now.images.get(&id)).map(|i| i.layers.clone());
    let torn = layers.unwrap_or_default().iter().any(|l| world.now.damaged.contains(l));
    let planned = match torn {
        true => FakeStart::Fails("exec format error".to_owned()),
        false => world.plan.starts.get(&service_of(&spec)).cloned().unwrap_or(FakeStart::Runs),
    };
    let state = match planned {
        FakeStart::Runs => ContainerState::Running,
        FakeStart::Ends(status) => ContainerState::Ended { status, out_of_memory: false },
        FakeStart::Fails(words) => return Err(failed(&words)),
    };
    world.deeds.push(format!("start {name}"));
    if let Some(found) = world.now.containers.get_mut(name) {
        found.state = state;
    }
    Ok(())
}
