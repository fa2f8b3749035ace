//! Where the bytes of an installation come from: what is foreseen, and what has moved.

use serde::{Deserialize, Serialize};

/// What has moved into a slot so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Bytes of all answers over the network, those that came twice or were passed over too; without a
    /// network, stored bytes used from the artifact.
    pub fetched: u64,
    /// Image bytes that stood in the slot already or were copied from the one that runs.
    pub reused: u64,
    /// Image bytes written.
    pub written: u64,
    /// Stored bytes a second, since the writing began.
    pub rate: u64,
    /// Seconds until everything is fetched, at that rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// How a release comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// All of the artifact: a file, a stream.
    Full,
    /// What the device has not, by ranges of the artifact over a network.
    #[default]
    Adaptive,
    /// A delta between two releases.
    Delta,
}

/// What an installation over a network would do. All lengths are bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// How the release comes.
    #[serde(default)]
    pub via: Via,
    /// Of the image: stands at its place already.
    pub stands: u64,
    /// Of the image: is copied from the slot that runs, where its record is right.
    pub copied: u64,
    /// Of the image: zeros.
    pub zeros: u64,
    /// Of the image: comes over the network, or is made with a delta that does.
    pub fetch: u64,
    /// What that is as stored: bytes that are still to be fetched.
    pub to_fetch: u64,
    /// Bytes of the answers so far: header, manifest, parts of the chunk table.
    pub fetched: u64,
    /// Bytes a second, as those came; `None` where too few came to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Seconds that the rest takes at that rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl Forecast {
    /// The same by a file of `len` bytes that is read from its begin to its end, and of which `fetched` came.
    #[must_use]
    pub fn in_order(self, via: Via, len: u64, fetched: u64) -> Forecast {
        let (fetch, to_fetch) = (self.fetch + self.copied, len.saturating_sub(fetched));
        Forecast { via, copied: 0, fetch, to_fetch, ..self }
    }

    /// With what was measured so far: bytes of answers, and the milliseconds in which they came.
    #[must_use]
    pub fn measured(self, fetched: u64, millis: u64) -> Forecast {
        let rate = fetched.saturating_mul(1000).checked_div(millis).filter(|rate| *rate > 0);
        let seconds = rate.map(|rate| self.to_fetch.div_ceil(rate));
        Forecast { fetched, rate, seconds, ..self }
    }
}
