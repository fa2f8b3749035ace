//! Which part of an update a deed belongs to: by the command that does it, where it goes, and what
//! it says.

use super::history::Deed;
use crate::boot::Bootloader;
use crate::model::SlotId;
use crate::slot::FIRST_LEN;
use crate::slot::record::record_offset;
use std::ops::Range;

/// Where things stand on the disk.
#[derive(Debug, Clone)]
pub(super) struct Map {
    /// The copies of the environment.
    pub(super) copies: Vec<Range<u64>>,
    /// The first partition of slot a and of slot b.
    pub(super) slots: [Range<u64>; 2],
    /// The numbers of those partitions.
    pub(super) numbers: [u32; 2],
}

impl Map {
    pub(super) fn slot(&self, slot: SlotId) -> &Range<u64> {
        match slot {
            SlotId::A => &self.slots[0],
            SlotId::B => &self.slots[1],
        }
    }

    /// Whether a deed goes to a slot.
    pub(super) fn in_slot(&self, deed: &Deed) -> bool {
        matches!(deed, Deed::Disk { at, .. } if self.slots.iter().any(|s| s.contains(at)))
    }

    pub(super) fn number(&self, slot: SlotId) -> u32 {
        match slot {
            SlotId::A => self.numbers[0],
            SlotId::B => self.numbers[1],
        }
    }

    /// What a garbled 4 MiB unit around `at` may reach: nothing that shares a unit with something
    /// else is promised to survive.
    pub(super) fn unit(&self, at: u64) -> Option<Range<u64>> {
        use super::landing::UNIT;
        let unit = at / UNIT * UNIT..(at / UNIT + 1) * UNIT;
        if self.copies.iter().any(|c| c.contains(&at)) {
            return Some(unit);
        }
        let slot = self.slots.iter().find(|s| s.contains(&at))?;
        Some(unit.start.max(slot.start)..unit.end.min(slot.end))
    }
}

/// What runs while a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// A verb of `surefoot`.
    Verb(&'static str),
    /// U-Boot.
    Boot,
}

/// Names the deeds of one story.
#[derive(Debug)]
pub(super) struct Phases {
    map: Map,
    bootloader: Bootloader,
    pub(super) runs: Runs,
    /// How many releases the journal denied when it was last written.
    denied: usize,
}

impl Phases {
    pub(super) fn new(map: &Map, bootloader: &Bootloader, denied: usize) -> Phases {
        let bootloader = bootloader.clone();
        Phases { map: map.clone(), bootloader, runs: Runs::Verb("install"), denied }
    }

    /// The phase, and a line for people.
    pub(super) fn of(&mut self, deed: &Deed, file: &str) -> (&'static str, String) {
        let phase = match deed {
            Deed::Disk { at, bytes } => self.of_disk(*at, bytes),
            Deed::Content { bytes, .. } if file.starts_with("journal.") => self.of_journal(bytes),
            Deed::Move(..) if file.starts_with("journal.") => "journal rename",
            _ if file.starts_with("journal.") => "journal",
            _ if file.starts_with("floor.") => "floor",
            _ if file.starts_with("committed.") => "what was committed",
            _ => "history",
        };
        let told = match deed {
            Deed::Disk { at, bytes } => format!("{} bytes at {at} of the disk", bytes.len()),
            Deed::Empty(_) => format!("emptying {file}"),
            Deed::Content { at, bytes, .. } => format!("{} bytes at {at} of {file}", bytes.len()),
            Deed::Make(..) => format!("making {file}"),
            Deed::Move(from, to) => format!("renaming {from} to {to}"),
        };
        (phase, told)
    }

    fn of_disk(&self, at: u64, bytes: &[u8]) -> &'static str {
        if self.map.copies.iter().any(|c| c.contains(&at)) {
            return self.of_environment(bytes);
        }
        let Some(slot) = self.map.slots.iter().find(|s| s.contains(&at)) else {
            return "elsewhere";
        };
        let zeros = bytes.iter().all(|b| *b == 0);
        match at - slot.start {
            first if first < FIRST_LEN && zeros => "first blocks destroyed",
            first if first < FIRST_LEN => "last phase",
            rest if rest < record_offset(slot.end - slot.start) => "slot body",
            _ if zeros => "first blocks destroyed",
            _ => "slot record",
        }
    }

    fn of_environment(&self, copy: &[u8]) -> &'static str {
        let said = self.bootloader.read_copy(copy);
        let said = said.as_ref();
        let trial = said.is_some_and(|s| s.trial);
        match self.runs {
            Runs::Boot if !trial => "altbootcmd",
            Runs::Boot => match said.map_or(0, |s| s.bootcount) {
                1 => "saveenv of boot 1",
                2 => "saveenv of boot 2",
                3 => "saveenv of boot 3",
                _ => "saveenv of boot 4",
            },
            Runs::Verb("shutdown") => "give-back",
            Runs::Verb("install" | "switch") if trial => "arming",
            Runs::Verb("rollback") if trial => "arming",
            Runs::Verb("commit") if said.is_none_or(|s| s.fallback.is_none()) => "commit",
            Runs::Verb("commit" | "rollback") => "rollback",
            Runs::Verb(_) => "settling",
        }
    }

    fn of_journal(&mut self, bytes: &[u8]) -> &'static str {
        let denied = denied(bytes);
        let more = denied > self.denied;
        self.denied = denied;
        if more { "denylist" } else { "journal" }
    }
}

/// How many releases a stored journal denies.
pub(super) fn denied(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    let journal: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    journal["denied"].as_array().map_or(0, Vec::len)
}
