//! `check-update` and `update`: what a source of offers has for this device, and installing it.

use super::super::cancel::told;
use super::super::hands::rest;
use super::super::installation::{Installation, Installed};
use super::super::{come_to_rest, install_url};
use super::web::Web;
use super::{ChannelSource, Offer, Offers, Polled, Unheard, outbox};
use crate::device::World;
use crate::event::{Event, Sink};
use crate::model::{Class, Condition, Digest, Failure, ReasonCode, Result};
use crate::source::Tries;
use crate::source::channel::without_login;
use crate::update::{Allowed, Order, Phase, Reboot, Then, Wish};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What there is for this device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offering {
    /// The version of this answer's shape.
    pub v: u32,
    /// What is for it now.
    pub offers: Option<Released>,
    /// What will be.
    pub waits: Option<Pending>,
    /// What a person should know.
    #[serde(default)]
    pub findings: Vec<Condition>,
    /// What the channel has for the programs of this device: keys and values.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// One line for people.
    pub text: String,
}

/// A release that is offered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Released {
    /// As people call it.
    pub version: String,
    /// Orders releases.
    pub release_counter: u64,
    /// SHA-256 of its manifest.
    pub digest: Option<Digest>,
    /// Bytes of the whole artifact.
    pub size: u64,
    /// Where it is, without credentials.
    pub url: String,
    /// It waits for no window.
    pub critical: bool,
    /// What people should know.
    pub notes: String,
}

/// A release that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// As people call it.
    pub version: String,
    /// From when on, in seconds since 1970; nothing where nobody knows.
    pub until: Option<u64>,
    /// Why not now.
    pub why: String,
}

/// What `update` comes to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Updated {
    /// It was installed, or would be.
    Installed(Installed),
    /// There is nothing for this device now.
    Nothing(Offering),
}

impl Offering {
    fn of(polled: &Polled, dropped: Option<&str>) -> Offering {
        let offers = polled.now.as_ref().map(|offer| Released {
            version: offer.version.to_string(),
            release_counter: offer.counter,
            digest: offer.digest,
            size: offer.size,
            url: without_login(&offer.url),
            critical: offer.critical,
            notes: offer.notes.clone(),
        });
        let waits = polled.later.as_ref().map(|later| Pending {
            version: later.version.to_string(),
            until: later.until,
            why: later.why.clone(),
        });
        let later = waits
            .as_ref()
            .map_or_else(String::new, |w| format!(" {} waits: {}.", w.version, w.why));
        let dropped = dropped.map_or_else(String::new, |what| format!("{what} "));
        let text = match &offers {
            Some(offers) => format!("{dropped}{} is for this device now.{later}", offers.version),
            None => format!("{dropped}Nothing is for this device now.{later}"),
        };
        let (findings, options) = (polled.notes.clone(), polled.options.clone());
        Offering { v: 1, offers, waits, findings, options, text }
    }

    /// Why there is nothing to be done now, if so: for the exit status.
    pub fn nothing(&self) -> Option<ReasonCode> {
        match (&self.offers, &self.waits) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(ReasonCode::NotYet),
            (None, None) => Some(ReasonCode::NothingOffered),
        }
    }
}

/// Settles what a boot has decided, tells what waits to be told, and looks once. Returns also one sentence
/// about what was dropped.
fn look(
    world: &World,
    source: &mut dyn Offers,
    sink: &dyn Sink,
) -> std::result::Result<(Polled, Option<String>), Unheard> {
    world.booted()?;
    come_to_rest(world, sink)?;
    outbox::settle(world)?;
    outbox::deliver(world, source, sink)?;
    let polled = source.poll()?;
    let mut dropped = None;
    for action in &polled.cancelled {
        dropped = drop_where_it_waits(world, action, sink)?.or(dropped);
    }
    Ok((polled, dropped))
}

/// What was taken back and only waits, written or armed, is cancelled: its source has said so, and nothing
/// is wrong with this device. Returns a sentence about it.
fn drop_where_it_waits(world: &World, action: &str, sink: &dyn Sink) -> Result<Option<String>> {
    let waits = |world: &World| match world.load_journal().phase {
        Phase::Staged(work) | Phase::Switching { work, .. } => Some(work),
        _ => None,
    };
    let is_it =
        |digest: &Digest| digest.to_string() == action && outbox::was_offered(world, digest);
    if !waits(world).is_some_and(|work| is_it(&work.digest)) {
        return Ok(None);
    }
    let _lock = world.lock("update")?;
    let Some(work) = waits(world).filter(|work| is_it(&work.digest)) else { return Ok(None) };
    let by = outbox::offered_by(world, &work.digest).unwrap_or_default();
    let why = format!("withdrawn by {by}");
    let wish = Wish::Cancel { why: why.clone(), begun: Some(work.clone()) };
    if let Some(code) = rest(world, world.load_journal(), &wish, None, sink)?.refused {
        return Err(Failure::new(code, code.meaning()));
    }
    told(&work, &why, sink);
    outbox::settle(world)?;
    Ok(Some(format!("{} was {why} and is dropped.", work.to)))
}

/// What there is for this device now, and later. Installs nothing.
pub fn check_update(world: &World, web: &dyn Web, sink: &dyn Sink) -> Result<Offering> {
    let mut source = ChannelSource::of(world, web)?;
    let (polled, dropped) = look(world, &mut source, sink).map_err(|why| why.failure)?;
    Ok(Offering::of(&polled, dropped.as_deref()))
}

/// Installs what is for this device now, as `order` says.
pub fn update(
    world: &World,
    web: &dyn Web,
    dry_run: bool,
    order: Order,
    sink: &dyn Sink,
) -> Result<Updated> {
    let mut source = ChannelSource::of(world, web)?;
    let (polled, dropped) = look(world, &mut source, sink).map_err(|why| why.failure)?;
    let Some(offer) = &polled.now else {
        // The answer has the notes.
        return Ok(Updated::Nothing(Offering::of(&polled, dropped.as_deref())));
    };
    for note in &polled.notes {
        sink.emit(&Event::Warning { text: note.text.clone() });
    }
    let installed = bring(world, web, offer, dry_run, order, sink);
    if !dry_run {
        // Nobody waits for a report.
        outbox::deliver(world, &mut source, sink)?;
    }
    installed.map(Updated::Installed)
}

fn bring(
    world: &World,
    web: &dyn Web,
    offer: &Offer,
    dry_run: bool,
    order: Order,
    sink: &dyn Sink,
) -> Result<Installed> {
    if !dry_run {
        outbox::begin(world, offer)?;
    }
    let ask = Installation {
        url: Some(offer.delta.as_ref().unwrap_or(&offer.url).clone()),
        full: offer.delta.is_some().then(|| offer.url.clone()),
        order,
        hold_ok: false,
        anew: false,
        only: None,
        expected: offer.digest,
        then: Then::Switch,
        allowed: Allowed::default(),
        dry_run,
        apps: None,
    };
    let done = install_url(world, web, Tries::Minute, ask, sink);
    if let Err(failure) = &done
        && !dry_run
    {
        outbox::refused(world, offer, failure)?;
    }
    done
}

/// Whether the installation that did not finish is one that this device has begun by itself, as its source
/// offered it: the next look goes on with it.
pub fn goes_on_by_itself(world: &World) -> bool {
    match world.load_journal().phase {
        Phase::Installing(work) => work.order.automatic && outbox::was_offered(world, &work.digest),
        _ => false,
    }
}

/// What a device does by itself: one look, and the installation of what is for it now. Returns after how
/// long the source wants to be asked again, where it says so.
pub fn automatic(
    world: &World,
    web: &dyn Web,
    sink: &dyn Sink,
) -> std::result::Result<Option<Duration>, Unheard> {
    let mut source = ChannelSource::of(world, web)?;
    let (polled, _) = look(world, &mut source, sink)?;
    // The beginning of a phase is not looked for: its devices would all come at once.
    let again = polled.again;
    let Some(offer) = polled.now.as_ref().filter(|offer| !outbox::was_refused(world, offer)) else {
        return Ok(again);
    };
    // It waits already, written or armed. What is half written is gone on with.
    let journal = world.load_journal();
    let half = matches!(journal.phase, Phase::Installing(_));
    // What a person has left half written goes on with the same release or makes way for a newer one: who
    // was to bring the rest may never come back.
    let theirs = journal.work().filter(|work| half && !work.order.automatic);
    if theirs.is_some_and(|work| work.to.release_counter > offer.counter) {
        return Ok(again);
    }
    if !half && journal.work().is_some_and(|work| Some(work.digest) == offer.digest) {
        return Ok(again);
    }
    let reboot = if offer.critical { Reboot::Now } else { world.settings.reboot };
    let order = Order { by: offer.by.clone(), automatic: true, reboot, drill: None };
    match bring(world, web, offer, false, order, sink) {
        Ok(_) => {}
        Err(failure) if failure.code() == ReasonCode::Cancelled => {}
        Err(failure) => {
            let (reason, text) = (failure.code(), failure.detail().to_owned());
            sink.emit(&Event::Refused { reason, text });
            // A spent budget says nothing of the server: it is looked at as usual, for what is critical.
            if failure.code().class() == Class::Retry && failure.code() != ReasonCode::BudgetSpent {
                return Err(failure.into());
            }
        }
    }
    outbox::deliver(world, &mut source, sink)?;
    Ok(again)
}
