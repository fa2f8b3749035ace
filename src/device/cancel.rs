//! `cancel`: ends an installation, whoever runs it, and says truly what became of it.

use super::answer::signed;
use super::hands::{rest, settle};

use super::work::{NAMELESS, PATIENCE, Running, Working};
use super::world::World;
use crate::event::{Event, Sink};
use crate::model::State;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::stop::SLICE;
use crate::update::{Ended, Journal, Named, Order, Phase, Wish, Work};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What `cancel` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// The version of this answer's shape.
    pub v: u32,
    /// Where the device stands now.
    pub state: State,
    /// Whether something was cancelled.
    pub cancelled: bool,
    /// The release that was.
    pub version: Option<String>,
    /// One line for people.
    pub text: String,
}

/// Cancels what is not tried yet. It ends with `CANCELLED` for whoever has begun it, can be gone on
/// with by a person, and is begun by nobody else. `TRIAL_PENDING` in a trial.
pub fn cancel(world: &World, why: &str, by: &str, sink: &dyn Sink) -> Result<Cancellation> {
    cancel_for(world, &signed(why, by), sink)
}

/// The same for a reason that names the person.
pub(super) fn cancel_for(world: &World, why: &str, sink: &dyn Sink) -> Result<Cancellation> {
    let booted = world.booted()?;
    let (held, asked) = reach(world, why)?;
    let journal = settle(world, sink)?;
    #[cfg(feature = "apps")]
    if let Some(answer) = cancel_apps(world, &journal, asked.as_ref(), why, sink)? {
        return Ok(answer);
    }
    let runs = world.named(booted);
    let begun = asked.as_ref().and_then(|running| begun(world, running));
    let answer = |journal: &Journal, work: Option<&Work>, text: String| Cancellation {
        v: 1,
        state: State::of(journal),
        cancelled: work.is_some(),
        version: work.map(|w| w.to.to_string()),
        text: super::answer::sentence(text),
    };
    if let Some(running) = &asked {
        match ended(&journal, running) {
            // Its installer has seen to it.
            Some(last) if last.outcome == Ended::Cancelled => {
                return Ok(answer(&journal, Some(&last.work.clone()), stopped(&last.work)));
            }
            Some(last) => {
                let text = format!("{} had ended already: {}", last.work.to, last.detail);
                return Ok(answer(&journal, None, text));
            }
            None if begun.is_none() && journal.work().is_none() => {
                let text = "The installation is stopped before it was known what it would bring.";
                return Ok(Cancellation { cancelled: true, ..answer(&journal, None, text.into()) });
            }
            None => {}
        }
    }
    let phase = journal.phase.clone();
    let meant = begun.clone().or_else(|| journal.work().cloned());
    let wish = Wish::Cancel { why: why.to_owned(), begun };
    let rest = rest(world, journal, &wish, None, sink)?;
    drop(held);
    if let Some(code) = rest.refused {
        return Err(Failure::new(code, code.meaning()));
    }
    let Some(work) = meant else {
        return Ok(answer(&rest.journal, None, "Nothing is being installed.".to_owned()));
    };
    told(&work, why, sink);
    let text = match &phase {
        Phase::Staged(staged) if staged.digest == work.digest => {
            format!("{} is no longer staged; slot {booted} runs {runs}.", work.to)
        }
        Phase::Switching { work: armed, .. } if armed.digest == work.digest => {
            format!("{} is disarmed; slot {booted} runs {runs} and stays.", work.to)
        }
        _ => stopped(&work),
    };
    Ok(answer(&rest.journal, Some(&work), text))
}

/// Takes a change of apps back: the one that was asked to stop, or one that is under way where nothing of the system is.
#[cfg(feature = "apps")]
fn cancel_apps(
    world: &World,
    journal: &Journal,
    asked: Option<&Running>,
    why: &str,
    sink: &dyn Sink,
) -> Result<Option<Cancellation>> {
    let of_app = asked.filter(|running| running.app);
    if of_app.is_none() && (asked.is_some() || journal.work().is_some()) {
        return Ok(None);
    }
    let abandoned = super::apps::abandon(world, why, sink)?;
    let name = of_app.and_then(|running| running.version.clone());
    let (Some(version), text) = (match abandoned {
        Some(what) => (Some(what.clone()), format!("The change of apps is taken back: {what}.")),
        // Whoever has begun it has seen to it.
        None => (
            name.clone(),
            format!("The installation of {} is cancelled.", name.unwrap_or_default()),
        ),
    }) else {
        return Ok(None);
    };
    let (state, version) = (State::of(journal), Some(version));
    Ok(Some(Cancellation { v: 1, state, cancelled: true, version, text }))
}

/// Has whoever installs stop, and takes the lock.
fn reach(world: &World, why: &str) -> Result<(Working, Option<Running>)> {
    let (start, mut asked) = (Instant::now(), None::<Running>);
    // What comes by itself does not begin again in between, unless another one stands in line already.
    let _first = world.first_in_line(Duration::ZERO).ok();
    loop {
        let busy = match world.lock_within("cancel", Duration::ZERO) {
            Ok(held) => return Ok((held, asked)),
            Err(failure) if failure.code() == ReasonCode::Busy => failure,
            Err(failure) => return Err(failure),
        };
        match world.running() {
            // It would begin again by itself: only what has a name can be kept from that.
            Some(running)
                if running.automatic
                    && running.artifact.is_none()
                    && start.elapsed() < NAMELESS => {}
            Some(running) if running.stoppable => {
                if asked.as_ref().is_none_or(|asked| asked.id != running.id) {
                    world.ask_to_stop(&running, &Failure::new(ReasonCode::Cancelled, why))?;
                }
                // What it has found out since it was asked counts too.
                asked = Some(running);
            }
            // Whoever decides a trial may take minutes, and is not stopped.
            _ if super::look::on_trial(world)?.is_some() => {
                let code = ReasonCode::TrialPending;
                return Err(Failure::new(code, code.meaning()));
            }
            _ => {}
        }
        if start.elapsed() >= PATIENCE {
            return Err(busy);
        }
        std::thread::sleep(SLICE / 20);
    }
}

/// How the installation that was asked to stop has ended, if the journal knows.
fn ended<'a>(journal: &'a Journal, running: &Running) -> Option<&'a crate::update::Outcome> {
    let last = journal.last.as_ref()?;
    let same = running.artifact == Some(last.work.digest) && last.at >= running.owner.since;
    let over = journal.work().is_none_or(|work| running.artifact != Some(work.digest));
    (same && over).then_some(last)
}

/// What the installation was about to bring, for a journal that does not speak of it.
fn begun(world: &World, running: &Running) -> Option<Work> {
    let (digest, slot) = (running.artifact?, world.booted().ok()?.other());
    let version = running.version.as_ref().and_then(|v| v.parse().ok());
    let to = Named { version, release_counter: running.release_counter, ..Named::default() };
    let (by, automatic) = (running.owner.by.clone(), running.automatic);
    Some(world.move_into(slot, digest, to, Order { by, automatic, ..Order::default() }))
}

fn stopped(work: &Work) -> String {
    format!(
        "The installation of {} is cancelled. What was written is kept: `surefoot install` goes on \
         with it, and nothing else begins it again.",
        work.to
    )
}

/// Tells that it was cancelled.
pub(super) fn told(work: &Work, why: &str, sink: &dyn Sink) {
    let version = work.to.to_string();
    sink.emit(&Event::Cancelled { version, text: why.to_owned() });
}
