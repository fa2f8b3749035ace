//! An engine in memory, stricter than a real one: what was not synced is lost at a power cut or worse, every call can
//! fail or be the last before a cut, and what no caller should do is remembered. For tests and the simulator.

mod engine;
mod world;

pub use world::{FakeContainer, FakeLie, FakeLoss, FakePlan, FakeStart, FakeStore, FakeWorld};

use super::types::{ContainerState, Execution};
use crate::model::Digest;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A fake engine. Clones are the same engine; [`FakeEngine::world`] is a copy of what it is.
#[derive(Debug, Clone, Default)]
pub struct FakeEngine(Arc<Mutex<FakeWorld>>);

impl From<FakeWorld> for FakeEngine {
    fn from(world: FakeWorld) -> FakeEngine {
        FakeEngine(Arc::new(Mutex::new(world)))
    }
}

impl FakeEngine {
    fn lock(&self) -> MutexGuard<'_, FakeWorld> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it: what is durable, what is there now, and what is planned.
    pub fn world(&self) -> FakeWorld {
        self.lock().clone()
    }

    /// Makes it this.
    pub fn set_world(&self, world: FakeWorld) {
        *self.lock() = world;
    }

    /// Plans what goes wrong.
    pub fn plan(&self, change: impl FnOnce(&mut FakePlan)) {
        change(&mut self.lock().plan);
    }

    /// So many calls were made.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// What was done to it, one line by call that changes something: `start sf-shop-web-1-…`.
    pub fn deeds(&self) -> Vec<String> {
        self.lock().deeds.clone()
    }

    /// What no caller should have done. Empty in a good test.
    pub fn complaints(&self) -> Vec<String> {
        self.lock().complaints.clone()
    }

    /// The device loses its power, and has it again: nothing runs, and what was not synced is lost. Volumes are not
    /// the engine's.
    pub fn power_cut(&self) {
        self.lock().power_cut();
    }

    /// The engine itself is started again: its containers have ended, and nothing is lost.
    pub fn restart(&self) {
        self.lock().restart();
    }

    /// A container ends by itself. False where it does not run.
    pub fn end(&self, name: &str, status: i64, out_of_memory: bool) -> bool {
        match self.lock().now.containers.get_mut(name) {
            Some(found) if found.state == ContainerState::Running => {
                found.state = ContainerState::Ended { status, out_of_memory };
                true
            }
            _ => false,
        }
    }

    /// A service is not well from now on, or well again: what its probes come to.
    pub fn probes(&self, service: &str, then: Execution) {
        self.lock().plan.probes.insert(service.to_owned(), vec![then]);
    }

    /// A container prints a line.
    pub fn print(&self, name: &str, line: &str) {
        if let Some(found) = self.lock().now.containers.get_mut(name) {
            found.log.push(format!("{line}\n"));
        }
    }

    /// Somebody else makes a container of this name.
    pub fn foreign(&self, name: &str) {
        let mut world = self.lock();
        let container = FakeContainer { foreign: true, ..FakeContainer::default() };
        world.now.containers.insert(name.to_owned(), container.clone());
        world.durable.containers.insert(name.to_owned(), container);
    }

    /// The medium loses bytes of a layer: in what is there and in what is durable.
    pub fn damage(&self, layer: &Digest) {
        let mut world = self.lock();
        world.now.damaged.insert(*layer);
        world.durable.damaged.insert(*layer);
    }

    /// The names of the containers that run.
    pub fn running(&self) -> Vec<String> {
        let world = self.lock();
        let runs = |c: &FakeContainer| c.state == ContainerState::Running;
        world.now.containers.iter().filter(|(_, c)| runs(c)).map(|(n, _)| n.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
