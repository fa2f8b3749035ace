//! Stops containers: in the reverse order of their start, each with its own grace.

use super::AppContext;
use super::look::seen;
use super::place::mark_fresh;
use super::plan::{AppPlan, grace};
use crate::bundle::ServiceName;
use crate::engine::{ContainerState, Engine, labels};
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::{spare, stop, systemd};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Stops these containers, those that were started last first; those that were started at once beside each other. A
/// container that no plan names is stopped before all others.
pub(super) fn stop_all(
    ctx: &AppContext<'_>,
    engine: &dyn Engine,
    plans: &[AppPlan],
    apps: &[&ServiceName],
    goes_on: &BTreeSet<String>,
) -> Result<()> {
    let seen = seen(engine)?;
    let mut left: BTreeMap<&str, (&ServiceName, Duration)> = BTreeMap::new();
    for container in seen.values().filter(|c| c.state == ContainerState::Running) {
        let app = container.labels.get(labels::APP);
        let app = apps.iter().find(|name| app.is_some_and(|app| app == name.as_str()));
        if let Some(app) = app.filter(|_| !goes_on.contains(&container.name)) {
            left.insert(&container.name, (app, Duration::from_secs(10)));
        }
    }
    let mut rounds: Vec<Vec<(&str, &ServiceName, Duration)>> = Vec::new();
    for plan in plans.iter().rev() {
        let levels = plan.document.start_order()?;
        for level in levels.iter().rev() {
            let units = level.iter().flat_map(|name| plan.units_of(name));
            let round = units.filter_map(|unit| {
                let (name, (app, _)) = left.remove_entry(unit.spec.name.as_str())?;
                let service = plan.document.services.get(&unit.service)?;
                Some((name, app, grace(service)))
            });
            rounds.push(round.collect());
        }
    }
    let strays = left.into_iter().map(|(name, (app, grace))| (name, app, grace)).collect();
    rounds.insert(0, strays);
    rounds.into_iter().try_for_each(|round| stop_round(ctx, engine, &round))?;
    // What ran once at this start runs again at the next one.
    for (plan, unit) in plans.iter().flat_map(|p| p.units.iter().map(move |u| (p, u))) {
        if !goes_on.contains(&unit.spec.name) {
            mark_fresh(ctx, &plan.app, &unit.spec.name, false)?;
        }
    }
    Ok(())
}

fn stop_round(
    ctx: &AppContext<'_>,
    engine: &dyn Engine,
    round: &[(&str, &ServiceName, Duration)],
) -> Result<()> {
    let one = |name: &str, app: &ServiceName, grace: Duration| {
        systemd::waits();
        engine.stop(name, grace)?;
        mark_fresh(ctx, app, name, false)
    };
    let [first, rest @ ..] = round else { return Ok(()) };
    let carried = stop::carried();
    std::thread::scope(|scope| {
        let threads: Vec<_> = rest
            .iter()
            .map(|(name, app, grace)| {
                let carried = carried.clone();
                spare::scoped(scope, "stop", move || carried.over(|| one(name, app, *grace)))
            })
            .collect();
        let mut done = one(first.0, first.1, first.2);
        for thread in threads {
            let lost =
                |_| Err(Failure::new(ReasonCode::EngineFailed, "a container was not stopped"));
            done = done.and(thread.and_then(|t| t.join().unwrap_or_else(lost)));
        }
        done
    })
}
