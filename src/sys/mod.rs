//! The only room that speaks to the kernel: durable files, locks, processes with deadlines,
//! clocks, reboot, disks past the page cache, mounts. It alone holds `unsafe` and `nix`; it never
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
