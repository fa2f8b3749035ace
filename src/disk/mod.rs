//! Block devices and partition tables: find, read, write aligned, flush, read back. This room
//! never writes a partition table on a device and never decides which partition may be written.

mod device;

pub use device::{BlockDevice, Window};
