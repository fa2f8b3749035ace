//! What this room needs of a network.

use super::Unheard;
use crate::model::Result;
use crate::source::{Reached, Source, Tries};

/// A small document that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// It is the one that is known already.
    Same,
    /// It has come.
    Bytes {
        /// All of it.
        bytes: Vec<u8>,
        /// The server's mark for these bytes.
        etag: Option<String>,
    },
}

/// A network, as far as it is needed here.
pub trait Web: Send + Sync {
    /// A small document, at most `limit` bytes; `etag` is the mark of the one that is known.
    fn document(
        &self,
        url: &str,
        etag: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Document, Unheard>;

    /// Sends a report, JSON.
    fn report(&self, url: &str, body: &str) -> std::result::Result<(), Unheard>;

    /// Whether a source takes connections, and what else answers: `again` as a system asks after an update,
    /// else as the one before it does.
    fn reach(&self, url: &str, witnesses: &[String], again: bool) -> Result<Reached>;

    /// Opens an artifact.
    fn artifact(&self, url: &str, tries: Tries) -> Result<Source>;

    /// Bytes of the answers so far that have brought no file: pages in place of it.
    fn fruitless(&self) -> u64 {
        0
    }
}
