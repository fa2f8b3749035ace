//! Which partitions are A and B, which one runs, and the only key ([`Inactive`]) to the other.
//! This room never looks into the bootloader environment and never decides when to update.

mod booted;
mod filesystem;
mod hardware;
mod inactive;
mod layout;
mod names;
mod open;
mod place;
pub mod record;
mod twin;

pub use booted::{Root, booted_from_file, booted_on_device, root_on, slot_on_command_line};
pub use filesystem::{FILESYSTEM_HEAD, filesystem};
pub use hardware::{HardwareSource, revision};
pub use inactive::Inactive;
pub use layout::{Layout, Part};
pub use names::{PartName, SlotNames};
pub use open::{OpenPart, bootable, kernel_part, read_parts};
pub use place::{DiskPlace, running};
pub(crate) use twin::refuse_twin;

/// The bytes at the start of a slot that are destroyed first and written last (DESIGN 9.2).
pub const FIRST_LEN: u64 = 128 * 1024;

#[cfg(test)]
mod tests;
