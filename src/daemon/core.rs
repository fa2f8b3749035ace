//! What all threads of the daemon share: where the device is, who is told, and a bell.

use super::hub::Hub;
use super::probe::Window;
use crate::config::{Settings, Where, load};
use crate::device::World;
use crate::event::{Event, Sink};
use crate::health::Seen;
use crate::model::Result;
use crate::sys::transient::Units;
use crate::sys::{clock, durable, systemd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{
    Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};
use std::time::{Duration, Instant};

/// The daemon itself.
pub(super) struct Core {
    place: Where,
    /// Where everything that happens is told.
    pub(super) hub: Hub,
    /// Wakes the keeper.
    pub(super) bell: Bell,
    /// Requests that change something hold it together, the keeper alone: it takes a moment each
    /// time, and nobody shall be told `BUSY` for that. Between requests the file lock says it.
    turn: RwLock<()>,
    /// What the checks of the trial have said last.
    pub(super) seen: Mutex<Vec<Seen>>,
    /// How many requests are at work.
    at_work: AtomicUsize,
    /// What is remembered of the services of apps.
    #[cfg(feature = "apps")]
    watch: std::sync::Arc<Mutex<crate::apps::Supervisor>>,
    /// Wakes the thread that looks after them.
    #[cfg(feature = "apps")]
    pub(super) services: Bell,
    /// Since when they are being looked at.
    #[cfg(feature = "apps")]
    pub(super) looking: Mutex<Option<Instant>>,
}

/// A request at work.
pub(super) struct AtWork<'a> {
    core: &'a Core,
    _turn: RwLockReadGuard<'a, ()>,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.core.at_work.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Core {
    pub(super) fn new(place: Where) -> Core {
        let (hub, bell) = (Hub::default(), Bell::default());
        Core {
            place,
            hub,
            bell,
            turn: RwLock::default(),
            seen: Mutex::default(),
            at_work: AtomicUsize::new(0),
            #[cfg(feature = "apps")]
            watch: std::sync::Arc::default(),
            #[cfg(feature = "apps")]
            services: Bell::default(),
            #[cfg(feature = "apps")]
            looking: Mutex::default(),
        }
    }

    /// The settings, read afresh.
    pub(super) fn settings(&self) -> Result<Settings> {
        Ok(load(&self.place)?.settings)
    }

    /// Where the configuration is looked for.
    pub(super) fn place(&self) -> &Where {
        &self.place
    }

    /// The device, looked at afresh: configuration, disk, environment.
    pub(super) fn world(&self) -> Result<World> {
        let mut world = World::open(self.settings()?)?;
        self.equip(&mut world);
        Ok(world)
    }

    /// What this process runs programs and looks over the network with.
    pub(super) fn equip(&self, world: &mut World) {
        world.remember_seen(&self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        #[cfg(feature = "apps")]
        world.watch.clone_from(&self.watch);
        world.at_work = self.at_work.load(Ordering::SeqCst) > 0;
        if systemd::is_notified() {
            // What the integrator has written needs rights that this process has not.
            world.runner = Box::new(Units);
            // Without the socket nobody can look, which is another thing than a network that is gone.
            let socket = world.settings.run.join("probe.sock");
            world.remote = Some(Box::new(Window { socket }));
        }
    }

    /// Whether a request is at work.
    pub(super) fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::SeqCst) > 0
    }

    /// For a request: waits until the keeper has had its turn.
    pub(super) fn request(&self) -> AtWork<'_> {
        let _turn = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        self.at_work.fetch_add(1, Ordering::SeqCst);
        AtWork { core: self, _turn }
    }

    /// For the keeper: its turn, unless a request is at work, which rings the bell at its end.
    pub(super) fn turn_now(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        match self.turn.try_write() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Rests until the bell rings or the time is over, and tells the watchdog at every half of its
    /// patience that the keeper comes round.
    pub(super) fn rest(&self, pause: Option<Duration>) {
        let half = systemd::watchdog().map(|w| w / 2);
        let due = pause.map(|p| Instant::now() + clock::pause(p));
        loop {
            let working = self.at_work.load(Ordering::SeqCst) > 0;
            let lives = is_advancing(working, systemd::since_progress()) && !self.hangs();
            if half.is_some() && lives {
                systemd::alive();
            }
            let left = due.map(|d| d.saturating_duration_since(Instant::now()));
            let most = [left, half].into_iter().flatten().min();
            if self.bell.wait(most) || left.is_some_and(|l| l.is_zero() || Some(l) == most) {
                return;
            }
        }
    }

    /// Whether the thread that looks after services has not come back for too long. A request that it makes itself is
    /// judged as every request is.
    #[cfg(feature = "apps")]
    fn hangs(&self) -> bool {
        let looking = *self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        !self.is_at_work() && looking.is_some_and(|since| since.elapsed() >= STALL)
    }

    #[cfg(not(feature = "apps"))]
    fn hangs(&self) -> bool {
        false
    }

    /// An orderly reboot; a forced one if that takes too long.
    pub(super) fn reboot(&self, world: &World, why: &str) -> Result<Option<Duration>> {
        self.hub.emit(&Event::Rebooting { text: why.to_owned() });
        systemd::status(&format!("rebooting: {why}"));
        crate::device::reboot(world, &self.hub)?;
        Ok(None)
    }

    /// The same for a device that cannot be looked at.
    pub(super) fn reboot_blindly(&self, why: &str) -> Result<()> {
        self.hub.emit(&Event::Rebooting { text: why.to_owned() });
        systemd::status(&format!("rebooting: {why}"));
        crate::sys::host::restart()
    }

    /// For the guard, which ends a trial that nobody decides: there is nothing to decide.
    pub(super) fn mark_decided(&self, world: &World) {
        let mark = world.settings.run.join("decided");
        if !mark.exists()
            && let Err(error) = durable::publish(&mark, b"")
        {
            log::warn!("{error}");
        }
    }

    /// Tells once what is written in the configuration and does not count.
    pub(super) fn introduce(&self) {
        for what in load(&self.place).map(|l| l.ignored).unwrap_or_default() {
            let text = format!("ignored: {what}");
            self.hub.emit(&Event::Warning { text });
        }
    }
}

/// Longer than any request goes without an event or a byte, or waits for something with a deadline.
const STALL: Duration = Duration::from_secs(15 * 60);

/// Whether what is to be done is being done: nobody at work has nothing to do.
fn is_advancing(working: bool, since_progress: Duration) -> bool {
    !working || since_progress < STALL
}

/// Rings when it is dropped: whatever a request came to, and be it a defect, the keeper looks.
pub(super) struct Rings<'a>(pub(super) &'a Bell);

impl Drop for Rings<'_> {
    fn drop(&mut self) {
        self.0.ring();
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

    /// Whether the last ring is not heard yet.
    pub(super) fn is_unheard(&self) -> bool {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_request_that_nothing_comes_of_feeds_no_watchdog() {
        assert!(is_advancing(false, STALL * 2), "with nothing to do nothing goes on");
        assert!(is_advancing(true, STALL - Duration::from_secs(1)));
        assert!(!is_advancing(true, STALL));
        systemd::progress();
        assert!(systemd::since_progress() < STALL);
    }

    #[test]
    fn a_request_that_ends_in_a_defect_wakes_the_keeper() {
        let bell = Arc::new(Bell::default());
        let other = bell.clone();
        let request = std::thread::spawn(move || {
            let _rings = Rings(&other);
            panic!("on purpose");
        });
        assert!(request.join().is_err());
        assert!(bell.wait(Some(Duration::ZERO)));
    }
}
