//! Why the last release came back, kept on the data partition: what the new system could still
//! say before it was left, or what the old one finds after it.
//!
//! And if the power goes before it is written? The old system composes it from what there is. And
//! if it cannot be written? Then it is composed whenever somebody asks.

use super::world::World;
use crate::blackbox::{
    self, BootStory, Cause, CauseKind, Facts, Kind, Questions, UnitStory, Watchdog, explain,
    pstore, put_aside, story, watchdog,
};
use crate::event::{Event, Sink};
use crate::health::{Outcome as Found, Seen};
use crate::model::{
    Against, Digest, Failing, Failure, ReasonCode, Result, SlotId, StateFile, Txn, WithReason,
    both_ends, document, printable,
};
use crate::sys::durable;
use crate::sys::process::{Children, Runner};
use crate::update::{Ended, Journal, Outcome, Phase, Work};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A postmortem is never longer, bytes.
const LIMIT: usize = 64 * 1024;
/// After so many halvings every list is empty, however long it was.
const HALVINGS: u32 = usize::BITS;
const CHECKS_MAX: usize = 32;
const TEXT_MAX: usize = 400;
/// Lines of a dead kernel that are kept.
const PSTORE_LINES: usize = 60;
/// Who speaks where the init system tells what became of a unit.
const INIT: &str = " systemd[1]: ";
/// Lines that a person is shown.
const SHOWN: usize = 3;

/// Who has written it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The new system, before it was left.
    Trial,
    /// The old one, after it.
    Return,
}

/// Everything that is kept of a trial that ended badly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Postmortem {
    /// The version of this shape.
    pub v: u32,
    /// Who has written it.
    pub by: By,
    /// The move.
    pub txn: Option<Txn>,
    /// The release: SHA-256 of its manifest.
    pub digest: Digest,
    /// The release, as people call it.
    pub version: String,
    /// Its slot.
    pub slot: SlotId,
    /// The reason in the journal.
    pub reason: ReasonCode,
    /// Why.
    pub cause: Cause,
    /// The first check that failed, for readers of the first shape.
    pub check: Option<Failing>,
    /// Everything that spoke against it.
    #[serde(flatten)]
    pub against: Against,
    /// What all checks said.
    pub checks: Vec<Seen>,
    /// Units that had failed.
    pub units: Vec<UnitStory>,
    /// Boots counted in this trial.
    pub bootcount: Option<u32>,
    /// Boots allowed.
    pub bootlimit: Option<u32>,
    /// Seconds that its last boot was up.
    pub uptime: Option<u64>,
    /// The kernel's last warnings.
    pub kernel: Vec<String>,
    /// The boots of the trial in the black box.
    pub boots: Vec<BootStory>,
    /// What a dead kernel put aside.
    pub pstore: Vec<String>,
    /// What the watchdog said.
    pub watchdog: Option<Watchdog>,
    /// Seconds since 1970 by the clock of that moment.
    pub at: u64,
}

/// A few lines of it, for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The kind of cause.
    pub kind: CauseKind,
    /// Why, in words.
    pub text: String,
    /// The first check that failed, for readers of the first shape.
    pub check: Option<String>,
    /// All that failed, by their whole names.
    #[serde(default)]
    pub checks: Vec<String>,
    /// Units that had failed.
    pub units: Vec<String>,
    /// Last words, of the first failed unit or else of the kernel.
    pub lines: Vec<String>,
}

impl Postmortem {
    /// The few lines for `status`.
    pub fn summary(&self) -> Summary {
        let of_unit = self.units.iter().map(|u| &u.lines).find(|l| !l.is_empty());
        let panicked = self.cause.kind == CauseKind::Panic && !self.pstore.is_empty();
        let lines: Vec<&String> = match of_unit {
            // What a unit said itself; what the init system said of it where it said nothing.
            Some(lines) => match lines.iter().filter(|l| !l.contains(INIT)).collect::<Vec<_>>() {
                own if own.is_empty() => lines.iter().collect(),
                own => own,
            },
            None if panicked => self.pstore.iter().collect(),
            // The kernel's warnings explain an end of the kernel's, and not a check.
            None if matches!(self.cause.kind, CauseKind::Check | CauseKind::Hook) => Vec::new(),
            None => self.kernel.iter().collect(),
        };
        // The end is what counts; of a dying kernel, its panic.
        let panic = lines.iter().position(|l| panicked && l.contains("Kernel panic"));
        let from = panic.unwrap_or(lines.len().saturating_sub(SHOWN));
        Summary {
            kind: self.cause.kind,
            text: self.cause.text.clone(),
            check: self.check.as_ref().map(|c| c.name.clone()),
            checks: self.against.failing.iter().map(|f| f.name.clone()).collect(),
            units: self.units.iter().map(|u| u.unit.clone()).collect(),
            lines: lines.into_iter().skip(from).take(SHOWN).cloned().collect(),
        }
    }

    fn is_of(&self, txn: Option<&Txn>, work: &Work) -> bool {
        self.txn.as_ref() == txn && self.digest == work.digest && self.slot == work.slot
    }

    /// As text of at most [`LIMIT`] bytes: where it would be longer, every list loses its older
    /// half. What is still too long then is not kept: its texts were bounded where they entered.
    fn written(&self) -> Result<String> {
        let mut short = self.clone();
        short.cause.text = printable(&short.cause.text, TEXT_MAX);
        for _ in 0..=HALVINGS {
            let text = serde_json::to_string_pretty(&short);
            let text = text.reason(ReasonCode::Internal, "postmortem")?;
            if text.len() <= LIMIT {
                return Ok(text + "\n");
            }
            let lists = short.units.iter_mut().map(|u| &mut u.lines);
            for list in lists.chain([&mut short.kernel, &mut short.pstore]) {
                list.drain(..list.len().div_ceil(2));
            }
            short.boots.drain(..short.boots.len() / 2);
            short.checks.truncate(short.checks.len() / 2);
            short.units.truncate(short.units.len() / 2);
        }
        let text = format!("a postmortem is longer than {LIMIT} bytes without its lists");
        Err(Failure::new(ReasonCode::Internal, text))
    }
}

fn file(world: &World) -> PathBuf {
    StateFile::POSTMORTEM.within(&world.settings.device.state)
}

fn load(world: &World) -> Option<Postmortem> {
    let bytes = durable::read(&file(world), StateFile::POSTMORTEM.limit).ok().flatten()?;
    document(&bytes)
}

/// What follows from where the device came to rest: before the reboot out of a trial the new
/// system keeps what it knows, and after it the old one what it finds. Done before, it does
/// nothing; what fails here is told and stops nothing.
pub(super) fn follow(world: &World, journal: &Journal, booted: SlotId, sink: &dyn Sink) {
    let made = match &journal.phase {
        Phase::Returning { work, txn, reason, detail, against, .. } if work.slot == booted => {
            let known = load(world).is_some_and(|p| p.is_of(Some(txn), work));
            let runner: &dyn Runner = &Children;
            let asked = (!world.disk.is_image()).then_some(runner);
            let why = Why { reason: *reason, detail, against };
            (!known).then(|| before_leaving(world, work, txn, &why, asked))
        }
        Phase::Idle => match &journal.last {
            Some(last) if last.outcome == Ended::RolledBack && last.work.slot != booted => {
                let known = load(world).is_some_and(|p| p.is_of(last.txn.as_ref(), &last.work));
                (!known).then(|| after_return(world, last))
            }
            _ => None,
        },
        _ => None,
    };
    let Some(made) = made else { return };
    // Not from what is set aside for a full disk: that is the journal's.
    let kept =
        made.written().and_then(|text| durable::write_strictly(&file(world), text.as_bytes()));
    if let Err(failure) = kept {
        let text = format!("why {} came back cannot be kept: {failure}", made.version);
        sink.emit(&Event::Warning { text });
    }
}

/// Why the last release came back, or is about to; `None` where none did. What was kept, or else
/// what can be found now.
pub fn postmortem(world: &World, journal: &Journal) -> Option<Postmortem> {
    match (&journal.phase, &journal.last) {
        (Phase::Returning { work, txn, .. }, _) => load(world).filter(|p| p.is_of(Some(txn), work)),
        (Phase::Idle, Some(last)) if last.outcome == Ended::RolledBack => {
            let kept = load(world).filter(|p| p.is_of(last.txn.as_ref(), &last.work));
            Some(kept.unwrap_or_else(|| after_return(world, last)))
        }
        _ => None,
    }
}

/// What the journal says of a trial that is left.
struct Why<'a> {
    reason: ReasonCode,
    detail: &'a str,
    against: &'a Against,
}

fn before_leaving(
    world: &World,
    work: &Work,
    txn: &Txn,
    why: &Why<'_>,
    runner: Option<&dyn Runner>,
) -> Postmortem {
    let Why { reason, detail, against } = *why;
    let checks = bounded(world.last_seen());
    let questions = runner.map(Questions::new);
    let boot = world.boot.look().ok();
    let facts = Facts {
        reason,
        detail,
        against,
        checks: &checks,
        boots: &[],
        limit: None,
        bootable: true,
        came_up: None,
        pstore: &[],
        watchdog: None,
        drill: work.order.drill.is_some(),
    };
    Postmortem {
        v: 1,
        by: By::Trial,
        txn: Some(txn.clone()),
        digest: work.digest,
        version: work.to.to_string(),
        slot: work.slot,
        reason,
        cause: explain(&facts),
        check: against.failing.first().cloned(),
        against: against.clone(),
        units: questions.as_ref().map_or_else(Vec::new, |q| q.units(&failing_units(&checks))),
        kernel: questions.as_ref().map_or_else(Vec::new, Questions::kernel),
        checks,
        // Falling back has set the environment's own back to 0.
        bootcount: world.boots_of(txn).last().and_then(|b| b.head.bootcount),
        bootlimit: boot.and_then(|b| b.bootlimit),
        uptime: Some(world.up()),
        boots: Vec::new(),
        pstore: Vec::new(),
        watchdog: None,
        at: world.now(),
    }
}

fn after_return(world: &World, last: &Outcome) -> Postmortem {
    let reason = last.reason.unwrap_or(ReasonCode::Unknown);
    let logs = last.txn.as_ref().map_or_else(Vec::new, |txn| world.boots_of(txn));
    let tried: Vec<_> = logs.iter().filter(|l| l.head.trial).collect();
    let boots: Vec<BootStory> = tried.iter().map(|l| story(l)).collect();
    let mut lines = put_aside(&logs.iter().collect::<Vec<_>>());
    lines.extend(world.fresh_pstore());
    // Of much, the panic and what surrounds it.
    let panic = lines.iter().position(|l| l.contains("Kernel panic"));
    let from = panic.unwrap_or(lines.len()).saturating_sub(PSTORE_LINES / 2);
    let pstore: Vec<String> = lines.into_iter().skip(from).take(PSTORE_LINES).collect();
    let dog = watchdog(&world.machine("watchdog", "/sys/class/watchdog/watchdog0"));
    let head = tried.last().map(|l| &l.head);
    let now = world.boot.look().ok().and_then(|b| b.bootlimit);
    let bootlimit = head.and_then(|h| h.bootlimit).or(now);
    let facts = Facts {
        reason,
        detail: &last.detail,
        against: &last.against,
        checks: &[],
        boots: &boots,
        limit: bootlimit,
        bootable: world.bootable(last.work.slot),
        came_up: last.came_up,
        pstore: &pstore,
        watchdog: dog.as_ref(),
        drill: last.work.order.drill.is_some(),
    };
    let kernel = tried.last().map_or_else(Vec::new, |log| {
        // The end of what the system said, whoever said it: where there is no word of an end,
        // that is what counts.
        let own: Vec<_> = log.lines.iter().filter(|l| l.kind != Kind::Pstore).collect();
        own[own.len().saturating_sub(40)..].iter().map(|l| l.text.clone()).collect()
    });
    Postmortem {
        v: 1,
        by: By::Return,
        txn: last.txn.clone(),
        digest: last.work.digest,
        version: last.work.to.to_string(),
        slot: last.work.slot,
        reason,
        cause: explain(&facts),
        check: last.against.failing.first().cloned(),
        against: last.against.clone(),
        checks: Vec::new(),
        units: Vec::new(),
        bootcount: head.and_then(|h| h.bootcount),
        bootlimit,
        uptime: boots.last().and_then(|b| b.seconds),
        kernel,
        boots,
        pstore,
        watchdog: dog,
        at: world.now(),
    }
}

/// The units that are not as a check wants them.
fn failing_units(seen: &[Seen]) -> Vec<String> {
    seen.iter().flat_map(|s| s.units.iter().cloned()).collect()
}

fn bounded(seen: Vec<Seen>) -> Vec<Seen> {
    let short = |text: String| both_ends(&text, TEXT_MAX);
    let one = |Seen { name, units, outcome }| {
        let outcome = match outcome {
            Found::Good => Found::Good,
            Found::Bad(text) => Found::Bad(short(text)),
            // A program that knows no other word reads this too.
            Found::CouldNot(text) | Found::Open(text) => Found::CouldNot(short(text)),
        };
        Seen { name: printable(&name, TEXT_MAX), units, outcome }
    };
    // Whatever is left out, it is none of those that failed.
    let (good, mut kept): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|s| s.outcome == Found::Good);
    kept.extend(good);
    kept.into_iter().take(CHECKS_MAX).map(one).collect()
}

impl World {
    /// The folder of the black box.
    pub(super) fn black_box(&self) -> PathBuf {
        StateFile::BLACK_BOX.within(&self.settings.device.state)
    }

    /// What the black box holds of one move.
    fn boots_of(&self, txn: &Txn) -> Vec<blackbox::BootLog> {
        let mut logs = blackbox::read(&self.black_box());
        logs.retain(|l| l.head.txn.as_deref() == Some(txn.as_str()));
        logs
    }

    /// The machine's own folder, or for an image the one beside its `booted` file.
    pub(super) fn machine(&self, name: &str, real: &str) -> PathBuf {
        match &self.settings.device.booted {
            Some(booted) if self.disk.is_image() => booted.with_file_name(name),
            _ => Path::new(real).to_owned(),
        }
    }

    pub(super) fn pstore_folders(&self) -> Vec<PathBuf> {
        pstore::FOLDERS.iter().map(|real| self.machine("pstore", real)).collect()
    }

    pub(super) fn known_pstore(&self) -> PathBuf {
        self.black_box().join("pstore-known.json")
    }

    /// What has come into pstore since it was looked at last; nothing where nobody ever looked,
    /// because then it may be old.
    fn fresh_pstore(&self) -> Vec<String> {
        let file = self.known_pstore();
        if !file.exists() {
            return Vec::new();
        }
        let fresh = pstore::Known::load(&file).fresh(&pstore::look(&self.pstore_folders()));
        fresh.into_iter().filter(|r| r.is_dump()).flat_map(|r| r.lines).collect()
    }
}
