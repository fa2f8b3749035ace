//! One look at the containers of some apps: what runs is asked whether it is well, what may be started is started. In a
//! trial and after it the same look; only what follows from a service that ends differs.

use super::AppContext;
use super::place::{is_fresh, mark_fresh, prepare};
use super::plan::{AppPlan, Unit, grace};
use super::probe::{Question, ask, last_line};
use super::watch::Watch;
use crate::bundle::{AppKind, RestartRule, RunWhen, Service, ServiceName, StartCondition};
use crate::engine::{Container, ContainerState, Engine, Logs, labels};
use crate::model::{ReasonCode, Result};
use crate::sys::{stop, systemd};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The containers with our labels, by name.
pub(super) type Seen = BTreeMap<String, Container>;

/// All of them.
pub(super) fn seen(engine: &dyn Engine) -> Result<Seen> {
    Ok(engine.containers()?.into_iter().map(|c| (c.name.clone(), c)).collect())
}

/// What follows where a service ends or is not well.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode<'a> {
    /// It is on trial: started again so often as its app allows, counted from these numbers on, and a probe that is out
    /// of retries ends the trial.
    Trial(&'a BTreeMap<String, u32>),
    /// It is started again for ever.
    Keep,
}

/// What a look has found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Run-once services that have ended well and are not in the journal yet.
    pub(super) ran: BTreeSet<String>,
    /// What ends a trial.
    pub(super) failure: Option<(ReasonCode, String)>,
    /// What has not come as far as it should, and why: `web: it is started when db is well`.
    pub(super) late: Vec<String>,
    /// What runs and is not well, or was not asked yet.
    pub(super) unwell: Vec<String>,
    /// When something is to be done next.
    pub(super) next: Option<Duration>,
}

impl Looked {
    /// All were started and have come as far as they should, once.
    pub(super) fn is_complete(&self) -> bool {
        self.late.is_empty() && self.ran.is_empty() && self.failure.is_none()
    }

    /// And all are well.
    pub(super) fn is_well(&self) -> bool {
        self.is_complete() && self.unwell.is_empty()
    }

    fn again_in(&mut self, time: Duration) {
        self.next = Some(self.next.map_or(time, |next| next.min(time)));
    }

    pub(super) fn fails(&mut self, code: ReasonCode, why: String) {
        self.failure.get_or_insert((code, why));
    }
}

/// How far one container has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Come {
    /// It runs.
    Runs,
    /// It ran once and ended well; the word is for the journal, where it is new.
    Done(Option<String>),
    /// It may be started as if for the first time; `replace` where what stands there is of another release.
    Startable { replace: bool },
    /// It was started in this boot and has ended.
    Ended { status: i64, out_of_memory: bool },
}

/// How far a container has come, by what the engine and the journal say.
pub(super) fn come(
    ctx: &AppContext<'_>,
    plan: &AppPlan,
    unit: &Unit,
    seen: &Seen,
    ran: &BTreeSet<String>,
) -> Come {
    let run = plan.document.services.get(&unit.service).map_or(RunWhen::Always, |s| s.run);
    let word = plan.ran(&unit.service);
    if word.as_ref().is_some_and(|word| ran.contains(word)) {
        return Come::Done(None);
    }
    let Some(container) = seen.get(&unit.spec.name) else {
        return Come::Startable { replace: false };
    };
    let release = container.labels.get(labels::RELEASE);
    let own = release == Some(&plan.generation.digest.to_string());
    match container.state {
        ContainerState::Running => Come::Runs,
        ContainerState::Created => Come::Startable { replace: false },
        ContainerState::Ended { status, out_of_memory } => {
            let fresh = is_fresh(ctx, &plan.app, &unit.spec.name);
            match run {
                // What ended in a cut boot has ended: its marker alone was lost.
                RunWhen::OncePerRelease if status == 0 && own => Come::Done(word),
                RunWhen::OnceEver if status == 0 => Come::Done(word),
                RunWhen::OncePerRelease if !own => Come::Startable { replace: true },
                RunWhen::EveryStart if status == 0 && fresh => Come::Done(None),
                _ if !fresh => Come::Startable { replace: false },
                _ => Come::Ended { status, out_of_memory },
            }
        }
    }
}

/// The look itself.
pub(super) struct Look<'a> {
    pub(super) ctx: &'a AppContext<'a>,
    pub(super) engine: &'a dyn Engine,
    /// What has run once.
    pub(super) ran: &'a BTreeSet<String>,
    pub(super) watch: &'a mut Watch,
    pub(super) mode: Mode<'a>,
}

impl Look<'_> {
    /// Looks at all containers of these apps, in their order. An error means that the engine could not be asked.
    pub(super) fn look(&mut self, plans: &[AppPlan]) -> Result<Looked> {
        let mut looked = Looked::default();
        let plans: Vec<&AppPlan> =
            plans.iter().filter(|p| p.document.kind == AppKind::Containers).collect();
        if plans.is_empty() {
            return Ok(looked);
        }
        let seen = seen(self.engine)?;
        if let Mode::Keep = self.mode {
            plans.iter().try_for_each(|plan| self.stop_strays(plan, &seen))?;
        }
        self.probe(&plans, &seen, &mut looked);
        for plan in plans {
            let mut up: BTreeSet<(&ServiceName, u32)> = BTreeSet::new();
            for unit in &plan.units {
                stop::look()?;
                systemd::waits();
                let Some(service) = plan.document.services.get(&unit.service) else { continue };
                let come = come(self.ctx, plan, unit, &seen, self.ran);
                if self.unit(plan, unit, service, come, &up, &mut looked)? {
                    up.insert((&unit.service, unit.replica));
                }
            }
        }
        Ok(looked)
    }

    /// Stops what is left of another specification of a service of this generation: a setting of the device has changed,
    /// or a start was cut.
    fn stop_strays(&self, plan: &AppPlan, seen: &Seen) -> Result<()> {
        let pieces = plan.pieces();
        let of_app =
            |c: &&Container| c.labels.get(labels::APP).is_some_and(|app| app == plan.app.as_str());
        let runs = |c: &&Container| c.state == ContainerState::Running;
        for stray in seen.values().filter(of_app).filter(runs) {
            if !pieces.contains(&stray.name) {
                self.engine.stop(&stray.name, Duration::from_secs(10))?;
            }
        }
        Ok(())
    }

    /// Asks what is due, all at once, and remembers the answers.
    fn probe(&mut self, plans: &[&AppPlan], seen: &Seen, looked: &mut Looked) {
        let now = Instant::now();
        let mut questions = Vec::new();
        for (plan, unit) in plans.iter().flat_map(|p| p.units.iter().map(move |u| (p, u))) {
            let runs = seen.get(&unit.spec.name).map(|c| c.state) == Some(ContainerState::Running);
            let probe = plan.document.services.get(&unit.service).and_then(|s| s.health.as_ref());
            let Some(probe) = probe.filter(|_| runs) else { continue };
            match self.watch.of(&unit.spec.name, now).ask_in(probe, now) {
                Duration::ZERO => questions
                    .push(Question { container: unit.spec.name.clone(), probe: probe.clone() }),
                later => looked.again_in(later),
            }
        }
        let answers = ask(self.engine, &questions);
        for (Question { container, probe }, answer) in questions.iter().zip(answers) {
            let entry = self.watch.of(container, now);
            entry.says(probe, answer, Instant::now());
            looked.again_in(entry.ask_in(probe, Instant::now()));
        }
    }

    /// One container. True where it has come as far as it should.
    fn unit(
        &mut self,
        plan: &AppPlan,
        unit: &Unit,
        service: &Service,
        come: Come,
        up: &BTreeSet<(&ServiceName, u32)>,
        looked: &mut Looked,
    ) -> Result<bool> {
        let (name, now) = (shown(plan, unit), Instant::now());
        match come {
            Come::Done(word) => {
                looked.ran.extend(word);
                Ok(true)
            }
            Come::Runs if service.run != RunWhen::Always => {
                looked.late.push(format!("{name}: it has not ended yet"));
                looked.again_in(Duration::from_millis(100));
                Ok(false)
            }
            Come::Runs => {
                let entry = self.watch.of(&unit.spec.name, now);
                let Some(probe) = &service.health else { return Ok(true) };
                if entry.is_out(probe) {
                    let why = entry.text.clone();
                    self.is_unwell(plan, unit, service, &name, &why, looked)?;
                    return Ok(false);
                }
                if !entry.is_well() {
                    let why = match (entry.healthy, entry.text.as_str()) {
                        (None, "") => "it was not asked yet whether it is well".to_owned(),
                        (_, text) => text.to_owned(),
                    };
                    looked.unwell.push(format!("{name}: {why}"));
                }
                Ok(true)
            }
            Come::Startable { replace } => {
                self.start(plan, unit, service, replace, up, looked, &name)
            }
            Come::Ended { status, out_of_memory } => {
                let quiet = match service.restart {
                    RestartRule::Always => false,
                    RestartRule::OnFailure => status == 0,
                    RestartRule::No => true,
                };
                if quiet && service.run == RunWhen::Always && status == 0 {
                    return Ok(true);
                }
                let memory = if out_of_memory { " as there was no memory for it" } else { "" };
                let entry = self.watch.of(&unit.spec.name, now);
                if entry.is_due(now).is_ok() && !entry.has_ended() {
                    let said = self.last_words(&unit.spec.name);
                    let why = format!("it ended with {status}{memory}{said}");
                    self.watch.of(&unit.spec.name, now).ends(now, why);
                }
                let entry = self.watch.of(&unit.spec.name, now);
                let (why, restarts) = (entry.text.clone(), entry.restarts);
                looked.late.push(format!("{name}: {why}"));
                if quiet || self.is_spent(plan, unit, restarts) {
                    if let Mode::Trial(_) = self.mode {
                        looked.fails(ReasonCode::ServiceEnded, format!("{name}: {why}"));
                    }
                    return Ok(false);
                }
                self.start(plan, unit, service, false, up, looked, &name)
            }
        }
    }

    /// Whether a trial has no start left for a service.
    fn is_spent(&self, plan: &AppPlan, unit: &Unit, restarts: u32) -> bool {
        let Mode::Trial(before) = self.mode else { return false };
        let before = before.get(&unit.spec.name).copied().unwrap_or(0);
        restarts.saturating_sub(before) > plan.document.max_restarts
    }

    fn is_unwell(
        &mut self,
        plan: &AppPlan,
        unit: &Unit,
        service: &Service,
        name: &str,
        why: &str,
        looked: &mut Looked,
    ) -> Result<()> {
        looked.unwell.push(format!("{name}: {why}"));
        if let Mode::Trial(_) = self.mode {
            let said = self.last_words(&unit.spec.name);
            looked.fails(ReasonCode::ServiceUnhealthy, format!("{name}: {why}{said}"));
            return Ok(());
        }
        self.engine.stop(&unit.spec.name, grace(service))?;
        let now = Instant::now();
        self.watch.of(&unit.spec.name, now).ends(now, why.to_owned());
        let _ = plan;
        looked.again_in(Duration::ZERO);
        Ok(())
    }

    /// Starts a container whose conditions hold and whose pause is over. True where it runs then.
    #[expect(clippy::too_many_arguments, reason = "one step of `unit`")]
    fn start(
        &mut self,
        plan: &AppPlan,
        unit: &Unit,
        service: &Service,
        replace: bool,
        up: &BTreeSet<(&ServiceName, u32)>,
        looked: &mut Looked,
        name: &str,
    ) -> Result<bool> {
        let now = Instant::now();
        if let Some(waits) = self.waits_for(plan, service, up) {
            looked.late.push(format!("{name}: it is started when {waits}"));
            looked.again_in(Duration::from_millis(100));
            return Ok(false);
        }
        if let Err(pause) = self.watch.of(&unit.spec.name, now).is_due(now) {
            looked.again_in(pause);
            if !looked.late.iter().any(|late| late.starts_with(&format!("{name}: "))) {
                looked.late.push(format!("{name}: it is started again after a pause"));
            }
            return Ok(false);
        }
        match self.start_now(plan, unit, replace) {
            Ok(()) => {
                self.watch.of(&unit.spec.name, now).starts(Instant::now());
                looked.late.retain(|late| !late.starts_with(&format!("{name}: ")));
                looked.again_in(Duration::ZERO);
                let once = service.run != RunWhen::Always;
                if once {
                    looked.late.push(format!("{name}: it has not ended yet"));
                } else if service.health.is_some() {
                    looked.unwell.push(format!("{name}: it was just started"));
                }
                Ok(!once)
            }
            // Nothing answers: that is no fault of the service.
            Err(failure) if failure.code() == ReasonCode::EngineMissing => Err(failure),
            Err(failure) => {
                let why = format!("it could not be started: {}", failure.detail());
                looked.late.push(format!("{name}: {why}"));
                let entry = self.watch.of(&unit.spec.name, now);
                entry.ends(now, why.clone());
                let restarts = entry.restarts;
                if let Err(pause) = entry.is_due(now) {
                    looked.again_in(pause);
                }
                if let Mode::Trial(_) = self.mode {
                    let code = match failure.code() {
                        ReasonCode::EngineFailed => ReasonCode::ServiceEnded,
                        code => code,
                    };
                    if code != ReasonCode::ServiceEnded || self.is_spent(plan, unit, restarts) {
                        looked.fails(code, format!("{name}: {why}"));
                    }
                }
                Ok(false)
            }
        }
    }

    fn start_now(&self, plan: &AppPlan, unit: &Unit, replace: bool) -> Result<()> {
        if replace {
            self.engine.remove(&unit.spec.name)?;
        }
        prepare(self.ctx, plan, unit)?;
        self.engine.create(&unit.spec)?;
        // Before the start: a container that runs and is not marked would be started twice after it has ended.
        mark_fresh(self.ctx, &plan.app, &unit.spec.name, true)?;
        self.engine.start(&unit.spec.name)
    }

    /// What a service still waits for.
    fn waits_for(
        &self,
        plan: &AppPlan,
        service: &Service,
        up: &BTreeSet<(&ServiceName, u32)>,
    ) -> Option<String> {
        service.after.iter().find_map(|(other, after)| {
            let there = plan.units_of(other).all(|unit| up.contains(&(other, unit.replica)));
            let well = || {
                plan.units_of(other).all(|unit| {
                    self.watch.get(&unit.spec.name).is_some_and(|entry| entry.is_well())
                })
            };
            let once = plan.document.services.get(other).is_some_and(|s| s.run != RunWhen::Always);
            let started = || {
                there
                    || once
                        && plan
                            .units_of(other)
                            .all(|unit| is_fresh(self.ctx, &plan.app, &unit.spec.name))
            };
            match after.condition {
                StartCondition::ServiceStarted => {
                    (!started()).then(|| format!("{other} is started"))
                }
                StartCondition::ServiceHealthy => {
                    (!there || !well()).then(|| format!("{other} is well"))
                }
                StartCondition::ServiceCompletedSuccessfully => {
                    (!there).then(|| format!("{other} has ended well"))
                }
            }
        })
    }

    /// The last lines that a container has printed, as the end of a sentence.
    fn last_words(&self, container: &str) -> String {
        let mut text = Vec::new();
        let want = Logs { last: Some(3), follow: false };
        let _only_words = self.engine.logs(container, &want, &mut |line| {
            text.extend_from_slice(&line[..line.len().min(500)]);
            text.push(b'\n');
            text.len() < 4096
        });
        last_line(&String::from_utf8_lossy(&text))
    }
}

/// A container as people name it: `shop/web`, `shop/web 2`.
pub(super) fn shown(plan: &AppPlan, unit: &Unit) -> String {
    let many = plan.document.services.get(&unit.service).is_some_and(|s| s.replicas > 1);
    match many {
        true => format!("{}/{} {}", plan.app, unit.service, unit.replica),
        false => format!("{}/{}", plan.app, unit.service),
    }
}
