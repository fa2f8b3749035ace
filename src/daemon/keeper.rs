//! The loop: look, do the next thing, wait until something happens. Every turn begins from
//! nothing, so that a daemon that was killed goes on where it stopped.

use super::core::Core;
use super::left::{Left, Then};
use super::metrics::Metrics;
use super::poll::Poll;
use super::stranded;
use super::wakes::Wakes;
use crate::device::{self, Departure, Wait, World};
use crate::event::{Event, Sink};
use crate::health::{Outcome, Say, Seen, Verdict, Window, weigh};
use crate::inspect;
use crate::model::{ReasonCode, Result, State};
use crate::sys::systemd;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// After a turn that failed: soon, then ever later.
const SOON: Duration = Duration::from_secs(2);
const LATE: Duration = Duration::from_secs(60);

/// What the keeper remembers between two turns: nothing that a fresh look would not find again.
#[derive(Default)]
pub(super) struct Keeper {
    told: Option<State>,
    complained: Option<String>,
    failures: u32,
    failing: Option<Instant>,
    waiting: Vec<String>,
    window: Window,
    seen: BTreeMap<String, bool>,
    metrics: Metrics,
    unpublished: bool,
    /// What is done about an installation that this daemon has found half done at its start.
    left: Left,
    /// When the source of offers is looked at, and what else has its own time.
    poll: Poll,
    wakes: Wakes,
    #[cfg(feature = "apps")]
    apps: super::apps::Apps,
}

impl Keeper {
    /// Runs for ever.
    pub(super) fn keep(mut self, core: &Arc<Core>) {
        systemd::drives();
        loop {
            let pause = match self.turn(core) {
                Ok(pause) => {
                    (self.failures, self.complained, self.failing) = (0, None, None);
                    pause
                }
                Err(failure) => {
                    let said = failure.to_string();
                    if self.complained.as_ref() != Some(&said) {
                        core.hub.emit(&Event::Warning { text: said.clone() });
                        // Also then in the eight words, as far as they are known.
                        let state = self.told.map_or_else(String::new, |s| format!("{s}: "));
                        systemd::status(&format!("{state}{said}"));
                        self.complained = Some(said);
                    }
                    self.failures = self.failures.saturating_add(1);
                    let since = *self.failing.get_or_insert_with(Instant::now);
                    match stranded::leave(core, since.elapsed()) {
                        true => None,
                        false => Some((SOON * self.failures).min(LATE)),
                    }
                }
            };
            core.rest(self.wakes.before(pause));
        }
    }

    /// One look and what follows from it. Returns how long nothing more is to be done; `None`:
    /// until something happens.
    fn turn(&mut self, core: &Arc<Core>) -> Result<Option<Duration>> {
        let world = core.world()?;
        let Some(turn) = core.turn_now() else {
            // A request is at work, and rings the bell when it is done.
            self.tell(core, &world, inspect::status(&world)?.state)?;
            return Ok(None);
        };
        let state = match device::come_to_rest(&world, &core.hub) {
            Ok(state) => state,
            // Another program is, and rings no bell. Who holds the bootloader's lock is no such.
            Err(failure) if failure.code() == ReasonCode::Busy && !world.is_free() => {
                return Ok(Some(SOON));
            }
            Err(failure) => return Err(failure),
        };
        self.tell(core, &world, state)?;
        self.poll.turn(core, &world, state, &mut self.wakes)?;
        #[cfg(feature = "apps")]
        self.apps.turn(core, &world, &mut self.wakes);
        if state != State::Installing {
            self.left = Left::Nothing;
        }
        if !matches!(state, State::Trying | State::Switching) {
            core.mark_decided(&world);
        }
        match state {
            State::Trying => {
                // Looking changes nothing, and may take minutes.
                drop(turn);
                self.trial(core, &world)
            }
            State::Switching => self.depart(core, &world),
            State::Installing => {
                drop(turn);
                self.go_on(core, &world)
            }
            State::Staged => Ok(None),
            State::Idle | State::Updated | State::RolledBack | State::Failed => {
                device::aftermath(&world, &core.hub)?;
                world.keep_reserve();
                Ok(None)
            }
        }
    }

    fn tell(&mut self, core: &Core, world: &World, state: State) -> Result<()> {
        // A file that nobody can write is no reason to stop looking after the device.
        let published = self.metrics.publish(world, state);
        if let Err(failure) = &published
            && !self.unpublished
        {
            core.hub.emit(&Event::Warning { text: format!("metrics: {failure}") });
        }
        self.unpublished = published.is_err();
        if self.told == Some(state) {
            return Ok(());
        }
        let text = inspect::status(world)?.summary;
        systemd::status(&format!("{state}: {text}"));
        core.hub.emit(&Event::State { state, text });
        self.told = Some(state);
        Ok(())
    }

    /// Reboots into what is armed, or says what it waits for.
    fn depart(&mut self, core: &Core, world: &World) -> Result<Option<Duration>> {
        match device::departure(world)? {
            Departure::Home => core.reboot(world, "the previous system is armed again"),
            Departure::Go(work) => match device::before_reboot(world, &work, &core.hub) {
                // While the integrator's programs were asked, it may have been cancelled or held
                // back: that counts until the last moment.
                Ok(()) => match device::departure(world)? {
                    Departure::Go(still) if still == work => {
                        core.reboot(world, &format!("{} in slot {} is tried", work.to, work.slot))
                    }
                    _ => Ok(Some(Duration::ZERO)),
                },
                Err(later) if later.code() == ReasonCode::HookLater => {
                    self.wait(core, &[Wait::new("hook", later.detail())]);
                    Ok(Some(LATE))
                }
                Err(later) if later.code() == ReasonCode::HealthUnknown => {
                    self.wait(core, &[Wait::new("checks", later.detail())]);
                    Ok(Some(LATE / 4))
                }
                Err(failure) => Err(failure),
            },
            Departure::Asked => Ok(None),
            Departure::Wait(waits) => Ok(Some(self.wait(core, &waits))),
        }
    }

    /// Tells once what is waited for, and for how long to wait before the next look.
    fn wait(&mut self, core: &Core, waits: &[Wait]) -> Duration {
        let text: Vec<String> = waits.iter().map(|w| w.text.clone()).collect();
        if self.waiting != text {
            core.hub.emit(&Event::Waiting { text: text.clone() });
            self.waiting = text;
        }
        let over = waits.iter().map(|w| w.seconds.map(Duration::from_secs));
        let known = over.flatten().max().unwrap_or(LATE);
        known.clamp(SOON, LATE)
    }

    /// Goes on with an installation whose process is gone, where its source is still there.
    fn go_on(&mut self, core: &Arc<Core>, world: &World) -> Result<Option<Duration>> {
        Ok(match self.left.go_on(core, world)? {
            Then::Nothing => None,
            Then::Later(pause) => Some(pause),
            Then::Waits(text) => {
                self.wait(core, &[Wait::new("artifact", text)]);
                None
            }
        })
    }

    /// Watches the checks and decides.
    fn trial(&mut self, core: &Core, world: &World) -> Result<Option<Duration>> {
        let drill = device::on_trial(world)?.and_then(|(work, _)| work.order.drill);
        if let Some(kind) = drill {
            return self.decide(core, world, device::on_purpose(kind));
        }
        {
            let Some(_turn) = core.turn_now() else { return Ok(Some(SOON)) };
            match device::first_boot(world, &core.hub) {
                Ok(None) => {}
                Ok(Some(Verdict::CouldNot(later))) => {
                    self.wait(core, &[Wait::new("hook", later.text())]);
                    return Ok(Some(LATE / 4));
                }
                Ok(Some(verdict)) => {
                    drop(_turn);
                    return self.decide(core, world, verdict);
                }
                Err(failure) => return Err(failure),
            }
        }
        let seen = world.look_at_health(&core.hub);
        core.seen.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&seen);
        self.compare(core, &seen);
        let verdict = weigh(&world.settings.checks, &seen, &world.baseline());
        if verdict == Verdict::Unchecked {
            let text = ReasonCode::NoHealthCheck.meaning();
            core.hub.emit(&Event::Waiting { text: vec![format!("{text} A person must decide.")] });
        }
        match self.window.step(Duration::from_secs(world.up()), verdict, &world.settings.patience) {
            Say::Again(pause) => Ok(Some(pause)),
            Say::Decided(verdict) => self.decide(core, world, verdict),
        }
    }

    fn decide(&mut self, core: &Core, world: &World, verdict: Verdict) -> Result<Option<Duration>> {
        let Some(_turn) = core.turn_now() else { return Ok(Some(SOON)) };
        match device::decide(world, verdict, &core.hub) {
            // A request that waits for this turn may begin the next update at once. What fails here is
            // done again, and told, by the next turn.
            Ok(_) => {
                if let Err(failure) = device::aftermath(world, &core.hub) {
                    log::info!("after the decision: {failure}");
                }
            }
            // It is on its way back already; the next turn reboots.
            Err(f) if matches!(f.code(), ReasonCode::HealthFailed | ReasonCode::HookVeto) => {}
            // The integrator's program is not ready for it.
            Err(f) if matches!(f.code(), ReasonCode::HealthUnknown | ReasonCode::HookLater) => {
                self.wait(core, &[Wait::new("hook", f.detail())]);
                return Ok(Some(LATE / 4));
            }
            Err(f) => return Err(f),
        }
        Ok(Some(Duration::ZERO))
    }

    /// Tells of the checks that say something else than the last time.
    fn compare(&mut self, core: &Core, seen: &[Seen]) {
        for Seen { name, outcome, .. } in seen {
            let passed = *outcome == Outcome::Good;
            if self.seen.insert(name.clone(), passed) == Some(passed) {
                continue;
            }
            let text = match outcome {
                Outcome::Good => String::new(),
                Outcome::Bad(text) | Outcome::CouldNot(text) | Outcome::Open(text) => text.clone(),
            };
            core.hub.emit(&Event::Check { name: name.clone(), passed, text });
        }
    }
}
