//! Which part of an update a deed belongs to: by the command that does it, where it goes, and what
//! it says.

use super::deed::Deed;
use crate::boot::Bootloader;
use crate::model::{Identifier, PART_BOOT, SlotId};
use crate::slot::record::record_offset;
use crate::slot::{FIRST_LEN, kernel_part};
use std::ops::Range;

/// Where things stand on the disk.
#[derive(Debug, Clone)]
pub(super) struct Map {
    /// The copies of the environment.
    pub(super) copies: Vec<Range<u64>>,
    /// The parts of slot a and of slot b, each at least one, in the order of `[slots]`.
    pub(super) slots: [Vec<Place>; 2],
}

/// Where one part of a slot lies on the disk.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: Identifier,
    /// Its partition.
    pub(super) range: Range<u64>,
    /// The number of that partition.
    pub(super) number: u32,
}

impl Map {
    pub(super) fn parts(&self, slot: SlotId) -> &[Place] {
        match slot {
            SlotId::A => &self.slots[0],
            SlotId::B => &self.slots[1],
        }
    }

    /// The bytes of a slot, part by part. `read`: from an offset of the disk.
    pub(super) fn read<E>(
        &self,
        slot: SlotId,
        read: impl Fn(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Vec<Vec<u8>>, E> {
        let one = |place: &Place| {
            let mut bytes = vec![0; super::small(place.range.end - place.range.start)];
            read(place.range.start, &mut bytes).map(|()| bytes)
        };
        self.parts(slot).iter().map(one).collect()
    }

    /// Which part of a slot the bootloader loads the kernel from, counted from 0, and the kernel's
    /// path in it.
    pub(super) fn kernel(&self, slot: SlotId) -> (usize, &'static str) {
        let parts = self.parts(slot);
        let name = kernel_part(parts.iter().map(|place| &place.name));
        let part = parts.iter().position(|place| place.name.as_str() == name).unwrap_or(0);
        (part, if name == PART_BOOT { "/Image" } else { "/boot/Image" })
    }

    /// Where the record of a slot stands.
    pub(super) fn record(&self, slot: SlotId) -> Range<u64> {
        let first = &self.parts(slot)[0].range;
        first.start + record_offset(first.end - first.start)..first.end
    }

    fn part_at(&self, at: u64) -> Option<&Place> {
        self.slots.iter().flatten().find(|place| place.range.contains(&at))
    }

    /// Whether a deed goes to a slot.
    pub(super) fn in_slot(&self, deed: &Deed) -> bool {
        matches!(deed, Deed::Disk { at, .. } if self.part_at(*at).is_some())
    }

    /// What a garbled 4 MiB unit around `at` may reach: nothing that shares a unit with something
    /// else is promised to survive.
    pub(super) fn unit(&self, at: u64) -> Option<Range<u64>> {
        use super::landing::UNIT;
        let unit = at / UNIT * UNIT..(at / UNIT + 1) * UNIT;
        if self.copies.iter().any(|c| c.contains(&at)) {
            return Some(unit);
        }
        let part = &self.part_at(at)?.range;
        Some(unit.start.max(part.start)..unit.end.min(part.end))
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
        let Some(part) = self.map.part_at(at) else {
            return "elsewhere";
        };
        let zeros = bytes.iter().all(|b| *b == 0);
        let record = [SlotId::A, SlotId::B].map(|slot| self.map.record(slot));
        match at - part.range.start {
            first if first < FIRST_LEN && zeros => "first blocks destroyed",
            first if first < FIRST_LEN => "last phase",
            _ if !record.iter().any(|r| r.contains(&at)) => "slot body",
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
