//! What a monitoring system reads: one text file that OpenMetrics' grammar and the older one of
//! Prometheus both accept, written when something changes.

use crate::boot::Grade;
use crate::device::{self, World};
use crate::inspect::{self, Status};
use crate::model::{Result, SlotId, State};
use crate::sys::{durable, host};
use crate::update::{Ended, Outcome};
use std::fmt::Write;
use std::path::Path;

/// What stands in the file.
#[derive(Default)]
pub(super) struct Metrics {
    /// Without what is different each time.
    written: Option<String>,
}

/// Values that change by themselves: no reason to write the file anew.
const RESTLESS: [&str; 2] = ["surefoot_daemon_resident_bytes ", "surefoot_trial_left_seconds "];

impl Metrics {
    /// Writes the file if it would say something else; in a trial always, for the time that is
    /// left.
    pub(super) fn publish(&mut self, world: &World, state: State) -> Result<()> {
        let Some(file) = &world.settings.metrics else {
            return Ok(());
        };
        let text =
            render(&inspect::status(world)?, &device::history(world)?, host::resident_bytes());
        let restless = |line: &&str| RESTLESS.iter().any(|name| line.starts_with(name));
        let calm: String = text.lines().filter(|line| !restless(line)).collect();
        if self.written.as_ref() == Some(&calm) && state != State::Trying {
            return Ok(());
        }
        self.write(file, &text)?;
        self.written = Some(calm);
        Ok(())
    }

    fn write(&mut self, file: &Path, text: &str) -> Result<()> {
        self.written = None;
        durable::publish(file, text.as_bytes())
    }
}

const STATES: [State; 8] = [
    State::Idle,
    State::Installing,
    State::Staged,
    State::Switching,
    State::Trying,
    State::Updated,
    State::RolledBack,
    State::Failed,
];

fn render(status: &Status, outcomes: &[Outcome], resident: Option<u64>) -> String {
    let mut out = Text::default();
    out.family("surefoot_info", "gauge", "The updater and what it keeps updated.");
    let device = [
        ("updater", env!("CARGO_PKG_VERSION")),
        ("product", &status.product),
        ("compatible", &status.compatible),
    ];
    out.sample("surefoot_info", &device, 1);
    out.family("surefoot_state", "gauge", "1 for the state that the device is in.");
    for state in STATES {
        out.sample("surefoot_state", &[("state", state.as_str())], (status.state == state).into());
    }
    out.family("surefoot_slot_info", "gauge", "What stands in a slot.");
    for (slot, view) in &status.slots {
        let version = view.version.as_deref().unwrap_or("");
        let flags = [status.booted == Some(*slot), view.bootable];
        let [booted, bootable] = flags.map(|flag| if flag { "true" } else { "false" });
        let name = if *slot == SlotId::A { "a" } else { "b" };
        let labels =
            [("slot", name), ("version", version), ("booted", booted), ("bootable", bootable)];
        out.sample("surefoot_slot_info", &labels, 1);
    }
    out.family("surefoot_rollback", "gauge", "1 for whether a bad update would come back.");
    for grade in [Grade::Armed, Grade::Weak, Grade::Off] {
        let holds = status.rollback == grade;
        out.sample("surefoot_rollback", &[("grade", &grade.to_string())], holds.into());
    }
    let trial = status.trial.as_ref();
    out.family("surefoot_trial_boots", "gauge", "Boots of the trial so far.");
    out.sample("surefoot_trial_boots", &[], trial.map_or(0, |t| u64::from(t.bootcount)));
    if let Some(left) = trial.and_then(|t| t.seconds_left) {
        let about = "Left to decide the trial, when this was written.";
        out.family("surefoot_trial_left_seconds", "gauge", about);
        out.sample("surefoot_trial_left_seconds", &[], left);
    }
    out.family("surefoot_updates", "counter", "Moves that ended, by the history that is kept.");
    // A drill is no update, and neither its return nor its being called off an alarm.
    let updates = || outcomes.iter().filter(|o| o.drill().is_none());
    let ends = [
        (Ended::Updated, "updated"),
        (Ended::RolledBack, "rolled-back"),
        (Ended::Failed, "failed"),
        (Ended::Cancelled, "cancelled"),
        (Ended::Vetoed, "vetoed"),
        (Ended::Superseded, "superseded"),
    ];
    for (ended, word) in ends {
        let count = updates().filter(|o| o.outcome == ended).count();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        out.sample("surefoot_updates_total", &[("outcome", word)], count);
    }
    let drills = outcomes.iter().filter(|o| o.drilled().is_some()).count();
    let about = "Drills that came home, by the history that is kept.";
    out.family("surefoot_drills", "counter", about);
    out.sample("surefoot_drills_total", &[], u64::try_from(drills).unwrap_or(u64::MAX));
    let against = status.last.against.failing.iter().filter(|_| status.last.drill.is_none());
    let mut names: Vec<&str> = against.map(|f| f.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        let about = "1 for each check or hook that said no to the last release.";
        out.family("surefoot_last_failing", "gauge", about);
        names.iter().for_each(|name| out.sample("surefoot_last_failing", &[("name", name)], 1));
    }
    if let Some(at) = status.last.at {
        let name = "surefoot_last_update_timestamp_seconds";
        out.family(name, "gauge", "When the last move ended, by the clock of that moment.");
        out.sample(name, &[], at);
    }
    out.family("surefoot_held", "gauge", "1 while automatic updates are stopped.");
    out.sample("surefoot_held", &[], status.hold.is_some().into());
    if let Some(until) = status.hold.as_ref().and_then(|h| h.until) {
        let name = "surefoot_held_until_timestamp_seconds";
        out.family(name, "gauge", "When that ends by itself.");
        out.sample(name, &[], until);
    }
    #[cfg(feature = "apps")]
    apps(&mut out, status);
    if let Some(bytes) = resident {
        let name = "surefoot_daemon_resident_bytes";
        out.family(name, "gauge", "Memory of the daemon, when this was written.");
        out.sample(name, &[], bytes);
    }
    out.0.push_str("# EOF\n");
    out.0
}

/// What runs beside the system.
#[cfg(feature = "apps")]
fn apps(out: &mut Text, status: &Status) {
    let Some(apps) = status.apps.as_ref().filter(|apps| !apps.apps.is_empty()) else { return };
    out.family("surefoot_app_info", "gauge", "What runs beside the system.");
    for app in &apps.apps {
        let version = app.version.to_string();
        out.sample("surefoot_app_info", &[("app", app.name.as_str()), ("version", &version)], 1);
    }
    let about = "1 for an app whose services all run and are well.";
    out.family("surefoot_app_running", "gauge", about);
    for app in &apps.apps {
        let runs = app.state == crate::apps::AppState::Running;
        out.sample("surefoot_app_running", &[("app", app.name.as_str())], runs.into());
    }
    let services = || apps.apps.iter().flat_map(|app| app.services.iter().map(move |s| (app, s)));
    let about = "1 for a service whose probe says that it is well, 0 where it is not; only where one has said so.";
    out.family("surefoot_service_healthy", "gauge", about);
    for (app, service) in services() {
        let Some(healthy) = service.healthy else { continue };
        let replica = service.replica.to_string();
        let labels = [
            ("app", app.name.as_str()),
            ("service", service.name.as_str()),
            ("replica", replica.as_str()),
        ];
        out.sample("surefoot_service_healthy", &labels, healthy.into());
    }
}

/// A file in the making.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, about: &str) {
        let _ = writeln!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<_> =
            labels.iter().map(|(n, v)| format!("{n}=\"{}\"", escaped(v))).collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_label_says_ends_no_label() {
        let mut out = Text::default();
        out.sample("x", &[("a", "b\"c\\d\ne"), ("f", "")], 7);
        assert_eq!(out.0, "x{a=\"b\\\"c\\\\d\\ne\",f=\"\"} 7\n");
    }
}
