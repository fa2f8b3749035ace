//! One recorded operation: what it does, and from when to when.

use std::sync::Arc;

/// A file's content, whatever it is called.
pub(super) type Inode = usize;

/// One deed.
#[derive(Debug, Clone)]
pub(super) struct Op {
    pub(super) deed: Deed,
    /// Moments: lines of all logs of the story, counted.
    pub(super) begin: usize,
    pub(super) end: usize,
    pub(super) durable: usize,
    /// Which part of an update it belongs to.
    pub(super) phase: &'static str,
    /// What a person reads of it.
    pub(super) told: String,
}

/// What was done.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// Bytes of the disk.
    Disk { at: u64, bytes: Arc<[u8]> },
    /// A file of the state folder was emptied.
    Empty(Inode),
    /// Bytes of a file of the state folder.
    Content { inode: Inode, at: usize, bytes: Arc<[u8]> },
    /// A file got its first name.
    Make(String, Inode),
    /// A file took another's name.
    Move(String, String),
}

impl Deed {
    pub(super) fn names(&self) -> bool {
        matches!(self, Deed::Make(..) | Deed::Move(..))
    }
}

/// How far a deed had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not begun.
    Absent,
    /// Begun, not returned.
    InFlight,
    /// Returned; the medium may still lose it.
    Volatile,
    /// A flush has vouched for it.
    Certain,
}

impl Op {
    pub(super) fn at(&self, moment: usize) -> Stage {
        match () {
            () if self.begin >= moment => Stage::Absent,
            () if self.durable < moment => Stage::Certain,
            () if self.end < moment => Stage::Volatile,
            () => Stage::InFlight,
        }
    }
}
