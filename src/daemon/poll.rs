//! When the daemon looks at its source of offers, and what it does then. The looks of many devices are
//! spread: by chance after a boot, by a tenth of the pause at every look, and by chance after failures.

use super::core::{Core, Rings};
use super::wakes::{Wake, Wakes};
use crate::device::{self, Unheard, World};
use crate::event::{Event, Sink};
use crate::model::{Class, ReasonCode, Result, State, WithReason};
use crate::sys::clock;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where neither configuration nor channel says how often.
const USUAL: Duration = Duration::from_secs(3600);
/// No look comes sooner or later than this, whatever a source says.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(7 * 86_400));
/// The first look after a boot is spread over this at most.
const FIRST: Duration = Duration::from_secs(300);
/// The first one of a device that has an end to tell.
const SOON: Duration = Duration::from_secs(30);
/// After the first failure; doubled with each one more.
const BACKOFF: Duration = Duration::from_secs(30);
/// No server makes a device wait longer.
const PATIENCE: Duration = Duration::from_secs(86_400);

/// What a look has come to.
type Heard = std::result::Result<Option<Duration>, Unheard>;

/// The looks of one life of the daemon. Nothing of it is kept: after a power cut in a whole region the first
/// look must be by chance.
#[derive(Default)]
pub(super) struct Poll {
    failures: u32,
    complained: Option<ReasonCode>,
    /// What the look under way has come to.
    heard: Option<Arc<Mutex<Option<Heard>>>>,
}

impl Poll {
    /// Looks where it is time and the device rests; else sees to it that it does later.
    pub(super) fn turn(
        &mut self,
        core: &Arc<Core>,
        world: &World,
        state: State,
        wakes: &mut Wakes,
    ) -> Result<()> {
        if world.settings.source.channel.is_none() {
            wakes.clear(Wake::Poll);
            return Ok(());
        }
        let interval = world.settings.source.poll;
        if let Some(heard) = self.heard.take() {
            let told = heard.lock().unwrap_or_else(PoisonError::into_inner).take();
            match told {
                // It rings the bell at its end.
                None => self.heard = Some(heard),
                Some(told) => wakes.set(Wake::Poll, clock::pause(self.after(core, interval, told))),
            }
            return Ok(());
        }
        if !wakes.has(Wake::Poll) {
            let most = match device::has_words(world) {
                true => SOON,
                false => interval.unwrap_or(USUAL).min(FIRST),
            };
            wakes.set(Wake::Poll, clock::pause(most.mul_f64(chance())));
            return Ok(());
        }
        let rests = match state {
            State::Trying => false,
            // Half written, and no process writes: who was to bring the rest may never come back.
            State::Installing => world.is_free(),
            _ => true,
        };
        if !rests || !wakes.is_due(Wake::Poll) {
            return Ok(());
        }
        wakes.clear(Wake::Poll);
        let heard = Arc::new(Mutex::new(None));
        let (core, told_here) = (core.clone(), heard.clone());
        let thread = std::thread::Builder::new().name("offers".to_owned());
        let spawned = thread.spawn(move || {
            let _rings = Rings(&core.bell);
            let _turn = core.request();
            let told = core
                .world()
                .map_err(Unheard::from)
                .and_then(|world| device::automatic(&world, &*world.web(), &core.hub));
            *told_here.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        });
        // Without a thread nothing would ever be heard: a later turn sets the time anew.
        spawned.reason(ReasonCode::NoMemory, "a look at the channel")?;
        self.heard = Some(heard);
        Ok(())
    }

    /// How long to wait after a look.
    fn after(&mut self, core: &Core, interval: Option<Duration>, told: Heard) -> Duration {
        match told {
            Ok(again) => {
                (self.failures, self.complained) = (0, None);
                spread(interval.or(again).unwrap_or(USUAL), chance())
            }
            Err(Unheard { failure, wait }) => {
                self.failures = self.failures.saturating_add(1);
                if self.complained != Some(failure.code()) {
                    self.complained = Some(failure.code());
                    let text = format!("the channel: {failure}");
                    core.hub.emit(&Event::Warning { text });
                }
                if matches!(failure.code().class(), Class::Busy) {
                    return spread(BACKOFF, chance());
                }
                let usual = interval.unwrap_or(USUAL);
                backoff(self.failures, usual, wait, chance())
            }
        }
    }
}

/// A tenth more or less, by chance, within bounds.
fn spread(pause: Duration, chance: f64) -> Duration {
    pause.clamp(BOUNDS.0, BOUNDS.1).mul_f64(0.9 + 0.2 * chance)
}

/// The pause after so many failures: by chance up to 30 s × 2ⁿ, never more than the usual pause or an hour; what
/// the server wants is the least, and a tenth by chance more.
fn backoff(failures: u32, usual: Duration, wait: Option<Duration>, chance: f64) -> Duration {
    let most = BACKOFF.saturating_mul(1 << failures.min(12)).min(usual.max(USUAL));
    let own = most.mul_f64(chance).max(BOUNDS.0);
    let wait = wait.map(|wait| wait.min(PATIENCE).mul_f64(1.0 + 0.1 * chance));
    wait.map_or(own, |wait| wait.max(own))
}

/// From 0 to 1. The standard library's hash keys are random, and nothing secret is made of them here.
fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(random).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_spread_and_back_off_and_wait_as_long_as_the_server_wants() {
        let hour = Duration::from_secs(3600);
        assert_eq!(spread(hour, 0.0), hour.mul_f64(0.9));
        assert_eq!(spread(hour, 1.0), hour.mul_f64(1.1));
        assert!(spread(Duration::ZERO, 0.5) >= Duration::from_secs(9));
        assert!(spread(Duration::from_secs(u64::MAX / 4), 1.0) <= Duration::from_secs(8 * 86_400));
        let mut most = Duration::ZERO;
        for failures in 1..40 {
            let pause = backoff(failures, hour, None, 1.0);
            assert!(pause >= most && pause <= hour, "{failures}: {pause:?}");
            most = pause;
        }
        assert_eq!(most, hour);
        assert_eq!(backoff(3, hour, None, 0.0), BOUNDS.0);
        let wanted = Duration::from_secs(7200);
        assert!(backoff(1, hour, Some(wanted), 0.0) >= wanted);
        assert!(
            backoff(1, hour, Some(Duration::from_secs(u64::MAX)), 1.0) <= PATIENCE.mul_f64(1.2)
        );
    }
}
