//! The life of apps without an engine: the real decision, the real effects, a real program.

#![allow(clippy::unwrap_used)]

use super::begun_tests::{Systemctl, firmware};
use super::fixture::{App, Bench, Memory, app, plain_app};
use super::store::{AppJournalStore, AppStored};
use super::*;
use crate::engine::fake::FakeEngine;
use crate::model::{Digest, ReasonCode, Result};
use crate::update::{Allowed, Order};
use std::collections::BTreeMap;

fn saved(ctx: &AppContext<'_>) -> AppJournal {
    match AppJournalStore::new(ctx.state).load() {
        AppStored::Found(journal) => journal,
        AppStored::Absent => AppJournal::default(),
        AppStored::Lost => panic!("the journal is lost"),
    }
}

fn act(
    ctx: &AppContext<'_>,
    mut command: AppCommand,
    sources: &[BundleSource<'_>],
) -> Result<AppJournal> {
    let (mut watch, begun) = (Supervisor::default(), std::time::Instant::now());
    loop {
        let mut hands = DeviceExecutor::new(ctx, sources, &mut watch);
        let rest = drive_apps(saved(ctx), &command, &mut hands)?;
        if !rest.is_under_way() {
            return Ok(rest.journal);
        }
        assert!(begun.elapsed().as_secs() < 60, "it never comes to rest: {:?}", rest.journal.phase);
        command = AppCommand::Settle;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Installs a bundle, and comes to rest with all of it tidied up.
fn install(ctx: &AppContext<'_>, bundle: &[u8]) -> Result<AppJournal> {
    let source = Memory::new(bundle.to_vec());
    let head = read_bundle(ctx.trust, &source)?;
    let asks = [AppAsk::Install { head: &head, config: BTreeMap::new() }];
    let moves = admit(ctx, &saved(ctx), &asks, Allowed::default())?.moves;
    let sources = [BundleSource { digest: head.digest(), bytes: &source }];
    let change = AppCommand::Change { moves, order: Order::default(), switch: true };
    act(ctx, change, &sources)?;
    act(ctx, AppCommand::Settle, &[])
}

fn mcu(n: u8) -> App {
    let more = r#""kind":"command","command":{"program":"mcu","files":FILES,"timeout":20000}"#;
    plain_app("mcu", more, &[("fw", &format!("v{n}"))])
}

/// A device with a microcontroller.
fn board() -> Bench {
    let mut bench = Bench::new();
    let program = firmware(&bench);
    bench.settings.commands.insert("mcu".to_owned(), program);
    bench
}

fn read(bench: &Bench, name: &str) -> String {
    std::fs::read_to_string(bench.data().parent().unwrap().join(name)).unwrap_or_default()
}

fn verbs(bench: &Bench, from: usize) -> Vec<String> {
    let words = |line: &str| line.split(" before").next().unwrap().to_owned();
    let calls = read(bench, "calls");
    let mut all: Vec<String> = calls.lines().skip(from).map(words).collect();
    all.dedup();
    all
}

#[test]
fn bad_firmware_goes_back_to_the_one_before_and_is_remembered() {
    let bench = board();
    let ctx = bench.ctx();
    let journal = install(&ctx, &bench.bundle(&mcu(1), 1)).unwrap();
    assert_eq!(journal.last.unwrap().outcome, AppEnded::Updated);
    assert_eq!(read(&bench, "flash"), "v1");
    assert_eq!(verbs(&bench, 0), ["prepare v1", "start v1", "check v1"]);
    let before = read(&bench, "calls").lines().count();
    std::fs::write(bench.data().parent().unwrap().join("fail"), "check v2\n").unwrap();
    let journal = install(&ctx, &bench.bundle(&mcu(2), 2)).unwrap();
    let last = journal.last.clone().unwrap();
    assert_eq!(
        (last.outcome, last.reason),
        (AppEnded::RolledBack, Some(ReasonCode::ServiceUnhealthy))
    );
    assert!(last.detail.contains("the last line"), "{}", last.detail);
    assert_eq!(read(&bench, "flash"), "v1");
    let want = ["prepare v2", "stop v1", "start v2", "check v2", "stop v2", "start v1"];
    assert_eq!(verbs(&bench, before), want);
    assert_eq!(journal.refused.len(), 1);
    let trees = bench.data().join("mcu/trees");
    assert_eq!(std::fs::read_dir(trees).unwrap().count(), 1, "the bad one is gone");
}

#[test]
fn a_program_that_does_not_prepare_changes_nothing() {
    let bench = board();
    let ctx = bench.ctx();
    install(&ctx, &bench.bundle(&mcu(1), 1)).unwrap();
    std::fs::write(bench.data().parent().unwrap().join("fail"), "prepare v2\n").unwrap();
    let before = read(&bench, "calls").lines().count();
    let last = install(&ctx, &bench.bundle(&mcu(2), 2)).unwrap().last.unwrap();
    assert_eq!((last.outcome, last.reason), (AppEnded::Failed, Some(ReasonCode::HookVeto)));
    assert_eq!(verbs(&bench, before), ["prepare v2"]);
}

#[test]
fn after_a_reboot_the_program_is_asked_to_start_again_and_at_the_end_to_remove() {
    let bench = board();
    let ctx = bench.ctx();
    install(&ctx, &bench.bundle(&mcu(1), 1)).unwrap();
    std::fs::remove_dir_all(ctx.run.join("apps")).unwrap();
    let again = AppContext { boot_id: "boot-2".to_owned(), ..bench.ctx() };
    let before = read(&bench, "calls").lines().count();
    Supervisor::default().turn(&again, &mut saved(&ctx)).unwrap();
    assert_eq!(verbs(&bench, before), ["start v1", "check v1"]);
    let before = read(&bench, "calls").lines().count();
    let ask = [AppAsk::Remove { app: "mcu".parse().unwrap() }];
    let moves = admit(&again, &saved(&again), &ask, Allowed::default()).unwrap().moves;
    let gone = AppCommand::Change { moves, order: Order::default(), switch: true };
    act(&again, gone, &[]).unwrap();
    act(&again, AppCommand::Settle, &[]).unwrap();
    assert_eq!(verbs(&bench, before)[0], "stop v1");
}

#[test]
fn a_native_app_is_updated_and_one_that_does_not_start_goes_back() {
    let unit = |program: &str| format!("[Service]\nExecStart={program}\n");
    let web = |program: &str| {
        let more = r#""kind":"native","permissions":["native-programs"],"native":{"files":FILES,"units":["web.service"]}"#;
        plain_app("web", more, &[("bin/web", "program"), ("web.service", &unit(program))])
    };
    let (mut bench, systemd) = (Bench::new(), Systemctl::default());
    bench.settings.permissions.push("native-programs".parse().unwrap());
    let ctx = AppContext { runner: &systemd, ..bench.ctx() };
    let runs = || systemd.running("surefoot-app-web.web.service").unwrap_or_default();
    install(&ctx, &bench.bundle(&web("@ROOT@/bin/web --one"), 1)).unwrap();
    assert!(runs().contains("/bin/web --one"), "{}", runs());
    install(&ctx, &bench.bundle(&web("@ROOT@/bin/web --two"), 2)).unwrap();
    assert!(runs().contains("/bin/web --two") && runs().contains("VERSION=1.2"), "{}", runs());
    let last = install(&ctx, &bench.bundle(&web("/nowhere --three"), 3)).unwrap().last.unwrap();
    assert_eq!(last.outcome, AppEnded::RolledBack);
    assert!(runs().contains("/bin/web --two"), "{}", runs());
    assert_eq!(systemd.linked(), 1);
}

#[test]
fn a_store_that_is_empty_is_filled_from_bundles_that_were_kept_and_from_preloads() {
    let mut bench = Bench::new();
    for (keep, preload, good) in [(false, false, false), (true, false, true), (false, true, true)] {
        bench.settings.keep_files = keep;
        bench.settings.preload = Some(bench.data().with_file_name(format!("preload-{keep}")));
        let folder = bench.settings.preload.clone().unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        let n = u64::from(keep) + 2 * u64::from(preload) + 1;
        let bundle = bench.bundle(&app("shop"), n);
        if preload {
            std::fs::write(folder.join("shop.surefoot"), &bundle).unwrap();
        }
        let first = FakeEngine::default();
        install(&bench.ctx_with(Some(&first)), &bundle).unwrap();
        // The same device with another store.
        let other = FakeEngine::default();
        let ctx = bench.ctx_with(Some(&other));
        let generation = saved(&ctx).live[&"shop".parse().unwrap()].clone();
        let app = "shop".parse().unwrap();
        let digest: Digest = generation.digest;
        let moves = [AppMove { app, from: None, to: Some(generation) }];
        let filled = stage_bundles(&ctx, &moves, &[]);
        assert_eq!(filled.is_ok(), good, "{keep} {preload}: {filled:?}");
        assert_eq!(kept_file(&ctx, &moves[0].app, &digest).is_some(), good);
    }
}
