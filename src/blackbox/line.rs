//! What stands in the black box: one line each, its first letter says what it is.

use crate::model::{SlotId, both_ends, document};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Longer lines are cut: one that goes on for ever must not push out all others.
const TEXT_MAX: usize = 400;

/// Begins a boot's part of the black box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The version of this line's shape.
    pub v: u32,
    /// Which boot.
    pub boot_id: String,
    /// The slot that runs.
    pub slot: SlotId,
    /// Whether it is on trial. The boot that comes after one is not.
    pub trial: bool,
    /// The move that is tried, or was.
    pub txn: Option<String>,
    /// The release, as people call it.
    pub version: Option<String>,
    /// Boots counted in this trial, this one included.
    pub bootcount: Option<u32>,
    /// Boots allowed.
    pub bootlimit: Option<u32>,
    /// Seconds since 1970 by the clock of that moment.
    pub at: u64,
}

/// Ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Which boot.
    pub(super) boot_id: String,
    /// Seconds that it was up.
    pub(super) up: u64,
    /// Why nothing follows.
    pub(super) text: String,
}

/// Who has said a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The kernel, at this level: 0 to 7 (syslog(2)).
    Kernel(u8),
    /// A service, or the init system.
    Journal,
    /// The kernel of the boot before, kept by pstore.
    Pstore,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Who.
    pub kind: Kind,
    /// What, printable.
    pub text: String,
}

impl Line {
    /// A line of a service.
    pub fn journal(text: &str) -> Line {
        Line { kind: Kind::Journal, text: both_ends(text, TEXT_MAX) }
    }

    /// A line that pstore has kept.
    pub fn pstore(text: &str) -> Line {
        Line { kind: Kind::Pstore, text: both_ends(text, TEXT_MAX) }
    }

    /// Whether it should be durable at once.
    pub(super) fn is_urgent(&self) -> bool {
        matches!(self.kind, Kind::Kernel(0..=2))
    }

    pub(super) fn written(&self) -> String {
        match self.kind {
            Kind::Kernel(level) => format!("K{level} {}\n", self.text),
            Kind::Journal => format!("J {}\n", self.text),
            Kind::Pstore => format!("P {}\n", self.text),
        }
    }
}

/// What a line of the black box is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Sequence(u64),
    Head(Head),
    Line(Line),
    Tail(Tail),
}

pub(super) fn sequence_line(sequence: u64) -> String {
    format!("S surefoot-blackbox 1 {sequence}\n")
}

pub(super) fn head_line(head: &Head) -> String {
    format!("H {}\n", serde_json::to_string(head).unwrap_or_default())
}

pub(super) fn tail_line(tail: &Tail) -> String {
    format!("E {}\n", serde_json::to_string(tail).unwrap_or_default())
}

/// Reads a line back; `None` for one that was torn or is none of ours.
pub(super) fn parse(line: &str) -> Option<Entry> {
    let (tag, rest) = line.split_once(' ')?;
    let said = |kind| Some(Entry::Line(Line { kind, text: both_ends(rest, TEXT_MAX) }));
    match tag.as_bytes() {
        b"S" => rest.strip_prefix("surefoot-blackbox 1 ")?.parse().ok().map(Entry::Sequence),
        b"H" => document(rest.as_bytes()).map(Entry::Head),
        b"E" => document(rest.as_bytes()).map(Entry::Tail),
        b"J" => said(Kind::Journal),
        b"P" => said(Kind::Pstore),
        [b'K', level @ b'0'..=b'7'] => said(Kind::Kernel(level - b'0')),
        _ => None,
    }
}

/// Records of the kernel's log as lines: `priority,sequence,microseconds,flags;text`, and lines
/// that begin with a space belong to the record's dictionary.
pub(super) fn of_kernel(records: &[u8]) -> Vec<Line> {
    let text = String::from_utf8_lossy(records);
    let record = |line: &str| {
        let (head, said) = line.split_once(';')?;
        let mut fields = head.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let micros: u64 = fields.nth(1)?.parse().ok()?;
        let level = u8::try_from(priority & 7).ok()?;
        let time = format!("[{:5}.{:06}]", micros / 1_000_000, micros % 1_000_000);
        let text = both_ends(&format!("{time} {said}"), TEXT_MAX);
        Some(Line { kind: Kind::Kernel(level), text })
    };
    text.lines().filter(|l| !l.starts_with(' ')).filter_map(record).collect()
}

/// The two files in the folder of the black box.
pub(super) fn paths(folder: &Path) -> [PathBuf; 2] {
    ["0.log", "1.log"].map(|name| folder.join(name))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn head(boot_id: &str) -> Head {
        Head {
            v: 1,
            boot_id: boot_id.into(),
            slot: SlotId::B,
            trial: true,
            txn: Some("0123456789ab-1".into()),
            version: Some("2.0.0".into()),
            bootcount: Some(1),
            bootlimit: Some(3),
            at: 1_800_000_000,
        }
    }

    #[test]
    fn every_line_reads_back() {
        let tail = Tail { boot_id: "x".into(), up: 7, text: "stopped".into() };
        let lines = [
            Line { kind: Kind::Kernel(3), text: "[    1.000000] no".into() },
            Line::journal("[    2.0] host web[7]: no"),
            Line::pstore("<0>[ 1.0] Kernel panic"),
        ];
        for line in lines {
            assert_eq!(parse(line.written().trim_end()), Some(Entry::Line(line)));
        }
        assert_eq!(parse(head_line(&head("x")).trim_end()), Some(Entry::Head(head("x"))));
        assert_eq!(parse(tail_line(&tail).trim_end()), Some(Entry::Tail(tail)));
        assert_eq!(parse(sequence_line(7).trim_end()), Some(Entry::Sequence(7)));
        for torn in ["", "K", "K9 x", "Kx", "H {\"v\":1", "S surefoot-blackbox 2 1", "S x", "E 1"] {
            assert_eq!(parse(torn), None, "{torn}");
        }
    }

    #[test]
    fn what_is_said_cannot_pass_for_a_line_of_ours() {
        let said = Line::journal("x\nH {\"v\":1}\u{1b}[2J");
        assert_eq!(said.written(), "J x H {\"v\":1}?[2J\n");
    }

    #[test]
    fn records_of_the_kernel_become_lines_with_their_time() {
        let records = b"6,1,0,-;Linux version 6\n SUBSYSTEM=x\n3,2,12500000,-;bad \xff thing\ngarbage\n,;\n30,3,x,-;y\n";
        let lines = of_kernel(records);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].written(), "K6 [    0.000000] Linux version 6\n");
        assert_eq!(lines[1].kind, Kind::Kernel(3));
        assert!(lines[1].text.starts_with("[   12.500000] bad"), "{}", lines[1].text);
    }
}
