//! A channel never goes back.

use super::Channel;
use crate::model::{Digest, Failure, Identifier, ReasonCode, Result};
use serde::{Deserialize, Serialize};

/// The newest serial that a device has accepted of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSerial {
    /// The channel's name.
    pub name: Identifier,
    /// The serial.
    pub serial: u64,
    /// SHA-256 of the body that had it.
    pub digest: Digest,
}

/// Whether `found` may follow what was accepted before: `CHANNEL_OLDER` for a lower serial,
/// `CHANNEL_CHANGED` for the same one with other bytes.
pub fn judge_serial(found: &Channel, kept: &[KeptSerial]) -> Result<()> {
    let body = &found.body;
    let Some(kept) = kept.iter().find(|kept| kept.name == body.name) else { return Ok(()) };
    if body.serial < kept.serial {
        let text = format!(
            "channel {} came with serial {}; serial {} is known already",
            body.name, body.serial, kept.serial
        );
        return Err(Failure::new(ReasonCode::ChannelOlder, text));
    }
    if body.serial == kept.serial && found.digest != kept.digest {
        let text = format!("two different channels {} have serial {}", body.name, body.serial);
        return Err(Failure::new(ReasonCode::ChannelChanged, text));
    }
    Ok(())
}
