//! The signed channel as a source of offers.

use super::kept::Kept;
use super::web::{Document, Web};
use super::{Later, Offer, Offers, Polled, Unheard, Word};
use crate::device::World;
use crate::model::{Condition, ConditionKind, Digest, Failure, Identifier, ReasonCode, Result};
use crate::source::Budget;
use crate::source::channel::{
    Asker, Body, Channel, MAX_CHANNEL_LEN, Report, Unread, Waiting, choose, judge_serial, resolve,
    without_login,
};
use crate::sys::{clock, durable, files};
use crate::trust::Verified;
use crate::update::{Ended, Identity};
use std::collections::BTreeMap;
use std::time::Duration;

/// More than a channel has, so that what lies in its place is named as what it is; still bounded.
const FETCHED_MAX: usize = 4 * MAX_CHANNEL_LEN;

/// The channel that `[source] channel` names.
pub struct ChannelSource<'a> {
    world: &'a World,
    web: &'a dyn Web,
    url: String,
    id: String,
    compatible: Identifier,
    hardware: Option<Identifier>,
}

impl<'a> ChannelSource<'a> {
    /// `NO_CHANNEL` where none is configured, `NO_DEVICE_ID` for a device without an id, `HARDWARE_UNKNOWN`
    /// where the revision cannot be read.
    pub fn of(world: &'a World, web: &'a dyn Web) -> Result<ChannelSource<'a>> {
        let Some(url) = world.settings.source.channel.clone() else {
            return Err(Failure::new(ReasonCode::NoChannel, "`[source] channel` is not set"));
        };
        let target = world.target()?;
        let (id, compatible, hardware) = (world.device_id()?, target.compatible, target.hardware);
        Ok(ChannelSource { world, web, url, id, compatible, hardware })
    }

    /// The last good one.
    fn known(&self) -> Option<Verified<Channel>> {
        let unread = Kept::load(&self.world.settings).channel(&self.url)?;
        unread.verify(&self.world.trust().ok()?, &self.world.settings.device.product).ok()
    }

    fn options(&self, body: &Body) -> BTreeMap<String, String> {
        body.options_for(&self.id, &self.world.settings.device.tags)
    }

    /// Shows programs of this device what the channel has for them.
    fn show(&self, body: &Body) {
        let run = &self.world.settings.run;
        let (path, options) = (run.join("options.json"), self.options(body));
        let text = serde_json::json!({ "v": 1, "options": options }).to_string();
        let shown = files::foreign_text(&path, 4 << 20).ok();
        let nothing = shown.is_none() && options.is_empty();
        if nothing || shown.as_ref() == Some(&text) || !run.is_dir() {
            return;
        }
        if let Err(failure) = durable::publish(&path, text.as_bytes()) {
            log::warn!("{failure}");
        }
    }

    /// The channel that counts now: a newer one from the server, or the one that is kept. A channel that is
    /// refused changes nothing.
    fn fetch(&self) -> std::result::Result<Verified<Channel>, Unheard> {
        let (trust, product) = (self.world.trust()?, &self.world.settings.device.product);
        let kept = Kept::load(&self.world.settings);
        let known = kept.channel(&self.url).and_then(|unread| unread.verify(&trust, product).ok());
        let etag = kept.etag.as_deref().filter(|_| known.is_some());
        let (bytes, etag) = match self.web.document(&self.url, etag, FETCHED_MAX)? {
            Document::Bytes { bytes, etag } => (bytes, etag),
            Document::Same => {
                let text = "the server says that nothing is new, and nothing is known here";
                return known.ok_or_else(|| Failure::new(ReasonCode::SourceLost, text).into());
            }
        };
        let found = Unread::parse(&bytes)?.verify(&trust, product)?;
        judge_serial(&found, &kept.seen)?;
        if !kept.knows(&found) {
            // Before it is kept: a cut between the two does it again.
            super::outbox::forgive(self.world)?;
        }
        kept.accept(self.world, &found, (&self.url, etag), &bytes)?;
        Ok(found)
    }

    /// Whether no update was ever committed here.
    fn is_fresh(&self, running: &crate::update::Named) -> bool {
        let updated = |o: &crate::update::Outcome| o.outcome == Ended::Updated;
        running.identity() == Identity::Factory
            || !super::super::history(self.world).is_ok_and(|all| all.iter().any(updated))
    }

    fn weigh(&self, body: &Body) -> Result<Polled> {
        let world = self.world;
        let booted = world.booted()?;
        let held = world.held(booted).stand.label;
        let journal = world.load_journal();
        let denied = |digest: &Digest| journal.denied.iter().any(|d| d.digest == *digest);
        let asker = Asker {
            id: &self.id,
            tags: &world.settings.device.tags,
            compatible: &self.compatible,
            hardware: self.hardware.as_ref(),
            counter: held.named.release_counter,
            digest: held.digest,
            floor: world.floor_epoch(),
            fresh: self.is_fresh(&held.named),
            denied: &denied,
            now: world.now().max(body.issued),
        };
        let choice = choose(body, &asker);
        let by = format!("channel {}", body.name);
        let mut notes = Vec::new();
        if body.stale_from() < asker.now {
            let since = clock::utc(body.stale_from());
            let text =
                format!("channel {} is stale since {since}; what it offers counts", body.name);
            notes.push(Condition::of(ReasonCode::ChannelStale, ConditionKind::Warns, text));
        }
        if let Some(back) = choice.denied {
            let text = format!(
                "{} was tried here and rolled back; the channel still offers it",
                back.version
            );
            let url = resolve(&self.url, &back.url)?;
            let remedy = format!(
                "Wait for another release. To try the same one again: `surefoot install {} \
                 --retry-rolled-back`.",
                without_login(&url)
            );
            let code = ReasonCode::RolledBackBefore;
            notes.push(Condition::new(code, ConditionKind::Warns, text, remedy));
        }
        let now = choice.now.map(|release| {
            let (source, state) = (&world.settings.source, &world.settings.device.state);
            let budget = Budget::of(source, state, release.critical);
            let holds = |size| budget.as_ref().is_none_or(|budget| budget.holds(size));
            let delta = release.delta_from(&held.digest).filter(|delta| holds(delta.size));
            Ok::<_, Failure>(Offer {
                action: release.digest.to_string(),
                by,
                version: release.version.clone(),
                counter: release.counter,
                digest: Some(release.digest),
                url: resolve(&self.url, &release.url)?,
                size: release.size,
                delta: delta.map(|delta| resolve(&self.url, &delta.url)).transpose()?,
                critical: release.critical,
                confirm: false,
                notes: release.notes.clone(),
            })
        });
        let later = choice.later.map(|(release, waiting)| {
            let (until, why) = match waiting {
                Waiting::Until(at) => {
                    (Some(at), format!("its phase begins for this device at {}", clock::utc(at)))
                }
                Waiting::NoPhase => {
                    (None, "no phase that is planned reaches this device".to_owned())
                }
                Waiting::Paused => (None, "it is paused".to_owned()),
            };
            Later { version: release.version.clone(), until, why }
        });
        let withdrawn = body.releases.iter().filter(|release| release.withdrawn);
        Ok(Polled {
            now: now.transpose()?,
            later,
            cancelled: withdrawn.map(|release| release.digest.to_string()).collect(),
            again: body.poll.map(Duration::from_secs),
            options: self.options(body),
            notes,
        })
    }
}

impl Offers for ChannelSource<'_> {
    fn poll(&mut self) -> std::result::Result<Polled, Unheard> {
        let channel = match self.fetch() {
            Ok(channel) => channel,
            Err(unheard) => {
                // After a reboot without a network too.
                self.known().iter().for_each(|channel| self.show(&channel.body));
                return Err(unheard);
            }
        };
        self.show(&channel.body);
        super::outbox::report_to(self.world, channel.body.report.clone())?;
        Ok(self.weigh(&channel.body)?)
    }

    fn tell(&mut self, word: &Word) -> std::result::Result<bool, Unheard> {
        let Some(url) = super::outbox::address(self.world) else { return Ok(false) };
        let options = self.world.settings.source.options.clone();
        let text = serde_json::to_string(&Report { options, ..word.report.clone() });
        let text = text.map_err(|e| Failure::new(ReasonCode::Internal, e.to_string()))?;
        self.web.report(&url, &text).map(|()| true)
    }
}
