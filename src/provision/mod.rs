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

mod addresses;
mod dots;
mod environment;
mod fat;
mod image;
mod layout;
mod script;
mod table;

pub use addresses::{Measured, Overlap, overlap};
pub use environment::{
    Environment, Factory, check_for_script, check_variable, env_places, fw_env_config,
};
pub use fat::{read as read_boot_file, read_all as read_boot_files};
pub use image::{Card, Counter, Image, lay, make};
pub use layout::{ENV_LEN, ENV_OFFSETS, Layout, MIB, Misfit, Place, Plan, Reserved, in_mib};
pub use script::{shipped_boot_script, unwrap_script, wrap_script};
pub use table::{DiskId, mbr_signature};

/// The script's file on the boot partition.
pub const SCRIPT_FILE: &str = "boot.scr";

/// The boot script as it stands on a disk.
pub fn boot_script_file() -> (String, Vec<u8>) {
    let wrapped = wrap_script(&shipped_boot_script());
    (SCRIPT_FILE.to_owned(), wrapped.expect("because the script of this program is short"))
}
