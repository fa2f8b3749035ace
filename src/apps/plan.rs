//! What one generation of an app is on this device: its document, verified, and its containers in the order in which
//! they are started.

use super::spec::Ground;
use super::{AppContext, AppJournal, Generation, kept_bundle};
use crate::bundle::{AppDocument, AppKind, Service, ServiceName};
use crate::engine::ContainerSpec;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::trust::Trust;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// One replica of a service.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// The service.
    pub(super) service: ServiceName,
    /// Which replica, from 1.
    pub(super) replica: u32,
    /// Its container.
    pub(super) spec: ContainerSpec,
}

/// A generation as it is run.
#[derive(Debug, Clone)]
pub(super) struct AppPlan {
    /// The app.
    pub(super) app: ServiceName,
    /// Which generation.
    pub(super) generation: Generation,
    /// What it says of itself.
    pub(super) document: Arc<AppDocument>,
    /// The generation on the other side of the change, where one is under way.
    pub(super) previous: Option<Digest>,
    /// Its containers in the order of their start. None for what is made of something else.
    pub(super) units: Vec<Unit>,
}

impl AppPlan {
    /// What it is made of, by names that are the same where nothing is changed: containers, or all of it.
    pub(super) fn pieces(&self) -> BTreeSet<String> {
        match self.document.kind {
            AppKind::Containers => self.units.iter().map(|unit| unit.spec.name.clone()).collect(),
            AppKind::Native | AppKind::Command => {
                let config = format!("{:?}", self.generation.config);
                let (digest, config) = (self.generation.digest, Digest::of(config.as_bytes()));
                BTreeSet::from([format!("{} {digest} {}", self.app, config.short())])
            }
        }
    }

    /// The units of a service.
    pub(super) fn units_of(&self, service: &ServiceName) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(move |unit| unit.service == *service)
    }

    /// The word for a run-once service in the journal, where it has one.
    pub(super) fn ran(&self, service: &ServiceName) -> Option<String> {
        use crate::bundle::RunWhen::{Always, EveryStart, OnceEver, OncePerRelease};
        match self.document.services.get(service)?.run {
            Always | EveryStart => None,
            OncePerRelease => Some(self.generation.ran(&self.app, service, false)),
            OnceEver => Some(self.generation.ran(&self.app, service, true)),
        }
    }
}

/// Documents that were verified once with the trust file that counts now.
#[derive(Debug, Default)]
pub(super) struct Documents {
    trust: Option<Trust>,
    known: BTreeMap<(ServiceName, Digest), (Arc<AppDocument>, bool)>,
}

/// So many documents are kept in memory; more than any device runs.
const KNOWN_MAX: usize = 64;

impl Documents {
    /// The document of a generation that is kept on this device. A development key counts only under a hold: `NOT_HELD`.
    pub(super) fn get(
        &mut self,
        ctx: &AppContext<'_>,
        app: &ServiceName,
        digest: &Digest,
    ) -> Result<Arc<AppDocument>> {
        if self.trust.as_ref() != Some(ctx.trust) || self.known.len() > KNOWN_MAX {
            self.known.clear();
            self.trust = Some(ctx.trust.clone());
        }
        let key = (app.clone(), *digest);
        let (document, development) = match self.known.get(&key) {
            Some(known) => known.clone(),
            None => {
                let head = kept_bundle(ctx, app, digest)?;
                let found = (Arc::new(head.document().clone()), head.is_development());
                self.known.insert(key, found.clone());
                found
            }
        };
        match development && !ctx.held {
            true => Err(not_held(app)),
            false => Ok(document),
        }
    }

    /// The images of a generation that is kept, whether it may run now or not.
    pub(super) fn images(
        &mut self,
        ctx: &AppContext<'_>,
        app: &ServiceName,
        digest: &Digest,
    ) -> Result<Vec<Digest>> {
        let held = AppContext { held: true, boot_id: ctx.boot_id.clone(), ..*ctx };
        Ok(self.get(&held, app, digest)?.images.keys().copied().collect())
    }

    /// The plan of a generation; a port that was not chosen yet is 0 in it.
    pub(super) fn plan(
        &mut self,
        ctx: &AppContext<'_>,
        app: &ServiceName,
        generation: &Generation,
        ports: &BTreeMap<String, u16>,
    ) -> Result<AppPlan> {
        let document = self.get(ctx, app, &generation.digest)?;
        let ground = Ground::new(ctx, app, generation, &document, ports);
        let mut units = Vec::new();
        for name in document.start_order()?.into_iter().flatten() {
            let Some(service) = document.services.get(name) else { continue };
            for replica in 1..=service.replicas.max(1) {
                let spec = ground.spec(name, service, replica)?;
                units.push(Unit { service: name.clone(), replica, spec });
            }
        }
        drop(ground);
        let (app, generation) = (app.clone(), generation.clone());
        Ok(AppPlan { app, generation, document, previous: None, units })
    }

    /// The plans of these generations: what others require first.
    pub(super) fn plans<'g>(
        &mut self,
        ctx: &AppContext<'_>,
        journal: &AppJournal,
        set: impl IntoIterator<Item = (&'g ServiceName, &'g Generation)>,
    ) -> Result<Vec<AppPlan>> {
        let mut plans = Vec::new();
        for (app, generation) in set {
            let plan = self.plan(ctx, app, generation, &journal.ports);
            plans.push(plan.map_err(|f| f.at(app))?);
        }
        Ok(in_order(plans))
    }
}

/// The refusal of a development key without a hold.
pub(super) fn not_held(app: &ServiceName) -> Failure {
    let text = format!("a development key has signed {app}, and this device is not under hold");
    Failure::new(ReasonCode::NotHeld, text)
}

/// What provides stands before what requires it; a circle, which no admission lets pass, stays in its order.
pub(super) fn in_order(plans: Vec<AppPlan>) -> Vec<AppPlan> {
    let mut waiting = plans;
    let mut ordered: Vec<AppPlan> = Vec::new();
    while !waiting.is_empty() {
        let needs_none = |plan: &AppPlan| {
            let provided_later = |need| {
                let mut others = waiting.iter().filter(|other| other.app != plan.app);
                others.any(|other| other.document.provides.contains(need))
            };
            !plan.document.requires.iter().any(provided_later)
        };
        let next = waiting.iter().position(needs_none).unwrap_or(0);
        ordered.push(waiting.remove(next));
    }
    ordered
}

/// How long a service may take to end.
pub(super) fn grace(service: &Service) -> Duration {
    Duration::from_millis(service.stop_grace_period.unwrap_or(10_000))
}
