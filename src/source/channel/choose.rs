//! What a channel has for one device.

use super::phase::start;
use super::{Audience, Body, DeltaLink, Released, place};
use crate::model::{Digest, Identifier};
use std::collections::BTreeMap;

/// What the choice depends on, of the device that asks.
#[derive(Clone)]
pub struct Asker<'a> {
    /// Its id, as it counts for phases.
    pub id: &'a str,
    /// Its tags.
    pub tags: &'a [Identifier],
    /// What an artifact must be compatible with.
    pub compatible: &'a Identifier,
    /// Its hardware revision, where it knows one.
    pub hardware: Option<&'a Identifier>,
    /// The release counter of the system that runs; 0 for a factory's system.
    pub counter: u64,
    /// The manifest digest of the system that runs.
    pub digest: Digest,
    /// No release with a lower security epoch is taken.
    pub floor: u32,
    /// No update was ever committed here: it waits for no phase.
    pub fresh: bool,
    /// Releases that were tried here and came back.
    pub denied: &'a dyn Fn(&Digest) -> bool,
    /// Seconds since 1970, and never before the channel was issued.
    pub now: u64,
}

/// Why a release is not for the device now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Its phase begins then, in seconds since 1970.
    Until(u64),
    /// No phase that is planned reaches the device.
    NoPhase,
    /// The release is paused.
    Paused,
}

/// What a channel has for a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice<'c> {
    /// The newest release that is for the device now.
    pub now: Option<&'c Released>,
    /// The newest release that will be, if it is newer than that one.
    pub later: Option<(&'c Released, Waiting)>,
    /// The newest release that would be for the device but was tried here and came back.
    pub denied: Option<&'c Released>,
}

/// Chooses. Any newer release is reached in one step; `min_counter` alone asks for one between.
pub fn choose<'c>(body: &'c Body, asker: &Asker<'_>) -> Choice<'c> {
    let mut fitting: Vec<&Released> = body.releases.iter().filter(|r| asker.takes(r)).collect();
    fitting.sort_by_key(|release| std::cmp::Reverse((release.counter, release.digest)));
    let mut choice = Choice::default();
    for release in fitting {
        if (asker.denied)(&release.digest) {
            choice.denied.get_or_insert(release);
            continue;
        }
        match asker.waits(release) {
            None => {
                choice.now = Some(release);
                return choice;
            }
            Some(waiting) => {
                choice.later.get_or_insert((release, waiting));
            }
        }
    }
    choice
}

impl Asker<'_> {
    /// Whether the release is for this device at all, now or later.
    fn takes(&self, release: &Released) -> bool {
        let fits = match (&release.hardware[..], self.hardware) {
            ([], _) => true,
            (list, Some(own)) => list.contains(own),
            (_, None) => false,
        };
        !release.withdrawn
            && release.requires.is_empty()
            && release.compatible.contains(self.compatible)
            && fits
            && release.counter > self.counter
            && self.counter >= release.min_counter
            && release.security_epoch >= self.floor
            && release.digest != self.digest
            && (release.tags.is_empty() || self.has_one_of(&release.tags))
    }

    fn waits(&self, release: &Released) -> Option<Waiting> {
        if release.paused {
            return Some(Waiting::Paused);
        }
        if self.fresh || self.has_one_of(&release.first) {
            return None;
        }
        match start(&release.phases, place(self.id, &release.digest)) {
            Some(at) if at <= self.now => None,
            Some(at) => Some(Waiting::Until(at)),
            None => Some(Waiting::NoPhase),
        }
    }

    fn has_one_of(&self, tags: &[Identifier]) -> bool {
        tags.iter().any(|tag| self.tags.contains(tag))
    }
}

impl Audience {
    /// Whether the device with this id and these tags is meant.
    fn means(&self, id: &str, tags: &[Identifier]) -> bool {
        self.device.as_ref().is_none_or(|device| device == id)
            && self.tag.as_ref().is_none_or(|tag| tags.contains(tag))
    }
}

impl Body {
    /// The options of the device with this id and these tags: what names the device counts before what names a tag, and that before
    /// what names neither; of equals the later one counts.
    pub fn options_for(&self, id: &str, tags: &[Identifier]) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let rank = |whose: &Audience| (whose.device.is_some(), whose.tag.is_some());
        let mut meant: Vec<_> =
            self.options.iter().filter(|option| option.whose.means(id, tags)).collect();
        meant.sort_by_key(|option| rank(&option.whose));
        for option in meant {
            found.insert(option.key.to_string(), option.value.clone());
        }
        found
    }

    /// Whether a release must be dropped where it waits: it is withdrawn.
    pub fn withdraws(&self, digest: &Digest) -> bool {
        self.releases.iter().any(|release| release.withdrawn && release.digest == *digest)
    }
}

impl Released {
    /// The delta that starts from what runs.
    pub fn delta_from(&self, running: &Digest) -> Option<&DeltaLink> {
        self.deltas.iter().find(|delta| delta.base == *running)
    }
}
