//! What is kept of channels: the highest serials, and the last good one with the server's mark.

use crate::config::Settings;
use crate::device::World;
use crate::model::{ReasonCode, Result, StateFile, WithReason};
use crate::source::channel::{Channel, KeptSerial, Unread, resolve, without_login};
use crate::sys::durable;
use serde::{Deserialize, Serialize};

/// Channels whose serials are kept; a device that is moved between more forgets the oldest.
const NAMES: usize = 16;

/// `channel.json`: replaced in one step when a new channel was accepted, after all checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::device) struct Kept {
    v: u32,
    /// The highest serial of each channel, the last one used last.
    pub(super) seen: Vec<KeptSerial>,
    /// Where the last good one came from, without credentials.
    pub(super) url: String,
    /// The server's mark for it.
    pub(super) etag: Option<String>,
    /// The newest time that a channel was issued at: no clock of this device is behind it.
    pub(super) issued: u64,
    /// The last good one, as it came, in hexadecimal digits.
    file: String,
}

impl Kept {
    /// What is kept. What cannot be read is lost: the next poll brings it anew.
    pub(in crate::device) fn load(settings: &Settings) -> Kept {
        let path = StateFile::CHANNEL.within(&settings.device.state);
        let bytes = durable::read(&path, StateFile::CHANNEL.limit).ok().flatten();
        // The file in it is longer than any text that people are shown, and nothing of it is shown.
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// The last good channel, where it came from `url`.
    pub(super) fn channel(&self, url: &str) -> Option<Unread> {
        if self.url != without_login(url) || !self.file.is_ascii() {
            return None;
        }
        let pairs = self.file.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        Unread::parse(&pairs.map(byte).collect::<Option<Vec<_>>>()?).ok()
    }

    /// Whether a release that the last good channel calls critical lies there, or a delta to one.
    pub(in crate::device) fn is_critical(&self, world: &World, url: &str) -> bool {
        let (product, base) = (&world.settings.device.product, &self.url);
        let Some(unread) = self.channel(base) else { return false };
        let Ok(channel) = world.trust().and_then(|trust| unread.verify(&trust, product)) else {
            return false;
        };
        let url = without_login(url);
        let lies_there = |link: &String| resolve(base, link).is_ok_and(|found| found == url);
        channel.body.releases.iter().filter(|release| release.critical).any(|release| {
            lies_there(&release.url) || release.deltas.iter().any(|delta| lies_there(&delta.url))
        })
    }

    /// Whether this very publication was accepted before.
    pub(super) fn knows(&self, channel: &Channel) -> bool {
        let mut seen = self.seen.iter();
        seen.any(|kept| kept.name == channel.body.name && kept.digest == channel.digest)
    }

    /// Keeps a channel that was accepted.
    pub(super) fn accept(
        &self,
        world: &World,
        channel: &Channel,
        (url, etag): (&str, Option<String>),
        bytes: &[u8],
    ) -> Result<()> {
        let body = &channel.body;
        let mut seen = self.seen.clone();
        seen.retain(|other| other.name != body.name);
        seen.push(KeptSerial {
            name: body.name.clone(),
            serial: body.serial,
            digest: channel.digest,
        });
        let surplus = seen.len().saturating_sub(NAMES);
        seen.drain(..surplus);
        let kept = Kept {
            v: 1,
            seen,
            url: without_login(url),
            etag,
            issued: self.issued.max(body.issued),
            file: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        if kept == *self {
            return Ok(());
        }
        let text = serde_json::to_string(&kept).reason(ReasonCode::Internal, "the channel")?;
        world.state_folder()?;
        durable::write(&StateFile::CHANNEL.within(&world.settings.device.state), text.as_bytes())
    }
}

/// The newest time that something signed has told this device, seconds since 1970; 0 where nothing has.
pub fn signed_time(settings: &Settings) -> u64 {
    Kept::load(settings).issued
}
