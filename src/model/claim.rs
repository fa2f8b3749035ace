//! What the bootloader environment says about slots, as plain values: the `boot` room reads
//! them, the `slot` room refuses by them, neither needs the other.

use super::SlotId;

/// What one stored copy of the environment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyClaim {
    /// The copy does not pass its checksum, or cannot be parsed.
    Dead,
    /// The copy is valid.
    Alive {
        /// The slot it would boot; `None` if the variable is missing or is neither `a` nor `b`.
        slot: Option<SlotId>,
        /// Whether a trial is pending in it.
        trial: bool,
    },
}

/// What all copies say, in the order in which they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvClaims {
    /// One entry for a single-copy store, two for a redundant one.
    pub copies: Vec<CopyClaim>,
}

impl EnvClaims {
    /// True if every copy is valid, names `running` and carries no trial (DESIGN 9.1): the only
    /// state in which the other slot may be opened for writing.
    pub fn all_settled_on(&self, running: SlotId) -> bool {
        !self.copies.is_empty()
            && self.copies.iter().all(
                |c| matches!(c, CopyClaim::Alive { slot: Some(s), trial: false } if *s == running),
            )
    }
}
