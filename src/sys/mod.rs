//! The only room that speaks to the kernel: durable files, disks past the page cache, mounts,
//! locks, processes with deadlines, clocks, reboot. It never knows what a slot, an artifact or an
//! update is, and it never decides anything.

mod aligned;
pub mod attributes;
pub mod below;
pub mod blk;
pub mod cage;
pub mod claim;
pub mod clock;
pub mod confine;
pub mod copies;
pub mod defect;
pub mod disks;
pub mod durable;
pub mod files;
mod filter;
pub mod host;
pub mod kmsg;
pub mod lock;
pub mod mount;
pub mod mounts;
pub mod narrate;
pub mod net;
pub mod power;
pub mod process;
pub mod program;
pub mod signals;
pub mod slab;
pub mod spare;
pub mod stop;
pub mod systemd;
pub mod transient;
pub mod tree;
pub mod unix;
pub mod unnamed;
pub mod wait;

pub use aligned::AlignedBuf;
