//! Whether the device reboots into what is armed, and what stands between now and that.

use super::look::standing;
use super::readiness::{self, Found};
use super::waits::{Wait, failing, hook, time_left};
use super::world::World;
use crate::event::Sink;
use crate::inhibit::{Held, Place, What, look as look_around};
use crate::model::{Condition, Failure, Result, State};
use crate::sys::process::Children;
use crate::update::{Order, Phase, Reboot, Work};
use serde::{Deserialize, Serialize};

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
    /// What an installation would be refused or told with.
    #[serde(default)]
    pub findings: Vec<Condition>,
    /// One line for people.
    pub text: String,
}

impl Why {
    /// What an installation would be refused with.
    pub fn blocking(&self) -> Option<Failure> {
        let first = self.findings.iter().find(|c| c.blocks())?;
        Some(Failure::new(first.code, &first.text).with_next(&first.remedy))
    }
}

/// What comes next for a device at rest in `switching`.
pub fn departure(world: &World) -> Result<Departure> {
    let (journal, armed) = standing(world)?;
    Ok(match journal.phase {
        Phase::Returning { .. } if !armed => Departure::Home,
        Phase::Switching { work, .. } if armed => match held_back(world, &work.order) {
            waits if !waits.is_empty() => Departure::Wait(waits),
            _ if work.order.reboot == Reboot::Asked => Departure::Asked,
            _ => Departure::Go(Box::new(work)),
        },
        _ => Departure::Asked,
    })
}

/// What holds back the reboot of a move. What a person has asked for waits for nothing but the
/// integrator's programs.
pub(super) fn held_back(world: &World, order: &Order) -> Vec<Wait> {
    if !order.automatic {
        return Vec::new();
    }
    let mut waits = Vec::new();
    waits.extend(world.hold().map(|hold| Wait::new("hold", hold.text())));
    let inhibited = world.inhibited().into_iter().filter(|held| match held.what {
        What::Window | What::Clock => order.reboot == Reboot::Window,
        _ => true,
    });
    waits.extend(inhibited.map(Wait::from));
    waits
}

/// Why nothing is installed by itself just now: what makes the writing itself a risk. The time of
/// day and the work of other programs hold back only the reboot.
pub(super) fn may_not_write(world: &World) -> Option<String> {
    let risks = |held: &Held| matches!(held.what, What::Power | What::Wear);
    world.inhibited().into_iter().find(risks).map(|held| held.text)
}

impl From<Held> for Wait {
    fn from(held: Held) -> Wait {
        let what = serde_json::to_value(held.what).ok();
        let what = what.as_ref().and_then(|w| w.as_str()).unwrap_or("inhibitor");
        Wait { seconds: held.until, ..Wait::new(what, held.text) }
    }
}

impl World {
    /// What holds back automatic updates on this device, as the integrator has configured it.
    pub(super) fn inhibited(&self) -> Vec<Held> {
        // A device that is an image has no supply and no medium; its folder stands for it.
        let root = match self.disk.is_image() {
            true => self.settings.folder.as_path(),
            false => "/".as_ref(),
        };
        // The init system's tool needs no more rights than we have.
        let found = look_around(&self.settings.inhibit, &Place::under(root, built(), &Children));
        found.unsure.iter().for_each(|what| log::warn!("what holds updates back: {what}"));
        found.held
    }
}

/// Seconds since 1970 before which this program cannot have run: its file is as old as its image.
fn built() -> u64 {
    let modified = std::fs::metadata("/proc/self/exe").and_then(|m| m.modified()).ok();
    let since = modified.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |s| s.as_secs())
}

/// What stands between now and the update.
/// `looks`: the checks of a trial are looked at, where nobody else watches them.
pub fn why(world: &World, looks: bool, sink: &dyn Sink) -> Result<Why> {
    let found = readiness::all(world, sink);
    let (journal, _) = match standing(world) {
        Ok(standing) => standing,
        // What keeps anybody from looking blocks an update too.
        Err(failure) => {
            let conditions: Vec<_> = found.into_iter().map(|f| f.condition).collect();
            return readiness::refuse(&conditions).and(Err(failure));
        }
    };
    let state = State::of(&journal);
    let mut waits = Vec::new();
    for Found { topic, condition } in found.iter().filter(|f| f.condition.blocks()) {
        waits.push(Wait::new(topic, format!("{} [{}]", condition.text, condition.code)));
    }
    if !world.is_free() {
        waits.push(Wait::new("work", "an installation or a decision is being made just now"));
    }
    let done = match &journal.phase {
        Phase::Idle => {
            let reboot = world.settings.reboot;
            let order = Order { automatic: true, reboot, ..Order::default() };
            waits.extend(held_back(world, &order));
            "No update is under way."
        }
        Phase::Installing(_) => {
            waits.push(Wait::new("artifact", "the rest of the artifact: install it again"));
            "The installation is not at its end."
        }
        Phase::Staged(work) => {
            waits.extend(held_back(world, &work.order));
            waits.push(Wait::new("confirm", "a person who says yes: `surefoot confirm`"));
            "The update is written and waits."
        }
        Phase::Switching { .. } => {
            match departure(world)? {
                Departure::Wait(more) => waits.extend(more),
                Departure::Asked => {
                    waits.push(Wait::new("reboot", "a person who reboots the device"))
                }
                Departure::Home | Departure::Go(_) => {}
            }
            "The update is armed; the next boot tries it."
        }
        Phase::Trying { spent, .. } => {
            waits.extend(failing(world, looks));
            let (left, deadline) = time_left(world, spent);
            let who = match world.settings.checks.is_empty() {
                true => "a person: `surefoot commit --force --reason TEXT` or `surefoot rollback`",
                false => "the verdict of the health checks",
            };
            let text = format!("{who}; undecided until `{deadline}` it goes back");
            waits.push(Wait { seconds: Some(left), ..Wait::new("trial", text) });
            "The new system is on trial."
        }
        Phase::Returning { .. } => "The trial is over; the device reboots to the old system.",
    };
    waits.extend(hook(world, &journal));
    let update = journal.work().map(|w| w.to.to_string());
    let findings = found.into_iter().map(|f| f.condition).collect();
    Ok(Why { v: 1, state, update, waits, findings, text: done.to_owned() })
}
