//! Bundles that lie on the data partition: each is installed once, at a start of the daemon, without a network.

use super::bring::{How, change};
use super::gear::Gear;
use super::journal::found;
use crate::apps::{
    AppAsk, BundleHead, BundleSource, ReadyBundle, plan_preloads, preloads as preloads_of,
    read_bundle,
};
use crate::artifact::read_head;
use crate::device::World;
use crate::device::hands;
use crate::event::{Event, Sink};
use crate::install::{Depth, check_file};
use crate::model::{Class, Digest, Failure, ReasonCode, Result};
use crate::source::{LocalFile, Sequential, Source};
use crate::sys::stop::Stop;
use crate::update::{Allowed, Order};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One of them.
struct Ready {
    path: PathBuf,
    file: LocalFile,
    head: BundleHead,
}

/// Whether anything lies there.
pub fn has_preloads(world: &World) -> bool {
    let folder = world.settings.apps.preload.as_ref();
    let entries = folder.into_iter().flat_map(|f| std::fs::read_dir(f).into_iter().flatten());
    entries.flatten().any(|entry| entry.path().extension().is_some_and(|x| x == "surefoot"))
}

/// Installs those that were not taken before and whose app is not here; those that require each other in one change. One
/// that cannot be installed is told, stays where it lies, and is not tried again. An error is what passes by itself: all
/// of it may be asked for again. `last`: it has not passed for long enough, but for what says nothing about a bundle.
pub fn preload(world: &World, last: bool, sink: &dyn Sink) -> Result<()> {
    let mut waits = None;
    let groups = ready(world, sink)?;
    for group in groups {
        let digests: BTreeSet<Digest> = group.iter().map(|one| one.head.digest()).collect();
        match together(world, &group, sink) {
            Ok(()) => taken(world, &digests, sink)?,
            Err(failure) if passes(failure.code(), last) => waits = waits.or(Some(failure)),
            Err(failure) => {
                let names: Vec<String> =
                    group.iter().map(|one| one.path.display().to_string()).collect();
                let reason = failure.code();
                let text = format!("{}: {}", names.join(", "), failure.detail());
                sink.emit(&Event::Refused { reason, text });
                taken(world, &digests, sink)?;
            }
        }
    }
    waits.map_or(Ok(()), Err)
}

/// Whether it may well be possible later.
fn passes(code: ReasonCode, last: bool) -> bool {
    let never_the_bundle = [
        ReasonCode::EngineMissing,
        ReasonCode::TrialPending,
        ReasonCode::Held,
        ReasonCode::NotHeld,
        ReasonCode::Interrupted,
        ReasonCode::StateNotDurable,
    ];
    never_the_bundle.contains(&code)
        || code.class() == Class::Busy && code != ReasonCode::HookLater
        || !last && matches!(code.class(), Class::Retry | Class::Busy)
}

/// What is to be installed, in groups. What is settled already is written down.
fn ready(world: &World, sink: &dyn Sink) -> Result<Vec<Vec<Ready>>> {
    let gear = Gear::of(world)?;
    let ctx = gear.context(sink);
    let journal = found(&gear, sink)?;
    let mut all = Vec::new();
    for path in preloads_of(&ctx) {
        let opened = LocalFile::open(&path);
        let read = opened.and_then(|file| Ok((read_bundle(ctx.trust, &file)?, file)));
        match read {
            Ok((head, _)) if head.is_development() && !ctx.held => {}
            Ok((head, file)) => all.push(Ready { path, file, head }),
            // A release of a system waits there for a person, and the first boot has judged each of them.
            Err(failure) => log::info!("{} is no preload of an app: {failure}", path.display()),
        }
    }
    let known = all.iter().map(|one| ReadyBundle::of(&one.head)).collect();
    let plan = plan_preloads(&journal, &journal.set_of(gear.booted()), known);
    if !plan.settled.is_empty() {
        taken(world, &plan.settled, sink)?;
    }
    let mut take = |digest: &Digest| {
        let at = all.iter().position(|one| one.head.digest() == *digest)?;
        Some(all.swap_remove(at))
    };
    let groups = plan.together.iter();
    Ok(groups.map(|group| group.iter().filter_map(|one| take(&one.digest)).collect()).collect())
}

/// They do not come by themselves again.
fn taken(world: &World, digests: &BTreeSet<Digest>, sink: &dyn Sink) -> Result<()> {
    let _held = world.lock_within("apps preload", Duration::from_secs(5))?;
    let mut journal = found(&Gear::of(world)?, sink)?;
    journal.preloaded.extend(digests);
    world.apps_store().save(&journal)
}

/// Brings the bundles of one group in one change.
fn together(world: &World, group: &[Ready], sink: &dyn Sink) -> Result<()> {
    let order = Order { by: "preload".to_owned(), automatic: true, ..Order::default() };
    let held = world.lock_for("apps preload", &order.by, true, Duration::from_millis(200))?;
    Stop::default().over(|| hands::settle(world, sink))?;
    if let Some(hold) = world.hold().filter(|_| !group.iter().all(|o| o.head.is_development())) {
        return Err(Failure::new(ReasonCode::Held, hold.text()));
    }
    let names: Vec<&str> = group.iter().map(|one| one.head.app().as_str()).collect();
    held.announce_app(
        &names.join(", "),
        0,
        group.first().map_or(Digest::NONE, |o| o.head.digest()),
    );
    let config = BTreeMap::new;
    let asks: Vec<AppAsk<'_>> =
        group.iter().map(|one| AppAsk::Install { head: &one.head, config: config() }).collect();
    let sources: Vec<BundleSource<'_>> = group
        .iter()
        .map(|one| BundleSource { digest: one.head.digest(), bytes: &one.file })
        .collect();
    let how =
        How { order, allowed: Allowed::default(), stage: false, force: false, dry_run: false };
    let telling = held.telling(sink);
    let gear = Gear::of(world)?;
    match held.stop.over(|| change(&gear, &asks, &sources, &how, &telling)) {
        Err(failure) if failure.code() == ReasonCode::AlreadyInstalled => Ok(()),
        done => done.map(drop),
    }
}

/// What a file is that the image has brought, in words: a release of a system that can be installed, or a bundle that the
/// daemon installs. Every stored byte is looked at, and not whether the device is well.
pub fn judge_preload(world: &World, path: &Path, sink: &dyn Sink) -> Result<&'static str> {
    let file = LocalFile::open(path)?;
    let head = read_head(&mut Sequential::new(&file))?;
    let is_app = head.clone().verify(&world.trust()?).is_ok_and(|r| r.manifest.app.is_some());
    if !is_app {
        crate::device::examine(world, Source::open(path)?, sink)?;
        return Ok("can be installed");
    }
    let bundle = read_bundle(&world.trust()?, &file)?;
    let (manifest, device) = (&bundle.release().manifest, &world.settings.device);
    if manifest.product != device.product || !manifest.compatible.contains(&device.compatible) {
        let text = format!("it is for {}, and this device is {}", manifest.product, device.product);
        return Err(Failure::new(ReasonCode::WrongProduct, text));
    }
    check_file(&file, bundle.release(), Depth::Decoded, sink)?;
    Ok("is installed at the start of the daemon")
}
