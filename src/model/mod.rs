//! The nouns two or more rooms share: parse, compare, print. This room never does I/O.

mod against;
mod claim;
mod condition;
#[cfg(test)]
pub(crate) mod corpus;
mod duration;
mod ends;
mod failure;

mod line;
mod numbers;
mod owner;
pub mod paths;
mod reason;
mod state;
mod state_file;
mod text;
mod tree;

pub use against::{Against, By, Failing};
pub use claim::{CopyClaim, EnvClaims};
pub use condition::{Condition, ConditionKind};
pub use duration::{duration, parse_duration, size};
pub use ends::both_ends;
pub use failure::{Failure, Result, WithReason};
pub use line::{
    REASON_MAX, document, line_document, printable, printable_lines, printable_words,
    shown_document, shown_json,
};
pub use numbers::{ByteLen, Digest, KeyId};
pub use owner::Owner;
pub use reason::{Class, ReasonCode};
pub use state::State;
pub use state_file::{Format, StateFile};
pub use text::{
    BOOT_PARTITION, Identifier, PART_BOOT, PART_ROOTFS, STORE_EPOCH_HINT, SlotId, Txn, UNMADE_DATA,
    Version,
};
pub use tree::{Unread, from_json, from_toml, from_value};
