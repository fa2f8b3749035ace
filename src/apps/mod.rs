//! The life of apps: sets of bundles, one change of them at a time, on trial like a slot. One pure `decide`, one
//! journal, one driver, as for the system (`update`); what runs in an engine, on systemd or in a program of the
//! image is behind `AppExecutor`. This room never touches a slot, and never decides about a system.
//!
//! Each slot remembers the set of apps that belongs to its system. What shall run is the set of the slot that runs: a
//! system that comes back brings its apps back, and a joint release is a set that was written beside a slot before
//! that slot is armed.

mod driver;
mod facts;
mod journal;
mod settings;

pub use driver::AppExecutor;
pub use facts::{AppCommand, AppDone, AppEffect, AppFacts, AppRules, AppStep, Live, SlotTrial};
pub use journal::{
    AppEnded, AppJournal, AppMove, AppOutcome, AppPhase, AppSet, Cause, Change, Generation,
    RefusedApp,
};
pub use settings::AppSettings;
