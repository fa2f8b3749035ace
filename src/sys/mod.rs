//! The only room that speaks to the kernel: disks past the page cache, mounts, devices. It alone
//! holds `unsafe` and `nix`. This room never decides anything.

mod aligned;
pub mod blk;
pub mod mounts;

pub use aligned::AlignedBuf;
