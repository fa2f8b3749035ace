//! What is to be told to the source of offers: kept until it was told, over reboots and while there is no
//! network. How an action ended is known only when the journal says so, after the new system was committed
//! or the old one has come back.

use super::{Offer, Offers, Said, Word};
use crate::device::World;
use crate::event::{Event, Sink};
use crate::model::{
    Class, Digest, Failure, ReasonCode, Result, StateFile, WithReason, document, printable,
};
use crate::source::channel::{End, Report, resolve};
use crate::sys::durable;
use crate::update::{Ended, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Words that wait; more push out the oldest that tells no end.
const WORDS: usize = 64;
/// Actions that have not ended.
const OPEN: usize = 8;
/// Actions that were refused for good.
const REFUSED: usize = 16;
/// As many characters of a detail are told: all words together stay below what the file may have.
const DETAIL: usize = 500;

/// `outcomes.json`: replaced in one step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Outbox {
    v: u32,
    /// Where the channel wants reports, as it stands there.
    report: Option<String>,
    /// Actions that were begun.
    open: Vec<Begun>,
    /// What is to be told, oldest first.
    words: Vec<Word>,
    /// Actions whose artifact could not be accepted: not begun again by themselves while nothing new is
    /// published.
    refused: Vec<String>,
}

/// An action that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    action: String,
    by: String,
    version: String,
    digest: Digest,
    /// How often this release had ended here before.
    before: usize,
    /// When it was begun, in seconds since 1970.
    #[serde(default)]
    at: u64,
}

fn load(world: &World) -> Outbox {
    let path = StateFile::OUTCOMES.within(&world.settings.device.state);
    let bytes = durable::read(&path, StateFile::OUTCOMES.limit).ok().flatten();
    bytes.and_then(|bytes| document(&bytes)).unwrap_or_default()
}

fn change(world: &World, change: impl FnOnce(&mut Outbox)) -> Result<()> {
    let before = load(world);
    let mut outbox = before.clone();
    change(&mut outbox);
    outbox.bound();
    if outbox == before {
        return Ok(());
    }
    outbox.v = 1;
    let text = serde_json::to_string(&outbox).reason(ReasonCode::Internal, "outcomes")?;
    world.state_folder()?;
    durable::write(&StateFile::OUTCOMES.within(&world.settings.device.state), text.as_bytes())
}

impl Outbox {
    fn bound(&mut self) {
        while self.words.len() > WORDS {
            let told = |word: &Word| !matches!(word.said, Said::Ended(_));
            let at = self.words.iter().position(told).unwrap_or(0);
            self.words.remove(at);
        }
        let surplus = self.open.len().saturating_sub(OPEN);
        self.open.drain(..surplus);
        let surplus = self.refused.len().saturating_sub(REFUSED);
        self.refused.drain(..surplus);
    }
}

/// Where reports go: what the configuration says, or what the channel has said last.
pub(super) fn address(world: &World) -> Option<String> {
    let source = &world.settings.source;
    let told = || resolve(source.channel.as_deref()?, &load(world).report?).ok();
    source.report.clone().or_else(told)
}

/// Remembers where the channel wants reports.
pub(super) fn report_to(world: &World, address: Option<String>) -> Result<()> {
    change(world, |outbox| outbox.report = address)
}

fn ends(world: &World, digest: &Digest) -> Result<Vec<Outcome>> {
    let mut all = super::super::history(world)?;
    all.retain(|outcome| outcome.work.digest == *digest);
    Ok(all)
}

/// Before an action is begun: the source is to hear of it, and how it ends.
pub(super) fn begin(world: &World, offer: &Offer) -> Result<()> {
    let Some(digest) = offer.digest else { return Ok(()) };
    let before = ends(world, &digest)?.len();
    let begun = Begun {
        action: offer.action.clone(),
        by: offer.by.clone(),
        version: offer.version.to_string(),
        digest,
        before,
        at: world.now(),
    };
    let word = word(world, &begun, Said::Begun, None);
    change(world, |outbox| {
        // Gone on with: it was told already.
        if !outbox.open.iter().any(|known| known.action == begun.action) {
            outbox.open.push(begun);
            outbox.words.extend(word);
        }
    })
}

/// After an action could not be installed. What may fare better later stays open.
pub(super) fn refused(world: &World, offer: &Offer, why: &Failure) -> Result<()> {
    let for_good = matches!(why.code().class(), Class::Reject | Class::Usage);
    let outbox = load(world);
    let Some(begun) = outbox.open.iter().find(|b| b.action == offer.action && for_good) else {
        return Ok(());
    };
    let word = word(world, begun, Said::Ended(End::Failed), Some((why.code(), why.detail())));
    change(world, |outbox| {
        outbox.open.retain(|b| b.action != offer.action);
        outbox.words.extend(word);
        outbox.refused.push(offer.action.clone());
    })
}

/// Whether something waits to be told, or has ended and is to be.
pub fn has_words(world: &World) -> bool {
    let outbox = load(world);
    !outbox.words.is_empty() || !outbox.open.is_empty()
}

/// What was refused may be begun again: the channel was published anew, and what lay on a server or in a cache
/// before it may be whole now.
pub(super) fn forgive(world: &World) -> Result<()> {
    change(world, |outbox| outbox.refused.clear())
}

/// Whether an action was refused, and nothing was published since.
pub(super) fn was_refused(world: &World, offer: &Offer) -> bool {
    load(world).refused.contains(&offer.action)
}

/// Whether what has this digest came from a source of offers.
pub(super) fn was_offered(world: &World, digest: &Digest) -> bool {
    offered_by(world, digest).is_some()
}

/// The source of offers that what has this digest came from: `channel stable`.
pub(super) fn offered_by(world: &World, digest: &Digest) -> Option<String> {
    load(world).open.into_iter().find(|begun| begun.digest == *digest).map(|begun| begun.by)
}

/// Queues the ends of what was begun, as far as the journal knows them.
pub(super) fn settle(world: &World) -> Result<()> {
    for begun in load(world).open {
        let known = ends(world, &begun.digest)?;
        let Some(last) = known.last().filter(|_| known.len() > begun.before) else { continue };
        let end = match last.outcome {
            Ended::Updated => End::Updated,
            Ended::RolledBack => End::RolledBack,
            // A person, a program of the integrator or a newer release has ended it.
            Ended::Failed if last.reason == Some(ReasonCode::Requested) => End::Stopped,
            Ended::Failed => End::Failed,
            Ended::Cancelled | Ended::Vetoed | Ended::Superseded => End::Stopped,
        };
        let why = last.reason.map(|code| (code, last.detail.as_str()));
        let word = word(world, &begun, Said::Ended(end), why);
        change(world, |outbox| {
            outbox.open.retain(|b| b.action != begun.action);
            outbox.words.extend(word);
        })?;
    }
    Ok(())
}

/// Tells what waits, oldest first, until something cannot be told. A cut after a word was told and before
/// that is kept tells it again.
pub(super) fn deliver(world: &World, source: &mut dyn Offers, sink: &dyn Sink) -> Result<()> {
    for word in load(world).words {
        match source.tell(&word) {
            Ok(_) => {}
            // A server that refuses a word will refuse it again.
            Err(why) if why.failure.code().class() == Class::Reject => {
                let (what, version) = (word.said.told(), &word.report.version);
                let text = format!("the report that {version} {what} is dropped: {}", why.failure);
                sink.emit(&Event::Warning { text });
            }
            Err(why) => {
                log::info!("reports wait: {}", why.failure);
                return Ok(());
            }
        }
        change(world, |outbox| outbox.words.retain(|other| *other != word))?;
    }
    Ok(())
}

fn word(world: &World, begun: &Begun, said: Said, why: Option<(ReasonCode, &str)>) -> Option<Word> {
    let report = Report {
        v: 1,
        device: world.device_id().ok()?,
        product: world.settings.device.product.clone(),
        channel: begun.by.clone(),
        // A device without a battery ends in 1970 what it has begun today.
        at: world.now().max(begun.at),
        version: begun.version.clone(),
        digest: Some(begun.digest),
        end: match said {
            Said::Ended(end) => Some(end),
            _ => None,
        },
        reason: why.map(|(code, _)| code.to_string()),
        detail: why.map_or_else(String::new, |(_, detail)| printable(detail, DETAIL)),
        // They are told as they are when it is told.
        options: BTreeMap::new(),
    };
    Some(Word { action: begun.action.clone(), said, report })
}
