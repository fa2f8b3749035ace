//! Reads files out of a root filesystem that is finished: a folder, or an image of ext2/3/4, squashfs or
//! erofs, alone or as a partition of a disk image. It never mounts, never changes what it reads, and never
//! follows a link out of the root.
//!
//! ext4 and what erofs does not compress are read here; squashfs by `unsquashfs`, and a compressed file of an
//! erofs by `fsck.erofs`.

mod erofs;
pub(crate) mod ext4;
mod folder;
mod inodes;
mod part;
mod root;
#[cfg(test)]
mod root_tests;
mod squashfs;
mod tool;
mod walk;

pub use part::{About, What};
pub use root::Root;
pub use walk::{Entry, ReadFile};
