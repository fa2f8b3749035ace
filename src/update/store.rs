//! The journal on disk: two generations, each under a checksum, never edited in place.
//!
//! The files are those of `sys::copies`, under the word `surefoot-journal`. A newer format is a lost journal, and never
//! a reason to believe the older generation. What a format adds without a new number, an older program of that format
//! ignores.

use super::{Ended, Journal, Outcome, Phase};
use crate::model::{ReasonCode, Result, StateFile, WithReason, document};
use crate::sys::copies::{Copies, FoundCopies, Sealed};
#[cfg(any(test, fuzzing))]
use crate::sys::copies::{seal, unseal};
use std::path::Path;

const WORD: &str = "surefoot-journal";

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

/// The journal's files.
#[derive(Debug, Clone)]
pub struct JournalStore {
    copies: Copies,
    newest: u32,
}

/// A generation whose checksum is right.
pub(super) struct Generation {
    pub(super) format: u32,
    /// `None` if this program does not read its format.
    pub(super) journal: Option<Journal>,
}

impl JournalStore {
    /// The journal in `folder`, which must exist before anything is written.
    pub fn new(folder: &Path) -> JournalStore {
        let files = StateFile::JOURNAL.map(|file| file.within(folder));
        let copies = Copies { word: WORD, files, limit: StateFile::JOURNAL[0].limit };
        JournalStore { copies, newest: NEWEST }
    }

    fn find(&self) -> FoundCopies<Generation> {
        self.copies.find(|sealed| read(sealed, self.newest))
    }

    /// The newest valid generation.
    pub fn load(&self) -> Stored {
        let found = self.find();
        match found.newest {
            Some(newest) => newest.journal.map_or(Stored::Lost, Stored::Found),
            None if found.there => Stored::Lost,
            None => Stored::Absent,
        }
    }

    /// Makes `journal` the newest generation. Durable when it returns. Only a commit raises the
    /// format (DESIGN 9.7): until then the older program may come back and must read it.
    pub fn save(&self, journal: &Journal) -> Result<()> {
        let found = self.find();
        let committed = journal.phase == Phase::Idle
            && journal.last.as_ref().is_some_and(|l| l.outcome == Ended::Updated);
        let format = match found.newest.as_ref().map(|g| g.format) {
            _ if committed => self.newest,
            Some(format) if (OLDEST..=self.newest).contains(&format) => format,
            _ => OLDEST,
        };
        self.copies.write(&found, format, &body(journal)?)
    }
}

fn body(journal: &Journal) -> Result<String> {
    let last = journal.last.as_ref().map(Outcome::stored);
    let stored = Journal { last, ..journal.clone() };
    let body = serde_json::to_string_pretty(&stored).reason(ReasonCode::Internal, "journal")?;
    Ok(format!("{body}\n"))
}

fn read(sealed: &Sealed, newest: u32) -> Option<Generation> {
    let Sealed { format, body, .. } = sealed;
    let read = || {
        let journal = document(body.as_bytes()).map(Journal::read_back)?;
        let last = journal.last.map(Outcome::read);
        Some(Journal { last, ..journal })
    };
    let known = (OLDEST..=newest).contains(format);
    let journal = if known { Some(read()?) } else { None };
    Some(Generation { format: *format, journal })
}

#[cfg(any(test, fuzzing))]
pub(super) fn encode(format: u32, sequence: u64, journal: &Journal) -> Result<Vec<u8>> {
    Ok(seal(WORD, format, sequence, &body(journal)?))
}

#[cfg(any(test, fuzzing))]
pub(super) fn decode(bytes: &[u8], newest: u32) -> Option<(u64, Generation)> {
    let sealed = unseal(WORD, bytes)?;
    Some((sealed.sequence, read(&sealed, newest)?))
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
            let bytes = std::fs::read(&store.copies.files[*g]).unwrap();
            decode(&bytes, NEWEST).unwrap().1.journal == Some(journal(5))
        });
        std::fs::write(&store.copies.files[newest.unwrap()], b"torn").unwrap();
        assert_eq!(store.load(), Stored::Found(journal(4)));
        store.save(&journal(6)).unwrap();
        assert_eq!(store.load(), Stored::Found(journal(6)));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = JournalStore::new(dir.path());
        store.save(&journal(1)).unwrap();
        let good = std::fs::read(&store.copies.files[0]).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&store.copies.files[0], &bad).unwrap();
            assert_eq!(store.load(), Stored::Lost, "byte {at}");
        }
        std::fs::write(&store.copies.files[0], &good[..good.len() - 1]).unwrap();
        assert_eq!(store.load(), Stored::Lost);
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let store = JournalStore::new(Path::new("/nowhere/at/all"));
        assert_eq!(store.save(&journal(1)).unwrap_err().code(), ReasonCode::StateNotDurable);
    }
    /// A store of a program that is one format ahead.
    fn next_version(folder: &Path) -> JournalStore {
        JournalStore { newest: NEWEST + 1, ..JournalStore::new(folder) }
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
            let text = std::fs::read_to_string(&store.copies.files[0]).unwrap();
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
            std::fs::write(&new.copies.files[generation], b"garbage").unwrap();
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
            std::fs::write(&store.copies.files[0], text).unwrap();
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
