//! Keeps the set running that shall run: starts what is missing, asks whether services are well, starts again what is
//! not, each time after a longer pause.

use super::halt::stop_all;
use super::look::{Look, Mode};
use super::plain::PlainHealth;
use super::plan::{AppPlan, Documents};
use super::ports::{choose, missing_ports};
use super::show::{Shown, publish};
use super::store::AppJournalStore;
use super::watch::Watch;
use super::{AppContext, AppJournal, AppMove, AppPhase, Change, stage_bundles};
use crate::bundle::{AppKind, ServiceName};
use crate::event::Event;
use crate::model::{Digest, Result, StateFile};
use crate::sys::{clock, durable};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The longest and the shortest pause between two looks.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(10)];

/// Images of one app are brought back no more often.
const MENDED: Duration = Duration::from_secs(600);

/// What is remembered between two looks: pauses, results of health probes, and since when a trial is well. It is gone
/// with the process; then every service is looked at afresh.
#[derive(Debug, Default)]
pub struct Supervisor {
    pub(super) watch: Watch,
    pub(super) documents: Documents,
    trial: Option<Trial>,
    /// The journal for which nothing was found that is to be taken away.
    pub(super) clean: Option<AppJournal>,
    /// Why an app cannot be run.
    pub(super) failures: BTreeMap<ServiceName, String>,
    /// Which containers were told to be well, and which not.
    health: BTreeMap<String, bool>,
    /// When images of an app were brought back last.
    mended: BTreeMap<ServiceName, Instant>,
    /// What was told last.
    pub(super) told: Vec<u8>,
}

/// A start that has a deadline.
#[derive(Debug)]
struct Trial {
    change: u64,
    old: bool,
    since: Instant,
    deadline: Duration,
    well: Option<Instant>,
    restarts: BTreeMap<String, u32>,
}

impl Supervisor {
    /// What it has seen, for those who ask for the status.
    pub(super) fn shown(&self, ctx: &AppContext<'_>) -> Shown {
        Shown::of(ctx, &self.watch, &self.failures)
    }

    /// Shows it to them.
    pub(super) fn publish(&mut self, ctx: &AppContext<'_>) {
        let shown = self.shown(ctx);
        publish(ctx, &shown, &mut self.told);
    }

    /// Brings the set that shall run a step nearer to running where nothing is under way, and says when to look again.
    /// What a change is about is left to the driver. A run-once service that has ended, and a port that was chosen, is
    /// noted in `journal`, which is saved then. An engine that does not answer is waited for.
    pub fn turn(&mut self, ctx: &AppContext<'_>, journal: &mut AppJournal) -> Result<Duration> {
        let apps = self.looked_after(ctx, journal);
        let mut plans = Vec::new();
        let mut failures = BTreeMap::new();
        for (app, generation) in apps.iter().filter(|(app, _)| !journal.stopped.contains(*app)) {
            match self.documents.plan(ctx, app, generation, &journal.ports) {
                Ok(plan) => plans.push(plan),
                Err(failure) => {
                    failures.insert(app.clone(), failure.detail().to_owned());
                }
            }
        }
        let plans = super::plan::in_order(plans);
        if self.note_ports(ctx, journal, &plans)? {
            return Ok(PAUSES[0]);
        }
        let mut next = PAUSES[1];
        for plan in &plans {
            match self.one(ctx, journal, plan) {
                Ok(pause) => next = next.min(pause),
                Err(failure) => {
                    failures.insert(plan.app.clone(), failure.detail().to_owned());
                }
            }
        }
        let known: BTreeSet<String> = plans.iter().flat_map(AppPlan::pieces).collect();
        if journal.change().is_none() {
            self.watch.keep(|name| known.contains(name));
            self.health.retain(|name, _| known.contains(name));
        }
        self.failures = failures;
        self.publish(ctx);
        Ok(clock::pause(next.clamp(PAUSES[0], PAUSES[1])))
    }

    /// Whether it knows anything of services.
    pub(super) fn has_seen(&self) -> bool {
        self.watch.entries().next().is_some() || !self.failures.is_empty()
    }

    /// The apps that no change is about, and whose generation is the one that ran last.
    fn looked_after(&self, ctx: &AppContext<'_>, journal: &AppJournal) -> super::AppSet {
        let waits = matches!(journal.phase, AppPhase::Staging(_) | AppPhase::Staged(_));
        let change = journal.change().filter(|_| !waits);
        let is_moved = |app: &ServiceName| {
            change.is_some_and(|change| change.moves.iter().any(|m| m.app == *app))
        };
        let mut set = journal.set_of(ctx.booted);
        set.retain(|app, generation| !is_moved(app) && journal.live.get(app) == Some(generation));
        set
    }

    fn note_ports(
        &mut self,
        ctx: &AppContext<'_>,
        journal: &mut AppJournal,
        plans: &[AppPlan],
    ) -> Result<bool> {
        let missing: Vec<_> =
            plans.iter().flat_map(|plan| missing_ports(plan, &journal.ports)).collect();
        if missing.is_empty() {
            return Ok(false);
        }
        journal.ports.extend(choose(ctx, journal, plans, &missing)?);
        AppJournalStore::new(ctx.state).save(journal)?;
        Ok(true)
    }

    fn one(
        &mut self,
        ctx: &AppContext<'_>,
        journal: &mut AppJournal,
        plan: &AppPlan,
    ) -> Result<Duration> {
        if plan.document.kind != AppKind::Containers {
            return self.other_kind(ctx, plan);
        }
        let engine = ctx.engine()?;
        let (watch, ran) = (&mut self.watch, &journal.ran);
        let plans = std::slice::from_ref(plan);
        let looked = Look { ctx, engine, ran, watch, mode: Mode::Keep }.look(plans)?;
        if !looked.ran.is_empty() {
            journal.ran.extend(looked.ran);
            AppJournalStore::new(ctx.state).save(journal)?;
            return Ok(PAUSES[0]);
        }
        self.tell(ctx, plan);
        if !looked.late.is_empty() && self.mend(ctx, plan)? {
            return Ok(PAUSES[0]);
        }
        Ok(looked.next.unwrap_or(PAUSES[1]))
    }

    /// Brings images back that the engine's store has lost, out of the bundle where it was kept. Not often: it fails the
    /// same way each time where it was not.
    fn mend(&mut self, ctx: &AppContext<'_>, plan: &AppPlan) -> Result<bool> {
        if self.mended.get(&plan.app).is_some_and(|then| then.elapsed() < MENDED) {
            return Ok(false);
        }
        let there: BTreeSet<Digest> = ctx.engine()?.images()?.into_iter().map(|i| i.id).collect();
        if plan.document.images.keys().all(|id| there.contains(id)) {
            return Ok(false);
        }
        self.mended.insert(plan.app.clone(), Instant::now());
        let (app, to) = (plan.app.clone(), Some(plan.generation.clone()));
        stage_bundles(ctx, &[AppMove { app, from: None, to }], &[])?;
        Ok(true)
    }

    /// Tells of services that are well, or are not, unlike before.
    fn tell(&mut self, ctx: &AppContext<'_>, plan: &AppPlan) {
        for unit in &plan.units {
            let Some(entry) = self.watch.get(&unit.spec.name) else { continue };
            let Some(well) = entry.healthy else { continue };
            if self.health.insert(unit.spec.name.clone(), well).unwrap_or(true) != well {
                let (app, service) = (plan.app.to_string(), unit.service.to_string());
                let text = entry.text.clone();
                ctx.sink.emit(&Event::Service { app, service, well, text });
            }
        }
    }

    fn other_kind(&mut self, ctx: &AppContext<'_>, plan: &AppPlan) -> Result<Duration> {
        let piece = plan.pieces().into_iter().next().unwrap_or_default();
        let now = Instant::now();
        if let Err(pause) = self.watch.of(&piece, now).is_due(now) {
            return Ok(pause);
        }
        let health = super::kinds::start(ctx, plan)
            .and_then(|()| super::kinds::check(ctx, plan, false))
            .unwrap_or_else(|failure| {
                PlainHealth::Bad(failure.code(), failure.detail().to_owned())
            });
        let entry = self.watch.of(&piece, now);
        match health {
            PlainHealth::Well => entry.is_seen_well(),
            PlainHealth::NotYet(why) => entry.text = why,
            PlainHealth::Bad(_, why) => {
                // The pause of the try before is over.
                entry.starts(now);
                entry.ends(now, why);
                super::kinds::stop(ctx, plan)?;
            }
        }
        Ok(PAUSES[1])
    }

    /// When the trial under way is to be looked at again: the pause before [`super::AppCommand::Settle`] is driven again
    /// after it came to rest with [`super::AppDone::Undecided`].
    pub fn pause(&self) -> Duration {
        Duration::from_millis(100)
    }

    /// Begins the time that a change has for its start, where it has not begun. It goes on over a restart of this
    /// program, and begins anew with each boot.
    pub(super) fn begin_trial(
        &mut self,
        ctx: &AppContext<'_>,
        change: &Change,
        old: bool,
        plans: &[AppPlan],
    ) {
        if self.trial.as_ref().is_some_and(|t| (t.change, t.old) == (change.number, old)) {
            return;
        }
        let file = ctx.run.join("apps").join("trial");
        let words = format!("{} {} {old}", ctx.boot_id, change.number);
        let said = durable::read(&file, StateFile::AFTERMATH.limit).ok().flatten();
        let said = String::from_utf8(said.unwrap_or_default()).unwrap_or_default();
        let began = said.strip_prefix(&words).and_then(|rest| rest.trim().parse::<u64>().ok());
        if began.is_none() {
            let _ = std::fs::create_dir_all(ctx.run.join("apps"));
            let _may_fail = durable::publish(&file, format!("{words} {}", ctx.up).as_bytes());
        }
        let passed = Duration::from_secs(ctx.up.saturating_sub(began.unwrap_or(ctx.up)));
        let deadline = plans.iter().map(|plan| plan.document.deadline).max().unwrap_or(0);
        let now = Instant::now();
        self.trial = Some(Trial {
            change: change.number,
            old,
            since: now.checked_sub(passed).unwrap_or(now),
            deadline: Duration::from_millis(deadline),
            well: None,
            restarts: self.watch.restarts(),
        });
    }

    /// Whether the time of the change's start is over.
    pub(super) fn trial_is_over(&self, change: &Change) -> bool {
        let trial = self.trial.as_ref().filter(|t| t.change == change.number);
        trial.is_some_and(|trial| trial.since.elapsed() >= trial.deadline)
    }

    /// Whether all has been well for so long.
    pub(super) fn soaked(&mut self, well: bool, soak: Duration) -> bool {
        let Some(trial) = &mut self.trial else { return false };
        if !well {
            trial.well = None;
            return false;
        }
        trial.well.get_or_insert_with(Instant::now).elapsed() >= soak
    }

    /// How often each container had been started again when the trial began.
    pub(super) fn restarts_before(&self) -> BTreeMap<String, u32> {
        self.trial.as_ref().map(|trial| trial.restarts.clone()).unwrap_or_default()
    }
}

/// Stops all services of an app that a person has stopped, in the reverse order of their start.
pub fn stop_app(ctx: &AppContext<'_>, journal: &AppJournal, app: &ServiceName) -> Result<()> {
    let mut documents = Documents::default();
    let generation = journal.live.get(app);
    let plan = generation.map(|g| documents.plan(ctx, app, g, &journal.ports));
    let plans: Vec<AppPlan> = plan.and_then(Result::ok).into_iter().collect();
    for plan in plans.iter().filter(|plan| plan.document.kind != AppKind::Containers) {
        super::kinds::stop(ctx, plan)?;
    }
    match ctx.engine {
        Some(engine) => stop_all(ctx, engine, &plans, &[app], &BTreeSet::new()),
        None => Ok(()),
    }
}
