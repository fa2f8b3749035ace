//! `apps rollback`, `stop`, `start`, `remove`, `configure`, `switch`, `logs`.

use super::answer::{AppsAnswer, AppsDid};
use super::bring::{How, change};
use super::carry::carry_out;
use super::gear::Gear;
use super::journal::found;
use crate::apps::{AppAsk, AppCommand, AppJournal, AppPhase, AppState, apps_status};
use crate::bundle::ServiceName;
use crate::device::work::Working;
use crate::device::{World, hands};
use crate::engine::{Container, Logs, labels};
use crate::event::Sink;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::sys::stop;
use crate::sys::stop::Stop;
use crate::update::{Allowed, Order};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Nothing waits longer for an app that a person starts; it is looked after all the same.
const STARTS: Duration = Duration::from_secs(120);

/// Who asks for a change of an app that is here.
#[derive(Debug, Clone, Default)]
pub struct AppOrder {
    /// Who.
    pub by: String,
    /// Also where a service holds its lock.
    pub force: bool,
    /// Also a release that came back.
    pub retry_rolled_back: bool,
}

/// Takes the lock, brings to rest what the system has left to do, and gives what the work is done with.
fn begin(world: &World, verb: &str, by: &str) -> Result<Working> {
    world.booted()?;
    world.no_reset()?;
    world.lock_for(verb, by, false, Duration::from_millis(200))
}

fn change_one(
    world: &World,
    verb: &str,
    ask: AppAsk<'_>,
    order: &AppOrder,
    sink: &dyn Sink,
) -> Result<AppsAnswer> {
    let held = begin(world, verb, &order.by)?;
    Stop::default().over(|| hands::settle(world, sink))?;
    held.announce_app(&name_of(&ask), 0, Digest::NONE);
    let how = How {
        order: Order { by: order.by.clone(), ..Order::default() },
        // A person names the generation, and means it.
        allowed: Allowed {
            older: true,
            reinstall: false,
            retry_rolled_back: order.retry_rolled_back,
        },
        stage: false,
        force: order.force,
        dry_run: false,
    };
    let telling = held.telling(sink);
    let asks = [ask];
    held.stop.over(|| change(&Gear::of(world)?, &asks, &[], &how, &telling))
}

fn name_of(ask: &AppAsk<'_>) -> String {
    match ask {
        AppAsk::Install { head, .. } => head.app().to_string(),
        AppAsk::Configure { app, .. } | AppAsk::Return { app, .. } | AppAsk::Remove { app } => {
            app.to_string()
        }
    }
}

/// Goes back to the generation before, or to the one with this digest, without a network.
pub fn rollback_app(
    world: &World,
    app: ServiceName,
    to: Option<Digest>,
    order: &AppOrder,
    sink: &dyn Sink,
) -> Result<AppsAnswer> {
    change_one(world, "apps rollback", AppAsk::Return { app, to }, order, sink)
}

/// Runs the app with these values of its configuration; an empty value takes one away that was set.
pub fn configure_app(
    world: &World,
    app: ServiceName,
    config: BTreeMap<String, String>,
    order: &AppOrder,
    sink: &dyn Sink,
) -> Result<AppsAnswer> {
    change_one(world, "apps configure", AppAsk::Configure { app, config }, order, sink)
}

/// Takes an app away; with `data` also what it has written.
pub fn remove_app(
    world: &World,
    app: ServiceName,
    data: bool,
    order: &AppOrder,
    sink: &dyn Sink,
) -> Result<AppsAnswer> {
    let answer =
        change_one(world, "apps remove", AppAsk::Remove { app: app.clone() }, order, sink)?;
    if data {
        forget_data(world, &app)?;
    }
    Ok(answer)
}

/// Its volumes, its own folder and copies of it. Once the app is gone, so that a cut leaves data and no app without it.
fn forget_data(world: &World, app: &ServiceName) -> Result<()> {
    let Some(data) = &world.settings.apps.data else { return Ok(()) };
    let folder = data.join(app.as_str());
    match std::fs::remove_dir_all(&folder) {
        Ok(()) => crate::sys::durable::sync_folder(data),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(crate::sys::durable::io_failure("remove", &folder, &error)),
    }
}

/// Switches to what is staged.
pub fn switch_apps(world: &World, order: &AppOrder, sink: &dyn Sink) -> Result<AppsAnswer> {
    let held = begin(world, "apps switch", &order.by)?;
    Stop::default().over(|| hands::settle(world, sink))?;
    let telling = held.telling(sink);
    held.stop.over(|| super::bring::switch_to_staged(&Gear::of(world)?, order.force, &telling))
}

/// Stops an app, until a person starts or changes it. The intention is written down before the first service is stopped,
/// so that none is started again after a power cut.
pub fn stop_app(world: &World, app: &ServiceName, by: &str, sink: &dyn Sink) -> Result<AppsAnswer> {
    let _held = begin(world, "apps stop", by)?;
    let gear = Gear::of(world)?;
    let journal = settled(&gear, sink)?;
    let next = journal.stopping(app).map_err(|code| refusal(code, app))?;
    let mut watch = world.watch.lock().unwrap_or_else(PoisonError::into_inner);
    world.apps_store().save(&next)?;
    crate::apps::stop_app(&gear.context(sink), &next, app)?;
    *watch = crate::apps::Supervisor::default();
    Ok(AppsAnswer::about(AppsDid::Stopped, app, format!("{app} is stopped.")))
}

/// Starts an app that was stopped, and returns when it runs, or after two minutes.
pub fn start_app(
    world: &World,
    app: &ServiceName,
    by: &str,
    sink: &dyn Sink,
) -> Result<AppsAnswer> {
    let held = begin(world, "apps start", by)?;
    let gear = Gear::of(world)?;
    let journal = settled(&gear, sink)?;
    let mut next = journal.starting(app).map_err(|code| refusal(code, app))?;
    world.apps_store().save(&next)?;
    let ctx = gear.context(sink);
    let started = Instant::now();
    let text = held.stop.over(|| {
        loop {
            let mut watch = world.watch.lock().unwrap_or_else(PoisonError::into_inner);
            let pause = watch.turn(&ctx, &mut next)?;
            let status = apps_status(&ctx, &next, Some(&watch));
            drop(watch);
            match status.apps.iter().find(|found| found.name == *app) {
                Some(found) if found.state == AppState::Running => {
                    return Ok(format!("{app} {} runs.", found.version));
                }
                Some(found) if started.elapsed() >= STARTS => {
                    return Ok(format!("{app} is being started: {}", found.text));
                }
                Some(_) => {}
                None => return Err(refusal(ReasonCode::NoSuchApp, app)),
            }
            stop::sleep(pause.min(Duration::from_secs(1)));
            stop::look()?;
        }
    })?;
    Ok(AppsAnswer::about(AppsDid::Started, app, text))
}

fn settled(gear: &Gear<'_>, sink: &dyn Sink) -> Result<AppJournal> {
    let journal = carry_out(gear, &AppCommand::Settle, &[], sink)?;
    match journal.holds_systems_back() {
        Some(code) => Err(Failure::new(code, code.meaning())),
        None => Ok(journal),
    }
}

fn refusal(code: ReasonCode, app: &ServiceName) -> Failure {
    match code {
        ReasonCode::NoSuchApp => Failure::new(code, format!("there is no app `{app}` here")),
        _ => Failure::new(code, code.meaning()),
    }
}

/// What a service has printed: told line by line, with its name where several are.
#[derive(Debug, Clone)]
pub struct AppLogs {
    /// The app.
    pub app: ServiceName,
    /// One of its services; all of them where none is named.
    pub service: Option<ServiceName>,
    /// So many last lines of each.
    pub last: Option<u32>,
    /// Go on for as long as it runs: of one container only.
    pub follow: bool,
}

/// Gives every line to `line`, until that says that it listens no more.
pub fn app_logs(
    world: &World,
    want: &AppLogs,
    line: &mut dyn FnMut(&str, &str) -> bool,
) -> Result<()> {
    let gear = Gear::of(world)?;
    let journal = found(&gear, &crate::event::Nowhere)?;
    if !journal.live.contains_key(&want.app) && !is_changing(&journal, &want.app) {
        return Err(refusal(ReasonCode::NoSuchApp, &want.app));
    }
    let none = || Failure::new(ReasonCode::EngineMissing, ReasonCode::EngineMissing.meaning());
    let engine = gear.engine().ok_or_else(none)?;
    let mut containers: Vec<Container> = engine.containers()?;
    let is =
        |c: &Container, name: &str, value: &str| c.labels.get(name).is_some_and(|v| v == value);
    containers.retain(|c| {
        let service = want.service.as_ref();
        is(c, labels::APP, want.app.as_str())
            && service.is_none_or(|service| is(c, labels::SERVICE, service.as_str()))
    });
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    if containers.is_empty() {
        let what = want.service.as_ref().map_or_else(String::new, |s| format!(" `{s}`"));
        let text = format!("no service{what} of {} has a container here", want.app);
        return Err(Failure::new(ReasonCode::NoSuchApp, text));
    }
    if want.follow && containers.len() > 1 {
        let text = "several containers cannot be followed: name one service of one replica";
        return Err(Failure::new(ReasonCode::Usage, text));
    }
    let mut listens = true;
    for container in containers {
        let service = container.labels.get(labels::SERVICE).map_or("", String::as_str);
        let logs = Logs { last: want.last, follow: want.follow };
        engine.logs(&container.name, &logs, &mut |bytes| {
            let text = String::from_utf8_lossy(bytes);
            listens = line(service, text.trim_end_matches(['\n', '\r']));
            listens
        })?;
        if !listens {
            break;
        }
    }
    Ok(())
}

fn is_changing(journal: &AppJournal, app: &ServiceName) -> bool {
    journal.phase != AppPhase::Idle
        && journal.change().is_some_and(|change| change.moves.iter().any(|one| one.app == *app))
}
