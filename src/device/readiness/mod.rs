//! What must be true before an update: one list, asked by `doctor`, `verify FILE`, `why`,
//! `install --dry-run` and `install`, by what arms a slot, and by the built-in health check. It
//! rehearses and writes nothing.

mod found;
mod notes;

pub(crate) use found::Found;
pub(super) use found::unopened;
pub(super) use notes::told;

use found::of;

use super::gate::{NEEDED, ROOM, enough_room, sound_files};
use super::world::World;
use crate::artifact::Release;
use crate::boot::Grade;
use crate::event::{Event, Sink};
use crate::health::{Need, impossible};
use crate::install::{Plan, image_head};
use crate::model::{Condition, ConditionKind, Failure, ReasonCode, Result};
use crate::slot;
use crate::source::Fetch;
use crate::sys::durable;

/// Before which step it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// The first destructive byte, and arming.
    Update,
    /// A trial's commit: the system on trial could install the next update. What decides the
    /// trial itself is not asked again.
    Commit,
}

type Look = fn(&World, Before) -> Vec<Condition>;

/// The list. The first that blocks is the code of every command.
const LIST: &[(&str, Look)] = &[
    ("booted", booted),
    ("disk", disk),
    ("environment", environment),
    ("trust", trust),
    ("identity", identity),
    ("state", state),
    ("space", space),
    ("reset", reset),
    ("health", health),
    ("hooks", hooks),
    ("times", times),
];

/// What blocks, and what of the same list only warns, in the order of the list.
pub(super) fn firm(world: &World, before: Before) -> Vec<Found> {
    let look = |(topic, look): &(&'static str, Look)| {
        let found = look(world, before).into_iter();
        let topic = *topic;
        found.map(move |condition| Found { topic, condition }).collect::<Vec<_>>()
    };
    LIST.iter().flat_map(look).collect()
}

/// The list, what is waited for, and what a person should know. Runs the health checks once.
pub(crate) fn all(world: &World, sink: &dyn Sink) -> Vec<Found> {
    let mut found = firm(world, Before::Update);
    found.extend(notes::waits(world));
    found.extend(notes::order(world));
    found.extend(notes::failing(world, sink));
    found
}

/// Refuses where something blocks, with everything that was found.
pub(super) fn refuse(conditions: &[Condition]) -> Result<()> {
    let Some(first) = conditions.iter().find(|c| c.blocks()) else { return Ok(()) };
    let failure = Failure::new(first.code, &first.text).with_next(&first.remedy);
    Err(failure.with_conditions(conditions.to_vec()))
}

/// Refuses where something of the list blocks; else everything that was found. The health checks
/// are run only with somebody to tell: an installation looks at them itself, twice.
pub(super) fn ready(world: &World, checks: Option<&dyn Sink>) -> Result<Vec<Condition>> {
    let mut found = firm(world, Before::Update);
    if !found.iter().any(|f| f.condition.blocks()) {
        found.extend(notes::waits(world));
        found.extend(notes::order(world));
        found.extend(checks.map(|sink| notes::failing(world, sink)).into_iter().flatten());
    }
    let conditions: Vec<_> = found.into_iter().map(|f| f.condition).collect();
    refuse(&conditions).map(|()| conditions)
}

/// Refuses where something of the list blocks.
pub(super) fn gate(world: &World, before: Before) -> Result<()> {
    let firm: Vec<_> = firm(world, before).into_iter().map(|f| f.condition).collect();
    refuse(&firm)
}

/// Tells whoever asked of what only warns.
pub(super) fn tell(conditions: &[Condition], sink: &dyn Sink) {
    for Condition { code, text, .. } in conditions.iter().filter(|c| c.kind == ConditionKind::Warns)
    {
        sink.emit(&Event::Warning { text: format!("{text} [{code}]") });
    }
}

/// The same of a file, before it costs the other slot its system. A stream is looked at once it is
/// written.
pub(super) fn offers_a_system(source: &dyn Fetch, release: &Release, plan: &Plan) -> Result<()> {
    let kernel = slot::kernel_part(plan.parts.iter().map(|part| &part.part));
    let several = plan.parts.len() > 1;
    let part = plan.parts.iter().find(|part| part.part.as_str() == kernel);
    let payload = part.map_or(0, |part| part.payload);
    let head = image_head(source, release, payload, slot::FILESYSTEM_HEAD)?;
    if slot::filesystem(&head).is_some() {
        return Ok(());
    }
    let image = if several { format!("the image of `{kernel}`") } else { "the image".to_owned() };
    let text = format!("{image} begins with no file system that a bootloader reads");
    Err(Failure::new(ReasonCode::NotBootable, text))
}

/// A slot is armed only if a bootloader would find a system in it.
pub(super) fn bootable(world: &World, slot: crate::model::SlotId) -> Result<()> {
    match world.bootable(slot) {
        true => Ok(()),
        false => {
            let text = format!("slot {slot} begins with no file system that a bootloader reads");
            Err(Failure::new(ReasonCode::NotBootable, text))
        }
    }
}

fn failed(result: Result<()>) -> Vec<Condition> {
    result.err().and_then(|failure| of(&failure)).into_iter().collect()
}

fn booted(world: &World, _: Before) -> Vec<Condition> {
    failed(world.booted().map(drop))
}

/// The slots are those of the boot script, and the other one can be held alone and written.
fn disk(world: &World, _: Before) -> Vec<Condition> {
    let table = world.disk.table();
    let variable = |name: &str| world.boot.variable(name);
    let agrees = table.and_then(|table| world.layout.agrees_with_boot_script(&table, variable));
    let mut out = failed(agrees);
    out.extend(held(world));
    out
}

fn held(world: &World) -> Vec<Condition> {
    let Ok(booted) = world.booted() else { return Vec::new() };
    let mut parts = world.layout.parts(booted.other()).iter();
    let found = parts.try_for_each(|part| world.disk.rehearse(&part.partition));
    // An installation that runs holds the slot alone, as it should: it is waited for.
    let installs = || world.running().is_some_and(|running| running.stoppable);
    failed(found.map_err(|failure| match failure.code() {
        ReasonCode::SlotMounted if installs() => world.busy(failure),
        _ => failure,
    }))
}

/// A bad update comes back, no slot lies over the environment, and every copy that an update
/// writes fits and can be written.
fn environment(world: &World, _: Before) -> Vec<Condition> {
    let facts = match world.boot.look() {
        Ok(facts) => facts,
        Err(failure) => return failed(Err(failure)),
    };
    let condition = |finding: crate::boot::Finding| {
        let (code, kind) = match finding.level {
            Grade::Armed => return None,
            Grade::Weak => (ReasonCode::RollbackWeak, ConditionKind::Warns),
            Grade::Off => {
                let code = facts.writable().err().map_or(ReasonCode::RollbackOff, |f| f.code());
                (code, ConditionKind::Blocks)
            }
        };
        Some(Condition::new(code, kind, finding.reason, finding.remedy))
    };
    let mut out: Vec<_> = world.boot.findings(&facts).into_iter().filter_map(condition).collect();
    out.extend(failed(world.layout.keeps_clear_of(&facts.disk_ranges())));
    if let Ok(booted) = world.booted()
        && !out.iter().any(Condition::blocks)
    {
        out.extend(failed(world.boot.rehearse(booted)));
    }
    out
}

fn trust(world: &World, _: Before) -> Vec<Condition> {
    failed(world.trust().map(drop))
}

fn identity(world: &World, before: Before) -> Vec<Condition> {
    match before {
        Before::Update => failed(world.target().map(drop)),
        Before::Commit => Vec::new(),
    }
}

fn state(world: &World, _: Before) -> Vec<Condition> {
    failed(world.state_is_durable().and_then(|()| sound_files(&world.settings.device.state)))
}

fn space(world: &World, before: Before) -> Vec<Condition> {
    let state = &world.settings.device.state;
    let needed = match before {
        Before::Update => ROOM,
        // Not from what is set aside: the next update needs more than that.
        Before::Commit => NEEDED + durable::reserved(state),
    };
    match world.state_is_durable() {
        Ok(()) => failed(enough_room(state, needed).map(drop)),
        Err(_) => Vec::new(),
    }
}

fn reset(world: &World, before: Before) -> Vec<Condition> {
    match before {
        Before::Update => failed(world.no_reset()),
        Before::Commit => Vec::new(),
    }
}

/// A check that can never say yes sends every release home.
fn health(world: &World, before: Before) -> Vec<Condition> {
    let checks = match before {
        Before::Update => &world.settings.checks[..],
        Before::Commit => &[],
    };
    let never = |check: &crate::health::Check| {
        let why = impossible(check, &world.settings.folder)?;
        let kind = match check.need {
            Need::Required => ConditionKind::Blocks,
            // Not needed where it had not passed before.
            Need::Wanted => ConditionKind::Warns,
        };
        let text = format!("the check {} can never run here: {why}", check.name);
        Some(Condition::of(ReasonCode::CheckCannotRun, kind, text))
    };
    checks.iter().filter_map(never).collect()
}

/// A hook that cannot be started is asked all the same, and that counts as a no.
fn hooks(world: &World, before: Before) -> Vec<Condition> {
    let hooks = match before {
        Before::Update => &world.settings.hooks[..],
        Before::Commit => &[],
    };
    let root = world.settings.hook_root();
    let never = |hook: &crate::hooks::Hook| {
        let why = root.program(hook.command.first()?).err()?;
        let text = format!("the hook {} ({}) could not be started: {why}", hook.name, hook.at);
        let remedy = "Correct the hook in the configuration; `surefoot config check` looks at it.";
        Some(Condition::new(ReasonCode::HookVeto, ConditionKind::Blocks, text, remedy))
    };
    hooks.iter().filter(|h| h.at.is_asked()).filter_map(never).collect()
}

fn times(world: &World, before: Before) -> Vec<Condition> {
    match before {
        Before::Update => world.settings.times(),
        Before::Commit => Vec::new(),
    }
}
