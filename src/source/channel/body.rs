//! What a channel says.

use super::link::check;
use crate::model::{
    Digest, Failure, Identifier, ReasonCode, Result, Version, WithReason, from_toml,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A channel names at most so many releases.
pub const MAX_RELEASES: usize = 256;
const MAX_DELTAS: usize = 16;
const MAX_PHASES: usize = 32;
const MAX_NAMES: usize = 64;
const MAX_OPTIONS: usize = 1024;
const MAX_NOTES: usize = 4096;
const MAX_VALUE: usize = 1024;
/// A hundred years: no sum of it and a time leaves the numbers that TOML has.
const LONGEST: u64 = 100 * 366 * 86_400;
/// The year 9999.
const LATEST: u64 = 253_402_300_799;

/// The body of a channel. Times are seconds since 1970, lengths are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The version of this layout: 1.
    pub format: u32,
    /// The product whose devices it is for.
    pub product: Identifier,
    /// What the channel is called: `stable`, `beta`.
    pub name: Identifier,
    /// Counts up with every publication.
    pub serial: u64,
    /// When it was published.
    pub issued: u64,
    /// For how many seconds after that it is fresh.
    pub valid_for: u64,
    /// How many seconds a device may wait between two polls, where its configuration says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<u64>,
    /// Where devices post what came of an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// What programs on the device may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionValue>,
    /// The releases.
    #[serde(default)]
    pub releases: Vec<Released>,
}

/// Which devices are meant: with neither, every one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// The device of this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Devices that carry this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Identifier>,
}

/// A value for the programs of some devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionValue {
    /// Which devices.
    #[serde(flatten)]
    pub whose: Audience,
    /// Its name.
    pub key: Identifier,
    /// The value: one line of text.
    pub value: String,
}

/// A release of the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// As people call it.
    pub version: Version,
    /// Orders releases.
    pub counter: u64,
    /// SHA-256 of its manifest.
    pub digest: Digest,
    /// Its security epoch.
    #[serde(default)]
    pub security_epoch: u32,
    /// The devices that it is compatible with.
    pub compatible: Vec<Identifier>,
    /// The hardware revisions that it has something for; none means every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware: Vec<Identifier>,
    /// The whole artifact.
    pub url: String,
    /// Its length.
    pub size: u64,
    /// The lowest release counter from which it may be installed; 0 where any will do.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_counter: u64,
    /// Only for devices that carry one of these tags; none means every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Identifier>,
    /// Devices that carry one of these tags wait for no phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<Identifier>,
    /// It does not wait for a window, and costs no data budget.
    #[serde(default, skip_serializing_if = "is_false")]
    pub critical: bool,
    /// It is offered to no device for now.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
    /// It is offered to no device any more, and dropped where it only waits.
    #[serde(default, skip_serializing_if = "is_false")]
    pub withdrawn: bool,
    /// What an updater must know to take it, beyond what is here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Identifier>,
    /// What people should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// When how many devices take it; none means all at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseStart>,
    /// Shorter ways from a release that a device may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deltas: Vec<DeltaLink>,
}

/// From a time on, so many per cent of the devices take a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseStart {
    /// From when on.
    pub at: u64,
    /// Of all devices, 0 to 100.
    pub percent: u8,
}

/// A delta to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaLink {
    /// The version that it starts from.
    pub from: Version,
    /// SHA-256 of that release's manifest.
    pub base: Digest,
    /// Where it is.
    pub url: String,
    /// Its length.
    pub size: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !*b
}

impl Body {
    /// Reads a body as shipped, and holds it to every rule of docs/channel-format.md: `CHANNEL_INVALID`, or
    /// `UPDATER_TOO_OLD` for a higher format.
    pub fn parse(bytes: &[u8]) -> Result<Body> {
        let code = ReasonCode::ChannelInvalid;
        let text = std::str::from_utf8(bytes).reason(code, "the channel is not UTF-8")?;
        let table: toml::Table = toml::from_str(text).reason(code, "channel")?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(1) => {}
            Some(n) if n > 1 => {
                let text = format!("channel format {n}; this updater reads format 1");
                return Err(Failure::new(ReasonCode::UpdaterTooOld, text));
            }
            _ => return Err(Failure::new(code, "the channel has no `format`")),
        }
        let body: Body = from_toml(&table, &|_| ()).reason(code, "channel")?;
        body.check().map_err(|why| Failure::new(code, why))?;
        Ok(body)
    }

    /// From when on it is stale, in seconds since 1970.
    pub fn stale_from(&self) -> u64 {
        self.issued.saturating_add(self.valid_for)
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.serial == 0 {
            return Err("serial 0; the first one is 1".into());
        }
        if self.issued == 0 || self.issued > LATEST {
            return Err(format!("issued {}: no time of this program", self.issued));
        }
        if self.valid_for == 0 || self.valid_for > LONGEST {
            return Err(format!("valid for {} seconds", self.valid_for));
        }
        if self.poll.is_some_and(|poll| poll == 0 || poll > LONGEST) {
            return Err("`poll` is no time to wait".into());
        }
        if let Some(report) = &self.report {
            check(report)?;
        }
        if self.options.len() > MAX_OPTIONS {
            return Err(format!("{} options; at most {MAX_OPTIONS}", self.options.len()));
        }
        for option in &self.options {
            let printable = option.value.chars().all(|c| !c.is_control());
            let device = option.whose.device.as_ref();
            if option.value.len() > MAX_VALUE || !printable || device.is_some_and(|d| d.len() > 256)
            {
                return Err(format!(
                    "option `{}`: one line of at most {MAX_VALUE} bytes",
                    option.key
                ));
            }
        }
        if self.releases.len() > MAX_RELEASES {
            return Err(format!("{} releases; at most {MAX_RELEASES}", self.releases.len()));
        }
        let mut seen = BTreeSet::new();
        for release in &self.releases {
            release.check().map_err(|why| format!("release {}: {why}", release.version))?;
            if !seen.insert(release.digest) {
                return Err(format!("release {} stands there twice", release.version));
            }
        }
        Ok(())
    }
}

impl Released {
    /// Its files by their addresses, with their lengths: the artifact, then its deltas.
    #[cfg(feature = "forge")]
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        let deltas = self.deltas.iter().map(|delta| (delta.url.as_str(), delta.size));
        std::iter::once((self.url.as_str(), self.size)).chain(deltas)
    }

    fn check(&self) -> std::result::Result<(), String> {
        check(&self.url)?;
        if self.compatible.is_empty() || self.size == 0 {
            return Err("it is for no device, or has no length".into());
        }
        let lists = [&self.compatible, &self.hardware, &self.tags, &self.first, &self.requires];
        if lists.iter().any(|list| list.len() > MAX_NAMES) || self.notes.len() > MAX_NOTES {
            return Err("a list or its notes are too long".into());
        }
        if self.phases.len() > MAX_PHASES || self.deltas.len() > MAX_DELTAS {
            return Err(format!("at most {MAX_PHASES} phases and {MAX_DELTAS} deltas"));
        }
        let mut before = PhaseStart { at: 0, percent: 0 };
        for phase in &self.phases {
            if phase.percent > 100 {
                return Err(format!("a phase of {} %", phase.percent));
            }
            if phase.percent < before.percent || phase.at < before.at || phase.at > LATEST {
                return Err("its phases do not follow each other".into());
            }
            before = *phase;
        }
        for delta in &self.deltas {
            check(&delta.url)?;
            if delta.size == 0 || delta.base == self.digest {
                return Err(format!("the delta from {} is none", delta.from));
            }
        }
        Ok(())
    }
}
