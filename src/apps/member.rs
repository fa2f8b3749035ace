//! What an admission is about, and what it comes to.

use super::{AppMove, Generation};
use crate::bundle::{AppDocument, ServiceName};
use std::sync::Arc;

/// A change that may be begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// What is done to which app. Empty where all of it runs already.
    pub moves: Vec<AppMove>,
    /// What runs already as it was asked for: [`super::stage_bundles`] looks whether all of it is whole, and mends it.
    pub same: Vec<AppMove>,
    /// Bytes of payloads that are not on the device yet, as they are stored in the bundles.
    pub download: u64,
    /// Bytes of disk that the change needs.
    pub room: u64,
    /// What a person should know, one line each.
    pub notes: Vec<String>,
}

/// An app of the set that a change would make.
pub(super) struct Member {
    pub(super) app: ServiceName,
    pub(super) generation: Generation,
    pub(super) document: Arc<AppDocument>,
    /// The change is about it.
    pub(super) moved: bool,
}
