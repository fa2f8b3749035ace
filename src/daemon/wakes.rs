//! What the keeper looks at again at a time of its own, beside what its turns wait for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What there is to wake for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    /// A look at what the source of offers has.
    Poll,
    /// What is left to do with a change of apps.
    #[cfg(feature = "apps")]
    Apps,
}

/// Each with its time.
#[derive(Debug, Default)]
pub(super) struct Wakes(BTreeMap<Wake, Instant>);

impl Wakes {
    /// Sets the time of one, in place of its last.
    pub(super) fn set(&mut self, wake: Wake, after: Duration) {
        self.0.insert(wake, Instant::now() + after);
    }

    /// Whether one is set.
    pub(super) fn has(&self, wake: Wake) -> bool {
        self.0.contains_key(&wake)
    }

    /// Takes it away.
    pub(super) fn clear(&mut self, wake: Wake) {
        self.0.remove(&wake);
    }

    /// Whether its time has come.
    pub(super) fn is_due(&self, wake: Wake) -> bool {
        self.0.get(&wake).is_some_and(|at| *at <= Instant::now())
    }

    /// How long to rest at most, where a turn would rest for `pause`.
    pub(super) fn before(&self, pause: Option<Duration>) -> Option<Duration> {
        let next = self.0.values().min().map(|at| at.saturating_duration_since(Instant::now()));
        [pause, next].into_iter().flatten().min()
    }
}
