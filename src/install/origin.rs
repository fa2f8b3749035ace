//! Where the bytes of each chunk come from. Producers decide it, before anything is destroyed; the
//! pipeline carries it out and believes nothing of it: what is copied is hashed first.

use crate::artifact::Chunk;
use crate::disk::BlockDevice;
use crate::model::SlotId;

/// Where one chunk's plain bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// They stand at their place in the slot: they were hashed there.
    Stands,
    /// They are zeros, and nothing brings them.
    Zero,
    /// The artifact carries them.
    Fetch,
    /// They are said to stand in a slot that is read only: from byte `at` on of its partition. Where
    /// they do not (they are hashed before they are written), or cannot be read, the artifact is asked.
    CopyFrom {
        /// The slot; any other than the one that [`super::write::Order`] names is not asked.
        slot: SlotId,
        /// Bytes from the start of its partition, at any byte.
        at: u64,
    },
}

impl Origin {
    /// Where a chunk comes from, of which only this is known: whether it stands.
    pub(super) fn of(chunk: &Chunk, stands: bool) -> Origin {
        match stands {
            true => Origin::Stands,
            false if chunk.is_zero() => Origin::Zero,
            false => Origin::Fetch,
        }
    }

    /// Whether it is brought by a copy.
    pub(super) fn is_copy(self) -> bool {
        matches!(self, Origin::CopyFrom { .. })
    }
}

/// A partition of a slot that chunks may be copied from, and which slot that is.
#[derive(Clone, Copy)]
pub(super) struct Other<'a> {
    pub(super) slot: SlotId,
    pub(super) device: &'a dyn BlockDevice,
}
