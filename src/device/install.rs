//! `install`: from an artifact to an armed slot.

use super::answer::{Answer, Next};
use super::departure;
use super::hands::{Cargo, look, rest};
use super::offer::{self, Offer};
use super::readiness;
use super::world::World;
use super::{memory, moments};
use crate::event::{Event, Sink};
use crate::hooks::Moment;
use crate::install::{Depth, Plan, Reuse, check_file};
use crate::model::{Condition, Failure, ReasonCode, Result};
use crate::source::{Fetch, Input};
use crate::update::{Allowed, Done, Order, Phase, Reboot, State, Then, Wish, Work, at_rest};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// Where an artifact comes from.
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// Something that is open already, and can be read anywhere.
    Open(Arc<dyn Fetch>),
    /// Bytes as they come.
    Stream(Box<dyn Read + Send>),
}

/// What `install` is asked.
pub struct Installation {
    /// The artifact.
    pub source: Source,
    /// Whether it is armed at once.
    pub then: Then,
    /// What a person has allowed.
    pub allowed: Allowed,
    /// Whose wish it is. An automatic one waits, staged, where a person must confirm.
    pub order: Order,
    /// Also where automatic updates are stopped.
    pub hold_ok: bool,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
}

/// What `install` did, or with `dry_run` would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Installed {
    /// It was done.
    Done(Answer),
    /// It would be done.
    Plan {
        /// The version of this answer's shape.
        v: u32,
        /// Always true.
        dry_run: bool,
        /// The slot.
        slot: crate::model::SlotId,
        /// What would be written.
        plan: Plan,
        /// What a person should know before.
        #[serde(default)]
        findings: Vec<Condition>,
    },
}

/// Brings a release. Whatever refuses it does so before the first byte that counts is touched.
pub fn install(world: &World, ask: Installation, sink: &dyn Sink) -> Result<Installed> {
    let mut conditions = readiness::ready(world, ask.dry_run.then_some(sink))?;
    let booted = world.booted()?;
    if !ask.dry_run {
        may_begin(world, &ask)?;
    }
    let then = match ask.order.automatic && world.settings.confirm {
        true => Then::Stage,
        false => ask.then,
    };
    let _lock = if ask.dry_run { None } else { Some(world.lock()?) };
    if !ask.dry_run {
        world.keep_reserve();
    }
    let mut journal = world.load_journal();
    if ask.dry_run {
        let facts = look(world, booted, &journal, &Wish::Settle, None)?;
        journal = at_rest(&journal, &facts);
    } else {
        journal = rest(world, journal, &Wish::Settle, None, sink)?.journal;
    }
    if let Phase::Trying { work, .. } | Phase::Returning { work, .. } = &journal.phase {
        let text = format!("{} in slot {} is on trial", work.to, work.slot);
        return Err(Failure::new(ReasonCode::TrialPending, text));
    }
    let Offer { release, input } = offer::open(world, ask.source)?;
    let digest = release.body_digest();
    // Asked again for what is under way, nothing is old or new about it.
    if let Some(answer) = already(world, &journal, &digest, then, ask.allowed) {
        if !ask.dry_run {
            reorder(world, &mut journal, &ask.order)?;
        }
        return Ok(answer);
    }
    let (plan, work) = offer::weigh(world, &journal, &release, ask.allowed)?;
    if let Some(text) = memory::order_unchecked(world, booted) {
        sink.emit(&Event::Warning { text });
    }
    if let Phase::Staged(old) | Phase::Switching { work: old, .. } = &journal.phase
        && ask.order.automatic
        && old.to.release_counter > work.to.release_counter
    {
        let text = format!("{} is older than {}, which waits already", work.to, old.to);
        return Err(Failure::new(ReasonCode::VersionOlder, text));
    }
    let work = Work { order: ask.order, ..work };
    let resumes = matches!(
        &journal.phase,
        Phase::Installing(old) if old.digest == digest && old.slot == work.slot
    );
    if !ask.dry_run {
        moments::asked(world, Moment::BeforeDownload, &work, sink)?;
    }
    // What goes on where it stopped checks the missing part, once it knows which that is.
    if let Input::Seekable(source) = &input
        && (ask.dry_run || !resumes)
    {
        check_file(&**source, &release, Depth::Stored, sink)?;
        readiness::offers_a_system(&**source, &release, &plan)?;
    }
    if ask.dry_run {
        let (slot, findings) = (work.slot, conditions);
        return Ok(Installed::Plan { v: 1, dry_run: true, slot, plan, findings });
    }
    let reuse = match world.installed(work.slot) {
        _ if resumes => Reuse::Resume,
        Some(standing) => Reuse::SharedWith(Box::new(standing)),
        None => Reuse::Nothing,
    };
    moments::asked(world, Moment::BeforeInstall, &work, sink)?;
    conditions.extend(world.take_baseline(sink)?);
    readiness::tell(&conditions, sink);
    let mut cargo =
        Cargo { release: &release, plan: &plan, input: Some(input), reuse, report: None };
    let wish = Wish::Install(work.clone(), then);
    let rest = rest(world, journal, &wish, Some(&mut cargo), sink)?;
    if let Some(Done::NotWritten(code, detail)) = rest.done {
        return Err(Failure::new(code, detail));
    }
    if let Some(code) = rest.refused {
        return Err(Failure::new(code, code.meaning()));
    }
    let state = State::of(&rest.journal);
    match (state, &rest.journal.last) {
        (State::Switching | State::Staged, _) => {}
        (_, Some(last)) => {
            let code = last.reason.unwrap_or(ReasonCode::Internal);
            return Err(Failure::new(code, &last.detail));
        }
        _ => {
            return Err(Failure::new(ReasonCode::Internal, format!("installed, and yet {state}")));
        }
    }
    moments::at(world, Moment::AfterInstall, &work, sink);
    let (written, findings) = (cargo.report, conditions);
    Ok(Installed::Done(Answer { written, findings, ..installed_answer(state, &work) }))
}

/// Whether anything may be installed at all just now.
fn may_begin(world: &World, ask: &Installation) -> Result<()> {
    match world.hold() {
        Some(hold) if !ask.hold_ok => return Err(Failure::new(ReasonCode::Held, hold.text())),
        _ => {}
    }
    match departure::may_not_write(world).filter(|_| ask.order.automatic) {
        Some(text) => Err(Failure::new(ReasonCode::Inhibited, text)),
        None => Ok(()),
    }
}

/// The same artifact again, while it waits: done, and nothing is written.
fn already(
    world: &World,
    journal: &crate::update::Journal,
    digest: &crate::model::Digest,
    then: Then,
    allowed: Allowed,
) -> Option<Installed> {
    let work = journal.work().filter(|w| w.digest == *digest)?;
    let standing = world.target_in(work.slot) == crate::update::Target::Recorded(*digest);
    let state = State::of(journal);
    let waits = state == State::Switching || state == State::Staged && then == Then::Stage;
    (waits && standing && !allowed.reinstall)
        .then(|| Installed::Done(installed_answer(state, work)))
}

/// Who asks again may ask for another time of the reboot; what comes by itself changes nothing that a
/// person has asked for.
fn reorder(world: &World, journal: &mut crate::update::Journal, order: &Order) -> Result<()> {
    match &mut journal.phase {
        Phase::Switching { work, .. } | Phase::Staged(work)
            if work.order != *order && (work.order.automatic || !order.automatic) =>
        {
            work.order = order.clone();
            world.journal.save(journal)
        }
        _ => Ok(()),
    }
}

fn installed_answer(state: State, work: &Work) -> Answer {
    let (next, text) = match state {
        State::Staged => (
            Next::Switch,
            format!(
                "{} is written to slot {} and verified. Arm it with `surefoot switch`.",
                work.to, work.slot
            ),
        ),
        _ => {
            let then = match work.order.reboot {
                Reboot::Asked => "Reboot to try it; it stays after `surefoot commit`.",
                Reboot::Now => "The device reboots to try it.",
                Reboot::Window => "The device reboots in its next window to try it.",
            };
            (Next::Reboot, format!("{} is in slot {} and armed. {then}", work.to, work.slot))
        }
    };
    Answer::new(state, work, next, text)
}
