//! Carries out what was decided about apps, on this device.

use super::{
    AppCommand, AppContext, AppDone, AppEffect, AppExecutor, AppFacts, AppJournal, AppMove,
    Supervisor,
};
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::source::Fetch;

/// The bytes of a bundle that is to be staged.
pub struct BundleSource<'a> {
    /// SHA-256 of its manifest.
    pub digest: Digest,
    /// The whole bundle.
    pub bytes: &'a dyn Fetch,
}

/// The device as the driver of apps needs it. Journals are saved by it; run-once services that have ended, and ports
/// that were chosen, it adds to the journal that is saved. The device makes one anew for each call, as the supervisor is
/// shared with the thread that looks after services: what must be remembered between two calls is in [`Supervisor`].
pub struct DeviceExecutor<'a> {
    ctx: &'a AppContext<'a>,
    sources: &'a [BundleSource<'a>],
    watch: &'a mut Supervisor,
}

impl<'a> DeviceExecutor<'a> {
    /// An executor that stages from `sources`; what is not among them must be on the device.
    pub fn new(
        ctx: &'a AppContext<'a>,
        sources: &'a [BundleSource<'a>],
        watch: &'a mut Supervisor,
    ) -> DeviceExecutor<'a> {
        DeviceExecutor { ctx, sources, watch }
    }
}

impl AppExecutor for DeviceExecutor<'_> {
    fn facts(
        &mut self,
        journal: &AppJournal,
        command: &AppCommand,
        done: Option<AppDone>,
    ) -> Result<AppFacts> {
        let _ = (journal, command, done, self.ctx, self.sources, &self.watch);
        Err(Failure::new(ReasonCode::EngineMissing, "not written yet"))
    }

    fn persist(&mut self, journal: &AppJournal) -> Result<()> {
        let _ = journal;
        Err(Failure::new(ReasonCode::EngineMissing, "not written yet"))
    }

    fn run(&mut self, effect: &AppEffect) -> Result<Option<AppDone>> {
        let _ = effect;
        Err(Failure::new(ReasonCode::EngineMissing, "not written yet"))
    }
}

/// Brings in all that the new side of `moves` needs, compares it and makes it durable; what runs goes on. For a joint
/// release, whose set is written beside a slot: for everything else the driver does it.
pub fn stage_bundles(
    ctx: &AppContext<'_>,
    moves: &[AppMove],
    sources: &[BundleSource<'_>],
) -> Result<()> {
    let _ = (ctx, moves, sources);
    Err(Failure::new(ReasonCode::EngineMissing, "not written yet"))
}
