//! The only room that speaks to the kernel: disks past the page cache, durable files, locks,
//! processes with deadlines, mounts, clocks, reboot. It alone holds `unsafe` and `nix`. It never
//! knows what a slot, an artifact or an update is.

mod aligned;
pub mod blk;
pub mod clock;
pub mod durable;
pub mod host;
pub mod lock;
pub mod mounts;
pub mod power;
pub mod process;

pub use aligned::AlignedBuf;
