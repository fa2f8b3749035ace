//! The journal on disk: two generations, each under a checksum, never edited in place.
//!
//! A file is one line `surefoot-journal 1 SEQUENCE CRC32` and the journal as JSON. A cut while
//! one generation is replaced leaves the other; the higher valid sequence counts.

use super::Journal;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::durable;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const LIMIT: u64 = 256 * 1024;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "read once at start")]
pub enum Stored {
    /// No journal: a device that never updated, or a fresh data partition.
    Absent,
    /// There is one, and no generation of it can be read: a fact that `decide` answers from the
    /// environment alone.
    Lost,
    /// The newest valid generation.
    Found(Journal),
}

/// The journal's folder.
#[derive(Debug, Clone)]
pub struct JournalStore {
    folder: PathBuf,
}

impl JournalStore {
    /// The journal in `folder`, which must exist before anything is written.
    pub fn new(folder: &Path) -> JournalStore {
        JournalStore { folder: folder.to_owned() }
    }

    fn path(&self, generation: usize) -> PathBuf {
        self.folder.join(format!("journal.{generation}"))
    }

    fn generations(&self) -> [(Option<(u64, Journal)>, bool); 2] {
        [0, 1].map(|g| match durable::read(&self.path(g), LIMIT) {
            Ok(None) => (None, false),
            Ok(Some(bytes)) => (decode(&bytes), true),
            Err(_) => (None, true),
        })
    }

    /// The newest valid generation.
    pub fn load(&self) -> Stored {
        let [(a, a_there), (b, b_there)] = self.generations();
        match [a, b].into_iter().flatten().max_by_key(|(sequence, _)| *sequence) {
            Some((_, journal)) => Stored::Found(journal),
            None if a_there || b_there => Stored::Lost,
            None => Stored::Absent,
        }
    }

    /// Makes `journal` the newest generation. Durable when it returns.
    pub fn save(&self, journal: &Journal) -> Result<()> {
        let sequences = self.generations().map(|(found, _)| found.map(|(sequence, _)| sequence));
        let (older, newest) = match sequences {
            [a, b] if a > b => (1, a),
            [_, b] => (0, b),
        };
        let bytes = encode(newest.map_or(1, |n| n.saturating_add(1)), journal)?;
        durable::write(&self.path(older), &bytes).map_err(|e| match e.code() {
            ReasonCode::NoSpace => e,
            _ => Failure::new(ReasonCode::StateNotDurable, e.detail()),
        })
    }
}

fn encode(sequence: u64, journal: &Journal) -> Result<Vec<u8>> {
    let body = serde_json::to_string_pretty(journal).reason(ReasonCode::Internal, "journal")?;
    let crc = crc32fast::hash(format!("{sequence}\n{body}\n").as_bytes());
    Ok(format!("surefoot-journal {FORMAT} {sequence} {crc:08x}\n{body}\n").into_bytes())
}

fn decode(bytes: &[u8]) -> Option<(u64, Journal)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once('\n')?;
    let words: Vec<&str> = head.split(' ').collect();
    let ["surefoot-journal", format, sequence, crc] = words.as_slice() else {
        return None;
    };
    let sequence: u64 = sequence.parse().ok()?;
    let sum = crc32fast::hash(format!("{sequence}\n{body}").as_bytes());
    if *format != FORMAT.to_string() || *crc != format!("{sum:08x}") {
        return None;
    }
    Some((sequence, serde_json::from_str(body).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(attempts: u32) -> Journal {
        Journal { attempts, ..Journal::default() }
    }

    #[test]
    fn the_newest_generation_counts_and_the_other_survives_a_cut() {
        let dir = tempfile::tempdir().unwrap();
        let store = JournalStore::new(dir.path());
        assert_eq!(store.load(), Stored::Absent);
        for n in 1..=5 {
            store.save(&journal(n)).unwrap();
            assert_eq!(store.load(), Stored::Found(journal(n)));
        }
        let newest = [0, 1].into_iter().find(|g| {
            let bytes = std::fs::read(store.path(*g)).unwrap();
            decode(&bytes).unwrap().1 == journal(5)
        });
        std::fs::write(store.path(newest.unwrap()), b"torn").unwrap();
        assert_eq!(store.load(), Stored::Found(journal(4)));
        store.save(&journal(6)).unwrap();
        assert_eq!(store.load(), Stored::Found(journal(6)));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = JournalStore::new(dir.path());
        store.save(&journal(1)).unwrap();
        let good = std::fs::read(store.path(0)).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(store.path(0), &bad).unwrap();
            assert_eq!(store.load(), Stored::Lost, "byte {at}");
        }
        std::fs::write(store.path(0), &good[..good.len() - 1]).unwrap();
        assert_eq!(store.load(), Stored::Lost);
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let store = JournalStore::new(Path::new("/nowhere/at/all"));
        assert_eq!(store.save(&journal(1)).unwrap_err().code(), ReasonCode::StateNotDurable);
    }
}
