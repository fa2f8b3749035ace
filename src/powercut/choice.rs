//! What a cut leaves of each operation in flight.

use super::deed::Stage;
use super::landing::Landing;
use std::collections::BTreeMap;

/// What happened to what was not certain.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    /// By deed. What is not named here landed whole if it had returned, and not at all otherwise.
    pub(super) landings: BTreeMap<usize, Landing>,
    /// How many of the uncertain names came back.
    pub(super) names: usize,
}

impl Choice {
    pub(super) fn of(&self, op: usize, stage: Stage) -> Landing {
        match (stage, self.landings.get(&op)) {
            (Stage::Certain, _) => Landing::Whole,
            (Stage::Absent, _) => Landing::Nothing,
            (_, Some(landing)) => *landing,
            (Stage::Volatile, None) => Landing::Whole,
            (Stage::InFlight, None) => Landing::Nothing,
        }
    }

    /// Whether it garbled the whole unit of `op`.
    pub(super) fn garbles(&self, op: usize) -> bool {
        matches!(self.landings.get(&op), Some(Landing::Unit { .. }))
    }

    /// What a report says of it.
    pub(super) fn kind(&self, op: usize) -> &'static str {
        match self.landings.get(&op) {
            Some(landing) => landing.kind(),
            None if self.landings.is_empty() => "prefix",
            None => "reordered",
        }
    }
}
