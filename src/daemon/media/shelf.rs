//! What a place of artifacts can be asked.

use crate::model::Result;
use crate::source::Source;
use std::time::Duration;

/// Where the artifacts are.
pub(super) trait Shelf {
    /// Names and lengths.
    fn offers(&self) -> Vec<(String, u64)>;
    /// The bytes of one, by its place in [`Shelf::offers`].
    fn take(&self, number: usize) -> Result<Source>;
    /// Waits for so long, or until something has come that these offers do not know of; whether it
    /// has. Nothing comes to a stick while it is in.
    fn is_outdated(&self, within: Duration) -> bool {
        std::thread::sleep(within);
        false
    }
}
