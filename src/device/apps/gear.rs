//! What a piece of work on apps works with: read once, and lent to the room of apps.

use super::super::look::standing;
use super::super::world::World;
use crate::apps::{AppContext, SlotTrial};
use crate::engine::{Engine, EngineSocket};
use crate::event::Sink;
use crate::model::{Identifier, Result, SlotId};
use crate::trust::Trust;
use crate::update::Phase;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// For a look at an engine.
const GLANCE: Duration = Duration::from_secs(5);

/// The device, as apps see it.
pub(super) struct Gear<'a> {
    pub(super) world: &'a World,
    engine: Option<Arc<dyn Engine>>,
    trust: Trust,
    facts: BTreeMap<String, String>,
    booted: SlotId,
    slot: SlotTrial,
    held: bool,
}

impl<'a> Gear<'a> {
    /// Looks at the device. The engine is not asked yet.
    pub(super) fn of(world: &'a World) -> Result<Gear<'a>> {
        Gear::with(world, EngineSocket::new)
    }

    /// The same for a look that nothing depends on, and that a silent engine must not hold up.
    pub(super) fn at_a_glance(world: &'a World) -> Result<Gear<'a>> {
        Gear::with(world, |socket| EngineSocket::with_patience(socket, GLANCE))
    }

    fn with(world: &'a World, open: fn(PathBuf) -> EngineSocket) -> Result<Gear<'a>> {
        let booted = world.booted()?;
        let slot = slot_trial(world, booted)?;
        let socket = || {
            let socket = world.settings.apps.engine.clone()?;
            Some(Arc::new(open(socket)) as Arc<dyn Engine>)
        };
        let engine = world.engine.clone().or_else(socket);
        let facts = facts(world, booted);
        let (trust, held) = (world.trust()?, world.hold().is_some());
        Ok(Gear { world, engine, trust, facts, booted, slot, held })
    }

    /// Lent for one piece of work.
    pub(super) fn context<'b>(&'b self, sink: &'b dyn Sink) -> AppContext<'b> {
        let settings = &self.world.settings;
        AppContext {
            settings: &settings.apps,
            state: &settings.device.state,
            run: &settings.run,
            engine: self.engine.as_deref(),
            trust: &self.trust,
            product: &settings.device.product,
            compatible: &settings.device.compatible,
            booted: self.booted,
            boot_id: self.world.boot_id(),
            slot: self.slot,
            held: self.held,
            runner: &*self.world.runner,
            device: &self.facts,
            sink,
            up: self.world.up(),
            now: self.world.now(),
        }
    }

    /// The same under a hold: what development keys have signed is stopped, and put in the place of nothing, also when the
    /// hold is over.
    pub(super) fn under_hold(self) -> Gear<'a> {
        Gear { held: true, ..self }
    }

    /// The slot that runs.
    pub(super) fn booted(&self) -> SlotId {
        self.booted
    }

    /// Whether the running system is on trial: then a change of apps that came with it is decided with it.
    pub(super) fn slot(&self) -> SlotTrial {
        self.slot
    }

    /// The engine, where one is named.
    pub(super) fn engine(&self) -> Option<&Arc<dyn Engine>> {
        self.engine.as_ref()
    }
}

/// Where the system's own move stands.
fn slot_trial(world: &World, booted: SlotId) -> Result<SlotTrial> {
    Ok(match standing(world)?.0.phase {
        Phase::Switching { work, .. } if work.slot != booted => SlotTrial::Armed,
        Phase::Trying { work, .. } if work.slot == booted => SlotTrial::Running,
        Phase::Returning { work, .. } if work.slot == booted => SlotTrial::Leaving,
        _ => SlotTrial::None,
    })
}

/// What values of variables may name of this device.
fn facts(world: &World, booted: SlotId) -> BTreeMap<String, String> {
    let device = &world.settings.device;
    let mut facts = BTreeMap::from([
        ("product".to_owned(), device.product.to_string()),
        ("compatible".to_owned(), device.compatible.to_string()),
        ("slot".to_owned(), booted.to_string()),
    ]);
    // A device without an id has apps all the same; one that asks for it is told that it is missing.
    facts.extend(world.device_id().ok().map(|id| ("id".to_owned(), id)));
    let hardware: Option<Identifier> = world.target().ok().and_then(|target| target.hardware);
    facts.extend(hardware.map(|h| ("hardware".to_owned(), h.to_string())));
    let version = world.named(booted).version;
    facts.extend(version.map(|v| ("version".to_owned(), v.to_string())));
    facts
}
