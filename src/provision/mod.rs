//! Makes the disk of a new device as an image file, from nothing. This room never opens a device
//! and never changes an image that exists: what it makes is new, or it refuses.
//!
//! ```text
//!   0        4 MiB          8 MiB          16 MiB  48 MiB
//!   ├ GPT ┬──┼ environment ─┼ environment ─┼ boot ─┼ rootfs-a ┬ rootfs-b ┬ data ┬ GPT ┤
//! ```
//!
//! Where a slot has a boot part, `boot-a` and `boot-b` stand before `rootfs-a`. The two copies of the environment stand alone in their 4 MiB units, so that no erase of a
//! card's block can take both (DESIGN 9.10).

mod fat;
mod image;
mod layout;
mod script;

pub use fat::read as read_boot_file;
pub use image::{Card, Counter, make};
pub use layout::{ENV_LEN, ENV_OFFSETS, Layout, Place};
pub use script::{shipped_boot_script, unwrap_script, wrap_script};

/// The script's file on the boot partition.
pub const SCRIPT_FILE: &str = "boot.scr";
