//! An artifact that is far away, and what of it is near: in the slot that runs.

use super::answer::Cost;
use super::world::World;
use crate::artifact::Installed;
use crate::artifact::Release;
use crate::event::{Forecast, Via};
use crate::install::{CopiedFrom, FromDelta, Report};
use crate::model::SlotId;
use crate::slot::OpenPart;
use crate::source::{Fetch, Source};
use crate::trust::Verified;
use std::sync::Arc;

/// The source, where reading it costs time or money that counts; `None` where it can be read twice, or only
/// as it comes.
pub(super) fn distance(source: &Source) -> Option<Arc<dyn Fetch>> {
    match source {
        Source::Ranges(bytes) if bytes.is_dear() => Some(Arc::clone(bytes)),
        _ => None,
    }
}

/// The slot that runs, as its signed record describes it; it is only read.
pub(super) struct Near {
    slot: SlotId,
    parts: Vec<OpenPart>,
    installed: Verified<Installed>,
}

impl Near {
    /// `None` where it cannot be read, or has no record that is accepted: then everything is fetched.
    pub(super) fn of(world: &World, slot: SlotId) -> Option<Near> {
        let (installed, parts) = (world.installed(slot)?, world.parts(slot).ok()?);
        Some(Near { slot, parts, installed })
    }

    /// As the installation takes it.
    pub(super) fn copied_from(&self) -> CopiedFrom<'_> {
        CopiedFrom { slot: self.slot, parts: &self.parts, installed: &self.installed }
    }
}

impl Cost {
    /// Of an installation that wrote this, or found everything written already.
    pub(super) fn of(report: Option<&Report>, received: Option<u64>, via: Via) -> Cost {
        Cost {
            fetched: received.unwrap_or_else(|| report.map_or(0, |report| report.fetched)),
            reused: report.map_or(0, |report| report.kept + report.copied),
            written: report.map_or(0, |report| report.written),
            via,
        }
    }

    /// Of one that is only foreseen: the bytes of the answers so far are counted, `elsewhere` those of other
    /// sources than the one that is taken.
    pub(super) fn foreseen(
        forecast: &Forecast,
        elsewhere: u64,
        via: Via,
        delta: Option<&FromDelta>,
    ) -> Cost {
        let coming = forecast.fetched + forecast.to_fetch;
        let fetched = delta.map_or(coming, |from| from.delta.file_len());
        Cost {
            fetched: elsewhere + fetched,
            reused: forecast.stands + forecast.copied,
            written: forecast.copied + forecast.fetch + crate::slot::record::RECORD_LEN,
            via,
        }
    }
}

/// A source over a network, for what is foreseen of it after it is given away.
pub(super) struct Ahead {
    received: Box<dyn Fn() -> u64 + Send + Sync>,
    via: Via,
    /// Bytes of the file, where all of it comes.
    whole: u64,
    millis: u64,
}

impl Ahead {
    /// `None` where no network is involved; `millis` the time in which the head came.
    pub(super) fn of(
        source: &Source,
        release: &Release,
        delta: Option<&FromDelta>,
        millis: u64,
    ) -> Option<Ahead> {
        let received = source.counter()?;
        let via = via(distance(source).is_some(), delta.is_some());
        let whole = delta.map_or_else(|| release.artifact_len(), |from| from.delta.file_len());
        Some(Ahead { received, via, whole, millis })
    }

    /// With what the slot needs.
    pub(super) fn foresees(&self, needs: Forecast) -> Forecast {
        let received = (self.received)();
        let needs = match self.via {
            Via::Adaptive => needs,
            via => needs.in_order(via, self.whole, received),
        };
        needs.measured(received, self.millis)
    }
}

/// How a release comes: from a server or not, by a delta or not.
pub(super) fn via(far: bool, rebuilt: bool) -> Via {
    match (rebuilt, far) {
        (true, _) => Via::Delta,
        (false, true) => Via::Adaptive,
        (false, false) => Via::Full,
    }
}
