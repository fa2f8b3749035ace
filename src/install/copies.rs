//! What need not be fetched over a network: chunks that the slot that runs is said to hold.

use super::origin::{Origin, Other};
use super::part::PartOrder;
use crate::artifact::Installed;
use crate::model::SlotId;
use crate::slot::OpenPart;
use std::collections::HashMap;

/// A slot that is only read, and what its signed record says of it. The record is believed in nothing:
/// each copy is hashed before it is written.
#[derive(Clone, Copy)]
pub struct CopiedFrom<'a> {
    /// Which slot.
    pub slot: SlotId,
    /// Its parts, opened for reading.
    pub parts: &'a [OpenPart],
    /// What was installed there.
    pub installed: &'a Installed,
}

/// Every chunk that would be fetched is copied instead where the record has one of the same length and plain
/// hash in the same part, at any offset. A record without chunks offers none.
pub(super) fn find_copies<'a>(parts: &mut [PartOrder<'a>], from: CopiedFrom<'a>) {
    for part in parts {
        let open = from.parts.iter().find(|open| open.name == *part.name);
        let index = from.installed.payload_of(part.name);
        let (Some(open), Some(index)) = (open, index) else { continue };
        let (mut at, mut found) = (0, HashMap::new());
        for chunk in from.installed.chunks_of(index).unwrap_or_default() {
            if !chunk.is_zero() {
                found.entry((chunk.plain, chunk.plain_len)).or_insert(at);
            }
            at += u64::from(chunk.plain_len);
        }
        for (chunk, origin) in part.places.chunks.iter().zip(&mut part.origins) {
            if *origin == Origin::Fetch
                && let Some(at) = found.get(&(chunk.plain, chunk.plain_len))
            {
                *origin = Origin::CopyFrom { slot: from.slot, at: *at };
            }
        }
        part.other = Some(Other { slot: from.slot, device: &open.device });
    }
}
