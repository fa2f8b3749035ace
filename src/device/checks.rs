//! The health checks of this device, the built-in one among them, and what passed before an update.

use super::offers::signed_time;
use super::readiness::{self, Before};
use super::world::World;
use crate::event::{Event, Sink};
use crate::health::{Baseline, CAN_UPDATE_AGAIN, Check, Eyes, Outcome, Seen, Verdict, look, weigh};
use crate::model::{Condition, Failure, ReasonCode, Result, StateFile, WithReason, document};
use crate::sys::{clock, durable, stop};
use std::path::PathBuf;
use std::time::Duration;

/// Between two looks at what fails.
const AGAIN: Duration = Duration::from_secs(5);

/// More than any list of checks needs.
const LIMIT: u64 = StateFile::BASELINE.limit;

impl World {
    /// Looks at everything once. The built-in check comes first; where nothing is configured it
    /// stands alone.
    pub fn look_at_health(&self, sink: &dyn Sink) -> Vec<Seen> {
        let outcome = match self.can_update_again() {
            Ok(()) => self.source_again(sink),
            // A trial that is decided by two programs at once is none that cannot update.
            Err(failure) if failure.code() == ReasonCode::Busy => {
                Outcome::CouldNot(failure.to_string())
            }
            Err(failure) => Outcome::Bad(failure.to_string()),
        };
        let mut seen = vec![Seen { name: CAN_UPDATE_AGAIN.to_owned(), units: Vec::new(), outcome }];
        seen.extend(self.look_at_checks(sink));
        self.remember_seen(&seen);
        seen
    }

    pub(super) fn look_at_checks(&self, sink: &dyn Sink) -> Vec<Seen> {
        #[cfg_attr(not(feature = "apps"), expect(unused_mut, reason = "nothing is added"))]
        let mut seen = self.look_at(&self.settings.checks, sink);
        #[cfg(feature = "apps")]
        seen.extend(super::apps::seen(self));
        seen
    }

    pub(super) fn look_at(&self, checks: &[Check], sink: &dyn Sink) -> Vec<Seen> {
        let (runner, remote) = (&*self.runner, self.remote.as_deref());
        let (folder, source) = (&self.settings.folder, &self.settings.source);
        let floor = signed_time(&self.settings);
        look(checks, &Eyes { folder, runner, remote, source, floor, sink })
    }

    /// What the checks say of the system that runs.
    pub fn judge(&self, sink: &dyn Sink) -> Verdict {
        let seen = self.look_at_health(sink);
        // Where a person decides without any check, it is told here.
        for Seen { name, outcome, .. } in seen.iter().filter(|_| self.settings.checks.is_empty()) {
            if let Outcome::Open(why) = outcome {
                sink.emit(&Event::Warning { text: format!("passed over: {name}: {why}") });
            }
        }
        weigh(&self.settings.checks, &seen, &self.baseline())
    }

    /// Whether the next update could be installed and armed from here: what `readiness` asks of a
    /// system that is to stay, and a write to the state folder. Neither the slot nor the
    /// environment is written.
    fn can_update_again(&self) -> Result<()> {
        readiness::gate(self, Before::Commit)?;
        // Not from what is set aside: the next update needs more than that.
        durable::write_strictly(
            &StateFile::CAN_UPDATE.within(&self.settings.device.state),
            b"yes\n",
        )
    }

    /// Sets room aside, so that a device whose data partition is full can still say what it does.
    pub fn keep_reserve(&self) {
        if self.settings.device.state.is_dir() {
            durable::reserve(&self.settings.device.state);
        }
    }

    fn baseline_file(&self) -> PathBuf {
        StateFile::BASELINE.within(&self.settings.device.state)
    }

    /// What passed before the update that is on trial. Lost or foreign, every check is as it is
    /// configured.
    pub fn baseline(&self) -> Baseline {
        let bytes = durable::read(&self.baseline_file(), LIMIT).ok().flatten();
        bytes.and_then(|b| document(&b)).unwrap_or_default()
    }

    /// Takes the baseline of the system that runs; what a new system must pass and this one does
    /// not is told.
    pub fn take_baseline(&self, sink: &dyn Sink) -> Result<Vec<Condition>> {
        let seen = self.look_twice(sink);
        self.keep_baseline(&seen)?;
        self.keep_reached()?;
        let told = readiness::told(&self.settings.checks, &seen, self.is_settled());
        Ok(told.into_iter().map(|found| found.condition).collect())
    }

    /// Whether this system has been up for as long as a trial may take to become good: what fails
    /// now is excused in the next one.
    pub(super) fn is_settled(&self) -> bool {
        Duration::from_secs(self.up()) >= self.settings.patience.deadline
    }

    /// Takes it again, as the system that is about to be left may stand elsewhere by now. Nobody
    /// leaves, unless a person wants it, while this system still has time to become good: a check
    /// that fails only because the device was just switched on would excuse the next system.
    pub(super) fn renew_baseline(&self, wants: bool, sink: &dyn Sink) -> Result<()> {
        let seen = self.look_twice(sink);
        let (up, time) = (Duration::from_secs(self.up()), self.settings.patience.deadline);
        if let Some(bad) = seen.iter().find(|s| matches!(s.outcome, Outcome::Bad(_)))
            && !wants
            && up < time
        {
            let left = clock::span((time - up).as_secs());
            let text =
                format!("the check {} fails, and this system has {left} to mend it", bad.name);
            return Err(Failure::new(ReasonCode::HealthUnknown, text));
        }
        if let Err(failure) = self.keep_baseline(&seen).and_then(|()| self.keep_reached()) {
            // The one from the installation stands.
            sink.emit(&Event::Warning { text: format!("baseline: {failure}") });
        }
        Ok(())
    }

    fn keep_baseline(&self, seen: &[Seen]) -> Result<()> {
        let known = Baseline::of(seen, self.is_settled());
        // Without checks there is nothing to keep, and each life of a flash counts its writes.
        if known == self.baseline() {
            return Ok(());
        }
        let text = serde_json::to_string(&known).reason(ReasonCode::Internal, "baseline")?;
        durable::write(&self.baseline_file(), text.as_bytes())
    }

    /// What fails is looked at again, and again: a service may be restarted in just this second.
    fn look_twice(&self, sink: &dyn Sink) -> Vec<Seen> {
        let mut seen = self.look_at_checks(sink);
        for _ in 0..2 {
            let fails = |c: &&Check| {
                seen.iter().any(|s| s.name == c.name && matches!(s.outcome, Outcome::Bad(_)))
            };
            let failing: Vec<_> = self.settings.checks.iter().filter(fails).cloned().collect();
            if failing.is_empty() {
                break;
            }
            stop::sleep((self.settings.patience.stable / 3).min(AGAIN));
            for again in self.look_at(&failing, sink) {
                let Some(before) = seen.iter_mut().find(|s| s.name == again.name) else { continue };
                let units = before.units.iter().filter(|u| again.units.contains(u)).cloned();
                *before = Seen { units: units.collect(), ..again };
            }
        }
        seen
    }
}
