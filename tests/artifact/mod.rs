//! The promises of the artifact format: what a stranger wrote by the book is read, and everything
//! else is refused with its own reason. Ids such as H05 or S03 are those of the project's hostile
//! corpus (docs/artifact-format.md names what each refuses).
#![cfg(feature = "forge")]
// The whole crate is tests: clippy.toml's exception reaches only marked functions.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "tests panic on purpose; the lengths here are small"
)]

mod flips;
mod forge;
mod header;
mod manifest;
mod paged;
mod payload;
mod pipes;
mod python;
mod record;
mod signatures;
pub(crate) mod stranger;
