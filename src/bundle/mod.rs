//! What an app bundle says of itself: a normalised document, and the rules that hold for it without a
//! look at any device. `surefoot-forge` makes it of a Compose file; a device reads nothing but this. This
//! room never opens a file, never speaks to an engine and never decides whether a bundle is wanted.

mod check;
mod document;
mod files;
mod name;
mod order;
mod payloads;
mod service;
mod service_check;
#[cfg(test)]
mod tests;
mod units;
mod value;

pub use document::{
    AppDocument, AppKind, CommandApp, ConfigValueRule, External, ImageEntry, NativeApp, NativeFile,
    Secret, Volume, parse_document,
};
pub use name::ServiceName;
pub use service::{
    DeviceNode, HealthProbe, Mount, MountKind, PortPair, Protocol, Resources, RestartRule, RunWhen,
    Service, ServiceNetwork, StartAfter, StartCondition,
};
pub use units::{FOREIGN_PROGRAMS, MAX_UNIT_LEN, MORE_RIGHTS, UnitFacts, placed_name};

/// A document has at most this many bytes.
pub const MAX_DOCUMENT_LEN: u64 = 256 * 1024;
/// The configuration of an image has at most this many bytes.
pub const MAX_IMAGE_CONFIG_LEN: u64 = 1024 * 1024;
/// A bundle has at most this many services, replicas counted.
pub const MAX_SERVICES: usize = 64;
/// The tree of a native app has at most this many files.
pub const MAX_FILES: usize = 1024;
/// The files of a native app have at most this many bytes together.
pub const MAX_TREE_LEN: u64 = 4 << 30;

/// Whether a value is the one that counts where nothing is written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

// Properties for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub mod fuzz;
