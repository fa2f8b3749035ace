//! Pure: whether a release is for this device, and what writing it to a slot means.

use crate::artifact::{Manifest, Payload, Release};
use crate::model::{Failure, Identifier, ReasonCode, Result, Version};
use crate::slot::Part;
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
    /// What is written to each part of the slot, in the order of `[slots]`.
    pub parts: Vec<PartPlan>,
    /// The length of all images.
    pub image: u64,
    /// Image bytes that the artifact carries; the rest is zeros.
    pub carried: u64,
    /// Stored bytes of these payloads, the most that is read from the source.
    pub stored: u64,
    /// How many chunks they have.
    pub chunks: usize,
    /// The length of the slot, its record included.
    pub slot: u64,
}

/// What would be written to one part of a slot. All lengths are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartPlan {
    /// The part.
    pub part: Identifier,
    /// Which payload of the manifest, counted from 0.
    pub payload: usize,
    /// The length of the image.
    pub image: u64,
    /// Image bytes that the artifact carries; the rest is zeros.
    pub carried: u64,
    /// Stored bytes of this payload.
    pub stored: u64,
    /// How many chunks it has.
    pub chunks: usize,
    /// The length of the partition; in the first part the slot record included.
    pub partition: u64,
}

/// Finds the payload for each part of this device's slots and checks that it fits.
/// `WRONG_PRODUCT`, `INCOMPATIBLE`, `NO_PAYLOAD`, `UPDATER_TOO_OLD` (this hardware requires a
/// payload of an unknown kind), `PART_MISSING`, `PART_UNKNOWN`, `TOO_BIG`.
pub fn plan(release: &Verified<Release>, target: &Target, parts: &[Part]) -> Result<Plan> {
    let manifest = &release.manifest;
    for_this_device(manifest, target)?;
    let chosen = manifest.select(target.hardware.as_ref())?;
    let mut planned = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let Some(payload) = chosen.iter().find(|p| p.part().as_ref() == Some(&part.name)) else {
            let text =
                format!("it carries no image for `{}`, a part of this device's slots", part.name);
            return Err(Failure::new(ReasonCode::PartMissing, text));
        };
        planned.push(plan_part(release, payload, part, index == 0)?);
    }
    let of_the_slot = |name: &Identifier| parts.iter().any(|part| part.name == *name);
    if let Some(other) = chosen.iter().filter_map(|p| p.part()).find(|name| !of_the_slot(name)) {
        let text = format!(
            "it carries an image for `{other}`, and no part of this device's slots is called so"
        );
        return Err(Failure::new(ReasonCode::PartUnknown, text));
    }
    let sum = |of: fn(&PartPlan) -> u64| planned.iter().map(of).sum();
    Ok(Plan {
        version: manifest.version.clone(),
        release_counter: manifest.release_counter,
        image: sum(|p| p.image),
        carried: sum(|p| p.carried),
        stored: sum(|p| p.stored),
        chunks: planned.iter().map(|p| p.chunks).sum(),
        slot: sum(|p| p.partition),
        parts: planned,
    })
}

fn plan_part(release: &Release, payload: &Payload, part: &Part, first: bool) -> Result<PartPlan> {
    let len = part.partition.len;
    let room = if first { record_offset(len) } else { len };
    if payload.size > room {
        let (name, size) = (&part.name, payload.size);
        let text =
            format!("the image of `{name}` has {size} bytes, its partition has room for {room}");
        return Err(Failure::new(ReasonCode::TooBig, text));
    }
    let listed = release.manifest.payloads.iter().position(|p| std::ptr::eq(p, payload));
    let chunks = release.chunks_of(payload);
    let carried = chunks.iter().filter(|c| !c.is_zero());
    Ok(PartPlan {
        part: part.name.clone(),
        payload: listed.ok_or_else(|| {
            Failure::new(ReasonCode::Internal, "the chosen payload is not listed")
        })?,
        image: payload.size,
        carried: carried.map(|c| u64::from(c.plain_len)).sum(),
        stored: payload.stored_size,
        chunks: chunks.len(),
        partition: len,
    })
}

/// Whether an artifact is for this product and fits this device: `WRONG_PRODUCT`, `INCOMPATIBLE`.
pub fn for_this_device(manifest: &Manifest, target: &Target) -> Result<()> {
    if manifest.product != target.product {
        let (theirs, ours) = (&manifest.product, &target.product);
        let detail = format!("it is for product `{theirs}`, this is `{ours}`");
        return Err(Failure::new(ReasonCode::WrongProduct, detail));
    }
    if !manifest.compatible.contains(&target.compatible) {
        let names: Vec<_> = manifest.compatible.iter().map(|name| format!("`{name}`")).collect();
        let detail = format!("it is for {}, this is `{}`", names.join(", "), target.compatible);
        return Err(Failure::new(ReasonCode::Incompatible, detail));
    }
    Ok(())
}
