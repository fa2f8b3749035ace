//! Bundles that lie on the data partition: they are installed at the first start, without a network.

use super::super::install::install;
use super::super::installation::{AppsWords, Installation};
use crate::apps::AppJournal;
use crate::device::World;
use crate::event::{Event, Sink};
use crate::model::{Class, ReasonCode, Result};
use crate::source::Source;
use crate::update::{Allowed, Order, Then};
use std::path::{Path, PathBuf};

/// More bundles than a device has apps are not looked at.
const MOST: usize = 64;

/// The bundles that lie there, by name.
fn bundles(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|x| x == "surefoot"))
        .take(MOST)
        .collect();
    found.sort();
    found
}

/// Whether bundles are to be installed from there: this device never had an app.
pub fn has_preloads(world: &World) -> bool {
    let folder = world.settings.apps.preload.as_deref();
    let never = world.apps_journal().is_some_and(|journal| journal == AppJournal::default());
    never && folder.is_some_and(|folder| !bundles(folder).is_empty())
}

/// Installs them, each by itself; one that requires another waits for it. What is refused is told and left where it lies.
/// Fails only where all of it is to be tried again later: the engine is not up yet, or something else is at work.
pub fn preload(world: &World, sink: &dyn Sink) -> Result<()> {
    let Some(folder) = &world.settings.apps.preload else { return Ok(()) };
    let mut left = bundles(folder);
    loop {
        let before = left.len();
        let mut refused = Vec::new();
        for path in left {
            match bring(world, &path, sink) {
                Ok(()) => {}
                Err(failure) if failure.code() == ReasonCode::AppRequires => {
                    refused.push((path, failure));
                }
                Err(failure) if is_passing(failure.code()) => return Err(failure),
                Err(failure) => {
                    let (reason, text) = (failure.code(), failure.at(path.display()));
                    let text = text.detail().to_owned();
                    sink.emit(&Event::Refused { reason, text });
                }
            }
        }
        if refused.is_empty() || refused.len() == before {
            for (path, failure) in refused {
                let (reason, text) = (failure.code(), failure.at(path.display()));
                let text = text.detail().to_owned();
                sink.emit(&Event::Refused { reason, text });
            }
            return Ok(());
        }
        left = refused.into_iter().map(|(path, _)| path).collect();
    }
}

/// Whether it may well be possible later.
fn is_passing(code: ReasonCode) -> bool {
    let passes = [ReasonCode::EngineMissing, ReasonCode::TrialPending, ReasonCode::Held];
    passes.contains(&code) || code.class() == Class::Busy
}

fn bring(world: &World, path: &Path, sink: &dyn Sink) -> Result<()> {
    let ask = Installation {
        then: Then::Switch,
        allowed: Allowed::default(),
        order: Order { by: "preload".to_owned(), ..Order::default() },
        hold_ok: false,
        anew: false,
        url: None,
        full: None,
        only: None,
        expected: None,
        dry_run: false,
        apps: Some(AppsWords::default()),
    };
    install(world, Source::open(path)?, ask, sink).map(|_| ())
}
