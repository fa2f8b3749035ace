//! The integrator's programs at the moments of an update (docs/hooks.md).

use super::look::on_trial;
use super::world::World;
use crate::event::{Event, Sink};
use crate::health::Verdict;
use crate::hooks::{Context, Hands, Hook, Log, Moment, Permission, run};
use crate::model::{
    Against, By, Digest, Failing, ReasonCode, Result, StateFile, Txn, WithReason, document,
};
use crate::sys::durable;
use crate::update::{Drill, Outcome, Work};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const LIMIT: u64 = StateFile::FIRST_BOOT.limit;

/// Asks or tells all programs of a moment.
pub(super) fn at(world: &World, moment: Moment, work: &Work, sink: &dyn Sink) -> Permission {
    ask(world, &world.settings.hooks, moment, context(world, work), sink)
}

/// Asks before a step; who is against it is the failure.
pub(super) fn asked(world: &World, moment: Moment, work: &Work, sink: &dyn Sink) -> Result<()> {
    at(world, moment, work, sink).failure(moment).map_or(Ok(()), Err)
}

/// Tells how a move ended.
pub(super) fn told(world: &World, moment: Moment, last: &Outcome, sink: &dyn Sink) {
    let known = context(world, &last.work);
    let against = last.against.clone();
    let context = Context { txn: last.txn.clone(), reason: last.reason, against, ..known };
    ask(world, &world.settings.hooks, moment, context, sink);
}

fn context(world: &World, work: &Work) -> Context {
    Context {
        slot: Some(work.slot),
        booted: world.booted().ok(),
        version: work.to.version.clone(),
        from_version: work.from.version.clone(),
        digest: Some(work.digest).filter(|d| *d != Digest::NONE),
        txn: None,
        reason: None,
        against: Against::default(),
        drill: work.order.drill.map(Drill::as_str),
        by: work.order.by.clone(),
        state: world.settings.device.state.clone(),
    }
}

fn ask(
    world: &World,
    hooks: &[Hook],
    moment: Moment,
    context: Context,
    sink: &dyn Sink,
) -> Permission {
    let root = world.settings.hook_root();
    let ran = run(hooks, moment, &context, &Hands { root: &root, runner: &*world.runner, sink });
    // What they said is for people; an answer counts without it.
    if let Err(failure) = Log::new(&world.settings.device.state).note(&ran.reports) {
        sink.emit(&Event::Warning { text: format!("the words of hooks are lost: {failure}") });
    }
    ran.permission
}

/// Which programs of this trial's first boot have ended well.
#[derive(Default, Serialize, Deserialize)]
struct Prepared {
    txn: Option<Txn>,
    done: Vec<String>,
}

fn prepared_file(world: &World) -> PathBuf {
    StateFile::FIRST_BOOT.within(&world.settings.device.state)
}

/// A hook that speaks against a system, by its name and moment.
pub(super) fn hook(moment: Moment, name: &str, text: &str) -> Against {
    Against::one(Failing::by(By::Hook, &format!("{name} at {moment}"), text))
}

/// The post-install step that came with the release on trial: each of its programs is run until it
/// has ended well once, and noted then; a power cut repeats the one that it met. A verdict means
/// that one said no, or is not ready.
pub fn first_boot(world: &World, sink: &dyn Sink) -> Result<Option<Verdict>> {
    let moment = Moment::FirstBoot;
    let Some((work, txn)) = on_trial(world)? else { return Ok(None) };
    if !world.settings.hooks.iter().any(|h| h.at == moment) {
        return Ok(None);
    }
    let bytes = durable::read(&prepared_file(world), LIMIT).ok().flatten().unwrap_or_default();
    let mut prepared: Prepared = document(&bytes).unwrap_or_default();
    if prepared.txn.as_ref() != Some(&txn) {
        prepared = Prepared { txn: Some(txn.clone()), done: Vec::new() };
    }
    for hook in world.settings.hooks.iter().filter(|h| h.at == moment) {
        if prepared.done.iter().any(|name| name == hook.name.as_str()) {
            continue;
        }
        let known = context(world, &work);
        let context = Context { txn: Some(txn.clone()), ..known };
        match ask(world, std::slice::from_ref(hook), moment, context, sink) {
            Permission::Go => prepared.done.push(hook.name.to_string()),
            Permission::Veto { name, text } => {
                return Ok(Some(Verdict::Bad(self::hook(moment, &name, &text))));
            }
            Permission::Later { name, text } => {
                return Ok(Some(Verdict::CouldNot(self::hook(moment, &name, &text))));
            }
        }
        let text = serde_json::to_vec(&prepared).reason(ReasonCode::Internal, "first boot")?;
        durable::write(&prepared_file(world), &text)?;
    }
    Ok(None)
}

/// The last word of the integrator before a good trial is committed.
pub(super) fn before_commit(world: &World, sink: &dyn Sink) -> Permission {
    match on_trial(world) {
        Ok(Some((work, _))) => at(world, Moment::BeforeCommit, &work, sink),
        _ => Permission::Go,
    }
}
