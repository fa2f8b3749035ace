//! Whether the device reboots into what is armed, and what stands between now and that.

use super::hands::look;
use super::world::World;
use crate::model::{ReasonCode, Result};
use crate::update::{Journal, Order, Phase, Reboot, State, Wish, Work, at_rest};
use serde::{Deserialize, Serialize};

/// One thing that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// What kind of thing: `hold`, `window`, `confirm`, `reboot`, `trial` and so on.
    pub what: String,
    /// One line for people.
    pub text: String,
    /// In how many seconds it is over, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl Wait {
    pub(super) fn new(what: &str, text: impl Into<String>) -> Wait {
        Wait { what: what.to_owned(), text: text.into(), seconds: None }
    }
}

/// What an armed or left system asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Departure {
    /// A trial was given up and only the reboot is missing: nothing may hold that back.
    Home,
    /// Reboot into this move, once the integrator's programs agree.
    Go(Box<Work>),
    /// Not yet.
    Wait(Vec<Wait>),
    /// Nobody has asked the device to do it.
    Asked,
}

/// What `surefoot why` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The version of this answer's shape.
    pub v: u32,
    /// Where the device stands.
    pub state: State,
    /// The release that is under way, as people call it.
    pub update: Option<String>,
    /// Everything that is waited for; empty where nothing is.
    pub waits: Vec<Wait>,
    /// One line for people.
    pub text: String,
}

/// The journal as it stands, without the lock.
pub(super) fn standing(world: &World) -> Result<(Journal, bool)> {
    let booted = world.booted()?;
    let journal = world.load_journal();
    let facts = look(world, booted, &journal, &Wish::Settle, None)?;
    Ok((at_rest(&journal, &facts), facts.env.trial))
}

/// The move on trial in the system that runs.
pub fn on_trial(world: &World) -> Result<Option<Work>> {
    let booted = world.booted()?;
    Ok(match standing(world)?.0.phase {
        Phase::Trying { work, .. } if work.slot == booted => Some(work),
        _ => None,
    })
}

/// What comes next for a device at rest in `switching`.
pub fn departure(world: &World) -> Result<Departure> {
    let booted = world.booted()?;
    let (journal, armed) = standing(world)?;
    Ok(match journal.phase {
        Phase::Returning { .. } if !armed => Departure::Home,
        // A kernel that could not be loaded gave way to the slot that was given up.
        Phase::Switching { work, .. } if work.slot == booted => Departure::Home,
        Phase::Switching { work, .. } if armed => match held_back(world, &work.order) {
            waits if !waits.is_empty() => Departure::Wait(waits),
            _ if work.order.reboot == Reboot::Asked => Departure::Asked,
            _ => Departure::Go(Box::new(work)),
        },
        _ => Departure::Asked,
    })
}

/// What holds a move back that the device would make by itself.
pub(super) fn held_back(world: &World, order: &Order) -> Vec<Wait> {
    let mut waits = Vec::new();
    if order.automatic
        && let Some(hold) = world.hold()
    {
        waits.push(Wait::new("hold", hold.text()));
    }
    waits
}

/// What stands between now and the update.
pub fn why(world: &World) -> Result<Why> {
    let (journal, _) = standing(world)?;
    let state = State::of(&journal);
    let mut waits = Vec::new();
    if let Err(failure) = super::doctor::gate(world) {
        waits.push(Wait::new("rollback", failure.to_string()));
    }
    if let Err(failure) = world.state_is_durable() {
        waits.push(Wait::new("state", failure.to_string()));
    }
    if let Err(failure) = world.lock()
        && failure.code() == ReasonCode::Busy
    {
        waits.push(Wait::new("work", "an installation or a decision is being made just now"));
    }
    let done = match &journal.phase {
        Phase::Idle => {
            waits.extend(held_back(world, &Order { automatic: true, ..Order::default() }));
            "No update is under way."
        }
        Phase::Installing(_) => {
            waits.push(Wait::new("artifact", "the rest of the artifact: install it again"));
            "The installation is not at its end."
        }
        Phase::Staged(_) => {
            waits.push(Wait::new("confirm", "somebody's word: `surefoot confirm`"));
            "The update is written and waits."
        }
        Phase::Switching { work, .. } => {
            match departure(world)? {
                Departure::Wait(more) => waits.extend(more),
                Departure::Asked => waits.push(Wait::new("reboot", "somebody who reboots")),
                Departure::Home | Departure::Go(_) => {}
            }
            match work.slot == world.booted()? {
                true => "The trial is over; the device reboots to the old system.",
                false => "The update is armed; the next boot tries it.",
            }
        }
        Phase::Trying { .. } => {
            let text = "the health checks; see `surefoot status` for the time that is left";
            waits.push(Wait::new("trial", text));
            "The new system is on trial."
        }
        Phase::Returning { .. } => "The trial is over; the device reboots to the old system.",
    };
    let update = journal.work().map(|w| w.to.to_string());
    Ok(Why { v: 1, state, update, waits, text: done.to_owned() })
}
