//! The journal of apps on disk: two generations, as the system's journal is kept (`sys::copies`), under the word
//! `surefoot-apps`.
//!
//! The program in the other slot reads it after a rollback of the system, and it may be older. There is one format: what
//! is added to it has a default and is ignored by an older program, and nothing changes its meaning. A format that an
//! older program cannot read may be written only when no slot holds such a program any more; until then it is a lost
//! journal to it.

use super::journal::AppJournal;
use crate::model::{ReasonCode, Result, StateFile, WithReason, from_json, printable};
use crate::sys::copies::{Copies, FoundCopies, Sealed};
use std::path::Path;

const WORD: &str = "surefoot-apps";
const FORMAT: u32 = 1;

/// More characters of a text for people than are kept.
const DETAIL_MAX: usize = 1000;

/// What was found of the journal of apps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "read once for each piece of work")]
pub enum AppStored {
    /// None: a device that never had an app, or a fresh data partition.
    Absent,
    /// There is one, and no generation of it can be read. What is in the engine is not touched before a person, or
    /// [`AppJournal::adopted`], says what it is.
    Lost,
    /// The newest valid generation.
    Found(AppJournal),
}

/// The files of the journal of apps.
#[derive(Debug, Clone)]
pub struct AppJournalStore {
    copies: Copies,
}

impl AppJournalStore {
    /// The journal in the state folder, which must exist before anything is written.
    pub fn new(state: &Path) -> AppJournalStore {
        let files = StateFile::APPS.map(|file| file.within(state));
        AppJournalStore { copies: Copies { word: WORD, files, limit: StateFile::APPS[0].limit } }
    }

    fn find(&self) -> FoundCopies<Option<AppJournal>> {
        self.copies.find(read)
    }

    /// The newest valid generation.
    pub fn load(&self) -> AppStored {
        let found = self.find();
        match found.newest {
            // A newer format is a lost journal, and no reason to believe the generation before it.
            Some(newest) => newest.map_or(AppStored::Lost, AppStored::Found),
            None if found.there => AppStored::Lost,
            None => AppStored::Absent,
        }
    }

    /// Makes `journal` the newest generation. Durable when it returns.
    pub fn save(&self, journal: &AppJournal) -> Result<()> {
        let body = serde_json::to_string_pretty(journal).reason(ReasonCode::Internal, "apps")?;
        self.copies.write(&self.find(), FORMAT, &format!("{body}\n"))
    }
}

/// `None` if it is not whole, `Some(None)` if its format is not known.
fn read(sealed: &Sealed) -> Option<Option<AppJournal>> {
    if sealed.format != FORMAT {
        return Some(None);
    }
    let mut journal: AppJournal = from_json(sealed.body.as_bytes()).ok()?;
    // Another program may have written it, and people read it.
    if let Some(last) = &mut journal.last {
        last.detail = printable(&last.detail, DETAIL_MAX);
    }
    Some(Some(journal))
}

#[cfg(test)]
mod tests {
    use super::super::journal::{
        AppEnded, AppMove, AppOutcome, AppPhase, Cause, Change, Generation,
    };
    use super::*;
    use crate::model::{Digest, SlotId};
    use crate::sys::copies::seal;

    fn full() -> AppJournal {
        let generation = Generation {
            digest: Digest::of(b"x"),
            version: "1.2".parse().unwrap(),
            release_counter: 7,
            config: [("greeting".to_owned(), "two\nlines".to_owned())].into(),
            development: true,
            keep: 2,
        };
        let app: crate::bundle::ServiceName = "shop".parse().unwrap();
        let moves = vec![AppMove { app: app.clone(), from: None, to: Some(generation.clone()) }];
        let change = Change { number: 3, moves, cause: Cause::Slot(SlotId::B) };
        let set: super::super::AppSet = [(app.clone(), generation.clone())].into();
        let last = AppOutcome {
            outcome: AppEnded::RolledBack,
            change: change.clone(),
            reason: Some(ReasonCode::ServiceUnhealthy),
            detail: "web: no answer".to_owned(),
            at: 9,
        };
        AppJournal {
            phase: AppPhase::Trying { change, boot_id: "b".to_owned(), attempt: 2 },
            changes: 3,
            sets: [Some(set.clone()), None],
            live: set,
            stopped: [app.clone()].into(),
            previous: [(app, vec![generation])].into(),
            ran: ["shop//init".to_owned()].into(),
            last: Some(last),
            ..AppJournal::default()
        }
    }

    #[test]
    fn the_newest_generation_counts_and_the_other_survives_a_cut() {
        let dir = tempfile::tempdir().unwrap();
        let store = AppJournalStore::new(dir.path());
        assert_eq!(store.load(), AppStored::Absent);
        let with = |changes| AppJournal { changes, ..full() };
        for n in 1..=4 {
            store.save(&with(n)).unwrap();
            assert_eq!(store.load(), AppStored::Found(with(n)));
        }
        let newest = &store.copies.files[1];
        std::fs::write(newest, b"torn").unwrap();
        assert_eq!(store.load(), AppStored::Found(with(3)));
        store.save(&with(5)).unwrap();
        assert_eq!(store.load(), AppStored::Found(with(5)));
        for file in &store.copies.files {
            std::fs::write(file, b"torn").unwrap();
        }
        assert_eq!(store.load(), AppStored::Lost);
        store.save(&with(6)).unwrap();
        assert_eq!(store.load(), AppStored::Found(with(6)));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = AppJournalStore::new(dir.path());
        store.save(&full()).unwrap();
        let good = std::fs::read(&store.copies.files[0]).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&store.copies.files[0], &bad).unwrap();
            assert_eq!(store.load(), AppStored::Lost, "byte {at}");
        }
        std::fs::write(&store.copies.files[0], &good[..good.len() - 1]).unwrap();
        assert_eq!(store.load(), AppStored::Lost);
    }

    #[test]
    fn what_a_newer_program_adds_is_ignored_and_a_newer_format_is_a_lost_journal() {
        fn add(value: &mut serde_json::Value) {
            match value {
                serde_json::Value::Object(map) => {
                    map.values_mut().for_each(add);
                    map.insert("later".to_owned(), serde_json::json!({ "x": [1] }));
                }
                serde_json::Value::Array(items) => items.iter_mut().for_each(add),
                _ => {}
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let store = AppJournalStore::new(dir.path());
        let mut value = serde_json::to_value(full()).unwrap();
        // A phase is an object with its one name as a key: what is added goes inside.
        add(&mut value["phase"]["trying"]);
        add(&mut value["live"]["shop"]);
        value["live"]["shop"]["config"].as_object_mut().unwrap().remove("later");
        value["phase"]["trying"]["change"]["cause"].as_object_mut().unwrap().remove("later");
        let of_move = &mut value["phase"]["trying"]["change"]["moves"][0]["to"]["config"];
        of_move.as_object_mut().unwrap().remove("later");
        value["later"] = 1.into();
        value["last"]["reason"] = "REASON_OF_THE_FUTURE".into();
        std::fs::write(&store.copies.files[0], seal(WORD, 1, 9, &format!("{value}\n"))).unwrap();
        let AppStored::Found(found) = store.load() else { panic!("it must be read") };
        assert_eq!(found.last.as_ref().unwrap().reason, Some(ReasonCode::Unknown));
        assert_eq!(AppJournal { last: full().last, ..found }, full());
        std::fs::write(&store.copies.files[1], seal(WORD, 2, 10, "{}\n")).unwrap();
        assert_eq!(store.load(), AppStored::Lost, "and not the generation before it");
    }

    #[test]
    fn a_journal_that_could_not_be_read_again_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = AppJournalStore::new(dir.path());
        let long = "x".repeat(usize::try_from(StateFile::APPS[0].limit).unwrap());
        let journal = AppJournal { ran: [long].into(), ..full() };
        assert_eq!(store.save(&journal).unwrap_err().code(), ReasonCode::StateNotDurable);
        assert_eq!(store.load(), AppStored::Absent);
    }
}
