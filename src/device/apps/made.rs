//! What a delta of a bundle makes on this device.

use super::gear::Gear;
use crate::apps::read_bundle_here;
use crate::artifact::Release;
use crate::device::World;
use crate::event::Nowhere;
use crate::model::{Failure, ReasonCode, Result};
use crate::source::Source;
use crate::trust::Verified;

/// The bundle that a delta of one makes on this device, verified by itself.
pub(in crate::device) fn made_by_delta(
    world: &World,
    source: &Source,
) -> Result<Verified<Release>> {
    let bytes = source.ranges().ok_or_else(|| {
        let text = "a delta of a bundle cannot come as a stream: name a file or an address";
        Failure::new(ReasonCode::Usage, text)
    })?;
    let gear = Gear::of(world)?;
    Ok(read_bundle_here(&gear.context(&Nowhere), bytes)?.into_release())
}
