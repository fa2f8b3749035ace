//! What stands in a slot, as its signed record and its bytes say. Reads only.

use super::medium::{MediumReader, standing};
use super::progress::Progress;
use super::spans::Places;
use crate::artifact::{Chunk, Installed, Payload};
use crate::disk::BlockDevice;
use crate::event::{Phase, Sink};
use crate::model::{Failure, Identifier, ReasonCode, Result, Version};
use crate::slot::OpenPart;
use crate::slot::record::{Found, Lack, read_record};
use crate::trust::{Trust, Verified};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What the end of a slot says of what was installed there.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack of a look")]
pub enum SlotRecord {
    /// No complete record: a slot that nothing was installed in, or one that was written over.
    Missing(Lack),
    /// A complete record that this device does not accept now.
    NotAccepted {
        /// Why not.
        why: Failure,
        /// The record.
        bytes: Vec<u8>,
    },
    /// A record signed by whom this device trusts now.
    Accepted(Verified<Installed>),
}

/// Reads what was installed in the slot with these parts. Fails only where the medium does.
pub fn slot_record(parts: &[OpenPart], trust: &Result<Trust>) -> Result<SlotRecord> {
    let bytes = match read_record(&parts[0].device)? {
        Found::Complete(bytes) => bytes,
        Found::None(lack) => return Ok(SlotRecord::Missing(lack)),
    };
    let read = trust.as_ref().map_err(Failure::clone);
    Ok(match read.and_then(|trust| crate::artifact::read_record(&bytes, trust)) {
        Ok(installed) => match fits(&installed, parts) {
            Ok(()) => SlotRecord::Accepted(installed),
            Err(text) => {
                let why = Failure::new(ReasonCode::SlotDamaged, text);
                SlotRecord::NotAccepted { why, bytes }
            }
        },
        Err(why) => {
            log::info!("a slot record is not accepted: {why}");
            SlotRecord::NotAccepted { why, bytes }
        }
    })
}

/// Whether a record can be of these parts; the error is in words.
fn fits(installed: &Installed, parts: &[OpenPart]) -> std::result::Result<(), String> {
    if installed.payloads.len() != parts.len() {
        let (count, own) = (installed.payloads.len(), parts.len());
        return Err(format!("the record is of {count} parts, and the slot has {own}"));
    }
    for part in parts {
        let Some(index) = installed.payload_of(&part.name) else {
            return Err(format!("the record is of no part `{}`, and the slot has one", part.name));
        };
        let (size, len) = (installed.manifest.payloads[index].size, part.device.len());
        if size > len {
            return Err(format!("the record is of {size} bytes, and the slot has {len}"));
        }
    }
    Ok(())
}

/// What was installed, where this device accepts the record now. To tell a record that is not
/// accepted from none, ask [`slot_record`].
pub fn installed(parts: &[OpenPart], trust: &Trust) -> Result<Option<Verified<Installed>>> {
    Ok(match slot_record(parts, &Ok(trust.clone()))? {
        SlotRecord::Accepted(installed) => Some(installed),
        SlotRecord::Missing(_) | SlotRecord::NotAccepted { .. } => None,
    })
}

/// How a slot compares with its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum SlotVerdict {
    /// Every byte of the images is as signed.
    Matches {
        /// The release.
        version: Version,
        /// Bytes compared, of all parts.
        bytes: u64,
    },
    /// It differs, and its filesystem says that it was mounted writable: no failure of the
    /// device.
    ModifiedSinceInstall {
        /// The release it was.
        version: Version,
        /// In which part, where the slot has several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<Identifier>,
        /// The first chunk that differs begins here; `None` if the record keeps no chunks.
        differs_at: Option<u64>,
    },
    /// It differs, and nobody mounted it.
    Damaged {
        /// The release it should be.
        version: Version,
        /// In which part, where the slot has several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<Identifier>,
        /// The first chunk that differs begins here; `None` if the record keeps no chunks.
        differs_at: Option<u64>,
    },
    /// No valid record: there is nothing to compare with.
    Unknown {
        /// What it has instead, in words that go on from "it has".
        #[serde(default)]
        found: String,
    },
}

impl SlotVerdict {
    /// The verdict as a failure, for who needs the slot to be exact: `MODIFIED_SINCE_INSTALL`,
    /// `SLOT_DAMAGED`. A slot without a record is damaged in that sense.
    pub fn require_match(&self) -> Result<()> {
        let place = |part: &Option<Identifier>, at: &Option<u64>| {
            let part = part.as_ref().map_or(String::new(), |part| format!(" in part {part}"));
            let at = at.map_or(String::new(), |at| format!(" from byte {at} on"));
            format!("{part}{at}")
        };
        let (code, detail) = match self {
            SlotVerdict::Matches { .. } => return Ok(()),
            SlotVerdict::ModifiedSinceInstall { version, part, differs_at } => (
                ReasonCode::ModifiedSinceInstall,
                format!("it differs from {version}{}", place(part, differs_at)),
            ),
            SlotVerdict::Damaged { version, part, differs_at } => (
                ReasonCode::SlotDamaged,
                format!("it differs from {version}{}", place(part, differs_at)),
            ),
            SlotVerdict::Unknown { found } => (ReasonCode::SlotDamaged, format!("it has {found}")),
        };
        Err(Failure::new(code, detail))
    }
}

/// Reads a whole slot from the medium, every part of it, and compares it with its record. A record
/// that is not accepted is no missing one: the reason is the failure.
pub fn verify_slot(parts: &[OpenPart], trust: &Trust, sink: &dyn Sink) -> Result<SlotVerdict> {
    let installed = match slot_record(parts, &Ok(trust.clone()))? {
        SlotRecord::Accepted(installed) => installed,
        SlotRecord::NotAccepted { why, .. } => return Err(why),
        SlotRecord::Missing(lack) => {
            return Ok(SlotVerdict::Unknown { found: lack.words().to_owned() });
        }
    };
    let standing = |part: &OpenPart| installed.payload_of(&part.name);
    let payloads = parts.iter().filter_map(standing).map(|n| &installed.manifest.payloads[n]);
    let bytes = payloads.map(|payload| payload.size).sum();
    let progress = Progress::start(sink, Phase::Compare, bytes);
    let mut verdict = SlotVerdict::Matches { version: installed.manifest.version.clone(), bytes };
    for part in parts {
        // `slot_record` has found each of them.
        let Some(index) = standing(part) else { continue };
        let device = &part.device;
        let difference = match installed.chunks_of(index) {
            Some(chunks) => first_difference(device, chunks, &progress)?,
            None => whole_difference(device, &installed.manifest.payloads[index], &progress)?,
        };
        let Some(Difference { at: differs_at, superblock }) = difference else { continue };
        let version = installed.manifest.version.clone();
        let named = (parts.len() > 1).then(|| part.name.clone());
        if superblock && mounted_writable(device)? {
            // Damage in another part would be the graver word.
            if let SlotVerdict::Matches { .. } = verdict {
                verdict = SlotVerdict::ModifiedSinceInstall { version, part: named, differs_at };
            }
            continue;
        }
        verdict = SlotVerdict::Damaged { version, part: named, differs_at };
        break;
    }
    progress.end();
    Ok(verdict)
}

struct Difference {
    at: Option<u64>,
    /// Whether the superblock may be among what differs.
    superblock: bool,
}

/// Where ext4 keeps its superblock: bytes 1024..2048 (kernel.org, ext4 "super block").
const SUPERBLOCK: std::ops::Range<u64> = 1024..2048;

fn first_difference(
    partition: &dyn BlockDevice,
    chunks: &[Chunk],
    progress: &Progress,
) -> Result<Option<Difference>> {
    let places = Places::new(chunks, 0);
    let stands = standing(partition, &places, |_| true, progress)?;
    let Some(first) = stands.iter().position(|stands| !stands) else {
        return Ok(None);
    };
    let at = places.of(first);
    Ok(Some(Difference { superblock: at.start < SUPERBLOCK.end, at: Some(at.start) }))
}

fn whole_difference(
    partition: &dyn BlockDevice,
    payload: &Payload,
    progress: &Progress,
) -> Result<Option<Difference>> {
    let mut hash = Sha256::new();
    MediumReader::new(partition)?.each(0..payload.size, |bytes| {
        hash.update(bytes);
        progress.add(bytes.len() as u64);
        Ok(())
    })?;
    let same = hash.finalize().as_slice() == payload.sha256.0;
    Ok((!same).then_some(Difference { at: None, superblock: true }))
}

/// Whether a part holds an ext4 filesystem that counts a writable mount. squashfs and erofs
/// cannot be mounted writable. An image that was itself mounted when it was built counts those
/// mounts too: then damage to its first chunk reads as a modification.
fn mounted_writable(partition: &dyn BlockDevice) -> Result<bool> {
    let mut first = vec![0; super::FIRST_BLOCK];
    partition.read_at(0, &mut first)?;
    let field = |at: usize| {
        let at = super::small(SUPERBLOCK.start) + at;
        u16::from_le_bytes([first[at], first[at + 1]])
    };
    const MOUNT_COUNT: usize = 0x34;
    const MAGIC: usize = 0x38;
    Ok(field(MAGIC) == 0xef53 && field(MOUNT_COUNT) > 0)
}
