//! The ways by which a release can come over a network: a delta, what the device has not of the artifact, or
//! all of it. The one that fetches less is taken, another one where it does not help, and all bytes count.

use super::beside::{Instead, delta_name, shown};
use super::installation::Installation;
use super::near::{Near, distance};
use super::offer::{self, Offer};
use super::offers::Web;
use super::unfinished::Origin;
use super::world::World;
use crate::artifact::Release;
use crate::event::{Event, Nowhere, Sink};
use crate::install::{Plan, Reuse, estimate};
use crate::model::{Digest, Failure, ReasonCode, Result, SlotId};
use crate::source::{Budget, Source, Tries};
use crate::sys::stop;
use crate::update::Work;

/// Counts the bytes of all answers of one source.
type Counter = Box<dyn Fn() -> u64 + Send + Sync>;

/// What is known of an installation over all its ways.
#[derive(Default)]
pub(super) struct Ways<'a> {
    /// What opens URLs, and how often it tries; none where no URL is in the game.
    pub(super) web: Option<(&'a dyn Web, Tries)>,
    /// What was begun under the lock.
    pub(super) begun: Option<Work>,
    /// The release that a delta makes, as its own signature says.
    pub(super) makes: Option<Digest>,
    /// What takes the place of a delta that does not help.
    pub(super) instead: Option<Instead>,
    /// No other way is looked for any more.
    pub(super) decided: bool,
    counters: Vec<Counter>,
    /// The counter of the source that is read.
    current: usize,
}

impl<'a> Ways<'a> {
    /// Those of an installation whose URLs are opened by `web`.
    pub(super) fn over(web: Option<(&'a dyn Web, Tries)>) -> Ways<'a> {
        Ways { web, ..Ways::default() }
    }

    /// The same begun anew: nothing but the bytes that came so far is kept.
    pub(super) fn anew(self) -> Ways<'a> {
        Ways { counters: self.counters, ..Ways::over(self.web) }
    }

    /// A source was opened, and is read from now on.
    pub(super) fn counts(&mut self, source: &Source) {
        self.current = self.counters.len();
        self.counters.extend(source.counter());
    }

    /// Bytes of all answers; `None` where there is no network.
    pub(super) fn received(&self) -> Option<u64> {
        let fruitless = self.web.map_or(0, |(web, _)| web.fruitless());
        let all = || fruitless + self.counters.iter().map(|received| received()).sum::<u64>();
        (!self.counters.is_empty()).then(all)
    }

    /// Those of other sources than the one that is read.
    pub(super) fn elsewhere(&self) -> u64 {
        let own = self.counters.get(self.current).map_or(0, |received| received());
        self.received().unwrap_or(0).saturating_sub(own)
    }

    /// Opens the full artifact, and what is asked of it: the release that was offered, else the one that the
    /// delta makes, and no other. Its name for people, without what a URL may hide.
    pub(super) fn open_full(
        &self,
        full: &Origin,
        ask: Installation,
    ) -> Result<(Source, Installation, String)> {
        let ask = Installation { expected: ask.expected.or(self.makes), full: None, ..ask };
        match full {
            Origin::File(path) => Ok((Source::open(path)?, ask, path.display().to_string())),
            Origin::Url(url) => {
                let none = || Failure::new(ReasonCode::NoNetwork, "no URL is opened here");
                let (web, tries) = self.web.ok_or_else(none)?;
                let ask = Installation { url: Some(url.clone()), ..ask };
                Ok((web.artifact(url, tries)?, ask, shown(url).to_owned()))
            }
        }
    }

    /// Goes on with another source than was opened first.
    fn takes(&mut self, offer: &mut Offer, other: Offer) {
        (offer.source, offer.delta, offer.millis) = (other.source, other.delta, other.millis);
        self.decided = true;
    }

    /// Takes the shorter way, where a server has both: before a chunk is fetched. `slot` is written, with what
    /// `reuse` says of it. Fails where the slot cannot be read; a way that is not there is none.
    pub(super) fn choose(
        &mut self,
        world: &World,
        ask: &Installation,
        offer: &mut Offer,
        (plan, slot, reuse): (&Plan, SlotId, &Reuse),
        sink: &dyn Sink,
    ) -> Result<()> {
        if self.decided || self.web.is_none() {
            return Ok(());
        }
        let needs = |source: &Source, release: &Release, delta: bool| {
            if distance(source).is_none() && !delta {
                return Ok(release.artifact_len());
            }
            let (near, target) = (Near::of(world, slot.other()), world.parts(slot)?);
            let other = near.as_ref().map(Near::copied_from);
            estimate(release, plan, &target, reuse, other, &Nowhere)
        };
        let own = self.current;
        if let Some(from) = &offer.delta {
            let Some(Instead { origin: Origin::Url(url), .. }) = self.instead.clone() else {
                return Ok(());
            };
            let head = offer.release.head_bytes_without_table().len() as u64;
            let fetched = needs(&offer.source, &offer.release, true)? + head;
            let shorter = fetched < from.delta.file_len();
            if (shorter || !fits_a_day(world, from.delta.file_len()))
                && let Some(full) = self.look(world, (&url, false), &offer.release, sink)?
            {
                log::info!("{}: {fetched} bytes without a delta", shown(&url));
                self.instead = None;
                self.takes(offer, full);
                return Ok(());
            }
            self.current = own;
            return Ok(());
        }
        // An offer names its delta itself.
        let beside = self.instead.is_none() && ask.expected.is_none();
        let Some(url) = ask.url.as_deref().filter(|_| beside) else { return Ok(()) };
        let Some(name) = delta_beside(world, slot.other(), url) else { return Ok(()) };
        if let Some(found) = self.look(world, (&name, true), &offer.release, sink)?
            && let Some(from) = &found.delta
        {
            let fetched = needs(&offer.source, &offer.release, false)?;
            let delta = from.delta.file_len();
            if delta <= fetched && fits_a_day(world, delta) {
                self.instead = Some(Instead { origin: Origin::Url(url.to_owned()), sure: true });
                self.makes = Some(offer.release.body_digest());
                self.takes(offer, found);
                return Ok(());
            }
            log::info!("{}: {fetched} bytes without it", shown(&name));
        }
        self.current = own;
        Ok(())
    }

    /// Asks once for a file that may not be there, and takes it where it is of this very release. What is there
    /// and does not help is told. Fails only where the work is to end.
    fn look(
        &mut self,
        world: &World,
        (url, delta): (&str, bool),
        release: &Release,
        sink: &dyn Sink,
    ) -> Result<Option<Offer>> {
        let Some((web, _)) = self.web else { return Ok(None) };
        let found = web.artifact(url, Tries::Once).and_then(|source| {
            self.counts(&source);
            let offer = offer::open(world, source)?;
            if offer.delta.is_some() != delta {
                let what = if delta { "it is no delta" } else { "it is a delta" };
                return Err(Failure::new(ReasonCode::DeltaInvalid, what));
            }
            match offer.release.body_digest() == release.body_digest() {
                true => Ok(offer),
                false => {
                    let other = &offer.release.manifest.version;
                    let (code, own) = (ReasonCode::OtherRelease, &release.manifest.version);
                    Err(Failure::new(code, format!("it is of {other}, and not of this {own}")))
                }
            }
        });
        match found {
            Ok(offer) => Ok(Some(offer)),
            Err(why) => {
                stop::look()?;
                // Most servers have none, and that is no news.
                match why.code() {
                    ReasonCode::HttpStatus => log::info!("{}: {why}", shown(url)),
                    _ => {
                        let text = format!("{} does not help: {why}", shown(url));
                        sink.emit(&Event::Warning { text });
                    }
                }
                Ok(None)
            }
        }
    }
}

/// Whether a delta of this length, which is read from its begin to its end, comes within the budget of a day.
/// The full artifact goes on over several.
fn fits_a_day(world: &World, delta: u64) -> bool {
    let settings = &world.settings;
    let budget = Budget::of(&settings.source, &settings.device.state, false);
    budget.is_none_or(|budget| budget.holds(delta))
}

/// Where a delta would lie beside the artifact of a URL, for what runs in `slot`.
fn delta_beside(world: &World, slot: SlotId, url: &str) -> Option<String> {
    let running = world.installed(slot)?;
    delta_name(url, running.manifest.version.as_str())
}
