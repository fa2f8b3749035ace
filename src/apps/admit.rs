//! Whether a change may be begun: everything that can be known is looked at before anything is downloaded.

use super::{AppContext, AppJournal, AppMove, BundleHead};
use crate::bundle::ServiceName;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::update::Allowed;
use std::collections::BTreeMap;

/// One thing that is asked for.
#[derive(Debug, Clone)]
pub enum AppAsk<'a> {
    /// Install this bundle; with these values of its configuration over those that the app has now.
    Install {
        /// The bundle.
        head: &'a BundleHead,
        /// What is set.
        config: BTreeMap<String, String>,
    },
    /// Run the generation that is on the device with these values over those that it has now.
    Configure {
        /// The app.
        app: ServiceName,
        /// What is set; an empty value takes the one away that was set.
        config: BTreeMap<String, String>,
    },
    /// Go back to a generation that is kept: the one before, or that with this digest.
    Return {
        /// The app.
        app: ServiceName,
        /// Which one.
        to: Option<Digest>,
    },
    /// Take the app away. Its volumes and its data folder stay.
    Remove {
        /// The app.
        app: ServiceName,
    },
}

/// A change that may be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// What is done to which app. Empty where all of it runs already.
    pub moves: Vec<AppMove>,
    /// Bytes of payloads that are not on the device yet, as they are stored in the bundles.
    pub download: u64,
    /// Bytes of disk that the change needs.
    pub room: u64,
    /// What a person should know, one line each.
    pub notes: Vec<String>,
}

/// Looks at everything that the asked changes need, together, and refuses with the code of the first thing that is
/// missing. Reads, and changes nothing. `TRIAL_PENDING` is not asked here: [`super::decide`] does.
pub fn admit(
    ctx: &AppContext<'_>,
    journal: &AppJournal,
    asks: &[AppAsk<'_>],
    allowed: Allowed,
) -> Result<Admission> {
    let _ = (ctx, journal, asks, allowed);
    Err(Failure::new(ReasonCode::EngineMissing, "not written yet"))
}
