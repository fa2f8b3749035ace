//! An installation that was begun and whose process is gone: what it was asked, and whether its
//! source is still there, so that the daemon goes on with it.

use super::installation::Installation;
use super::look::rested;
use super::world::World;
use crate::model::{Digest, Failure, ReasonCode, Result, StateFile, WithReason, printable};
use crate::sys::durable;
use crate::update::{Allowed, Phase, Then, Work};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// More than any order needs.
const LIMIT: u64 = StateFile::BEGUN.limit;

/// What was asked for, as it is kept over a power cut.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Begun {
    artifact: Option<Digest>,
    /// The file that the artifact comes from; `None` for a stream, which nobody can read again.
    path: Option<PathBuf>,
    /// Where it is fetched from; none with credentials, which are kept nowhere.
    url: Option<String>,
    stage: bool,
    hold_ok: bool,
    older: bool,
    reinstall: bool,
    retry_rolled_back: bool,
}

/// Where the rest comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A file of this device.
    File(PathBuf),
    /// A file on a server.
    Url(String),
}

/// What the daemon can do about an installation that did not finish.
pub enum Unfinished {
    /// Go on with this file or this URL.
    GoesOn(Origin, Box<Installation>),
    /// Only whoever brought it can.
    Waits(String),
}

impl World {
    fn begun_installation(&self) -> PathBuf {
        StateFile::BEGUN.within(&self.settings.device.state)
    }
}

impl Begun {
    /// What is asked here, of the file with this path if it is one.
    pub(super) fn of(ask: &Installation, path: Option<PathBuf>) -> Begun {
        let Allowed { older, reinstall, retry_rolled_back, .. } = ask.allowed;
        // One that cannot be written down as text is brought again by a person.
        let path = path.filter(|path| path.to_str().is_some());
        let (stage, hold_ok) = (ask.then == Then::Stage, ask.hold_ok);
        // The full artifact leads to its delta again.
        let url = ask.full.clone().or_else(|| ask.url.clone());
        let url = url.filter(|url| !url.contains('@'));
        Begun { artifact: None, path, url, stage, hold_ok, older, reinstall, retry_rolled_back }
    }

    /// Keeps it, before the first byte that counts is touched.
    pub(super) fn keep(self, world: &World, work: &Work) -> Result<()> {
        let begun = Begun { artifact: Some(work.digest), ..self };
        let bytes = serde_json::to_vec(&begun).reason(ReasonCode::Internal, "begun")?;
        let file = world.begun_installation();
        // Each life of a flash counts its writes.
        match durable::read(&file, LIMIT) {
            Ok(Some(kept)) if kept == bytes => Ok(()),
            _ => durable::write(&file, &bytes),
        }
    }
}

/// A person has stopped it at the keyboard: it is theirs to go on with.
pub(super) fn forget(world: &World) -> Result<()> {
    let bytes = serde_json::to_vec(&Begun::default()).reason(ReasonCode::Internal, "begun")?;
    durable::write(&world.begun_installation(), &bytes)
}

/// What can be done about the installation that did not finish; `None` where there is none.
pub fn unfinished(world: &World) -> Result<Option<Unfinished>> {
    let Phase::Installing(work) = rested(world)?.phase else { return Ok(None) };
    let bytes = durable::read(&world.begun_installation(), LIMIT).ok().flatten();
    let begun = bytes.and_then(|b| crate::model::document::<Begun>(&b)).unwrap_or_default();
    let waits = |what: String| Ok(Some(Unfinished::Waits(what)));
    let same = begun.artifact == Some(work.digest);
    let origin = match (begun.path, begun.url) {
        (Some(path), _) if same => {
            // What lies there is installed anyway, and first when it is its turn.
            if path.starts_with(&world.settings.inbox) {
                return Ok(None);
            }
            if !path.is_file() {
                let text =
                    format!("the rest of {}: {} is not there any more", work.to, path.display());
                return waits(printable(&text, 400));
            }
            Origin::File(path)
        }
        (None, Some(url)) if same => Origin::Url(url),
        _ => {
            let text =
                format!("the rest of {}: send the same artifact again, and it goes on", work.to);
            return waits(text);
        }
    };
    let Begun { older, reinstall, retry_rolled_back, .. } = begun;
    let ask = Installation {
        then: if begun.stage { Then::Stage } else { Then::Switch },
        allowed: Allowed { older, reinstall, retry_rolled_back },
        order: work.order,
        hold_ok: begun.hold_ok,
        anew: false,
        dry_run: false,
        only: Some(work.digest),
        url: match &origin {
            Origin::Url(url) => Some(url.clone()),
            Origin::File(_) => None,
        },
        full: None,
        expected: None,
        apps: None,
    };
    Ok(Some(Unfinished::GoesOn(origin, Box::new(ask))))
}

/// Refuses what has taken the place of the file that was begun.
pub(super) fn is_the_same(only: Option<Digest>, found: &Digest) -> Result<()> {
    match only.is_none_or(|only| only == *found) {
        true => Ok(()),
        false => {
            let text = "another artifact has taken the place of the one that was begun";
            Err(Failure::new(ReasonCode::NoSuchFile, text))
        }
    }
}
