//! The journal on disk: two generations, each under a checksum, never edited in place.
//!
//! A file is one line `surefoot-journal FORMAT SEQUENCE CRC32` and the journal as JSON. A cut
//! while one generation is replaced leaves the other; the higher valid sequence counts.
//!
//! The first line is the same in every format, so that a program knows a newer journal when it
//! meets one: that is a lost journal, and never a reason to believe the older generation. What a
//! format adds without a new number, an older program of that format ignores.

use super::{Ended, Journal, Outcome, Phase};
use crate::model::{Failure, ReasonCode, Result, StateFile, WithReason, document};
use crate::sys::durable;
use std::path::{Path, PathBuf};

/// The formats that this program reads; it writes the newest, but see [`JournalStore::save`].
const OLDEST: u32 = 1;
const NEWEST: u32 = 1;

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
    newest: u32,
}

/// A generation whose checksum is right.
pub(super) struct Generation {
    pub(super) format: u32,
    pub(super) sequence: u64,
    /// `None` if this program does not read its format.
    pub(super) journal: Option<Journal>,
}

impl JournalStore {
    /// The journal in `folder`, which must exist before anything is written.
    pub fn new(folder: &Path) -> JournalStore {
        JournalStore { folder: folder.to_owned(), newest: NEWEST }
    }

    fn path(&self, generation: usize) -> PathBuf {
        StateFile::JOURNAL[generation].within(&self.folder)
    }

    fn generations(&self) -> [(Option<Generation>, bool); 2] {
        [0, 1].map(|g| match durable::read(&self.path(g), StateFile::JOURNAL[g].limit) {
            Ok(None) => (None, false),
            Ok(Some(bytes)) => (decode(&bytes, self.newest), true),
            Err(_) => (None, true),
        })
    }

    /// The newest valid generation.
    pub fn load(&self) -> Stored {
        let [(a, a_there), (b, b_there)] = self.generations();
        match [a, b].into_iter().flatten().max_by_key(|g| g.sequence) {
            Some(newest) => newest.journal.map_or(Stored::Lost, Stored::Found),
            None if a_there || b_there => Stored::Lost,
            None => Stored::Absent,
        }
    }

    /// Makes `journal` the newest generation. Durable when it returns. Only a commit raises the
    /// format (DESIGN 9.7): until then the older program may come back and must read it.
    pub fn save(&self, journal: &Journal) -> Result<()> {
        let found = self.generations().map(|(found, _)| found);
        let sequences = found.each_ref().map(|f| f.as_ref().map(|g| g.sequence));
        let (older, newest) = match found {
            [a, _] if sequences[0] > sequences[1] => (1, a),
            [_, b] => (0, b),
        };
        let committed = journal.phase == Phase::Idle
            && journal.last.as_ref().is_some_and(|l| l.outcome == Ended::Updated);
        let format = match newest.as_ref().map(|g| g.format) {
            _ if committed => self.newest,
            Some(format) if (OLDEST..=self.newest).contains(&format) => format,
            _ => OLDEST,
        };
        let sequence = newest.map_or(1, |g| g.sequence.saturating_add(1));
        let bytes = encode(format, sequence, journal)?;
        durable::write(&self.path(older), &bytes).map_err(|e| match e.code() {
            ReasonCode::NoSpace | ReasonCode::NotAllowed => e,
            _ => Failure::new(ReasonCode::StateNotDurable, e.detail()),
        })
    }
}

pub(super) fn encode(format: u32, sequence: u64, journal: &Journal) -> Result<Vec<u8>> {
    let last = journal.last.as_ref().map(Outcome::stored);
    let stored = Journal { last, ..journal.clone() };
    let body = serde_json::to_string_pretty(&stored).reason(ReasonCode::Internal, "journal")?;
    let crc = crc32fast::hash(format!("{sequence}\n{body}\n").as_bytes());
    Ok(format!("surefoot-journal {format} {sequence} {crc:08x}\n{body}\n").into_bytes())
}

pub(super) fn decode(bytes: &[u8], newest: u32) -> Option<Generation> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once('\n')?;
    let words: Vec<&str> = head.split(' ').collect();
    let ["surefoot-journal", format, sequence, crc] = words.as_slice() else {
        return None;
    };
    let (format, sequence) = (format.parse().ok()?, sequence.parse().ok()?);
    let sum = crc32fast::hash(format!("{sequence}\n{body}").as_bytes());
    if *crc != format!("{sum:08x}") {
        return None;
    }
    let known = (OLDEST..=newest).contains(&format);
    let read = || {
        let journal = document(body.as_bytes()).map(Journal::read_back)?;
        let last = journal.last.map(Outcome::read);
        Some(Journal { last, ..journal })
    };
    let journal = if known { Some(read()?) } else { None };
    Some(Generation { format, sequence, journal })
}

#[cfg(test)]
mod tests {
    use super::super::{Named, Spent, Work};
    use super::*;
    use crate::model::{Digest, SlotId, Txn};

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
            decode(&bytes, NEWEST).unwrap().journal == Some(journal(5))
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
    /// A store of a program that is one format ahead.
    fn next_version(folder: &Path) -> JournalStore {
        JournalStore { folder: folder.to_owned(), newest: NEWEST + 1 }
    }

    fn work() -> Work {
        let (from, to) = (Named::default(), Named::default());
        let partitions = vec!["rootfs-b".to_owned()];
        Work {
            digest: Digest::of(b"x"),
            slot: SlotId::B,
            partitions,
            from,
            to,
            order: Default::default(),
        }
    }

    fn in_trial() -> Journal {
        let (work, txn) = (work(), Txn::new(&Digest::of(b"x"), 1));
        let spent = Spent::default();
        journal(1).in_phase(Phase::Trying { work, txn, recovered: false, spent })
    }

    fn ended(outcome: Ended) -> Journal {
        let (work, detail) = (work(), String::new());
        let last = Outcome {
            outcome,
            work,
            txn: None,
            reason: None,
            detail,
            against: Default::default(),
            came_up: None,
            untried: false,
            at: 0,
        };
        Journal { last: Some(last), ..journal(1) }
    }

    #[test]
    fn an_older_program_reads_what_it_has_no_word_for_as_failed() {
        for (end, reason, old) in [
            (Ended::Cancelled, ReasonCode::Cancelled, false),
            (Ended::Cancelled, ReasonCode::Requested, false),
            (Ended::Vetoed, ReasonCode::HookVeto, false),
            (Ended::Superseded, ReasonCode::Superseded, false),
            // A trial that failed where there is nothing to go back to is no veto.
            (Ended::Failed, ReasonCode::HookVeto, true),
            (Ended::Failed, ReasonCode::Requested, true),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let store = JournalStore::new(dir.path());
            let mut journal = ended(end).cancelling(Digest::of(b"x"));
            if let Some(last) = &mut journal.last {
                last.reason = Some(reason);
            }
            store.save(&journal).unwrap();
            let text = std::fs::read_to_string(store.path(0)).unwrap();
            for word in ["cancelled", "vetoed", "superseded"] {
                assert!(!text.contains(&format!("\"outcome\": \"{word}\"")), "{text}");
            }
            assert!(text.contains("\"outcome\": \"failed\""), "{text}");
            assert_eq!(text.contains("\"untried\""), !old, "{text}");
            assert_eq!(store.load(), Stored::Found(journal));
        }
    }

    #[test]
    fn only_a_commit_raises_the_format() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (JournalStore::new(dir.path()), next_version(dir.path()));
        old.save(&journal(1)).unwrap();
        for kept in [in_trial(), ended(Ended::Failed), in_trial(), ended(Ended::RolledBack)] {
            new.save(&kept).unwrap();
            assert_eq!(old.load(), Stored::Found(kept.clone()), "the old program reads it");
            assert_eq!(new.load(), Stored::Found(kept));
        }
        new.save(&ended(Ended::Updated)).unwrap();
        assert_eq!(new.load(), Stored::Found(ended(Ended::Updated)));
        assert_eq!(old.load(), Stored::Lost, "and not the generation before it");
        // The old program, once more on trial, goes on from what it knows; nobody reads the past.
        old.save(&in_trial()).unwrap();
        assert_eq!(old.load(), Stored::Found(in_trial()));
        assert_eq!(new.load(), Stored::Found(in_trial()));
        // A journal that nobody could read is begun again in the format that everybody reads.
        for generation in [0, 1] {
            std::fs::write(new.path(generation), b"garbage").unwrap();
        }
        new.save(&in_trial()).unwrap();
        assert_eq!(old.load(), Stored::Found(in_trial()));
    }

    #[test]
    fn what_a_newer_program_adds_is_ignored_and_what_it_leaves_out_is_not_missed() {
        let dir = tempfile::tempdir().unwrap();
        let store = JournalStore::new(dir.path());
        let write = |body: String| {
            let crc = crc32fast::hash(format!("9\n{body}").as_bytes());
            let text = format!("surefoot-journal 1 9 {crc:08x}\n{body}");
            std::fs::write(store.path(0), text).unwrap();
        };
        let known = in_trial().denying(Digest::of(b"y"), ReasonCode::HealthFailed);
        let mut value = serde_json::to_value(&known).unwrap();
        let spent = value["phase"]["trying"].as_object_mut().unwrap().remove("spent");
        assert!(spent.is_some());
        write(value.to_string());
        assert_eq!(store.load(), Stored::Found(known.clone()), "a time that nobody noted is 0");
        fn add(value: &mut serde_json::Value) {
            match value {
                serde_json::Value::Object(map) => {
                    map.values_mut().for_each(add);
                    map.insert("from_the_future".to_owned(), serde_json::json!({ "x": [1] }));
                }
                serde_json::Value::Array(items) => items.iter_mut().for_each(add),
                _ => {}
            }
        }
        // A phase is an object with its one name as a key: what is added goes inside.
        let mut phase = value["phase"].take();
        add(&mut value);
        add(&mut phase["trying"]);
        value["phase"] = phase;
        value["denied"][0]["reason"] = "REASON_OF_THE_FUTURE".into();
        write(value.to_string());
        let Stored::Found(found) = store.load() else { panic!("it must be read") };
        assert_eq!(found.denied[0].reason, ReasonCode::Unknown);
        assert_eq!(found.denying(Digest::of(b"y"), ReasonCode::HealthFailed), known);
    }
}
