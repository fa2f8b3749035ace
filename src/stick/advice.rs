//! What a person with a stick in the hand can do: no keyboard, no keys, no build host.

use crate::model::{Class, ReasonCode};

/// The next step of the person who has put the stick in.
pub fn advice(code: ReasonCode) -> &'static str {
    const ASK_FOR_ANOTHER: &str = "Ask the person who gave you the file for a newer one.";
    const COPY_AGAIN: &str = "Copy the file to the stick again, let the computer eject the stick, and put it in again. If it \
        is refused again, send this report to the person who gave you the file.";
    const TO_THE_OWNER: &str = "Send this report to the owner of the device.";
    match code {
        ReasonCode::AlreadyInstalled => "Nothing: the device runs it already. Take the stick out.",
        ReasonCode::VersionOlder | ReasonCode::BelowFloor => ASK_FOR_ANOTHER,
        ReasonCode::RolledBackBefore => {
            "It was tried on this device and did not work. Ask the person who gave you the file for a newer one."
        }
        ReasonCode::Incompatible | ReasonCode::WrongProduct | ReasonCode::NoPayload => {
            "The file is for another kind of device. Ask the person who gave it to you for the file for this one."
        }
        ReasonCode::NoSuchFile => {
            "Copy a file whose name ends in .surefoot to the stick, not into a folder and not packed, and put it in again."
        }
        ReasonCode::StickUnreadable => {
            "Format a stick as FAT32 (not exFAT or NTFS), copy the file to it, and put it in."
        }
        ReasonCode::SourceLost => {
            "Put the stick in again and leave it in: the installation goes on where it stopped."
        }
        ReasonCode::TrialPending
        | ReasonCode::Busy
        | ReasonCode::Inhibited
        | ReasonCode::Superseded
        | ReasonCode::Interrupted
        | ReasonCode::HookLater => {
            "Leave the stick in, or put it in again later: the device is busy, and goes on by itself."
        }
        ReasonCode::Held => "Updates are stopped on this device on purpose. Ask its owner.",
        ReasonCode::ChunkCorrupt
        | ReasonCode::TrailingBytes
        | ReasonCode::NotAnArtifact
        | ReasonCode::Truncated
        | ReasonCode::SignatureInvalid => COPY_AGAIN,
        _ if code.class() == Class::Reject => {
            "The device does not accept this file. Send this report to the person who gave it to you."
        }
        _ => TO_THE_OWNER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_with_a_stick_can_follow_every_advice() {
        for code in ReasonCode::ALL.iter().copied() {
            let text = advice(code);
            for word in ["`", "--", "rebuild", "sign it", "doctor", "surefoot-"] {
                assert!(!text.contains(word), "{code}: {text}");
            }
        }
    }
}
