//! Apps in the daemon: what is left to do with a change of them, in the keeper's turn; and a thread that looks after their
//! services, also while a request is at work: what runs goes on while the next release is fetched.

use super::core::{Core, Rings};
use super::wakes::{Wake, Wakes};
use crate::device::{self, World};
use crate::event::{Event, Sink};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// After a look that failed: soon, then ever later.
const SOON: Duration = Duration::from_secs(2);
const LATE: Duration = Duration::from_secs(60);

/// No turn of the keeper comes sooner for a trial of apps: each looks at the whole device.
const STEP: Duration = Duration::from_millis(300);

/// The device is opened anew after so long: its settings may have changed.
const FRESH: Duration = Duration::from_secs(60);

/// What the keeper remembers of apps between two turns.
#[derive(Default)]
pub(super) struct Apps {
    failures: u32,
    complained: Option<ReasonCode>,
}

impl Apps {
    /// Does what is left to do, and sees to it that the keeper comes again. A failure is no reason to stop looking after
    /// the system.
    pub(super) fn turn(&mut self, core: &Core, world: &World, wakes: &mut Wakes) {
        wakes.clear(Wake::Apps);
        match device::apps_turn(world, &core.hub) {
            Ok(pause) => {
                (self.failures, self.complained) = (0, None);
                if let Some(pause) = pause {
                    wakes.set(Wake::Apps, pause.max(STEP));
                }
            }
            Err(failure) => {
                complain(core, &mut self.complained, &failure);
                self.failures = self.failures.saturating_add(1);
                wakes.set(Wake::Apps, (SOON * self.failures).min(LATE));
            }
        }
        core.services.ring();
    }
}

/// Tells a failure once, until it is another one.
fn complain(core: &Core, told: &mut Option<ReasonCode>, failure: &Failure) {
    if *told != Some(failure.code()) {
        core.hub.emit(&Event::Warning { text: format!("apps: {failure}") });
        *told = Some(failure.code());
    }
}

/// Starts the thread.
pub(super) fn watch(core: &Arc<Core>) -> Result<()> {
    let core = core.clone();
    let thread = std::thread::Builder::new().name("services".to_owned());
    let spawned = thread.spawn(move || Services::default().keep(&core));
    spawned.map(|_| ()).reason(ReasonCode::NoMemory, "the thread that looks after services")
}

/// What the thread remembers: nothing that a fresh look would not find again.
#[derive(Default)]
struct Services {
    world: Option<(World, Instant)>,
    failures: u32,
    complained: Option<ReasonCode>,
    preloads: Preloads,
}

/// What is left to do with the bundles that lie on the data partition.
#[derive(Default)]
struct Preloads {
    done: bool,
    tries: u32,
    due: Option<Instant>,
    complained: Option<ReasonCode>,
}

/// After so many tries what the engine does not do is the fault of a bundle.
const TRIES: u32 = 5;

impl Preloads {
    /// Installs them, as far as that is possible now; when it is to be tried again.
    fn turn(&mut self, core: &Arc<Core>, world: &World) -> Option<Duration> {
        if self.done {
            return None;
        }
        let now = Instant::now();
        if let Some(due) = self.due.filter(|due| *due > now) {
            return Some(due - now);
        }
        let done = match device::has_preloads(world) {
            false => Ok(()),
            true => {
                let _rings = Rings(&core.bell);
                let _turn = core.request();
                device::preload(world, self.tries >= TRIES, &core.hub)
            }
        };
        match done {
            Ok(()) => {
                self.done = true;
                None
            }
            Err(failure) => {
                complain(core, &mut self.complained, &failure);
                self.tries = self.tries.saturating_add(1);
                let pause = (SOON * self.tries).min(LATE);
                self.due = Some(Instant::now() + pause);
                Some(pause)
            }
        }
    }
}

impl Services {
    fn keep(mut self, core: &Arc<Core>) {
        loop {
            let looking = core.looks_after_services();
            let pause = match self.look(core) {
                Ok(pause) => {
                    (self.failures, self.complained) = (0, None);
                    pause
                }
                Err(failure) => {
                    complain(core, &mut self.complained, &failure);
                    self.world = None;
                    self.failures = self.failures.saturating_add(1);
                    Some((SOON * self.failures).min(LATE))
                }
            };
            drop(looking);
            if core.services.wait(pause) {
                // Something has changed, perhaps the settings.
                self.world = None;
            }
        }
    }

    fn look(&mut self, core: &Arc<Core>) -> Result<Option<Duration>> {
        let fresh = self.world.take().filter(|(_, since)| since.elapsed() < FRESH);
        let world = match fresh {
            Some(world) => world,
            None => (core.world()?, Instant::now()),
        };
        let (world, _) = self.world.insert(world);
        let again = self.preloads.turn(core, world);
        let next = device::look_after(world, &core.hub)?;
        Ok(next.into_iter().chain(again).min())
    }
}

impl Core {
    /// For as long as services are looked at: what takes too long there is no sign of life.
    fn looks_after_services(&self) -> Looking<'_> {
        *self.looking.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Looking(self)
    }
}

/// A look at services.
struct Looking<'a>(&'a Core);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        *self.0.looking.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
