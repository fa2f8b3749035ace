//! Block devices and partition tables: find, read, write aligned, flush, read back. This room
//! never decides which partition may be written, and writes a partition table only where the first boot
//! gives the last partition the rest of its disk ([`growth`]).

mod claims;
mod device;
#[cfg(any(test, feature = "sim"))]
pub mod fake;
mod gpt;
mod grow;
mod grow_gpt;
#[cfg(test)]
mod grow_tests;
mod growth;
mod handle;
mod mbr;
mod medium;
mod partition;
mod table;

pub(crate) use claims::{Sectors, read_claims};
pub use device::{BlockDevice, Window};
pub use grow::growth;
pub use growth::Growth;
pub use handle::Disk;
pub use medium::{open_device, open_image, open_image_writable};
pub(crate) use medium::{open_in_place, rehearse_writing};
#[cfg(feature = "forge")]
pub(crate) use medium::{open_whole, reread_partitions};
pub use partition::{Partition, PartitionTable, TableKind};
pub use table::read_table;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod mbr_tests;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
