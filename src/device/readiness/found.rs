//! One condition for an update, and how a failure becomes one.

use crate::model::{Condition, ConditionKind, Failure, ReasonCode};
use crate::sys::host;

/// A condition, and what it is about.
pub(crate) struct Found {
    /// `disk`, `environment` and so on, as the doctor calls it.
    pub(crate) topic: &'static str,
    /// What is the case.
    pub(crate) condition: Condition,
}

/// A failure as a condition. Another program's lock is waited for; what an ordinary user may not
/// open, that user cannot judge.
pub(super) fn of(failure: &Failure) -> Option<Condition> {
    let kind = match failure.code() {
        ReasonCode::Busy => ConditionKind::Waits,
        ReasonCode::NotAllowed => return None,
        ReasonCode::DiskDenied if !host::is_root() => return None,
        _ => ConditionKind::Blocks,
    };
    Some(Condition::new(failure.code(), kind, failure.detail(), failure.next()))
}

/// What keeps the device from being looked at is a condition too.
pub(in crate::device) fn unopened(failure: Failure) -> Failure {
    let condition = of(&failure);
    failure.with_conditions(condition.into_iter().collect())
}
