//! The only room that speaks to the kernel: durable files, locks, processes with deadlines,
//! clocks, reboot. It never knows what a slot, an artifact or an update is.

pub mod clock;
pub mod durable;
pub mod host;
pub mod lock;
pub mod power;
pub mod process;
