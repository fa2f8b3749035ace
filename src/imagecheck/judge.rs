//! How grave a lack is.

use crate::inspect::Diagnosis;
use crate::model::{Failure, ReasonCode};

/// How grave it is that a device of the disk could not be updated.
pub(super) struct Judge {
    pub(super) production: bool,
}

impl Judge {
    /// A warning where an image is built step by step; one for production must have it.
    pub(super) fn lack(&self, topic: &str, text: String, remedy: String, out: &mut Diagnosis) {
        match self.production {
            true => {
                let failure = Failure::new(ReasonCode::NotForProduction, text);
                out.block(topic, &failure.with_next(remedy));
            }
            false => out.warn(topic, text, remedy),
        }
    }
}
