//! Pure: whether a release is for this device, and what writing it to a slot means.

use crate::artifact::{Manifest, Payload, Release};
use crate::model::{Failure, Identifier, ReasonCode, Result, Version};
use crate::slot::record::record_offset;
use crate::trust::Verified;
use serde::{Deserialize, Serialize};

/// What this device is, as the configuration and the hardware say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The product it is.
    pub product: Identifier,
    /// What an artifact must name in its `compatible` list.
    pub compatible: Identifier,
    /// The hardware revision; `None` if this product has none.
    pub hardware: Option<Identifier>,
}

/// What would be done, for `--dry-run` and for `write_slot`. All lengths are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The release.
    pub version: Version,
    /// Its order among releases.
    pub release_counter: u64,
    /// Which payload of the manifest, counted from 0.
    pub payload: usize,
    /// The length of the image.
    pub image: u64,
    /// Image bytes that the artifact carries; the rest is zeros.
    pub carried: u64,
    /// Stored bytes of this payload, the most that is read from the source.
    pub stored: u64,
    /// How many chunks it has.
    pub chunks: usize,
    /// The length of the slot, its record included.
    pub slot: u64,
}

/// Finds the payload for this device and checks that it fits a slot of `slot_len` bytes.
/// `WRONG_PRODUCT`, `INCOMPATIBLE`, `NO_PAYLOAD`, `UPDATER_TOO_OLD` (this hardware requires a
/// payload of an unknown kind), `MANIFEST_INVALID` (two payloads for one slot), `TOO_BIG`.
pub fn plan(release: &Verified<Release>, target: &Target, slot_len: u64) -> Result<Plan> {
    let manifest = &release.manifest;
    for_this_device(manifest, target)?;
    let payload = the_one(manifest, target)?;
    let found = &manifest.payloads[payload];
    let room = record_offset(slot_len);
    if found.size > room {
        return Err(Failure::new(
            ReasonCode::TooBig,
            format!("the image has {} bytes, the slot has room for {room}", found.size),
        ));
    }
    let chunks = release.chunks_of(found);
    let carried = chunks.iter().filter(|c| !c.is_zero());
    Ok(Plan {
        version: manifest.version.clone(),
        release_counter: manifest.release_counter,
        payload,
        image: found.size,
        carried: carried.map(|c| u64::from(c.plain_len)).sum(),
        stored: found.stored_size,
        chunks: chunks.len(),
        slot: slot_len,
    })
}

fn for_this_device(manifest: &Manifest, target: &Target) -> Result<()> {
    if manifest.product != target.product {
        let (theirs, ours) = (&manifest.product, &target.product);
        let detail = format!("it is for product `{theirs}`, this is `{ours}`");
        return Err(Failure::new(ReasonCode::WrongProduct, detail));
    }
    if !manifest.compatible.contains(&target.compatible) {
        let names: Vec<_> = manifest.compatible.iter().map(Identifier::as_str).collect();
        let detail = format!("it is for {}, this is {}", names.join(", "), target.compatible);
        return Err(Failure::new(ReasonCode::Incompatible, detail));
    }
    Ok(())
}

/// The index of the root filesystem for this device.
fn the_one(manifest: &Manifest, target: &Target) -> Result<usize> {
    let chosen: Vec<&Payload> = manifest.select(target.hardware.as_ref())?;
    let [one] = chosen[..] else {
        return Err(Failure::new(
            ReasonCode::ManifestInvalid,
            "it carries more than one payload for the slot",
        ));
    };
    let index = manifest.payloads.iter().position(|p| std::ptr::eq(p, one));
    index.ok_or_else(|| Failure::new(ReasonCode::Internal, "the chosen payload is not listed"))
}
