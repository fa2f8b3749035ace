//! The life of apps: sets of bundles, one change of them at a time, on trial like a slot. One pure `decide`, one
//! journal, one driver, as for the system (`update`); what runs in an engine, on systemd or in a program of the
//! image is behind `AppExecutor`. This room never touches a slot, and never decides about a system.
//!
//! Each slot remembers the set of apps that belongs to its system. What shall run is the set of the slot that runs: a
//! system that comes back brings its apps back, and a joint release is a set that was written beside a slot before
//! that slot is armed.

mod admit;
#[cfg(all(test, feature = "forge"))]
mod admit_tests;
mod begun;
#[cfg(all(test, feature = "forge"))]
mod begun_tests;
mod bundles;
mod bytes;
mod collect;
mod command;
mod context;
mod decide;
#[cfg(test)]
mod decide_tests;
mod develop;
mod driver;
mod endings;
mod executor;
#[cfg(test)]
mod explore;
mod facts;
#[cfg(all(test, feature = "forge"))]
mod fixture;
mod from_delta;
mod grants;
mod halt;
mod journal;
mod kept;
mod kinds;
mod look;
mod member;
mod native;
mod needs;
mod opened;
mod payload;
mod place;
mod plain;
mod plan;
mod ports;
mod preload;
mod probe;
mod relations;
mod room;
mod sets;
#[cfg(test)]
mod sets_tests;
mod settings;
mod show;
mod spec;
mod stage;
mod status;
mod store;
mod supervise;
mod trees;
mod volumes;
mod watch;

pub use admit::{AppAsk, admit};
pub use bundles::{BundleHead, kept_bundle, read_bundle};
pub use bytes::BundleSource;
pub use context::AppContext;
pub use decide::decide;
pub use driver::{AppExecutor, AppRest, drive_apps};
pub use executor::DeviceExecutor;
pub use facts::{AppCommand, AppDone, AppEffect, AppFacts, AppRules, AppStep, Live, SlotTrial};
pub use from_delta::{DeltaLayers, OpenedDelta, folders_of, open_delta};
pub use journal::{
    AppEnded, AppJournal, AppMove, AppOutcome, AppPhase, AppSet, BeforeDevelopment, Cause, Change,
    Generation, RefusedApp,
};
pub use kept::{kept_file, preloads};
pub use member::Admission;
pub use opened::read_bundle_here;
pub use payload::PayloadReader;
pub use preload::{PreloadPlan, ReadyBundle, plan_preloads};
pub use settings::AppSettings;
pub use stage::stage_bundles;
pub use status::{
    AppState, AppStatus, AppsDisk, AppsStatus, ChangeEnded, ChangeStatus, ImageOnDevice,
    ServiceStatus, apps_status,
};
pub use store::{AppJournalStore, AppStored};
pub use supervise::{Supervisor, stop_app};

#[cfg(all(test, feature = "forge", feature = "sim"))]
mod cut_tests;
#[cfg(all(test, feature = "forge"))]
mod life_tests;
#[cfg(all(test, feature = "forge"))]
mod plain_life_tests;
