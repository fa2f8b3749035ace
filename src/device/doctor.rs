//! Would a bad update come back on this board? Every finding with its remedy.

use super::departure::standing;
use super::readiness::{self, Found};
use super::world::{World, find_booted};
use super::{doctor_machine, doctor_state};
use crate::boot::uboot::{EnvStore, UbootControl};
use crate::boot::{BootControl, BootFacts, Grade, grade as grade_boot, overall};
use crate::config::Settings;
use crate::disk::Disk;
use crate::event::Sink;
use crate::model::{Condition, ConditionKind, Failure, ReasonCode, SlotId, printable};
use crate::slot::{Layout, SlotNames};
use crate::sys::process::Children;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a finding means for updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is wrong.
    Notice,
    /// Works, and could be better.
    Warning,
    /// No update may be tried.
    Blocking,
}

/// As long as a text or a remedy is at most: there may be every failing check in it.
const TEXT_MAX: usize = 4_096;

/// One thing looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub topic: String,
    /// What it means.
    pub level: Level,
    /// What is the case.
    pub text: String,
    /// What to do; empty for a good finding.
    pub remedy: String,
    /// The code that an update would be refused with, or told with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<ReasonCode>,
    /// What it means for an update; only where there is a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ConditionKind>,
}

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The version of this answer's shape.
    pub v: u32,
    /// Whether a bad update would come back.
    pub rollback: Grade,
    /// Everything looked at, in order.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Why no update may be tried, if so: what an installation would be refused with.
    pub fn blocking(&self) -> Option<Failure> {
        let first = self.findings.iter().find(|f| f.level == Level::Blocking)?;
        Some(Failure::new(first.code?, &first.text).with_next(&first.remedy))
    }

    /// Whether something was found about a topic.
    fn has(&self, topic: &str) -> bool {
        self.findings.iter().any(|f| f.topic == topic)
    }

    /// What `readiness` has found about a topic.
    fn found(&mut self, topic: &str, found: &[Found]) {
        for Found { condition, .. } in found.iter().filter(|f| f.topic == topic) {
            let Condition { code, kind, text, remedy } = condition.clone();
            let level = match kind {
                ConditionKind::Blocks => Level::Blocking,
                ConditionKind::Waits => Level::Notice,
                ConditionKind::Warns => Level::Warning,
            };
            self.push(topic, level, text, remedy, Some((code, kind)));
        }
    }

    pub(super) fn new() -> Diagnosis {
        Diagnosis { v: 1, rollback: Grade::Off, findings: Vec::new() }
    }

    pub(super) fn good(&mut self, topic: &str, text: String) {
        self.push(topic, Level::Good, text, String::new(), None);
    }

    pub(super) fn notice(&mut self, topic: &str, text: String, remedy: String) {
        self.push(topic, Level::Notice, text, remedy, None);
    }

    pub(super) fn warn(&mut self, topic: &str, text: String, remedy: String) {
        self.push(topic, Level::Warning, text, remedy, None);
    }

    fn push(
        &mut self,
        topic: &str,
        level: Level,
        text: String,
        remedy: String,
        told: Option<(ReasonCode, ConditionKind)>,
    ) {
        let (topic, code) = (topic.to_owned(), told.map(|(code, _)| code));
        let kind = told.map(|(_, kind)| kind);
        // Names of folders and files, and what the environment says, are parts of both.
        let [text, remedy] = [text, remedy].map(|said| printable(&said, TEXT_MAX));
        self.findings.push(Finding { topic, level, text, remedy, code, kind });
    }

    /// A failure becomes a blocking finding; what it kept from being looked at is not guessed.
    pub(super) fn block(&mut self, topic: &str, failure: &Failure) {
        let (text, remedy) = (failure.detail().to_owned(), failure.next().to_owned());
        let told = Some((failure.code(), ConditionKind::Blocks));
        self.push(topic, Level::Blocking, text, remedy, told);
    }
}

/// Looks at everything that an update leans on, and runs the health checks once. `equip` gives the
/// world what this process runs programs with.
pub fn doctor(settings: Settings, equip: impl Fn(&mut World), sink: &dyn Sink) -> Diagnosis {
    let mut out = Diagnosis::new();
    let disk = match Disk::open(&settings.device.disk) {
        Ok(disk) => Arc::new(disk),
        Err(failure) => {
            out.block("disk", &failure);
            return out;
        }
    };
    let layout = look_at_disk(&settings, &disk, &mut out);
    match World::open(settings.clone()) {
        Ok(mut world) => {
            equip(&mut world);
            let found = readiness::all(&world, sink);
            look_at_environment(&settings, &disk, &found, &mut out);
            look_at_world(&world, &found, &mut out);
        }
        // Without a layout or a place for the environment there is no more to ask.
        Err(_) => {
            if let Some(layout) = &layout
                && let Err(failure) = find_booted(&settings, &disk, layout)
            {
                out.block("booted", &failure);
            }
            look_at_environment(&settings, &disk, &[], &mut out);
        }
    }
    out
}

fn look_at_disk(settings: &Settings, disk: &Disk, out: &mut Diagnosis) -> Option<Layout> {
    let table = match disk.table() {
        Ok(table) => table,
        Err(failure) => {
            out.block("partitions", &failure);
            return None;
        }
    };
    for warning in &table.warnings {
        let remedy = "Repair it with `sgdisk -e DISK` or `sgdisk -v DISK`.".to_owned();
        out.warn("partitions", warning.clone(), remedy);
    }
    let [a, b] = settings.slots.clone();
    match Layout::find(&table, &SlotNames { a, b }) {
        Ok(layout) => {
            let sizes = [SlotId::A, SlotId::B].map(|s| crate::model::ByteLen(layout.first(s).len));
            out.good("partitions", format!("slot a has {}, slot b {}", sizes[0], sizes[1]));
            Some(layout)
        }
        Err(failure) => {
            out.block("partitions", &failure);
            None
        }
    }
}

fn look_at_environment(
    settings: &Settings,
    disk: &Arc<Disk>,
    found: &[Found],
    out: &mut Diagnosis,
) {
    for topic in ["booted", "disk", "environment"] {
        out.found(topic, found);
    }
    let facts = EnvStore::open(&settings.fw_env_config, Some(disk.clone()))
        .and_then(|store| UbootControl::new(store).look());
    let facts = match facts {
        Ok(facts) => facts,
        // A world that opens has told it already.
        Err(_) if !found.is_empty() => return,
        Err(failure) => return out.block("environment", &failure),
    };
    let table = disk.table().ok();
    out.rollback = overall(&grade_boot(&facts, table.as_ref(), settings.accept_single_copy));
    if !out.has("environment") {
        let copies = facts.copies.len();
        let text = format!("{copies} valid copies, counter, limit and way back in place");
        out.good("environment", text);
    }
    if facts.readable() && out.rollback == Grade::Armed {
        out.good("rollback", "armed: a bad update comes back by itself".to_owned());
    }
}

fn look_at_world(world: &World, found: &[Found], out: &mut Diagnosis) {
    if let Ok(slot) = world.booted() {
        out.good("booted", format!("slot {slot} runs"));
    }
    for topic in ["trust", "identity", "state", "space"] {
        out.found(topic, found);
    }
    if let Ok(trust) = world.trust() {
        doctor_state::keys(&trust, out);
    }
    if let Ok(target) = world.target() {
        let revision = target.hardware.map_or(String::new(), |h| format!(", hardware {h}"));
        out.good("identity", format!("{}, {}{revision}", target.product, target.compatible));
    }
    let state = &world.settings.device.state;
    if !out.has("state") {
        out.good("state", state.display().to_string());
        if let Ok(free) = doctor_state::enough_room(state, doctor_state::ROOM) {
            doctor_state::left(free, state, out);
        }
    }
    if world.floor.load().damaged {
        let text = "a copy of the stored floor is damaged".to_owned();
        let remedy = "Nothing to do: the next commit mends it. Ask why it happened.".to_owned();
        out.warn("floor", text, remedy);
    }
    out.found("release", found);
    doctor_state::order(world, out);
    doctor_machine::look(world, &Children, out);
    let certificate = match standing(world) {
        Ok((journal, _)) => world.certified(&journal),
        Err(_) => world.certificate(),
    };
    doctor_state::drill(certificate.as_ref(), out);
    for topic in ["hooks", "times", "hold", "inhibit", "confirm", "trial", "health"] {
        out.found(topic, found);
    }
    match world.settings.checks.len() {
        0 => out.warn(
            "health",
            "no health check is configured: only a person can commit".to_owned(),
            "Add a `[[health.check]]` to the configuration.".to_owned(),
        ),
        _ if out.has("health") => {}
        n => out.good("health", format!("{n} check{} configured", if n == 1 { "" } else { "s" })),
    }
}

/// The grade alone, for `status`.
pub(super) fn grade(world: &World, facts: &BootFacts) -> Grade {
    let table = world.disk.table().ok();
    overall(&grade_boot(facts, table.as_ref(), world.settings.accept_single_copy))
}
