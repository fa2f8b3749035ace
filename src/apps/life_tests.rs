//! The life of apps on a fake engine: the real decision, the real effects.

#![allow(clippy::unwrap_used)]

use super::fixture::{App, Bench, Memory, app, name};
use super::store::{AppJournalStore, AppStored};
use super::*;
use crate::engine::fake::{FakeEngine, FakeStart};
use crate::engine::{Engine, Execution};
use crate::model::{ReasonCode, Result};
use crate::update::{Allowed, Order};
use std::collections::BTreeMap;

pub(super) fn saved(bench: &Bench) -> AppJournal {
    match AppJournalStore::new(bench.ctx().state).load() {
        AppStored::Found(journal) => journal,
        AppStored::Absent => AppJournal::default(),
        AppStored::Lost => panic!("the journal is lost"),
    }
}

/// Drives until nothing goes on by itself.
pub(super) fn settle(
    bench: &Bench,
    engine: &dyn Engine,
    watch: &mut Supervisor,
) -> Result<AppRest> {
    act(bench, engine, watch, AppCommand::Settle, &[])
}

fn act(
    bench: &Bench,
    engine: &dyn Engine,
    watch: &mut Supervisor,
    mut command: AppCommand,
    sources: &[BundleSource<'_>],
) -> Result<AppRest> {
    let ctx = bench.ctx_with(Some(engine));
    let begun = std::time::Instant::now();
    loop {
        let mut hands = DeviceExecutor::new(&ctx, sources, watch);
        let rest = drive_apps(saved(bench), &command, &mut hands)?;
        if !rest.is_under_way() {
            return Ok(rest);
        }
        assert!(begun.elapsed().as_secs() < 60, "it never comes to rest: {:?}", rest.journal.phase);
        command = AppCommand::Settle;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn order() -> Order {
    Order::default()
}

/// Installs bundles and comes to rest.
pub(super) fn install(
    bench: &Bench,
    engine: &dyn Engine,
    watch: &mut Supervisor,
    bundles: &[&[u8]],
) -> Result<AppRest> {
    let sources: Vec<Memory> = bundles.iter().map(|b| Memory::new(b.to_vec())).collect();
    let heads: Vec<BundleHead> =
        sources.iter().map(|s| read_bundle(&bench.trust, s)).collect::<Result<_>>()?;
    let ctx = bench.ctx_with(Some(engine));
    let asks: Vec<AppAsk<'_>> =
        heads.iter().map(|head| AppAsk::Install { head, config: BTreeMap::new() }).collect();
    let allowed = Allowed::default();
    let admission = admit(&ctx, &saved(bench), &asks, allowed)?;
    let sources: Vec<BundleSource<'_>> = heads
        .iter()
        .zip(&sources)
        .map(|(head, bytes)| BundleSource { digest: head.digest(), bytes })
        .collect();
    if admission.moves.is_empty() {
        stage_bundles(&ctx, &admission.same, &sources)?;
        return settle(bench, engine, watch);
    }
    let change = AppCommand::Change { moves: admission.moves, order: order(), switch: true };
    let rest = act(bench, engine, watch, change, &sources)?;
    // And once more, so that what is left is taken away.
    settle(bench, engine, watch)?;
    Ok(rest)
}

/// init → db → web, as the issue has it.
pub(super) fn shop(web: &str) -> App {
    app("shop")
        .with("init", "init", r#"{"run":"once-per-release"}"#)
        .with("db", "db", r#"{"after":{"init":{"condition":"service_completed_successfully"}},
            "mounts":[{"what":{"kind":"volume","volume":"rows"},"target":"/rows"}],
            "health":{"command":["ask"],"interval":100,"timeout":100,"retries":1,"start_period":0}}"#)
        .with("web", web, r#"{"after":{"db":{"condition":"service_healthy"}},"ports":[{"container":80}],
            "health":{"command":["ask"],"interval":100,"timeout":100,"retries":1,"start_period":0}}"#)
        .but(|document| {
            document.volumes.insert(name("rows"), Default::default());
        })
}

pub(super) fn engine() -> FakeEngine {
    let engine = FakeEngine::default();
    engine.plan(|plan| {
        plan.starts.insert("init".to_owned(), FakeStart::Ends(0));
    });
    engine
}

/// Service names of what runs, without replica and hash.
fn running(engine: &FakeEngine) -> Vec<String> {
    let plain = |name: &String| name.split('-').nth(2).unwrap().to_owned();
    engine.running().iter().map(plain).collect()
}

fn no(text: &str) -> Execution {
    Execution { status: Some(1), output: text.to_owned() }
}

fn deeds_since(engine: &FakeEngine, from: usize) -> Vec<String> {
    let plain = |deed: &String| match deed.split_once(" sf-shop-") {
        Some((verb, rest)) => format!("{verb} {}", rest.split('-').next().unwrap()),
        None => deed.clone(),
    };
    engine.deeds()[from..].iter().map(plain).collect()
}

#[test]
fn an_app_is_installed_in_its_order_and_committed() {
    let (bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    let rest = install(&bench, &engine, &mut watch, &[&bench.bundle(&shop("one"), 1)]).unwrap();
    assert_eq!(rest.refused, None);
    assert_eq!(
        rest.journal.last.as_ref().unwrap().outcome,
        AppEnded::Updated,
        "{:?}",
        rest.journal.last
    );
    assert_eq!(running(&engine), ["db", "web"]);
    let starts: Vec<String> =
        deeds_since(&engine, 0).into_iter().filter(|deed| deed.starts_with("start")).collect();
    assert_eq!(starts, ["start init", "start db", "start web"]);
    assert_eq!(engine.complaints(), [] as [&str; 0]);
    let journal = saved(&bench);
    assert_eq!((journal.ran.len(), journal.ports["shop/web/80/tcp"] >= 30_000), (1, true));
    assert!(bench.data().join("shop/volumes/rows").is_dir());
    let status = apps_status(&bench.ctx_with(Some(&engine)), &journal, None);
    assert_eq!(status.apps[0].services.len(), 3);
    let states: Vec<&str> = status.apps[0].services.iter().map(|s| s.state.as_str()).collect();
    assert_eq!(states, ["done", "running", "running"]);
}

#[test]
fn an_update_starts_again_only_what_it_changes() {
    let (bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    install(&bench, &engine, &mut watch, &[&bench.bundle(&shop("one"), 1)]).unwrap();
    let before = engine.deeds().len();
    let rest = install(&bench, &engine, &mut watch, &[&bench.bundle(&shop("two"), 2)]).unwrap();
    assert_eq!(rest.journal.last.unwrap().outcome, AppEnded::Updated);
    let deeds = deeds_since(&engine, before);
    let touched = |verb: &str| {
        deeds.iter().filter_map(|d| d.strip_prefix(verb)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(touched("stop "), ["web"], "{deeds:?}");
    assert_eq!(touched("start "), ["init", "web"], "once in each release: {deeds:?}");
    assert_eq!(running(&engine), ["db", "web"]);
    assert_eq!(engine.complaints(), [] as [&str; 0]);
    let images = engine.world().now.images.len();
    assert_eq!(images, 4, "the one before is kept");
    install(&bench, &engine, &mut watch, &[&bench.bundle(&shop("three"), 3)]).unwrap();
    assert_eq!(engine.world().now.images.len(), 4, "and no more");
    assert_eq!(
        engine.world().now.containers.len(),
        3,
        "{:?}",
        engine.world().now.containers.keys()
    );
}

#[test]
fn a_release_that_is_never_well_comes_back_with_its_data() {
    let (bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    let with = |web: &str, schema: u32| {
        shop(web).but(|document| {
            let volume = document.volumes.get_mut(&name("rows")).unwrap();
            (volume.schema, volume.readable_by) = (schema, schema);
        })
    };
    install(&bench, &engine, &mut watch, &[&bench.bundle(&with("one", 1), 1)]).unwrap();
    let rows = bench.data().join("shop/volumes/rows/rows");
    std::fs::write(&rows, "of one").unwrap();
    engine.probes("web", no("no answer"));
    let bundle = bench.bundle(&with("two", 2), 2);
    // What the new release does to the data while it is on trial.
    let rest = install(&bench, &engine, &mut watch, &[&bundle]).unwrap();
    let last = rest.journal.last.as_ref().unwrap();
    assert_eq!(
        (last.outcome, last.reason),
        (AppEnded::RolledBack, Some(ReasonCode::ServiceUnhealthy))
    );
    assert!(
        last.detail.contains("shop/web") && last.detail.contains("no answer"),
        "{}",
        last.detail
    );
    assert_eq!(running(&engine), ["db", "web"]);
    assert_eq!(std::fs::read_to_string(&rows).unwrap(), "of one");
    assert_eq!(saved(&bench).live[&name("shop")].release_counter, 1);
    assert_eq!(engine.complaints(), [] as [&str; 0]);
    let again = install(&bench, &engine, &mut watch, &[&bundle]).unwrap_err();
    assert_eq!(again.code(), ReasonCode::RolledBackBefore);
}

#[test]
fn a_service_that_ends_in_its_trial_is_named_with_what_it_said() {
    let (bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    engine.plan(|plan| {
        plan.starts.insert("web".to_owned(), FakeStart::Ends(7));
    });
    let app = shop("one").but(|document| document.max_restarts = 0);
    let rest = install(&bench, &engine, &mut watch, &[&bench.bundle(&app, 1)]).unwrap();
    let last = rest.journal.last.unwrap();
    assert_eq!((last.outcome, last.reason), (AppEnded::RolledBack, Some(ReasonCode::ServiceEnded)));
    assert!(last.detail.contains("shop/web: it ended with 7"), "{}", last.detail);
    assert_eq!(running(&engine), [] as [&str; 0]);
    assert_eq!(saved(&bench).live, AppSet::new());
}

#[test]
fn a_service_that_is_not_well_in_its_time_is_late() {
    let (bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    engine.probes("db", no("starting"));
    let app = shop("one").but(|document| {
        document.deadline = 300;
        document.services.get_mut(&name("db")).unwrap().health.as_mut().unwrap().start_period =
            60_000;
    });
    let rest = install(&bench, &engine, &mut watch, &[&bench.bundle(&app, 1)]).unwrap();
    let last = rest.journal.last.unwrap();
    assert_eq!(last.reason, Some(ReasonCode::ServiceLate));
    assert!(last.detail.contains("shop/web: it is started when db is well"), "{}", last.detail);
}

#[test]
fn after_a_restart_of_the_device_the_supervisor_starts_the_set_in_its_order() {
    let (bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    install(&bench, &engine, &mut watch, &[&bench.bundle(&shop("one"), 1)]).unwrap();
    engine.restart();
    assert_eq!(running(&engine), [] as [&str; 0]);
    // Another boot: what was in memory is gone.
    std::fs::remove_dir_all(bench.ctx().run.join("apps")).unwrap();
    let before = engine.deeds().len();
    let (mut watch, mut journal) = (Supervisor::default(), saved(&bench));
    for _ in 0..50 {
        watch.turn(&bench.ctx_with(Some(&engine)), &mut journal).unwrap();
        if running(&engine).len() == 2 {
            break;
        }
    }
    assert_eq!(deeds_since(&engine, before), ["start db", "start web"], "init is not repeated");
    watch.turn(&bench.ctx_with(Some(&engine)), &mut journal).unwrap();
    let status = apps_status(&bench.ctx_with(Some(&engine)), &journal, None);
    assert_eq!(status.apps[0].state, AppState::Running, "{:?}", status.apps[0]);
}

#[test]
fn what_ends_or_is_unwell_is_started_again_and_told() {
    let (bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    install(&bench, &engine, &mut watch, &[&bench.bundle(&shop("one"), 1)]).unwrap();
    let mut journal = saved(&bench);
    let ctx = bench.ctx_with(Some(&engine));
    let web = engine.running().into_iter().find(|name| name.contains("web")).unwrap();
    engine.print(&web, "out of paper");
    assert!(engine.end(&web, 3, false));
    watch.turn(&ctx, &mut journal).unwrap();
    assert_eq!(running(&engine), ["db"], "after a pause");
    let status = apps_status(&ctx, &journal, None);
    assert_eq!(status.apps[0].state, AppState::Degraded);
    let told = status.apps[0].services.iter().find(|s| s.name == name("web")).unwrap();
    assert_eq!((told.text.as_str(), told.restarts), ("it ended with 3: out of paper", 1));
    let due = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while running(&engine) != ["db", "web"] && std::time::Instant::now() < due {
        std::thread::sleep(watch.turn(&ctx, &mut journal).unwrap());
    }
    assert_eq!(running(&engine), ["db", "web"]);
}

#[test]
fn an_engine_that_is_away_is_waited_for() {
    let (bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    install(&bench, &engine, &mut watch, &[&bench.bundle(&shop("one"), 1)]).unwrap();
    let mut journal = saved(&bench);
    engine.plan(|plan| plan.missing = true);
    let ctx = bench.ctx_with(Some(&engine));
    let pause = watch.turn(&ctx, &mut journal).unwrap();
    assert!(pause >= std::time::Duration::from_secs(1), "no storm: {pause:?}");
    assert_eq!(apps_status(&ctx, &journal, None).apps[0].state, AppState::Failed);
    settle(&bench, &engine, &mut watch).unwrap();
    engine.plan(|plan| plan.missing = false);
    watch.turn(&ctx, &mut journal).unwrap();
    assert_eq!(running(&engine), ["db", "web"]);
}

#[test]
fn a_damaged_layer_is_found_and_brought_in_again_by_the_same_bundle() {
    let (bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    let bundle = bench.bundle(&shop("one"), 1);
    install(&bench, &engine, &mut watch, &[&bundle]).unwrap();
    let ctx = bench.ctx_with(Some(&engine));
    stop_app(&ctx, &saved(&bench), &name("shop")).unwrap();
    let layer = *engine.world().now.layers.keys().next().unwrap();
    engine.damage(&layer);
    install(&bench, &engine, &mut watch, &[&bundle]).unwrap();
    assert_eq!(engine.world().now.damaged.len(), 0);
}

#[test]
fn stopping_goes_backwards_and_removing_leaves_the_data() {
    let (bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    install(&bench, &engine, &mut watch, &[&bench.bundle(&shop("one"), 1)]).unwrap();
    let ctx = bench.ctx_with(Some(&engine));
    let before = engine.deeds().len();
    let journal = saved(&bench).stopping(&name("shop")).unwrap();
    AppJournalStore::new(ctx.state).save(&journal).unwrap();
    stop_app(&ctx, &journal, &name("shop")).unwrap();
    assert_eq!(deeds_since(&engine, before), ["stop web", "stop db"]);
    watch.turn(&ctx, &mut saved(&bench)).unwrap();
    assert_eq!(running(&engine), [] as [&str; 0], "a person has stopped it");
    assert_eq!(apps_status(&ctx, &saved(&bench), None).apps[0].state, AppState::Stopped);
    let asks = [AppAsk::Remove { app: name("shop") }];
    let moves = admit(&ctx, &saved(&bench), &asks, Allowed::default()).unwrap().moves;
    let change = AppCommand::Change { moves, order: order(), switch: true };
    act(&bench, &engine, &mut watch, change, &[]).unwrap();
    settle(&bench, &engine, &mut watch).unwrap();
    assert_eq!(engine.complaints(), [] as [&str; 0]);
    assert!(bench.data().join("shop/volumes/rows").is_dir());
}

#[test]
fn a_store_that_was_lost_is_filled_again_from_bundles_that_were_kept() {
    let (mut bench, engine, mut watch) = (Bench::new(), engine(), Supervisor::default());
    bench.settings.keep_files = true;
    install(&bench, &engine, &mut watch, &[&bench.bundle(&shop("one"), 1)]).unwrap();
    let mut world = engine.world();
    (world.now, world.durable) = Default::default();
    engine.set_world(world);
    let (mut journal, ctx) = (saved(&bench), bench.ctx_with(Some(&engine)));
    let due = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut watch = Supervisor::default();
    while running(&engine) != ["db", "web"] && std::time::Instant::now() < due {
        std::thread::sleep(watch.turn(&ctx, &mut journal).unwrap());
    }
    assert_eq!(running(&engine), ["db", "web"]);
    assert_eq!(engine.world().now.images.len(), 3);
}
