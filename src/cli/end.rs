//! The ends that are no success.

use crate::model::{Failure, ReasonCode};

/// What a verb comes to: what is printed, or an end that is no success.
pub(super) type Printed = std::result::Result<String, End>;

/// An end that is no success.
#[derive(Debug)]
pub(super) enum End {
    /// Told on standard error.
    Failed(Failure),
    /// The answer itself says what is wrong; the code is for the exit status.
    Said(String, ReasonCode),
    /// Another program has said what is wrong, and ended with this status.
    Passed(String, u8),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        End::Failed(failure)
    }
}
