//! The driver's hands on a real device.

use super::look::look;
use super::near::{Ahead, Near, distance};
use super::world::World;
use super::{memory, moments, readiness};
use crate::artifact::Release;
use crate::boot::BootChange;
use crate::event::{Event, Sink};
use crate::health::Verdict;
use crate::hooks::{Moment, Permission};
use crate::install::{FromDelta, Job, Plan, Report, Reuse};
use crate::model::{Against, Failing, Failure, ReasonCode, Result, SlotId};
use crate::slot::Inactive;
use crate::source::Source;
use crate::sys::stop;
use crate::trust::Verified;
use crate::update::{
    Done, Effect, Ended, Facts, Hands, Journal, Outcome, Phase, Rest, Wish, Work, drive,
};

/// What `WriteSlot` works with: present only while an artifact is at hand.
pub(super) struct Cargo<'a> {
    /// The verified release.
    pub(super) release: &'a Verified<Release>,
    /// What writing it means.
    pub(super) plan: &'a Plan,
    /// Its payload; taken by the one write.
    pub(super) source: Option<Source>,
    /// Whether to look for what stands already.
    pub(super) reuse: Reuse,
    /// What makes the payload of what runs, where the source is a delta.
    pub(super) delta: Option<FromDelta>,
    /// How long it took to read the head, milliseconds.
    pub(super) millis: u64,
    /// What was written.
    pub(super) report: Option<Report>,
    /// What was being written, or waited written, and makes way for this.
    pub(super) replaces: Option<Work>,
    /// What is switched to with the system.
    #[cfg(feature = "apps")]
    pub(super) moves: Vec<crate::apps::AppMove>,
}

/// The world, an artifact perhaps, and somebody to tell.
pub(super) struct DeviceHands<'a, 'b> {
    /// The device.
    pub(super) world: &'a World,
    /// The slot that runs.
    pub(super) booted: SlotId,
    /// The artifact.
    pub(super) cargo: Option<&'a mut Cargo<'b>>,
    /// How long this boot has been up when the request came: a check that takes its time does
    /// not run into the deadline.
    pub(super) up: u64,
    /// The verdict, where somebody has watched the checks for longer than one look.
    pub(super) verdict: Option<Verdict>,
    /// Where events go.
    pub(super) sink: &'a dyn Sink,
}

impl Hands for DeviceHands<'_, '_> {
    fn facts(&mut self, journal: &Journal, wish: &Wish, done: Option<Done>) -> Result<Facts> {
        // The artifact is used up: what was refused while it was written is not begun again.
        let wish = match done {
            Some(Done::NotWritten(..)) => &Wish::Settle,
            _ => wish,
        };
        let facts = look(self.world, self.booted, journal, wish, done)?;
        Ok(Facts { up: self.up, ..facts })
    }

    fn persist(&mut self, journal: &Journal) -> Result<()> {
        memory::before_the_first_word(self.world, self.booted)?;
        self.world.journal.save(journal)?;
        // What ends because another begins is told now: the other's end takes its place.
        if let Some(last) = journal.last.as_ref().filter(|l| l.outcome == Ended::Superseded) {
            made_way(self.world, last, self.sink);
        }
        if let Phase::Installing(work) = &journal.phase
            && let Some(old) = self.cargo.as_mut().and_then(|cargo| cargo.replaces.take())
        {
            let (why, now) = (work.takes_its_place(), self.world.now());
            made_way(self.world, &Outcome::made_way(old, &why, now), self.sink);
        }
        Ok(())
    }

    fn run(&mut self, effect: &Effect) -> Result<Option<Done>> {
        let (world, booted) = (self.world, self.booted);
        match effect {
            Effect::SettleEnv => world.boot.settle(booted)?,
            Effect::WriteSlot(_) => return self.write().map(Some),
            Effect::Arm { slot, txn } => {
                let (slot, txn) = (*slot, txn.clone());
                // Told to stop until here, it is not armed. Told later, it is disarmed again by
                // whoever says so.
                stop::carried().seal()?;
                world.boot.write(&BootChange::Arm { slot, good: booted, txn })?;
                let version = world.named(slot).version;
                self.sink.emit(&Event::Armed { slot, version });
            }
            Effect::Disarm => world.boot.write(&BootChange::Disarm { booted })?,
            Effect::CheckHealth => return Ok(Some(self.check())),
            Effect::Commit { slot, txn } => {
                let (slot, txn) = (*slot, txn.clone());
                world.boot.write(&BootChange::Commit { slot, txn })?;
                self.sink.emit(&Event::Committed { slot });
            }
            Effect::GiveBack => world.boot.write(&BootChange::GiveBack)?,
            Effect::FallBack { to, txn } => {
                let (to, txn) = (*to, txn.clone());
                world.boot.write(&BootChange::FallBack { to, txn })?;
            }
        }
        Ok(None)
    }
}

/// Tells once of what made way for another. Nothing waits for it.
pub(super) fn made_way(world: &World, end: &Outcome, sink: &dyn Sink) {
    if world.history.load().contains(end) {
        return;
    }
    let (version, text) = (end.work.to.to_string(), end.detail.clone());
    sink.emit(&Event::Superseded { version, text });
    let remembered = world.booted().and_then(|booted| memory::before_the_first_word(world, booted));
    if let Err(failure) = remembered.and_then(|()| world.history.note(end)) {
        sink.emit(&Event::Warning { text: format!("history: {failure}") });
    }
}

impl DeviceHands<'_, '_> {
    fn write(&mut self) -> Result<Done> {
        let internal = || {
            Failure::new(ReasonCode::Internal, "a slot is to be written and no artifact is at hand")
        };
        let cargo = self.cargo.as_mut().ok_or_else(internal)?;
        let claims = self.world.boot.look()?.claims;
        let target = Inactive::prove(&self.world.disk, &self.world.layout, self.booted, &claims)?;
        let resumes = matches!(cargo.reuse, Reuse::Resume);
        let source = cargo.source.take().ok_or_else(internal)?;
        let ahead = Ahead::of(&source, cargo.release, cargo.delta.as_ref(), cargo.millis);
        let wanted = distance(&source).is_some() || cargo.delta.is_some();
        let near = wanted.then(|| Near::of(self.world, self.booted)).flatten();
        let job = Job {
            release: cargo.release,
            plan: cargo.plan,
            source,
            target: &target,
            reuse: std::mem::take(&mut cargo.reuse),
            other: near.as_ref().map(Near::copied_from),
            delta: cargo.delta.take(),
            sink: self.sink,
        };
        // Nothing is changed yet: what fails here leaves the move as it was, and what stands in
        // the slot for the next try.
        let prepared = job.prepare()?;
        if resumes {
            prepared.check_missing()?;
        }
        if let Some(ahead) = &ahead {
            let forecast = ahead.foresees(prepared.forecast());
            self.sink.emit(&Event::Planned { forecast });
        }
        memory::before_writing(self.world, self.booted)?;
        #[cfg(feature = "apps")]
        super::apps::before_writing(self.world, target.id())?;
        Ok(match prepared.write() {
            Ok(report) => {
                cargo.report = Some(report);
                #[cfg(feature = "apps")]
                super::apps::after_writing(self.world, target.id(), &cargo.moves)?;
                match readiness::bootable(self.world, target.id()) {
                    Ok(()) => Done::Written,
                    Err(failure) => Done::NotWritten(failure.code(), failure.detail().to_owned()),
                }
            }
            Err(failure) => {
                let failure = stop::carried().word().unwrap_or(failure);
                Done::NotWritten(failure.code(), failure.detail().to_owned())
            }
        })
    }

    fn check(&self) -> Done {
        match self.agreed(self.verdict.clone().unwrap_or_else(|| self.judge())) {
            Verdict::Good { passed, excused, open } => {
                let mut said =
                    format!("{passed} check{} passed", if passed == 1 { "" } else { "s" });
                if !excused.is_empty() {
                    said.push_str(&format!(
                        "; failed as before the update: {}",
                        excused.join(", ")
                    ));
                }
                for passed_over in open {
                    let text = format!("passed over: {}", passed_over.text());
                    self.sink.emit(&Event::Warning { text: text.clone() });
                    said.push_str(&format!("; {text}"));
                }
                Done::Healthy(said)
            }
            Verdict::Unchecked => {
                Done::Healthy("no check is configured; a person decided".to_owned())
            }
            Verdict::Bad(against) => Done::Unhealthy(against),
            Verdict::CouldNot(against) => Done::HealthUnknown(against),
        }
    }

    /// The step that came with the release, and then the checks.
    fn judge(&self) -> Verdict {
        match moments::first_boot(self.world, self.sink) {
            Ok(Some(verdict)) => verdict,
            Ok(None) => self.world.judge(self.sink),
            Err(failure) => {
                let failing = Failing::check("first-boot", &failure.to_string());
                Verdict::CouldNot(Against::one(failing))
            }
        }
    }

    /// A good system is kept if the integrator's programs agree.
    fn agreed(&self, verdict: Verdict) -> Verdict {
        if !matches!(verdict, Verdict::Good { .. } | Verdict::Unchecked) {
            return verdict;
        }
        match moments::before_commit(self.world, self.sink) {
            Permission::Go => verdict,
            Permission::Veto { name, text } => {
                Verdict::Bad(moments::hook(Moment::BeforeCommit, &name, &text))
            }
            Permission::Later { name, text } => {
                Verdict::CouldNot(moments::hook(Moment::BeforeCommit, &name, &text))
            }
        }
    }
}

/// Runs the loop for `wish` and does what follows from where it came to rest: the history, and
/// the floor that a commit raises (DESIGN 9.18). Both are derived, so a cut loses neither.
pub(super) fn rest(
    world: &World,
    journal: Journal,
    wish: &Wish,
    cargo: Option<&mut Cargo<'_>>,
    sink: &dyn Sink,
) -> Result<Rest> {
    rest_with(world, journal, wish, cargo, None, sink)
}

/// The same with a verdict at hand.
pub(super) fn rest_with(
    world: &World,
    journal: Journal,
    wish: &Wish,
    cargo: Option<&mut Cargo<'_>>,
    verdict: Option<Verdict>,
    sink: &dyn Sink,
) -> Result<Rest> {
    let booted = world.booted()?;
    let was_on_trial = matches!(journal.phase, Phase::Trying { .. } | Phase::Switching { .. });
    let mut hands = DeviceHands { world, booted, cargo, up: world.up(), verdict, sink };
    let rest = drive(journal, wish, &mut hands)?;
    if let Phase::Returning { work, reason, against, .. } = &rest.journal.phase
        && was_on_trial
    {
        sink.emit(&Event::RolledBack {
            slot: work.slot.other(),
            reason: *reason,
            against: against.clone(),
            drill: work.order.drill.is_some(),
        });
    }
    // First, as the floor leans on it.
    memory::follow(world, &rest.journal, booted, sink);
    if let Some(last) = &rest.journal.last {
        if let Err(failure) = world.certify(last) {
            sink.emit(&Event::Warning { text: format!("the drill's certificate: {failure}") });
        }
        if let Err(failure) = world.history.note(last) {
            // It is derived: the next look tries again, and nothing waits for it.
            sink.emit(&Event::Warning { text: format!("history: {failure}") });
        }
        let settled = rest.journal.phase == Phase::Idle;
        if settled && last.outcome == Ended::Updated && last.work.slot == booted {
            let epochs = [SlotId::A, SlotId::B].map(|s| memory::verified_epoch(world, s));
            world.floor.raise(epochs[0].min(epochs[1]))?;
        }
    }
    super::postmortem::follow(world, &rest.journal, booted, sink);
    Ok(rest)
}

pub(super) fn settle(world: &World, sink: &dyn Sink) -> Result<Journal> {
    Ok(rest(world, world.load_journal(), &Wish::Settle, None, sink)?.journal)
}
