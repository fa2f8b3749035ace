//! Carries out what was decided about apps, on this device.

use super::collect::{collect, rubbish};
use super::halt::stop_all;
use super::look::{Come, Look, Looked, Mode, come, seen};
use super::place::prepare;
use super::plain::PlainHealth;
use super::plan::AppPlan;
use super::ports::missing_ports;
use super::stage::stage_bundles;
use super::store::{AppJournalStore, AppStored};
use super::volumes::{Copied, made, needed};
use super::{
    AppCommand, AppContext, AppDone, AppEffect, AppExecutor, AppFacts, AppJournal, AppRules,
    BundleSource, Cause, Change, Generation, Live, Supervisor,
};
use crate::bundle::{AppKind, ServiceName};
use crate::engine::ContainerState;
use crate::engine::labels;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::stop;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long one step of a start looks for itself before the driver is told that it is too early to say.
const STEP: Duration = Duration::from_secs(1);
/// Between two looks of such a step.
const GLANCE: Duration = Duration::from_millis(50);

/// The device as the driver of apps needs it. Journals are saved by it. It may be made anew for each call, as the supervisor is
/// shared with the thread that looks after services: what must be remembered between two calls is in [`Supervisor`].
pub struct DeviceExecutor<'a> {
    ctx: &'a AppContext<'a>,
    sources: &'a [BundleSource<'a>],
    watch: &'a mut Supervisor,
    store: AppJournalStore,
    /// Whether `journal` is what was told, or read.
    known: bool,
    journal: AppJournal,
}

impl<'a> DeviceExecutor<'a> {
    /// An executor that stages from `sources`; what is not among them must be on the device.
    pub fn new(
        ctx: &'a AppContext<'a>,
        sources: &'a [BundleSource<'a>],
        watch: &'a mut Supervisor,
    ) -> DeviceExecutor<'a> {
        let store = AppJournalStore::new(ctx.state);
        DeviceExecutor { ctx, sources, watch, store, known: false, journal: AppJournal::default() }
    }

    /// The journal that counts is the one that was written last: the driver writes before each effect.
    fn recall(&mut self) -> Result<()> {
        if self.known {
            return Ok(());
        }
        match self.store.load() {
            AppStored::Found(journal) => (self.journal, self.known) = (journal, true),
            AppStored::Absent | AppStored::Lost => {
                let text = "there is no journal of apps that could be read";
                return Err(Failure::new(ReasonCode::StateNotDurable, text));
            }
        }
        Ok(())
    }
}

impl DeviceExecutor<'_> {
    /// The journal with what the supervisor has noted while the driver was at work: both write it.
    fn with_notes(&self, journal: &AppJournal) -> AppJournal {
        let mut next = journal.clone();
        if let AppStored::Found(stored) = self.store.load() {
            let runs = |key: &String| {
                let app = key.split('/').next().unwrap_or_default();
                next.live.keys().any(|name| name.as_str() == app)
            };
            let ran: Vec<String> = stored.ran.into_iter().filter(runs).collect();
            let ports: Vec<_> = stored.ports.into_iter().filter(|(key, _)| runs(key)).collect();
            next.ran.extend(ran);
            for (key, port) in ports {
                next.ports.entry(key).or_insert(port);
            }
        }
        next
    }
}

/// One side of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Old => Side::New,
            Side::New => Side::Old,
        }
    }
}

impl AppExecutor for DeviceExecutor<'_> {
    fn facts(
        &mut self,
        journal: &AppJournal,
        command: &AppCommand,
        done: Option<AppDone>,
    ) -> Result<AppFacts> {
        (self.journal, self.known) = (journal.clone(), true);
        let (mut from, mut to, mut copies) = (Live::Same, Live::Same, Ok(Vec::new()));
        if let Some(change) = journal.change() {
            (from, to) = (self.live(change, Side::Old), self.live(change, Side::New));
            copies = self.copies(change);
        }
        let needs = copies.as_ref().map_or(true, |copies| !copies.is_empty());
        let copied = copies.is_ok_and(|copies| copies.iter().all(Copied::is_there));
        Ok(AppFacts {
            booted: self.ctx.booted,
            boot_id: self.ctx.boot_id.clone(),
            slot: self.ctx.slot,
            from,
            to,
            copied,
            copies: needs,
            rubbish: self.is_untidy(journal),
            command: command.clone(),
            done,
            rules: AppRules::default(),
            now: self.ctx.now,
        })
    }

    fn persist(&mut self, journal: &AppJournal) -> Result<()> {
        let journal = self.with_notes(journal);
        self.store.save(&journal)?;
        (self.journal, self.known) = (journal, true);
        Ok(())
    }

    fn run(&mut self, effect: &AppEffect) -> Result<Option<AppDone>> {
        self.recall()?;
        let done = match effect {
            AppEffect::Stage(change) => self.stage(change),
            AppEffect::StopOld(change) => self.stop(change, Side::Old),
            AppEffect::CopyVolumes(change) => self.copy(change),
            AppEffect::StartNew(change) => self.start(change, Side::New),
            AppEffect::Check(change) => self.check(change),
            AppEffect::StopNew(change) => self.stop(change, Side::New),
            AppEffect::RestoreVolumes(change) => self.restore(change),
            AppEffect::StartOld(change) => self.start(change, Side::Old),
            AppEffect::Collect => {
                collect(self.ctx, &mut self.watch.documents, &self.journal).map(|()| None)
            }
        };
        if matches!(effect, AppEffect::Check(_) | AppEffect::StartOld(_)) {
            // Where no daemon runs, this is the last that anything looks at the services.
            self.watch.publish(self.ctx);
        }
        match (done, effect) {
            (Ok(done), _) => Ok(done),
            // What was to be ended here is no finding.
            (Err(failure), _) if stop::is_set() => Err(failure),
            (Err(failure), AppEffect::Stage(_)) => {
                Ok(Some(AppDone::NotStaged(failure.code(), failure.detail().to_owned())))
            }
            (Err(failure), AppEffect::Collect) => {
                log::warn!("what is left of apps could not be taken away: {failure}");
                Ok(None)
            }
            (Err(failure), AppEffect::StartNew(change) | AppEffect::Check(change))
                if waits_for_engine(&failure) && !self.watch.trial_is_over(change) =>
            {
                Ok(Some(AppDone::Undecided))
            }
            (Err(failure), _) => {
                Ok(Some(AppDone::Failed(failure.code(), failure.detail().to_owned())))
            }
        }
    }
}

fn waits_for_engine(failure: &Failure) -> bool {
    matches!(failure.code(), ReasonCode::EngineMissing | ReasonCode::EngineFailed)
}

impl DeviceExecutor<'_> {
    /// The generations of a side, those of apps that a person has stopped left out where they are not started.
    fn generations<'c>(
        &self,
        change: &'c Change,
        side: Side,
    ) -> Vec<(&'c ServiceName, &'c Generation)> {
        let asked = matches!(change.cause, Cause::Asked(_));
        let starts =
            |app: &ServiceName| side == Side::New && asked || !self.journal.stopped.contains(app);
        let of = |m: &'c super::AppMove| match side {
            Side::Old => m.from.as_ref(),
            Side::New => m.to.as_ref(),
        };
        let moves = change.moves.iter().filter(|m| starts(&m.app));
        moves.filter_map(|m| Some((&m.app, of(m)?))).collect()
    }

    /// Whether something is to be taken away. What was found tidy once stays so until the journal changes.
    fn is_untidy(&mut self, journal: &AppJournal) -> bool {
        if journal.change().is_some() || self.watch.clean.as_ref() == Some(journal) {
            return false;
        }
        let found = rubbish(self.ctx, &mut self.watch.documents, journal);
        if found == Some(false) {
            self.watch.clean = Some(journal.clone());
        }
        found == Some(true)
    }

    fn plans(&mut self, change: &Change, side: Side) -> Result<Vec<AppPlan>> {
        let generations = self.generations(change, side);
        let mut plans = self.watch.documents.plans(self.ctx, &self.journal, generations)?;
        for plan in &mut plans {
            let m = change.moves.iter().find(|m| m.app == plan.app);
            let other =
                m.and_then(|m| if side == Side::Old { m.to.as_ref() } else { m.from.as_ref() });
            plan.previous = other.map(|generation| generation.digest);
        }
        Ok(plans)
    }

    /// What both sides have. Where a side cannot be read, nothing is known to be the same.
    fn shared(&mut self, change: &Change, side: Side) -> BTreeSet<String> {
        let other = self.plans(change, side.other()).unwrap_or_default();
        other.iter().flat_map(AppPlan::pieces).collect()
    }

    /// What runs of a side. Where the engine does not say, something may run and nothing is certain.
    fn live(&mut self, change: &Change, side: Side) -> Live {
        let shared = self.shared(change, side);
        let plans = self.plans(change, side);
        let (own_runs, complete) = match (&plans, self.other_kinds(&plans, &shared)) {
            (Err(_), _) => (false, false),
            (Ok(_), others) => others,
        };
        match self.containers_live(change, side, plans.as_deref().ok(), &shared) {
            Ok((runs, all)) => Live::seen(own_runs || runs, complete && all && plans.is_ok()),
            Err(_) => Live::Some,
        }
    }

    /// The same of native and command apps.
    fn other_kinds(&self, plans: &Result<Vec<AppPlan>>, shared: &BTreeSet<String>) -> (bool, bool) {
        let plans = plans.as_deref().unwrap_or_default();
        let others = plans.iter().filter(|plan| plan.document.kind != AppKind::Containers);
        let mut found = (false, true);
        for plan in others {
            let runs = super::kinds::runs(self.ctx, plan);
            let own = plan.pieces().is_disjoint(shared);
            let begun = super::kinds::is_begun(self.ctx, plan);
            found = (found.0 || own && begun, found.1 && runs);
        }
        found
    }

    /// Whether one of a side's own containers runs, and whether all of the side has come as far as it should.
    fn containers_live(
        &self,
        change: &Change,
        side: Side,
        plans: Option<&[AppPlan]>,
        shared: &BTreeSet<String>,
    ) -> Result<(bool, bool)> {
        let Some(engine) = self.ctx.engine else { return Ok((false, true)) };
        let seen = seen(engine)?;
        // Of a side that cannot be read: all that the other one does not have.
        let unread = plans.is_none();
        let plans = plans.unwrap_or_default();
        let names: BTreeSet<String> = plans.iter().flat_map(AppPlan::pieces).collect();
        let involved = |app: &str| change.moves.iter().any(|m| m.app.as_str() == app);
        let own_runs = seen.values().any(|c| {
            let ours = match side {
                Side::New if !unread => names.contains(&c.name),
                // And what no side names: an older container of the app is of the old side.
                _ => c.labels.get(labels::APP).is_some_and(|app| involved(app)),
            };
            ours && !shared.contains(&c.name) && c.state == ContainerState::Running
        });
        let ran = &self.journal.ran;
        let all = plans.iter().all(|plan| {
            plan.units.iter().all(|unit| {
                let once = plan
                    .document
                    .services
                    .get(&unit.service)
                    .is_some_and(|s| s.run != crate::bundle::RunWhen::Always);
                match come(self.ctx, plan, unit, &seen, ran) {
                    Come::Done(word) => word.is_none(),
                    Come::Runs => !once,
                    Come::Startable { .. } | Come::Ended { .. } => false,
                }
            })
        });
        Ok((own_runs, all))
    }

    fn stage(&mut self, change: &Change) -> Result<Option<AppDone>> {
        stage_bundles(self.ctx, &change.moves, self.sources)?;
        Ok(Some(AppDone::Staged))
    }

    fn stop(&mut self, change: &Change, side: Side) -> Result<Option<AppDone>> {
        let goes_on = self.shared(change, side);
        if side == Side::Old {
            self.make_ready(change);
        }
        let plans = self.plans(change, side);
        let plans = plans.as_deref().unwrap_or_default();
        for plan in plans.iter().rev().filter(|p| p.document.kind != AppKind::Containers) {
            if plan.pieces().is_disjoint(&goes_on) {
                super::kinds::stop(self.ctx, plan)?;
            }
        }
        if let Some(engine) = self.ctx.engine {
            let apps: Vec<&ServiceName> = change.moves.iter().map(|m| &m.app).collect();
            stop_all(self.ctx, engine, plans, &apps, &goes_on)?;
        }
        Ok(None)
    }

    /// Makes the new containers while the old ones still run: what can be done before the switch is no downtime. What
    /// fails here is told when it is started.
    fn make_ready(&mut self, change: &Change) {
        let (Some(engine), Ok(plans)) = (self.ctx.engine, self.plans(change, Side::New)) else {
            return;
        };
        let old = self.shared(change, Side::New);
        for plan in plans.iter().filter(|plan| missing_ports(plan, &self.journal.ports).is_empty())
        {
            for unit in plan.units.iter().filter(|unit| !old.contains(&unit.spec.name)) {
                let made = prepare(self.ctx, plan, unit).and_then(|()| engine.create(&unit.spec));
                if let Err(failure) = made {
                    log::debug!("{} is made later: {failure}", unit.spec.name);
                }
            }
        }
    }

    /// The copies that a change needs, with both documents of each app that has two sides.
    fn copies(&mut self, change: &Change) -> Result<Vec<Copied>> {
        let mut sides = Vec::new();
        for m in &change.moves {
            let (Some(from), Some(to)) = (&m.from, &m.to) else { continue };
            let documents = &mut self.watch.documents;
            let old = documents.plan(self.ctx, &m.app, from, &self.journal.ports)?;
            sides.push((old, documents.plan(self.ctx, &m.app, to, &self.journal.ports)?));
        }
        Ok(needed(self.ctx, change, &sides))
    }

    fn copy(&mut self, change: &Change) -> Result<Option<AppDone>> {
        self.copies(change)?.iter().try_for_each(|copied| copied.make(self.ctx))?;
        Ok(None)
    }

    fn restore(&mut self, change: &Change) -> Result<Option<AppDone>> {
        // A system that came back may not trust who signed the new generation: what was copied is put back all the same.
        let copies = self.copies(change).unwrap_or_else(|_| made(self.ctx, change));
        copies.iter().try_for_each(Copied::put_back)?;
        Ok(Some(AppDone::Restored))
    }

    fn start(&mut self, change: &Change, side: Side) -> Result<Option<AppDone>> {
        let plans = self.plans(change, side)?;
        let missing: Vec<_> =
            plans.iter().flat_map(|plan| missing_ports(plan, &self.journal.ports)).collect();
        if !missing.is_empty() {
            let ports = super::ports::choose(self.ctx, &self.journal, &plans, &missing)?;
            return Ok(Some(AppDone::Noted { ran: BTreeSet::new(), ports }));
        }
        self.watch.begin_trial(self.ctx, change, side == Side::Old, &plans);
        for plan in plans.iter().filter(|plan| plan.document.kind != AppKind::Containers) {
            super::kinds::start(self.ctx, plan)?;
        }
        let begun = Instant::now();
        loop {
            let looked = self.look(&plans, side)?;
            if let Some((code, why)) = looked.failure {
                return Ok(Some(AppDone::Failed(code, why)));
            }
            if !looked.ran.is_empty() {
                return Ok(Some(AppDone::Noted { ran: looked.ran, ports: BTreeMap::new() }));
            }
            if looked.is_complete() {
                return Ok(Some(AppDone::Started));
            }
            if self.watch.trial_is_over(change) {
                let why = looked.late.join("; ");
                return Ok(Some(AppDone::Failed(ReasonCode::ServiceLate, why)));
            }
            if begun.elapsed() >= STEP {
                return Ok(Some(AppDone::Undecided));
            }
            stop::sleep(looked.next.unwrap_or(GLANCE).clamp(Duration::from_millis(5), GLANCE));
            stop::look()?;
        }
    }

    fn look(&mut self, plans: &[AppPlan], side: Side) -> Result<Looked> {
        if plans.iter().all(|plan| plan.document.kind != AppKind::Containers) {
            return Ok(Looked::default());
        }
        let before = self.watch.restarts_before();
        let mode = match side {
            Side::New => Mode::Trial(&before),
            Side::Old => Mode::Keep,
        };
        let (ctx, engine) = (self.ctx, self.ctx.engine()?);
        let watch = &mut self.watch.watch;
        Look { ctx, engine, ran: &self.journal.ran, watch, mode }.look(plans)
    }

    fn check(&mut self, change: &Change) -> Result<Option<AppDone>> {
        let plans = self.plans(change, Side::New)?;
        self.watch.begin_trial(self.ctx, change, false, &plans);
        let mut looked = self.look(&plans, Side::New)?;
        for plan in plans.iter().filter(|plan| plan.document.kind != AppKind::Containers) {
            match super::kinds::check(self.ctx, plan, true)? {
                PlainHealth::Well => {}
                PlainHealth::NotYet(why) => looked.unwell.push(why),
                PlainHealth::Bad(code, why) => looked.fails(code, why),
            }
        }
        if let Some((code, why)) = looked.failure {
            return Ok(Some(AppDone::Unhealthy(code, why)));
        }
        if !looked.ran.is_empty() {
            return Ok(Some(AppDone::Noted { ran: looked.ran, ports: BTreeMap::new() }));
        }
        let soak = plans.iter().map(|plan| plan.document.soak).max().unwrap_or(0);
        if self.watch.soaked(looked.is_well(), Duration::from_millis(soak)) {
            return Ok(Some(AppDone::Healthy));
        }
        if !looked.is_well() && self.watch.trial_is_over(change) {
            let words: Vec<String> = looked.late.into_iter().chain(looked.unwell).collect();
            return Ok(Some(AppDone::Unhealthy(ReasonCode::ServiceLate, words.join("; "))));
        }
        Ok(Some(AppDone::Undecided))
    }
}
