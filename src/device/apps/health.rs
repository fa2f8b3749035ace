//! What apps say of a system on trial: the built-in health check `apps`, and the apps that came with the system.

use super::carry::drive;
use super::gear::Gear;
use super::journal::found;
use super::look::{apps_are_here, apps_status, look_after};
use crate::apps::{AppCommand, AppPhase, AppState, AppStatus, AppsStatus, Cause, ServiceStatus};
use crate::device::World;
use crate::event::{Event, Sink};
use crate::health::{APPS, Outcome, Seen};
use crate::model::Result;
use crate::sys::stop;
use std::time::{Duration, Instant};

/// Nothing waits longer for apps before a person's word about a trial is carried out.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at them.
const GLANCE: Duration = Duration::from_millis(200);

/// The name of what came with the system on trial, and is needed in any case.
const JOINT: &str = "apps of this release";

/// What is seen of apps now: nothing where there are none.
pub(in crate::device) fn seen(world: &World) -> Vec<Seen> {
    if !apps_are_here(world) {
        return Vec::new();
    }
    match apps_status(world) {
        Ok(status) => critical(&status).into_iter().chain(joint(world, &status)).collect(),
        Err(failure) => {
            let outcome = Outcome::CouldNot(failure.to_string());
            vec![Seen { name: APPS.to_owned(), units: Vec::new(), outcome }]
        }
    }
}

/// Brings the apps of the system on trial to where they are judged: without a daemon nothing else has started them. What
/// they do not reach in two minutes is judged as it is then. The lock is held.
pub(in crate::device) fn bring_up(world: &World, sink: &dyn Sink) -> Result<()> {
    if !apps_are_here(world) {
        return Ok(());
    }
    let begun = Instant::now();
    loop {
        if let Err(failure) = step_up(world, sink) {
            stop::look()?;
            if begun.elapsed() >= PATIENCE {
                sink.emit(&Event::Warning { text: format!("apps: {failure}") });
            }
        } else if seen(world).iter().all(|one| matches!(one.outcome, Outcome::Good)) {
            return Ok(());
        }
        if begun.elapsed() >= PATIENCE {
            return Ok(());
        }
        stop::sleep(GLANCE);
        stop::look()?;
    }
}

fn step_up(world: &World, sink: &dyn Sink) -> Result<()> {
    let gear = Gear::of(world)?;
    drive(&gear, found(&gear, sink)?, &AppCommand::Settle, &[], sink)?;
    look_after(world, sink).map(drop)
}

fn is_well(service: &ServiceStatus) -> bool {
    service.healthy.unwrap_or(matches!(service.state.as_str(), "running" | "done"))
}

/// The critical services, each by its name, so that only one that was well before the update counts. An app that a
/// person has stopped says nothing.
fn critical(status: &AppsStatus) -> Option<Seen> {
    let running = status.apps.iter().filter(|app| app.state != AppState::Stopped);
    let critical: Vec<_> = running
        .flat_map(|app| app.services.iter().map(move |service| (app, service)))
        .filter(|(_, service)| service.critical)
        .collect();
    if critical.is_empty() {
        return None;
    }
    let bad: Vec<_> = critical.into_iter().filter(|(_, service)| !is_well(service)).collect();
    let units: Vec<_> = bad.iter().map(|(app, s)| format!("{}/{}", app.name, s.name)).collect();
    let outcome = match bad.first() {
        None => Outcome::Good,
        Some((_, first)) => Outcome::Bad(format!("{} {}", units.join(", "), why(first))),
    };
    Some(Seen { name: APPS.to_owned(), units, outcome })
}

fn why(service: &ServiceStatus) -> String {
    match service.text.as_str() {
        "" => format!("is {}, and not well", service.state),
        text => format!("is not well: {text}"),
    }
}

/// The apps that are switched to in the trial of the slot that runs.
fn joint(world: &World, status: &AppsStatus) -> Option<Seen> {
    let journal = world.apps_journal()?;
    let booted = world.booted().ok()?;
    let change = journal.change().filter(|change| change.cause == Cause::Slot(booted))?;
    let text = match &journal.phase {
        AppPhase::Returning { reason, detail, .. } => Some(format!("{detail} [{reason}]")),
        _ => change
            .moves
            .iter()
            .filter(|one| one.to.is_some())
            .filter_map(|one| unwell(status.apps.iter().find(|app| app.name == one.app)))
            .next(),
    };
    let outcome = text.map_or(Outcome::Good, Outcome::Bad);
    Some(Seen { name: JOINT.to_owned(), units: Vec::new(), outcome })
}

/// Why an app is not as it should be.
fn unwell(app: Option<&AppStatus>) -> Option<String> {
    match app {
        None => Some("an app of the release is not here".to_owned()),
        Some(app) if app.state == AppState::Running || app.state == AppState::Stopped => None,
        Some(app) => {
            let bad = app.services.iter().find(|service| !is_well(service));
            let bad = bad.map_or_else(String::new, |s| format!("/{} {}", s.name, why(s)));
            Some(format!("{}{bad}", app.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(services: &serde_json::Value, state: &str) -> AppsStatus {
        let document = serde_json::json!({
            "v": 1, "engine": null,
            "apps": [{
                "name": "shop", "version": "1.0.0", "digest": "0".repeat(64), "kind": null,
                "state": state, "services": services,
            }],
        });
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn only_critical_services_of_apps_that_shall_run_speak_and_each_by_its_name() {
        let services = serde_json::json!([
            { "name": "db", "replica": 1, "state": "running", "healthy": true, "critical": true },
            { "name": "web", "replica": 1, "state": "running", "healthy": false, "critical": true },
            { "name": "log", "replica": 1, "state": "ended" },
        ]);
        let seen = critical(&status(&services, "degraded")).unwrap();
        assert_eq!(seen.units, ["shop/web"]);
        assert!(matches!(seen.outcome, Outcome::Bad(_)));
        assert_eq!(critical(&status(&services, "stopped")), None);
        let only = serde_json::json!([{ "name": "log", "replica": 1, "state": "ended" }]);
        assert_eq!(critical(&status(&only, "running")), None);
    }
}
