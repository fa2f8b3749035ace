//! The file format: read, write and inspect a signed artifact as a stream. This room never
//! decides whether a release is wanted, and never touches a device.

mod bundle_delta;
mod check;
mod chunk;
#[cfg(feature = "forge")]
mod compress;
#[cfg(feature = "forge")]
mod content;
mod context;
#[cfg(feature = "forge")]
mod cut;
mod decode;
mod delta;
#[cfg(test)]
mod golden;
mod head;
mod input;
mod manifest;
#[cfg(feature = "forge")]
mod pack;
mod paged;
mod pages;
mod record;
mod release;
#[cfg(feature = "forge")]
mod spans;
mod spelling;
mod unverified;
#[cfg(feature = "forge")]
pub mod write;

pub use bundle_delta::{
    BundleDelta, BundleDeltaManifest, FromBundle, PatchSource, PayloadPatch, PayloadPlan,
};
pub use check::{Checked, check_payload};
pub use chunk::{Chunk, ChunkTable, Codec, image_digest};
#[cfg(feature = "forge")]
pub use content::PayloadContent;
pub use context::{History, context_starts};
#[cfg(feature = "forge")]
pub use cut::{Cutter, DEFAULT_AVERAGE, Piece, Span};
pub use decode::{Decoder, check_stored};
pub use delta::{Delta, DeltaEnd, DeltaManifest, DeltaPayload, StoredBlocks};
pub use head::{FIXED_HEADER_LEN, Format, MAGIC};
pub use manifest::{Manifest, Pages, Payload, PayloadKind, Provenance, Requires};
pub use paged::{ReadRanges, read_head_by_pages};
pub use pages::{check_pages, page_block};
pub use record::{Installed, Recalled, read_record, recall_record};
pub use release::Release;
#[cfg(feature = "forge")]
pub use spans::{Cuts, spans};
pub use unverified::{Unverified, announced_table, join_head, read_head};

/// The oldest updater that reads what this one writes: what [`Requires::updater`] says, and what this
/// one reads whatever its own version is.
pub const UPDATER: &str = "0.2.0";
/// The oldest updater that reads a bundle of an app, and a system with bundles beside it.
pub const APP_UPDATER: &str = "0.5.0";
/// A manifest has at most this many bytes.
pub const MAX_BODY_LEN: u32 = 64 * 1024;
/// A chunk table has at most this many bytes.
pub const MAX_TABLE_LEN: u32 = 8 * 1024 * 1024;
/// The oldest updater that reads a delta.
pub const DELTA_UPDATER: &str = "0.3.0";
/// Length of the hash of a delta's stored block, bytes.
pub const HASH_LEN: u32 = 32;
/// Length of a delta's stored blocks, bytes; the last one may be shorter.
pub const DELTA_BLOCK_LEN: u32 = 128 * 1024;
/// Length of a chunk record, bytes.
pub const RECORD_LEN: u32 = 80;
/// An artifact carries at most this many signatures.
pub const MAX_SIGNATURES: usize = 8;
/// A chunk that is not a zero run has at most this many plain bytes: what a decoder needs.
pub const MAX_CHUNK_LEN: u32 = 1024 * 1024;
/// The context of a chunk has at most this many plain bytes.
pub const MAX_CONTEXT_LEN: u32 = 4 * 1024 * 1024;
/// What a device keeps beside an installed release has at most this many bytes: the payload of its slot
/// record.
pub const MAX_RECORD_LEN: usize = 1024 * 1024 - 20;

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
