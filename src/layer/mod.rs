//! Layers of container images: tar archives that are read without being unpacked, and made again, bit for bit, from
//! a patch and the files of layers that are here already. This room never speaks to an engine and never writes where
//! an archive says.
//!
//! ```text
//! stored blocks ─▶ list of files ─▶ OldBytes (each file hashed) ─┐
//!               ─▶ delta::Player (ops) ──────────────────────────┴─▶ Making ─▶ SHA-256 = diff id
//! ```

#[cfg(feature = "forge")]
mod archive;
mod list;
mod old;
mod patch;

#[cfg(feature = "forge")]
pub use archive::{LayerEntry, LayerEntryKind, Pax, pax, scan_layer, tar_number};
pub use list::{FileList, MAX_FILES, MAX_PATH, SourceDigest, is_plain};
pub use old::{LayerFolders, OldBytes, OldFile, OldFiles};
pub use patch::{
    FindHead, MAX_PREFIX, Making, apply, bundle_head, patch_offset, patch_range, same_bundle,
};
