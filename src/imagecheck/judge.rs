//! How grave a lack is.

use crate::inspect::Diagnosis;
use crate::model::{Failure, ReasonCode};

/// What can be judged.
pub(super) const WHOLE: &str =
    "Give the image of a whole disk, as `surefoot-forge image` makes it, or the device of a card.";

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
