//! Would a bad update come back on this board? Every finding with its remedy.

use super::departure::standing;
use super::world::{World, find_booted};
use super::{doctor_machine, doctor_state};
use crate::boot::uboot::{EnvStore, UbootControl};
use crate::boot::{BootControl, BootFacts, Grade, grade as grade_boot, overall};
use crate::config::Settings;
use crate::disk::Disk;
use crate::model::{Failure, ReasonCode, Result, SlotId};
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
    /// The code that an update would be refused with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<ReasonCode>,
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
    /// Why no update may be tried, if so.
    pub fn blocking(&self) -> Option<ReasonCode> {
        self.findings.iter().find(|f| f.level == Level::Blocking).and_then(|f| f.code)
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
        code: Option<ReasonCode>,
    ) {
        let topic = topic.to_owned();
        self.findings.push(Finding { topic, level, text, remedy, code });
    }

    /// A failure becomes a blocking finding; what it kept from being looked at is not guessed.
    pub(super) fn block(&mut self, topic: &str, failure: &Failure) {
        let remedy = failure.code().next_step().to_owned();
        self.push(
            topic,
            Level::Blocking,
            failure.detail().to_owned(),
            remedy,
            Some(failure.code()),
        );
    }
}

/// Looks at everything that an update leans on. Opens for reading only.
pub fn doctor(settings: Settings) -> Diagnosis {
    let mut out = Diagnosis::new();
    let disk = match Disk::open(&settings.device.disk) {
        Ok(disk) => Arc::new(disk),
        Err(failure) => {
            out.block("disk", &failure);
            return out;
        }
    };
    let layout = look_at_disk(&settings, &disk, &mut out);
    if let Some(layout) = &layout {
        match find_booted(&settings, &disk, layout) {
            Ok(slot) => out.good("booted", format!("slot {slot} runs")),
            Err(failure) => out.block("booted", &failure),
        }
    }
    look_at_environment(&settings, &disk, layout.as_ref(), &mut out);
    // What keeps a world from opening has been told above.
    if let Ok(world) = World::open(settings.clone()) {
        look_at_world(&world, &mut out);
    }
    match settings.checks.len() {
        0 => out.warn(
            "health",
            "no health check is configured: only a person can commit".to_owned(),
            "Add a `[[health.check]]` to the configuration.".to_owned(),
        ),
        n => out.good("health", format!("{n} check{} configured", if n == 1 { "" } else { "s" })),
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
    layout: Option<&Layout>,
    out: &mut Diagnosis,
) {
    let facts = EnvStore::open(&settings.fw_env_config, Some(disk.clone()))
        .and_then(|store| UbootControl::new(store).look());
    let facts = match facts {
        Ok(facts) => facts,
        Err(failure) => return out.block("environment", &failure),
    };
    let table = disk.table().ok();
    let findings = grade_boot(&facts, table.as_ref(), settings.accept_single_copy);
    for finding in &findings {
        let (level, code) = match finding.level {
            Grade::Armed => (Level::Good, None),
            Grade::Weak => (Level::Warning, None),
            Grade::Off => {
                let code = facts.writable().err().map_or(ReasonCode::RollbackOff, |f| f.code());
                (Level::Blocking, Some(code))
            }
        };
        out.push("environment", level, finding.reason.clone(), finding.remedy.clone(), code);
    }
    if findings.is_empty() {
        let copies = facts.copies.len();
        out.good(
            "environment",
            format!("{copies} valid copies, counter, limit and way back in place"),
        );
    }
    if let Some(Err(failure)) = layout.map(|l| l.keeps_clear_of(&facts.disk_ranges())) {
        out.block("environment", &failure);
    }
    out.rollback = overall(&findings);
    if facts.readable() && out.rollback == Grade::Armed {
        out.good("rollback", "armed: a bad update comes back by itself".to_owned());
    }
}

fn look_at_world(world: &World, out: &mut Diagnosis) {
    match world.trust() {
        Ok(trust) => {
            doctor_state::keys(&trust, out);
        }
        Err(failure) => out.block("trust", &failure),
    }
    match world.target() {
        Ok(target) => {
            let revision = target.hardware.map_or(String::new(), |h| format!(", hardware {h}"));
            out.good("identity", format!("{}, {}{revision}", target.product, target.compatible));
        }
        Err(failure) => out.block("identity", &failure),
    }
    match world.state_is_durable() {
        Ok(()) => {
            out.good("state", world.settings.device.state.display().to_string());
            doctor_state::space(world, out);
        }
        Err(failure) => out.block("state", &failure),
    }
    if world.floor.load().damaged {
        let text = "a copy of the stored floor is damaged".to_owned();
        let remedy = "Nothing to do: the next commit mends it. Ask why it happened.".to_owned();
        out.warn("floor", text, remedy);
    }
    doctor_state::order(world, out);
    doctor_machine::look(world, &Children, out);
    let certificate = match standing(world) {
        Ok((journal, _)) => world.certified(&journal),
        Err(_) => world.certificate(),
    };
    doctor_state::drill(certificate.as_ref(), out);
}

/// The grade alone, for `status`.
pub(super) fn grade(world: &World, facts: &BootFacts) -> Grade {
    let table = world.disk.table().ok();
    overall(&grade_boot(facts, table.as_ref(), world.settings.accept_single_copy))
}

/// Refuses to arm where a bad update would not come back (DESIGN 5).
pub(super) fn gate(world: &World) -> Result<()> {
    let facts = world.boot.look()?;
    world.layout.keeps_clear_of(&facts.disk_ranges())?;
    doctor_state::room(world)?;
    let table = world.disk.table()?;
    let findings = grade_boot(&facts, Some(&table), world.settings.accept_single_copy);
    match findings.into_iter().find(|f| f.level == Grade::Off) {
        None => Ok(()),
        Some(finding) => Err(facts
            .writable()
            .err()
            .unwrap_or_else(|| Failure::new(ReasonCode::RollbackOff, finding.reason))),
    }
}
