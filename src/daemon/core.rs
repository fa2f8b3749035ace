//! What all threads of the daemon share: where the device is, who is told, and a bell.

use super::hub::Hub;
use super::probe::Window;
use crate::config::{Where, load};
use crate::device::World;
use crate::event::{Event, Sink};
use crate::model::Result;
use crate::sys::systemd;
use crate::sys::transient::Units;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// The daemon itself.
pub(super) struct Core {
    place: Where,
    /// Where everything that happens is told.
    pub(super) hub: Hub,
    /// Wakes the keeper.
    pub(super) bell: Bell,
    /// One thing at a time. The file lock says it to other processes; here one waits his turn.
    turn: Mutex<()>,
}

impl Core {
    pub(super) fn new(place: Where) -> Core {
        Core { place, hub: Hub::default(), bell: Bell::default(), turn: Mutex::default() }
    }

    /// Where the configuration is looked for.
    pub(super) fn place(&self) -> &Where {
        &self.place
    }

    /// The device, looked at afresh: configuration, disk, environment.
    pub(super) fn world(&self) -> Result<World> {
        let mut world = World::open(load(&self.place)?.settings)?;
        if systemd::is_notified() {
            // What the integrator has written needs rights that this process has not.
            world.runner = Box::new(Units);
            let socket = world.settings.run.join("probe.sock");
            if socket.exists() {
                world.remote = Some(Box::new(Window { socket }));
            }
        }
        Ok(world)
    }

    /// Waits until nobody else changes anything.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same without waiting; who has the turn rings the bell at its end.
    pub(super) fn turn_now(&self) -> Option<MutexGuard<'_, ()>> {
        match self.turn.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Rests until the bell rings or the time is over, and tells the watchdog at every half of its
    /// patience that the keeper comes round.
    pub(super) fn rest(&self, pause: Option<Duration>) {
        let half = systemd::watchdog().map(|w| w / 2);
        let due = pause.map(|p| Instant::now() + p);
        loop {
            systemd::alive();
            let left = due.map(|d| d.saturating_duration_since(Instant::now()));
            let most = [left, half].into_iter().flatten().min();
            if self.bell.wait(most) || left.is_some_and(|l| l.is_zero() || Some(l) == most) {
                return;
            }
        }
    }

    /// An orderly reboot; a forced one if that takes too long.
    pub(super) fn reboot(&self, world: &World, why: &str) -> Result<Option<Duration>> {
        self.hub.emit(&Event::Rebooting { text: why.to_owned() });
        systemd::status(&format!("rebooting: {why}"));
        crate::device::reboot(world, &self.hub)?;
        Ok(None)
    }

    /// For the guard, which ends a trial that nobody decides: there is nothing to decide.
    pub(super) fn mark_decided(&self, world: &World) {
        let mark = world.settings.run.join("decided");
        if !mark.exists()
            && let Err(error) = std::fs::write(&mark, b"")
        {
            log::warn!("{}: {error}", mark.display());
        }
    }

    /// Tells once which settings nobody knows.
    pub(super) fn introduce(&self) {
        for key in load(&self.place).map(|l| l.unknown).unwrap_or_default() {
            let text = format!("unknown setting, ignored: {key}");
            self.hub.emit(&Event::Warning { text });
        }
    }
}

/// Something has changed: look again.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_all();
    }

    /// Waits until it rings, or so long, and says whether it rang; a ring while nobody waited
    /// counts.
    pub(super) fn wait(&self, most: Option<Duration>) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let still = |rung: &mut bool| !*rung;
        let mut rung = match most {
            Some(most) => match self.heard.wait_timeout_while(rung, most, still) {
                Ok((rung, _)) => rung,
                Err(poisoned) => poisoned.into_inner().0,
            },
            None => self.heard.wait_while(rung, still).unwrap_or_else(PoisonError::into_inner),
        };
        std::mem::take(&mut *rung)
    }
}
